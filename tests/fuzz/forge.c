// SPDX-License-Identifier: MIT
// Fixed identities, and the batches and announcements they sign.
#include "tests/fuzz/forge.h"

#include <assert.h>
#include <string.h>

#include "core/topics.h"

#define SIGNED_MAX 4096
#define MARK_BYTES 24 // of a message that says which one it is

static struct identity *identities[FORGE_IDENTITIES];
static struct keyring ring;
static struct network_name names[FORGE_NETWORKS];
static uint8_t signatures[SIGNED_MAX][SIGNATURE_BYTES];
static size_t signature_count;

static const struct {
	uint32_t count, length;
} shapes[FORGE_SHAPES] = { { 1, 24 }, { 1, 1 }, { 1, 100 }, { 3, 100 }, { 1, CHUNK_BYTES },
	{ 1, CHUNK_BYTES + 1 }, { 1, 40000 }, { 2, 32768 }, { 10, 1 }, { BATCH_COUNT, 64 },
	{ BATCH_COUNT, 1 }, { 1, 65536 }, { 1, 65537 }, { 1, 300000 }, { 1, MESSAGE_MAX },
	{ 2, 24 } };

static void make_identities(void)
{
	for (size_t i = 0; i < FORGE_IDENTITIES; i++) {
		uint8_t secret[SECRET_KEY_BYTES] = { (uint8_t)(i + 1) };
		identities[i] = identity_new(secret);
		assert(identities[i]);
	}
}

static void make_keyring(void)
{
	for (int network = FORGE_NETWORKS - 1; network >= 0; network--) {
		uint8_t secret[NETWORK_KEY_BYTES] = { (uint8_t)(network + 1) };
		struct keyring fresh = { 0 };
		assert(keyring_add(&fresh, secret) == 0);
		names[network] = fresh.keys[0].name;
		if (network != FORGE_FOREIGN)
			keyring_replace(&ring, &fresh);
	}
}

void forge_reset(void)
{
	signature_count = 0;
	if (identities[0])
		return;
	make_identities();
	make_keyring();
}

const struct identity *forge_identity(size_t number)
{
	return identities[number % FORGE_IDENTITIES];
}

int forge_number(const struct id *id)
{
	for (int i = 0; i < FORGE_IDENTITIES; i++)
		if (id_equal(&identities[i]->id, id))
			return i;
	return -1;
}

const struct keyring *forge_keyring(void)
{
	return &ring;
}

// Appends the signature of what `out` has from `from` on, by `origin` or a wrong one.
static void sign(
	struct buffer *out, size_t from, const char *tag, size_t origin, enum forge_damage damage)
{
	uint8_t signature[SIGNATURE_BYTES];
	size_t signer = damage == FORGE_STAMP ? origin + 1 : origin;

	assert(identity_sign(forge_identity(signer), tag, buffer_bytes(out) + from,
		       buffer_length(out) - from, signature) == 0);
	if (damage == FORGE_SIGNATURE)
		signature[SIGNATURE_BYTES / 2] ^= 1;
	buffer_append(out, signature, sizeof signature);
	if ((damage == FORGE_WHOLE || damage == FORGE_HASH) && signature_count < SIGNED_MAX)
		memcpy(signatures[signature_count++], signature, sizeof signature);
}

static struct stamp stamp_of(size_t origin, uint64_t incarnation, enum forge_network network)
{
	return (struct stamp){ names[network], forge_identity(origin)->public_key, incarnation };
}

uint32_t forge_count(size_t shape)
{
	return shapes[shape].count;
}

uint32_t forge_bytes(size_t shape)
{
	return shapes[shape].count * shapes[shape].length;
}

struct source_key forge_source(const struct forged_batch *b)
{
	return (struct source_key){ forge_identity(b->origin)->id, b->incarnation };
}

static void put_number(uint8_t *to, uint64_t value)
{
	for (int i = 7; i >= 0; i--, value >>= 8)
		to[i] = (uint8_t)value;
}

