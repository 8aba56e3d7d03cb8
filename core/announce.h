// SPDX-License-Identifier: MIT
// Announcements: small signed envelopes that every node hears once from each origin, relayed to
// all links as they are. Types that this version does not know are relayed unread.
#pragma once

#include <stdint.h>

#include "core/allowance.h"
#include "core/hash.h"
#include "core/wire.h"

struct link;
struct node;

// The latest envelope of one type from one origin.
struct announce_entry {
	UT_hash_handle hh;
	struct announce_key {
		struct id origin;
		uint8_t type;
	} key;
	uint64_t incarnation, counter;
	uint64_t heard;
	uint64_t buried; // when this node took the origin of a MEMBER for gone; 0: it has not
	size_t bytes;
	uint8_t sealed[]; // [bytes], with the signature
};

struct announce {
	struct announce_entry *latest; // by key
	uint64_t counter;	       // of our own
	struct allowance refutes;
	uint64_t sweep; // when the table is looked through for old ones
};

void announce_fini(struct announce *a);
// To everyone, from this node.
void announce_send(struct node *node, enum announcement type, const void *payload, size_t n);
// The incarnation that a member has told of; 0: it is not known.
uint64_t announce_incarnation(const struct announce *a, const struct id *id);
// What a member has announced of itself; false: nothing is kept.
bool announce_lease(const struct announce *a, const struct id *id, struct announce_member *m);
// This node takes a member for gone, by what itself has seen.
void announce_bury(struct node *node, const struct id *id);
// Takes back what it has so seen since then, of those that have not said themselves that they
// leave.
void announce_exhume(struct node *node, uint64_t since);
// -EPROTO: malformed.
int announce_receive(struct node *node, struct link *from, const struct frame_announce *f);
// What a link that has come up should know of the members.
void announce_link_up(struct node *node, struct link *link);
// The beacon that this node believes in.
void announce_beacon_to(struct node *node, struct link *link);
void announce_tick(struct node *node);
