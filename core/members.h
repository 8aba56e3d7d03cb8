// SPDX-License-Identifier: MIT
// Everyone in the network, by the announcements of each.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/hash.h"
#include "core/wire.h"

struct link;
struct node;

struct member {
	UT_hash_handle hh;
	struct id id;
	uint32_t serial; // from the node's links' numbers, never used again
	char name[NAME_MAX_LENGTH + 1];
	struct address address;
	char *topics;	  // that it has joined, with commas; NULL: none
	uint64_t since;	  // first heard
	uint64_t expires; // lease
};

struct members {
	struct member *table; // by id; without this node
	bool doubted;	      // somebody may have told that we are gone
	uint64_t announced;   // when we last did
	uint64_t renew;	      // when to announce ourselves again
	uint64_t sweep;
};

void members_fini(struct members *m);
void members_heard(struct node *node, const struct id *id, const struct announce_member *info);
// Taken for gone, and linked: a member, although what it announced is no news.
void members_linked(struct node *node, const struct link *link);
void members_left(struct node *node, const struct id *id);
// As far as this node can tell; the others are told, and the member itself may refute it.
void members_gone(struct node *node, const struct id *id);
// The same, when it could not be dialled. Who has been alone a moment ago says nothing: it was cut
// off itself.
void members_unreachable(struct node *node, const struct id *id);
// Linked again after it was alone: those that it has lost with its last links were not gone.
void members_recover(struct node *node);
struct member *members_find(struct members *m, const struct id *id);
size_t members_count(const struct members *m); // with this node
void members_announce(struct node *node);
// What is announced has changed: told soon.
void members_change(struct node *node);
void members_tick(struct node *node);
