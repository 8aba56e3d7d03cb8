// SPDX-License-Identifier: MIT
// Topics: names under which messages go to those alone who have joined them. A filter on what is
// delivered here, no secrecy: every node relays all, and hears of the names that others have
// joined.
//
// A batch has the *number* of its topic, a hash of the name; 0 is broadcast's, to everyone.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"

struct batch;
struct node;

// One that this node has joined, or that somebody still has open. Joined anew, it is another one.
struct topic {
	struct topic *prev, *next; // of those joined
	uint32_t refs;
	uint32_t serial; // from the node's links' numbers, never used again
	uint64_t number;
	bool left;
	char name[NAME_MAX_LENGTH + 1];
};

struct topics {
	struct topic *list; // as they were joined
	size_t count;
	size_t text; // bytes of their names, and one for each
};

void topics_fini(struct topics *topics);
// The names with commas between them; empty: none.
void topics_write(const struct topics *topics, char text[TOPICS_TEXT + 1]);
// A batch has come into the log, of another node or of this one.
void topics_arrived(struct node *node, struct batch *b);

struct topic *topic_ref(struct topic *topic);
// NULL is fine.
void topic_unref(struct topic *topic);
// 0, or -ENOMEM.
int topic_number(const char *name, uint64_t *number);
