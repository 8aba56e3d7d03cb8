// SPDX-License-Identifier: MIT
// One frame after the other, each looked at by its type.
#include "tests/fuzz/hearer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/forge.h"

static void forget_batch(struct hearing *s)
{
	buffer_fini(&s->chunk);
	s->chunk = BUFFER_INIT;
	free(s->hashes);
	s->hashes = NULL;
	s->hash = s->left = 0;
}

void hearer_fini(struct hearer *h)
{
	buffer_fini(&h->in);
	for (size_t i = 0; i < h->source_count; i++)
		forget_batch(&h->sources[i]);
	*h = (struct hearer){ 0 };
}

struct hearing *hearer_source(struct hearer *h, const struct source_key *key)
{
	for (size_t i = 0; i < h->source_count; i++)
		if (memcmp(&h->sources[i].key, key, sizeof *key) == 0)
			return &h->sources[i];
	if (h->source_count == HEARER_SOURCES)
		return NULL;
	struct hearing *s = &h->sources[h->source_count++];
	*s = (struct hearing){ .key = *key };
	return s;
}

// Relayed as it was signed, in order, whole, and within the window.
static void batch(struct hearer *h, const struct frame_batch *f)
{
	struct source_key key = { identity_of(&f->stamp.key), f->stamp.incarnation };
	struct hearing *s = hearer_source(h, &key);
	size_t n = (size_t)batch_chunks(f->bytes) * DIGEST_BYTES;

	assert(forge_signed(BATCH_TAG, &f->stamp, &f->sealed));
	if (!s)
		return;
	// What was broken off begins once more.
	bool again = s->left > 0 && f->first == s->first;
	if (!again && (s->left > 0 || f->first < s->next)) {
		assert(h->pulls > 0);
		h->pulls--;
	}
	forget_batch(s);
	s->first = f->first;
	s->next = f->first + f->count;
	s->left = f->bytes;
	s->charge += (uint64_t)f->count * MESSAGE_CHARGE;
	assert(h->careless || s->charge <= SOURCE_WINDOW_LEAST + s->granted);
	s->hashes = malloc(n);
	assert(s->hashes);
	memcpy(s->hashes, f->hashes, n);
}

static void chunk(struct hearer *h, const struct frame_chunk *f)
{
	uint8_t hash[DIGEST_BYTES];
	struct hearing *s = hearer_source(h, &f->source);

	if (!s)
		return;
	assert(f->bytes <= s->left);
	s->left -= f->bytes;
	s->charge += f->bytes;
	assert(h->careless || s->charge <= SOURCE_WINDOW_LEAST + s->granted);
	buffer_append(&s->chunk, f->data, f->bytes);
	while (buffer_length(&s->chunk) >= CHUNK_BYTES ||
		(s->left == 0 && buffer_length(&s->chunk))) {
		size_t n = buffer_length(&s->chunk);
		n = n < CHUNK_BYTES ? n : CHUNK_BYTES;
		assert(digest(buffer_bytes(&s->chunk), n, hash) == 0);
		assert(memcmp(hash, s->hashes + s->hash * DIGEST_BYTES, DIGEST_BYTES) == 0);
		s->hash++;
		buffer_consume(&s->chunk, n);
	}
}

static void credit(struct hearer *h, const struct frame_credit *f)
{
	struct hearing *s = hearer_source(h, &f->source);
	if (!s)
		return;
	s->given_back += f->bytes;
	assert(h->careless || s->given_back <= s->said + SOURCE_WINDOW - SOURCE_WINDOW_LEAST);
}

static void stream_credit(struct hearer *h, const struct frame_stream_credit *f)
{
	// A pipe's begins anew with each use of its channel.
	if (f->channel)
		return;
	assert(f->offset >= h->stream_offset);
	h->stream_offset = f->offset;
}

static void stream(struct hearer *h, const struct frame_stream *f)
{
	if (f->channel)
		return;
	h->stream_heard += f->bytes;
	assert(h->careless || h->stream_heard <= STREAM_WINDOW + h->stream_granted);
}

