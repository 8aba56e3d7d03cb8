// SPDX-License-Identifier: MIT
// A batch: consecutive messages of one source, the unit of deduplication, repair and trimming.
// Immutable once it is in the log.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"
#include "core/limits.h"
#include "core/wire.h"

struct source;

struct batch {
	struct batch *older, *newer; // in its source, by sequence number; owned by the log
	struct source *source;	     // borrowed: a source outlives its batches
	uint64_t first;		     // sequence number of the first message
	uint64_t index;		     // position in the log
	uint64_t distance;	     // charge of everything in the log before it
	uint64_t topic;		     // 0: to everyone
	uint64_t arrived;
	uint32_t from;	// serial of the link that brought it, 0 for our own
	uint32_t holds; // gating consumers that have not passed it
	uint32_t pins; // readers in the middle of it, and the history; it outlives the log for them
	bool kept;     // in the log
	bool overdue;  // would have left it, had nobody held it
	bool ripe;     // is overdue, and held no more
	struct batch *ripe_prev, *ripe_next;
	bool released; // has been; holds after that are a peer's wish to have it again
	uint32_t count;
	uint32_t bytes;	   // of data
	uint32_t writer;   // own: who alone does not read it back; 0: nobody
	bool own;	   // published here
	bool sent;	   // a link has taken it
	bool denied;	   // relayed, and not delivered here
	uint32_t *lengths; // [count], all > 0
	uint8_t *header;   // [batch_header_bytes()], signed, with its signature; sent as it is
	uint8_t *data;	   // [bytes]
};

// The encoded header: what wire_put_batch() makes, and the signature.
#define BATCH_FIXED 70 // bytes, before lengths and hashes

static inline size_t batch_header_bytes(uint32_t count, uint32_t bytes)
{
	return BATCH_FIXED + (size_t)count * 4 + (size_t)batch_chunks(bytes) * DIGEST_BYTES +
	       SIGNATURE_BYTES;
}

static inline const uint8_t *batch_hash(const struct batch *b, uint32_t chunk)
{
	return b->header + BATCH_FIXED + (size_t)b->count * 4 + (size_t)chunk * DIGEST_BYTES;
}

// A batch to be filled, with room for `count` messages of `bytes` in all and the header; NULL when
// memory is out.
struct batch *batch_new(struct source *source, uint64_t first, uint32_t count, uint32_t bytes);
// The same with room for any header, and for BATCH_ROOM bytes of BATCH_COUNT messages to begin
// with.
struct batch *batch_gather(struct source *source, uint64_t first);
// The batch with room for so many bytes of data; it may lie elsewhere then. NULL: memory is out,
// and it is as it was.
struct batch *batch_resize(struct batch *b, uint32_t bytes);
void batch_free(struct batch *b);
// Lives until it is unpinned, in the log or not.
static inline void batch_pin(struct batch *b)
{
	b->pins++;
}

static inline void batch_unpin(struct batch *b)
{
	if (--b->pins == 0 && !b->kept)
		batch_free(b);
}

static inline size_t batch_charge(const struct batch *b)
{
	return b->bytes + (size_t)b->count * MESSAGE_CHARGE;
}

static inline uint64_t batch_next(const struct batch *b)
{
	return b->first + b->count;
}
