// SPDX-License-Identifier: MIT
// Repair of the sources: a range that is missing is pulled from the peers, each of which sends it
// or says that it is trimmed. What nobody keeps, or nobody sends in PULL_TIMEOUT, is a gap.
#pragma once

#include "core/source.h"

struct link;
struct node;

// Asks one peer, or all but one, for everything from the frontier on.
void repair_pull(struct link *link, struct source *s);
void repair_pull_all(struct node *node, struct source *s, const struct link *except);
// Starts the clock of a missing range.
void repair_note(struct node *node, struct source *s);
// What has come of a batch is given up and given back; the rest of it will be discarded.
// Makes room for a batch of so many bytes among those that are being received: what has stopped
// coming goes.
void repair_make_room(struct node *node, uint32_t bytes);
// Is there another link that may send the source, without having left a batch of it unfinished?
bool repair_others(struct node *node, const struct link *link, const struct source *s);
// It stops coming; what is checked of it waits for another link to go on.
void repair_interrupted(struct node *node, struct source *s);
void repair_drop_partial(struct node *node, struct source *s);
// The frontier has moved: peers that had nothing to offer below it, or came too early, are of use
// again.
void repair_resume(struct node *node, struct source *s);
// A peer keeps nothing below `next`, and the source has come that far.
void repair_trimmed(struct link *link, struct source *s, uint64_t next);
void repair_tick(struct node *node);
