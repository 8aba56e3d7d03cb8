// SPDX-License-Identifier: MIT
// Frames as a member may make them, well-formed and signed, true or not.
#include "tests/unit/forge.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/batch.h"

struct author forge_author(struct world *w, uint8_t identity, uint64_t incarnation)
{
	return (struct author){ world_identity(w, identity), w->keyring.keys[0].name, incarnation };
}

struct source_key forge_key(const struct author *a)
{
	return (struct source_key){ a->identity->id, a->incarnation };
}

static struct stamp stamp_of(const struct author *a)
{
	return (struct stamp){ a->network, a->identity->public_key, a->incarnation };
}

struct forger forge_join(struct world *w, int to, uint8_t identity)
{
	struct forger m = { .world = w, .identity = world_identity(w, identity) };
	m.stranger = world_join(w, to, m.identity);
	assert(m.stranger);
	return m;
}

struct frame_hello forge_hello(const struct forger *m)
{
	struct frame_hello f = { .version_min = WIRE_VERSION,
		.version_max = WIRE_VERSION,
		.intent = INTENT_JOIN,
		.incarnation = 1,
		.room = 1 };
	memcpy(&f.instance, m->identity->id.bytes, sizeof f.instance);
	return f;
}

struct forger forge_link(struct world *w, int to, uint8_t identity,
	const struct frame_position *entries, uint16_t count)
{
	struct forger m = forge_join(w, to, identity);
	struct frame_hello hello = forge_hello(&m);
	wire_put_hello(&m.out, &hello);
	forge_say(&m);
	wire_put_accept(&m.out);
	forge_frontier(&m, entries, count);
	forge_say(&m);
	return m;
}

void forge_say(struct forger *m)
{
	assert(!buffer_failed(&m->out));
	if (!world_closed(m->stranger))
		world_say(m->world, m->stranger, buffer_bytes(&m->out), buffer_length(&m->out));
	buffer_fini(&m->out);
}

void forge_live(struct world *w, struct forger *forgers[], int count, uint64_t duration)
{
	for (uint64_t i = 0; i < duration; i += SECOND / 2) {
		for (int k = 0; k < count; k++) {
			wire_put_ping(&forgers[k]->out, FRAME_PING, i);
			forge_say(forgers[k]);
		}
		world_run(w, SECOND / 2);
	}
}

void forge_goodbye(struct forger *m, enum goodbye reason)
{
	wire_put_goodbye(&m->out, &(struct frame_goodbye){ .reason = (uint8_t)reason });
	forge_say(m);
}

void forge_frontier(struct forger *m, const struct frame_position *entries, uint16_t count)
{
	size_t at = wire_begin_frontier(&m->out, true, count);
	for (uint16_t i = 0; i < count; i++)
		wire_put_frontier_entry(&m->out, &entries[i]);
	wire_end(&m->out, at);
}

// What the messages say: who they are from, for the tests' readers.
static uint8_t *data_of(const struct author *a, uint64_t first, uint16_t count, uint32_t size)
{
	uint8_t *data = calloc(count, size);
	assert(data && size >= sizeof(struct world_message));
	for (uint16_t i = 0; i < count; i++) {
		struct world_message m = { WORLD_NODES - 1, (uint32_t)a->incarnation,
			(uint32_t)(first + i) };
		memcpy(data + (size_t)i * size, &m, sizeof m);
	}
	return data;
}

static void sign(struct buffer *b, size_t from, const struct author *a, const char *tag)
{
	uint8_t signature[SIGNATURE_BYTES];
	int r = identity_sign(
		a->identity, tag, buffer_bytes(b) + from, buffer_length(b) - from, signature);
	assert(r == 0);
	buffer_append(b, signature, sizeof signature);
}

void forge_header(
	struct buffer *b, const struct author *a, uint64_t first, uint16_t count, uint32_t size)
{
	uint32_t bytes = count * size, lengths[BATCH_COUNT];
	uint8_t hashes[(MESSAGE_MAX / CHUNK_BYTES + 1) * DIGEST_BYTES];
	uint8_t *data = data_of(a, first, count, size);
	struct frame_batch f = { .stamp = stamp_of(a),
		.first = first,
		.bytes = bytes,
		.count = count,
		.hashes = hashes };
	size_t from = buffer_length(b);

	for (uint16_t i = 0; i < count; i++)
		lengths[i] = size;
	for (uint32_t at = 0, i = 0; at < bytes; at += CHUNK_BYTES, i++) {
		size_t n = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
		int r = digest(data + at, n, hashes + i * DIGEST_BYTES);
		assert(r == 0);
	}
	wire_put_batch(b, &f, lengths);
	sign(b, from, a, BATCH_TAG);
	free(data);
}

void forge_batch(
	struct forger *m, const struct author *a, uint64_t first, uint16_t count, uint32_t size)
{
	struct buffer b = BUFFER_INIT;
	forge_header(&b, a, first, count, size);
	wire_put_sealed(&m->out, FRAME_BATCH, buffer_bytes(&b), buffer_length(&b));
	buffer_fini(&b);
}

void forge_chunk(struct forger *m, const struct author *a, uint64_t first, uint32_t size,
	uint32_t offset, size_t n)
{
	uint8_t *data = data_of(a, first, 1, size);
	struct source_key key = forge_key(a);
	assert(offset + n <= size);
	wire_put_chunk(&m->out, &key, data + offset, n);
	free(data);
}

void forge_messages(
	struct forger *m, const struct author *a, uint64_t first, uint16_t count, uint32_t size)
{
	uint8_t *data = data_of(a, first, count, size);
	struct source_key key = forge_key(a);

	forge_batch(m, a, first, count, size);
	for (uint32_t at = 0, bytes = count * size; at < bytes; at += CHUNK_BYTES)
		wire_put_chunk(&m->out, &key, data + at,
			bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES);
	free(data);
}

void forge_trimmed(struct forger *m, const struct author *a, uint64_t next)
{
	struct buffer b = BUFFER_INIT;
	forge_header(&b, a, next - 1, 1, 100);
	wire_put_trimmed(&m->out, next, buffer_bytes(&b), buffer_length(&b));
	buffer_fini(&b);
}

void forge_announce(struct forger *m, const struct author *a, uint64_t counter, uint8_t type,
	const void *payload, size_t n)
{
	struct buffer b = BUFFER_INIT;
	struct frame_announce f = { .stamp = stamp_of(a),
		.counter = counter,
		.type = type,
		.bytes = (uint16_t)n,
		.payload = payload };

	wire_put_announce(&b, &f);
	sign(&b, 0, a, ANNOUNCE_TAG);
	wire_put_sealed(&m->out, FRAME_ANNOUNCE, buffer_bytes(&b), buffer_length(&b));
	buffer_fini(&b);
}

void forge_lease(struct forger *m, const struct author *a, uint64_t counter, uint16_t port)
{
	struct buffer b = BUFFER_INIT;
	struct announce_member lease = { .name = "made-up",
		.address = { .family = 4, .bytes = { 127, 0, 0, 1 }, .port = port } };

	wire_put_member(&b, &lease);
	forge_announce(m, a, counter, ANNOUNCE_MEMBER, buffer_bytes(&b), buffer_length(&b));
	buffer_fini(&b);
}

void forge_damage(struct forger *m)
{
	m->out.data[m->out.end - 1] ^= 1;
}

uint32_t forge_read(const struct world *w, int i)
{
	return w->nodes[i].read[WORLD_NODES - 1];
}
