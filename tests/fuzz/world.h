// SPDX-License-Identifier: MIT
// The node under test, its peers and its clock, for tests/fuzz/link.c.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/link.h"
#include "tests/fuzz/forge.h"
#include "tests/fuzz/hearer.h"
#include "tests/fuzz/input.h"

#define ENDS	    4
#define TRAFFIC_MAX (24 * MIB) // data that one input may move
#define INCARNATION 100	       // of the node at first
#define FIRST_PORT  9000

// The other end of a connection.
struct end {
	struct link *link; // NULL: there is none
	bool dialled;	   // by the node
	bool pending;	   // and not connected yet
	bool deaf;
	size_t who;
	struct hearer hearer;
	struct forged_batch batch; // what was said last, and how much of its data
	uint32_t at;
};

#define WORLD_HISTORY (64 * KIB)

struct world {
	struct node *node;
	struct keyring keyring;
	struct access access;
	uint64_t now;
	struct end ends[ENDS];
	size_t piece; // bytes that arrive at once; 0: all
	size_t traffic;
	uint64_t resolving; // tag of the last look-up, 0: none
	int64_t token;	    // of the last connect by hand
	struct cursor cursor;
	struct cursor topic; // on FORGE_TOPIC
	bool reading;
	struct stream_reader reader; // of one peer's stream
	struct {
		uint64_t incarnation, last;
	} read[2][FORGE_IDENTITIES][8]; // by each cursor of a source: what was delivered last
};

// What the peer of that number listens at.
struct address world_address(size_t who);
// The node's configuration is chosen by the input.
void world_start(struct world *w, struct input *in);
void world_finish(struct world *w);
void world_begin_end(struct end *e, struct link *link, bool dialled, size_t who);
// Time passes, and what is due is done.
void world_advance(struct world *w, uint64_t by);
// Readers read and peers hear what there is, unless they do not listen.
void world_settle(struct world *w);
void world_hear(struct world *w, struct end *e);
void world_stop_reading_stream(struct world *w);
