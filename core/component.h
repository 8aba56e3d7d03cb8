// SPDX-License-Identifier: MIT
// Which component of the network this node is in, and whether there are two where one should be.
//
// The lowest id of a component sends a beacon every BEACON_INTERVAL; everyone believes the lowest
// fresh one. Two nodes that are both up and believe different ones are in different components.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/link.h"
#include "core/view.h"
#include "core/wire.h"

struct component {
	struct id origin; // of the beacon believed in
	uint64_t number;
	uint64_t heard;
	uint64_t next; // when to send our own, if we are the lowest
	bool grown;    // there was an established one, and a link, since this node started
	// The suspicion and the netsplit.
	struct id other;    // origin of the other component
	uint64_t suspected; // when the first mismatch was seen, 0: none
	uint64_t evidence;  // when the last one was
	bool split;	    // reported, and not yet healed
	struct address way; // to a node of the other component
	struct allowance redirects;
	uint64_t meeting_until; // no netsplit, and to be joined all the same
	uint64_t merge_next;
};

void component_init(struct node *node);
struct component_mark component_mark(const struct node *node);
// Who was to be linked to the other component has no place, and names others of it.
void component_redirected(struct node *node, const struct contact *contacts, size_t count);
// `from` brought it: what it knew in its HELLO was heard then, and not when it tells us.
void component_beacon(
	struct node *node, struct link *from, const struct id *origin, uint64_t number);
// The HELLO of a node that is, or will be, linked (`joining`) or was only probed.
void component_compare(struct node *node, struct link *link, bool joining);
// Whom to ask again to be sure; NULL: no suspicion.
struct view_entry *component_suspect(struct node *node);
void component_netsplit_heard(struct node *node, const struct id *other);
void component_healed_heard(struct node *node, const struct id *other);
void component_tick(struct node *node);
uint64_t component_deadline(const struct node *node);
