// SPDX-License-Identifier: MIT
// Who keeps others waiting. Whoever takes less than min_rate of what others wait to see taken, for
// longer than stall_timeout, is cut loose: what it lacks is not held for it any more, and it gets
// what is still there when it can. In a row of nodes that wait for each other it is the last one's
// neighbour who acts: each tells those that wait for it how far away the reason is (STALL).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/wire.h"

struct link;
struct node;
struct source;

// Looks at all readers and links. To be called every POLICE_INTERVAL while anything is held.
void stall_tick(struct node *node);
// Does anybody wait for room that messages of this source take here?
bool stall_pressed(const struct node *node, const struct source *s);
// A frame.
void stall_heard(struct link *link, const struct frame_stall *f);