#define DECODE(kind)           \
	struct frame_##kind f; \
	assert(wire_get_##kind(p, n, &f) == 0);

static void hear_batch(struct hearer *h, const uint8_t *p, size_t n)
{
	DECODE(batch)
	batch(h, &f);
}

static void hear_trimmed(struct hearer *h, const uint8_t *p, size_t n)
{
	DECODE(trimmed)
	assert(forge_signed(BATCH_TAG, &f.shown.stamp, &f.shown.sealed));
}

static void hear_announce(struct hearer *h, const uint8_t *p, size_t n)
{
	DECODE(announce)
	assert(forge_signed(ANNOUNCE_TAG, &f.stamp, &f.sealed));
}

static void hear_chunk(struct hearer *h, const uint8_t *p, size_t n)
{
	DECODE(chunk)
	chunk(h, &f);
}

static void hear_credit(struct hearer *h, const uint8_t *p, size_t n)
{
	DECODE(credit)
	credit(h, &f);
}

static void hear_stream(struct hearer *h, const uint8_t *p, size_t n)
{
	DECODE(stream)
	stream(h, &f);
}

static void hear_stream_credit(struct hearer *h, const uint8_t *p, size_t n)
{
	DECODE(stream_credit)
	stream_credit(h, &f);
}

static void hear_hello(const uint8_t *p, size_t n)
{
	DECODE(hello)
	assert(f.version_min <= WIRE_VERSION && f.version_max >= WIRE_VERSION);
}

static void hear_goodbye(struct hearer *h, const uint8_t *p, size_t n)
{
	DECODE(goodbye)
	// A stranger does not hear where else to try.
	assert(h->proven || f.count == 0);
	h->parted = true;
}

static void hear_peers(const uint8_t *p, size_t n)
{
	DECODE(peers)
	assert(f.count > 0 || f.ask);
}

static void hear_rewire(const uint8_t *p, size_t n)
{
	DECODE(rewire)
	assert(address_dialable(&f.target.address));
}

static void hear_frontier(const uint8_t *p, size_t n)
{
	DECODE(frontier)
}

static void hear_pull(const uint8_t *p, size_t n)
{
	struct frame_position f;
	assert(wire_get_pull(p, n, &f) == 0);
}

static void hear_prune(const uint8_t *p, size_t n)
{
	DECODE(prune)
}

static void hear_digest(const uint8_t *p, size_t n)
{
	DECODE(digest)
	assert(f.count > 0);
}

static void hear_stall(const uint8_t *p, size_t n)
{
	DECODE(stall)
}

static void hear_tree(const uint8_t *p, size_t n)
{
	bool eager;
	assert(wire_get_tree(p, n, &eager) == 0);
}

// What has one field or none.
static void hear_small(uint8_t type, const uint8_t *p, size_t n)
{
	struct frame_pipe_close pipe_close;
	struct frame_pipe pipe;
	enum promote promote;
	uint16_t channel;
	uint8_t reason;
	bool idle;

	if (type == FRAME_DEMOTE)
		assert(wire_get_demote(p, n, &reason) == 0);
	else if (type == FRAME_PROMOTE)
		assert(wire_get_promote(p, n, &promote) == 0);
	else if (type == FRAME_IDLE)
		assert(wire_get_idle(p, n, &idle) == 0);
	else if (type == FRAME_PIPE)
		assert(wire_get_pipe(p, n, &pipe) == 0);
	else if (type == FRAME_PIPE_CLOSE)
		assert(wire_get_pipe_close(p, n, &pipe_close) == 0);
	else
		assert(wire_get_channel(p, n, &channel) == 0);
}

static void hear_proof(const uint8_t *p, size_t n)
{
	DECODE(proof)
}

static void frame(struct hearer *h, uint8_t type, const uint8_t *p, size_t n)
{
	uint64_t token;

	assert(!h->parted);
	// What a stranger hears is that it is not wanted, and from a dialler that it is a member.
	assert(h->proven || type == FRAME_GOODBYE || type == FRAME_PROOF);
	switch ((enum frame_type)type) {
	case FRAME_HELLO:
		hear_hello(p, n);
		return;
	case FRAME_ACCEPT:
		assert(n == 0);
		return;
	case FRAME_PROOF:
		hear_proof(p, n);
		return;
	case FRAME_GOODBYE:
		hear_goodbye(h, p, n);
		return;
	case FRAME_PING:
		assert(wire_get_ping(p, n, &h->ping) == 0);
		return;
	case FRAME_PONG:
		assert(wire_get_ping(p, n, &token) == 0);
		return;
	case FRAME_PEERS:
		hear_peers(p, n);
		return;
	case FRAME_REWIRE:
		hear_rewire(p, n);
		return;
	case FRAME_FRONTIER:
		hear_frontier(p, n);
		return;
	case FRAME_PULL:
		hear_pull(p, n);
		return;
	case FRAME_TRIMMED:
		hear_trimmed(h, p, n);
		return;
	case FRAME_PRUNE:
		hear_prune(p, n);
		return;
	case FRAME_DIGEST:
		hear_digest(p, n);
		return;
	case FRAME_TREE:
		hear_tree(p, n);
		return;
	case FRAME_BATCH:
		hear_batch(h, p, n);
		return;
	case FRAME_CHUNK:
		hear_chunk(h, p, n);
		return;
	case FRAME_CREDIT:
		hear_credit(h, p, n);
		return;
	case FRAME_STALL:
		hear_stall(p, n);
		return;
	case FRAME_STREAM:
		hear_stream(h, p, n);
		return;
	case FRAME_STREAM_CREDIT:
		hear_stream_credit(h, p, n);
		return;
	case FRAME_ANNOUNCE:
		hear_announce(h, p, n);
		return;
	case FRAME_DEMOTE:
	case FRAME_PROMOTE:
	case FRAME_IDLE:
	case FRAME_PIPE:
	case FRAME_PIPE_END:
	case FRAME_PIPE_CLOSE:
	case FRAME_PIPE_FREE:
		hear_small(type, p, n);
		return;
	}
	assert(!"a frame of a type that there is not");
}

void hearer_hear(struct hearer *h, const uint8_t *bytes, size_t n)
{
	uint8_t type = 0;
	int64_t length;

	buffer_append(&h->in, bytes, n);
	if (!h->keyed) {
		if (buffer_length(&h->in) < PUBLIC_KEY_BYTES)
			return;
		assert(memcmp(buffer_bytes(&h->in), &forge_identity(0)->public_key,
			       PUBLIC_KEY_BYTES) == 0);
		buffer_consume(&h->in, PUBLIC_KEY_BYTES);
		h->keyed = true;
	}
	while ((length =
			wire_next(buffer_bytes(&h->in), buffer_length(&h->in), FRAME_MAX, &type))) {
		assert(length > 0);
		frame(h, type, buffer_bytes(&h->in) + FRAME_HEADER, (size_t)length - FRAME_HEADER);
		buffer_consume(&h->in, (size_t)length);
	}
}
