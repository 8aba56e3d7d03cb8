// SPDX-License-Identifier: MIT
// What the file `messages` shows: the most recent batches of broadcast and of the topics that are
// joined here, whoever they are from, kept by pins beyond the log's time.
//
// As text they are lines, rendered by the face when somebody reads them. An entry has its place in
// the text, an offset that never changes, from when it was *measured*; who asks for the size of the
// text, or reads it, measures first, so that nobody pays for it otherwise.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/id.h"

struct batch;
struct node;
struct topic;

struct history_entry {
	struct batch *batch; // pinned; its source may be gone
	struct topic *topic; // NULL: to everyone
	struct id source;
	uint64_t wall;	 // of its arrival, microseconds since the epoch
	uint64_t offset; // in the text
	uint64_t size;	 // of its lines; 0: not measured
	char name[];	 // of the member by then; empty: not known
};

struct history {
	struct history_entry **ring; // [capacity], a power of two, by index
	size_t capacity;
	uint64_t tail, measured, head; // indexes
	size_t bytes;		       // charge of what is kept
	size_t limit;		       // of that; 0: nothing is
	uint64_t begin, end;	       // offsets: of what is measured
	uint64_t changed;	       // wall clock of the latest, 0: none
	uint64_t lost;		       // messages that no memory could be had for
};

void history_fini(struct history *h);
// A batch has arrived. Those of the denied are not kept.
void history_add(struct node *node, struct batch *b, struct topic *topic);

static inline struct history_entry *history_at(const struct history *h, uint64_t index)
{
	return h->ring[index & (h->capacity - 1)];
}

// The first that has no place in the text gets the next one, of `size` bytes, more than 0.
void history_measured(struct history *h, uint64_t size);
// The index of the entry with the byte at `offset`, begin <= offset < end.
uint64_t history_find(const struct history *h, uint64_t offset);
