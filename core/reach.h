// SPDX-License-Identifier: MIT
// Reaching a node by its id, for somebody who waits for it: the link that is there, or a dial, or,
// when that fails, a call: it is asked, through everybody, to dial us.
#pragma once

#include <stdint.h>

#include "core/wire.h"

struct dial;
struct node;

struct reach {
	struct reach *prev, *next;
	struct id id;
	struct dial *dial; // borrowed, while it runs
	uint64_t until;	   // else: when there is no more hope
	int error;	   // of the dial
};

// A dial of it has failed.
void reach_failed(struct node *node, struct dial *dial, int error);
void reach_link_up(struct node *node, const struct id *id);
// Nobody waits for it any more.
void reach_cancel(struct node *node, const struct id *id);
// Somebody calls this node, or another one. -EPROTO.
int reach_called(struct node *node, const struct id *origin, const struct contact *call);
void reach_tick(struct node *node);
uint64_t reach_deadline(const struct node *node);
void reach_fini(struct node *node);
