// SPDX-License-Identifier: MIT
// A member made of bytes: it holds the network key and an identity of its own, says what a test
// wants it to say, and signs what it likes.
#pragma once

#include "core/source.h"
#include "tests/unit/world.h"

struct forger {
	struct world *world;
	struct world_stranger *stranger;
	const struct identity *identity;
	struct buffer out; // frames that forge_say() says
};

// Whom signed bytes are from.
struct author {
	const struct identity *identity;
	struct network_name network;
	uint64_t incarnation;
};

struct author forge_author(struct world *w, uint8_t identity, uint64_t incarnation);
struct source_key forge_key(const struct author *a);

// TLS and PROOF done, nothing said after that.
struct forger forge_join(struct world *w, int to, uint8_t identity);
// What a member says first, to be changed at will.
struct frame_hello forge_hello(const struct forger *m);
// A link that is up, whose list has these entries.
struct forger forge_link(struct world *w, int to, uint8_t identity,
	const struct frame_position *entries, uint16_t count);
void forge_say(struct forger *m);
// Time passes; the members show that they live.
void forge_live(struct world *w, struct forger *forgers[], int count, uint64_t duration);
void forge_goodbye(struct forger *m, enum goodbye reason);

void forge_frontier(struct forger *m, const struct frame_position *entries, uint16_t count);
// The signed header of a batch of `count` messages of `size` bytes, numbered from `first`, without
// a frame; and in one.
void forge_header(
	struct buffer *b, const struct author *a, uint64_t first, uint16_t count, uint32_t size);
void forge_batch(
	struct forger *m, const struct author *a, uint64_t first, uint16_t count, uint32_t size);
// Its data from `offset` on.
void forge_chunk(struct forger *m, const struct author *a, uint64_t first, uint32_t size,
	uint32_t offset, size_t n);
// All of a batch.
void forge_messages(
	struct forger *m, const struct author *a, uint64_t first, uint16_t count, uint32_t size);
void forge_trimmed(struct forger *m, const struct author *a, uint64_t next);
void forge_announce(struct forger *m, const struct author *a, uint64_t counter, uint8_t type,
	const void *payload, size_t n);
// ANNOUNCE_MEMBER of a node at this port.
void forge_lease(struct forger *m, const struct author *a, uint64_t counter, uint16_t port);
// Turns the last byte that is to be said.
void forge_damage(struct forger *m);
// How many messages of these node i has read.
uint32_t forge_read(const struct world *w, int i);
