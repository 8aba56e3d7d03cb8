// SPDX-License-Identifier: MIT
// A source: one incarnation of one node as an origin of messages. Its frontier is the next
// sequence number that this node lacks.
#pragma once

#include <stdint.h>

#include "core/batch.h"
#include "core/hash.h"
#include "core/wire.h"

struct node;

// Between two parents, see core/plumtree.
enum move {
	MOVE_NONE,
	MOVE_ASKED,   // the old one has been asked to finish
	MOVE_PROVING, // the new one has been asked to begin
};

struct source {
	UT_hash_handle hh;
	struct source_key key;
	uint32_t slot;	 // index of its lane on every link
	uint64_t next;	 // the frontier
	uint64_t origin; // the frontier at first
	bool hearsay;	 // the frontier is a peer's word, until a batch proves one
	uint8_t *shown;	 // the signed header of a batch that is not in the log, owned, may be NULL
	size_t shown_bytes;
	uint64_t shown_next;	       // the sequence number after that batch
	struct batch *oldest, *newest; // in the log
	struct batch *partial;	       // being received, outside the log
	uint32_t partial_from;	       // serial of its link, 0: it has stopped coming
	uint32_t partial_bytes;	       // received
	uint32_t partial_checked;      // of these, in chunks that are whole and right
	uint64_t partial_at;	       // when the last of them were
	uint64_t missing_since;	       // a range is being looked for, 0: none
	uint64_t asked;		       // when all were last asked for it who may have it
	bool pressed;		       // somebody waits for room that it takes here
	uint64_t active;	       // last batch
	// Its tree, see core/plumtree.
	uint32_t parent; // serial of the link that it comes over, 0: not known
	enum move move;
	uint32_t move_to;    // serial of the new parent
	uint64_t move_until; // when that is given up or judged
	uint64_t move_next;  // what the new parent claimed to have
	uint64_t move_bytes; // what its link had brought when it was asked
	uint64_t moved;	     // when the last move began
	uint32_t moves;
	struct source *moving_prev, *moving_next;
};

struct source *source_find(struct node *node, const struct source_key *key);
// A source that starts at `next`; NULL when there are too many or memory is out. May forget one
// that has been silent and has nothing under way.
struct source *source_new(struct node *node, const struct source_key *key, uint64_t next);
// A signed header that shows that the source has come as far as `next`; NULL: nothing does.
const uint8_t *source_show(const struct source *s, uint64_t next, size_t *n);
// Keeps a copy of a header for source_show(), when it reaches further than the one there is.
void source_remember(struct source *s, const uint8_t *header, size_t n, uint64_t next);
void source_free(struct source *s);
