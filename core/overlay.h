// SPDX-License-Identifier: MIT
// Who this node is linked to: enough peers, not too many, and never fewer than a network needs.
//
// Dials when there are fewer than min_peers; makes room by rewiring when there are max_peers
// (make before break, so that nobody loses a peer to a newcomer); tells its neighbours of others.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/dial.h"
#include "core/link.h"

struct overlay {
	uint64_t next; // when overlay_tick() is due
	uint64_t shuffled, shuffle_next;
	bool at_a_loss; // there are too few peers, and nobody to dial
	uint64_t probe_next;
	bool shrinking;	      // max_peers was lowered, and there are more
	uint64_t shrink_next; // when the next peer is asked to go, whether or not the last has gone
};

void overlay_init(struct node *node);
void overlay_tick(struct node *node);
uint64_t overlay_deadline(const struct node *node);
// Links that count: up, or promised to a dialler.
size_t overlay_count(const struct node *node);
// How many more links this node would take.
uint16_t overlay_room(const struct node *node);
// May this dialler's link come up? 0, or the reason to refuse.
int overlay_judge(struct node *node, const struct link *link);
void overlay_link_up(struct node *node, struct link *link);
void overlay_link_down(struct node *node, struct link *link, enum goodbye reason);
void overlay_peers(struct node *node, const struct contact *contacts, size_t count);
void overlay_rewire(struct node *node, struct link *from, const struct frame_rewire *f);
// Neighbours other than `except` that somebody could dial; the count.
uint8_t overlay_contacts(
	struct node *node, const struct link *except, struct contact *contacts, uint8_t max);
// The peer wants to know whom we know.
void overlay_asked(struct node *node, struct link *link);
// Where else a dialler may try: up to HELLO_ADDRESSES neighbours and others whom we have heard of
// lately, newcomers like it among them; the count.
uint8_t overlay_others(struct node *node, const struct link *except, struct contact *contacts);
// A neighbour to offer to another component, zero if none can be spared, and the permit to take our
// place there.
struct contact overlay_offer(struct node *node, uint8_t permit[DIGEST_BYTES]);
// Not dialled for a while: somebody dropped it by hand.
void overlay_hold(struct node *node, const struct link *link);
