// SPDX-License-Identifier: MIT
// The source of this node: messages written here, gathered into batches, and the bounds on what
// has not gone out yet.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/source.h"

struct node;

struct publisher {
	struct source *own;
	struct batch *open; // gathering, outside the log; its lengths and data grow
	uint32_t open_room; // bytes
	uint64_t open_until;
	uint64_t published;		    // when the last message was
	size_t published_bytes;		    // and how long it was
	uint64_t flushed;		    // when the last open batch was
	uint64_t held;			    // charge that links or readers hold
	uint64_t unsent;		    // charge that no link has taken
	bool waiting;			    // a writer was refused for lack of room
	bool ended;			    // what nobody will take has been reported
	uint64_t lost_messages, lost_bytes; // unsent and trimmed, not yet reported
};

// To a topic, by its number (0: to everyone); `writer`: see struct batch. 0; -EAGAIN, -EMSGSIZE,
// -ENOMEM.
int publisher_publish(
	struct node *node, uint64_t topic, uint32_t writer, const void *data, size_t n);
bool publisher_has_room(const struct node *node, size_t n);
// Ends the gathering: what was gathered goes out. 0 or -ENOMEM.
int publisher_flush(struct node *node);
// A link has taken a batch whole.
void publisher_sent(struct node *node, struct batch *b);
// Logs what was trimmed unsent since the last call.
void publisher_report(struct node *node);
// From here on messages are of this source. What nobody has taken of the one before is published
// anew; with `all`, what has been sent of it, too. Sources are borrowed.
void publisher_move(struct node *node, struct source *to, bool all);
// The node ends: logs what nobody has taken.
void publisher_end(struct node *node);
// Where a peer that does not know the source shall start: our own, at what nobody has taken yet.
uint64_t publisher_frontier(const struct node *node, const struct source *s);