static uint64_t get_number(const uint8_t *from)
{
	uint64_t value = 0;
	for (int i = 0; i < 8; i++)
		value = value << 8 | from[i];
	return value;
}

void forge_data(struct buffer *out, const struct forged_batch *b, uint32_t from, uint32_t n)
{
	uint32_t length = shapes[b->shape].length;
	uint8_t *to = buffer_reserve(out, n), mark[MARK_BYTES];

	assert(to && from + n <= forge_bytes(b->shape));
	memset(to, b->variant, n);
	for (uint32_t i = from / length; length >= MARK_BYTES && i * length < from + n; i++) {
		put_number(mark, b->origin);
		put_number(mark + 8, b->incarnation);
		put_number(mark + 16, b->first + i);
		for (uint32_t k = 0; k < MARK_BYTES; k++)
			if (i * length + k >= from && i * length + k < from + n)
				to[i * length + k - from] = mark[k];
	}
	buffer_commit(out, n);
}

bool forge_read(const uint8_t *data, size_t n, struct forged_message *m)
{
	if (n < MARK_BYTES)
		return false;
	*m = (struct forged_message){ (size_t)get_number(data), get_number(data + 8),
		get_number(data + 16) };
	assert(m->origin < FORGE_IDENTITIES);
	return true;
}

// Whatever is said of a batch, it is of the same topic.
static uint64_t topic_of(const struct forged_batch *b)
{
	uint64_t number = 0;

	if (b->first % 4 == 2)
		assert(topic_number(FORGE_TOPIC, &number) == 0);
	return b->first % 4 == 3 ? 12345 : number;
}

void forge_header(struct buffer *out, const struct forged_batch *b)
{
	uint32_t lengths[BATCH_COUNT], bytes = forge_bytes(b->shape);
	uint8_t hashes[(MESSAGE_MAX + CHUNK_BYTES - 1) / CHUNK_BYTES][DIGEST_BYTES];
	struct buffer data = BUFFER_INIT;
	size_t at = buffer_length(out);

	forge_data(&data, b, 0, bytes);
	for (uint32_t i = 0; i < shapes[b->shape].count; i++)
		lengths[i] = shapes[b->shape].length;
	for (uint32_t i = 0, from = 0; from < bytes; i++, from += CHUNK_BYTES) {
		uint32_t n = bytes - from < CHUNK_BYTES ? bytes - from : CHUNK_BYTES;
		assert(digest(buffer_bytes(&data) + from, n, hashes[i]) == 0);
	}
	if (b->damage == FORGE_HASH)
		hashes[batch_chunks(bytes) - 1][0] ^= 1;
	struct frame_batch f = { .stamp = stamp_of(b->origin, b->incarnation, b->network),
		.first = b->first,
		.topic = topic_of(b),
		.bytes = bytes,
		.count = (uint16_t)shapes[b->shape].count,
		.hashes = hashes[0] };
	wire_put_batch(out, &f, lengths);
	sign(out, at, BATCH_TAG, b->origin, b->damage);
	buffer_fini(&data);
}

void forge_announce(struct buffer *out, struct frame_announce *f, size_t origin,
	enum forge_network network, enum forge_damage damage)
{
	size_t at = buffer_length(out);
	f->stamp = stamp_of(origin, f->stamp.incarnation, network);
	wire_put_announce(out, f);
	sign(out, at, ANNOUNCE_TAG, origin, damage);
}

bool forge_signed(const char *tag, const struct stamp *stamp, const struct sealed *sealed)
{
	const uint8_t *signature = sealed->bytes + sealed->n;

	for (size_t i = 0; i < signature_count; i++)
		if (memcmp(signatures[i], signature, SIGNATURE_BYTES) == 0)
			return true;
	return memcmp(&stamp->key, &identities[0]->public_key, sizeof stamp->key) == 0 &&
	       identity_verify(&stamp->key, tag, sealed->bytes, sealed->n, signature);
}
