// SPDX-License-Identifier: MIT
// The other end of a link of the node under test: takes what the node says, and asserts that it
// keeps to the protocol.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buffer.h"
#include "core/wire.h"

#define HEARER_SOURCES 64

// One source, as heard.
struct hearing {
	struct source_key key;
	uint64_t first;	     // of the last batch that was heard
	uint64_t next;	     // after it
	uint64_t charge;     // that was heard
	uint64_t granted;    // credit that was given, beside the window
	uint64_t said;	     // charge that was sent to the node
	uint64_t given_back; // by the node, of that and of a window that grows
	uint32_t left;	     // bytes of a batch to come
	struct buffer chunk; // of it, not yet checked
	uint8_t *hashes;     // of its chunks, owned
	uint32_t hash;	     // the next one
};

struct hearer {
	struct buffer in;
	bool keyed;	// the key, which comes first, was heard
	bool proven;	// we are a member, in the node's eyes
	bool parted;	// it has said goodbye
	bool careless;	// we have said things that nobody keeps count of
	unsigned pulls; // that were said, each of which may send it back
	uint64_t ping;	// token of the last one
	uint64_t stream_heard, stream_granted, stream_offset;
	struct hearing sources[HEARER_SOURCES];
	size_t source_count;
};

void hearer_fini(struct hearer *h);
void hearer_hear(struct hearer *h, const uint8_t *bytes, size_t n);
// NULL: there are too many.
struct hearing *hearer_source(struct hearer *h, const struct source_key *key);
