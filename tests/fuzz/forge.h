// SPDX-License-Identifier: MIT
// What the peers of the node under test sign, and whether something is what they have signed.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buffer.h"
#include "core/identity.h"
#include "core/wire.h"

#define FORGE_IDENTITIES 6 // number 0 is the node's own
#define FORGE_SHAPES	 16

// At the start of every input. What was signed before is forgotten.
void forge_reset(void);
const struct identity *forge_identity(size_t number);
// -1: nobody's.
int forge_number(const struct id *id);
// Of the network, of it in former times, or of another.
enum forge_network { FORGE_NOW, FORGE_RETIRED, FORGE_FOREIGN, FORGE_NETWORKS };
const struct keyring *forge_keyring(void);

enum forge_damage {
	FORGE_WHOLE,
	FORGE_SIGNATURE,
	FORGE_HASH,  // signed as it is, for other data
	FORGE_STAMP, // signed by somebody else
	FORGE_DAMAGES
};

struct forged_batch {
	size_t origin;
	uint64_t incarnation, first;
	size_t shape;	 // how many messages of what length
	uint8_t variant; // another one changes the data
	enum forge_network network;
	enum forge_damage damage;
};

uint32_t forge_count(size_t shape);
uint32_t forge_bytes(size_t shape);
struct source_key forge_source(const struct forged_batch *b);
// Appends the signed header of a batch, and its data from `from` on, n bytes.
// Some are of FORGE_TOPIC, and some of another topic.
#define FORGE_TOPIC "ops"
void forge_header(struct buffer *out, const struct forged_batch *b);
void forge_data(struct buffer *out, const struct forged_batch *b, uint32_t from, uint32_t n);
// A message of a batch, as a reader gets it: false when it is too short to tell.
struct forged_message {
	size_t origin;
	uint64_t incarnation, sequence;
};
bool forge_read(const uint8_t *data, size_t n, struct forged_message *m);

void forge_announce(struct buffer *out, struct frame_announce *f, size_t origin,
	enum forge_network network, enum forge_damage damage);

// Is it signed by the node under test, or by forge_header() or forge_announce() without damage?
bool forge_signed(const char *tag, const struct stamp *stamp, const struct sealed *sealed);
