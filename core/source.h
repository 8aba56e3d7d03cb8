// SPDX-License-Identifier: MIT
// A source: one incarnation of one node as an origin of messages. Its frontier is the next
// sequence number that this node lacks.
#pragma once

#include <stdint.h>
#include <uthash.h>

#include "core/batch.h"
#include "core/wire.h"

struct node;

struct source {
	UT_hash_handle hh;
	struct source_key key;
	uint32_t slot;		       // index of its lane on every link
	uint64_t next;		       // the frontier
	uint64_t origin;	       // the frontier at first
	struct batch *oldest, *newest; // in the log
	struct batch *partial;	       // being received, outside the log
	uint32_t partial_from;	       // serial of its link
	uint32_t partial_bytes;	       // received
	uint64_t partial_at;	       // when the last of them were
	uint64_t missing_since;	       // a range is being looked for, 0: none
	bool gapped;		       // nothing has come since the last gap
	uint64_t active;	       // last batch
};

struct source *source_find(struct node *node, const struct source_key *key);
// A source that starts at `next`; NULL when there are too many or memory is out. May forget one
// that has been silent and has nothing under way.
struct source *source_new(struct node *node, const struct source_key *key, uint64_t next);
