// SPDX-License-Identifier: MIT
// Frames that were cut, lengthened or changed: decoders say so, and read no further.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "core/wire.h"

#define MUTATIONS 100000
#define SEED	  20

static const struct id a = { { 0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } };
static const struct id b = { { 0xb0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } };
static const struct address four = { 4, { 10, 0, 0, 5 }, 8495 };
static const struct address six = { 6, { 0x20, 1, 0xd, 0xb8, [15] = 5 }, 65535 };
static const struct source_key source = { { { 0xa0, 1, 2 } }, 0x0102030405060708 };
static const struct stamp stamp = { { { 1, 2, 3, 4, 5, 6, 7, 8 } }, { { 0xe0, 1, 2, [31] = 31 } },
	0x0102030405060708 };
static const uint8_t bytes[CHUNK_BYTES] = "bytes of a message";

static struct buffer out, inner;

static void put_frontier(bool last, const struct frame_position *entries, uint16_t count)
{
	size_t at = wire_begin_frontier(&out, last, count);
	for (uint16_t i = 0; i < count; i++)
		wire_put_frontier_entry(&out, &entries[i]);
	wire_end(&out, at);
}

static struct frame_hello full_hello(void)
{
	struct frame_hello f = {
		.version_min = 1,
		.version_max = 3,
		.features = 0x80000001,
		.intent = INTENT_REPLACE,
		.incarnation = UINT64_MAX,
		.instance = 0x1122334455667788,
		.peers = 5,
		.room = ROOM_UNLIMITED,
		.replaced = b,
		.offer = { b, six },
		.component = { b, 77, 4999 },
		.address_count = HELLO_ADDRESSES,
	};
	memset(f.name, 'n', NAME_MAX_LENGTH);
	memset(f.permit, 0x30, sizeof f.permit);
	for (int i = 0; i < HELLO_ADDRESSES; i++)
		f.addresses[i] = i % 2 ? six : four;
	return f;
}

// Samples of every frame, for the tests that spoil them.
struct sample {
	enum frame_type type;
	size_t at, n; // of the payload in `samples`
};

static struct buffer samples;
static struct sample sample[40];
static size_t sample_count;

static void keep_sample(void)
{
	struct sample *s = &sample[sample_count++];
	cr_assert_leq(sample_count, sizeof sample / sizeof sample[0]);
	s->type = (enum frame_type)buffer_bytes(&out)[4];
	s->at = buffer_length(&samples);
	s->n = buffer_length(&out) - FRAME_HEADER;
	buffer_append(&samples, buffer_bytes(&out) + FRAME_HEADER, s->n);
	buffer_consume(&out, buffer_length(&out));
}

// Of what is in `inner`, with a signature that no decoder looks at.
static void keep_sealed(enum frame_type type)
{
	buffer_append(&inner, bytes, SIGNATURE_BYTES);
	wire_put_sealed(&out, type, buffer_bytes(&inner), buffer_length(&inner));
	keep_sample();
	buffer_consume(&inner, buffer_length(&inner));
}

static void announce_sample(uint8_t type, const void *p, size_t n)
{
	wire_put_announce(
		&inner, &(struct frame_announce){ stamp, 2, type, (uint16_t)n, p, { NULL, 0 } });
	keep_sealed(FRAME_ANNOUNCE);
}

static void put_header(
	uint64_t topic, uint64_t first, uint32_t sum, uint16_t count, const uint32_t *lengths)
{
	struct frame_batch f = { .stamp = stamp,
		.first = first,
		.topic = topic,
		.bytes = sum,
		.count = count,
		.hashes = bytes };
	wire_put_batch(&inner, &f, lengths);
}

static void batch_samples(void)
{
	static const uint32_t lengths[] = { 100, 200, 300 }, large = 2 * CHUNK_BYTES + 1;

	put_header(0x1122334455667788, 7, 600, 3, lengths);
	keep_sealed(FRAME_BATCH);
	put_header(0, 1, large, 1, &large);
	keep_sealed(FRAME_BATCH);
	put_header(0x1122334455667788, 7, 600, 3, lengths);
	buffer_append(&inner, bytes, SIGNATURE_BYTES);
	wire_put_trimmed(&out, 9, buffer_bytes(&inner), buffer_length(&inner));
	keep_sample();
	buffer_consume(&inner, buffer_length(&inner));
}

static void put_digest(const struct frame_position *positions, uint16_t count)
{
	size_t at = wire_begin_digest(&out, count);
	for (uint16_t i = 0; i < count; i++)
		wire_put_digest_entry(&out, &(struct digest_entry){ positions[i], i });
	wire_end(&out, at);
}

static void make_samples(void)
{
	struct frame_hello hello = full_hello();
	struct frame_position positions[3] = { { source, 1 }, { { b, 9 }, 2 },
		{ source, UINT64_MAX } };
	struct buffer member = BUFFER_INIT, call = BUFFER_INIT;

	wire_put_proof(
		&out, &(struct frame_proof){ { { 1, 2, 3 } }, { 9, [MEMBERSHIP_BYTES - 1] = 8 } });
	keep_sample();
	wire_put_hello(&out, &hello);
	keep_sample();
	wire_put_accept(&out);
	keep_sample();
	wire_put_goodbye(&out, &(struct frame_goodbye){ 4, 2, { { a, four }, { b, six } } });
	keep_sample();
	wire_put_ping(&out, FRAME_PING, 5);
	keep_sample();
	wire_put_ping(&out, FRAME_PONG, 6);
	keep_sample();
	wire_put_peers(
		&out, &(struct frame_peers){ false, 3, { { a, four }, { b, six }, { b, { 0 } } } });
	keep_sample();
	wire_put_rewire(&out, &(struct frame_rewire){ { a, six }, b, { 7 }, true });
	keep_sample();
	put_frontier(true, positions, 3);
	keep_sample();
	wire_put_pull(&out, &positions[0]);
	keep_sample();
	wire_put_prune(&out, &(struct frame_prune){ source, PRUNE_FINISH });
	keep_sample();
	put_digest(positions, 3);
	keep_sample();
	wire_put_tree(&out, true);
	keep_sample();
	wire_put_stall(&out, &(struct frame_stall){ source, 3 });
	keep_sample();
	batch_samples();
	wire_put_chunk(&out, &source, bytes, 40);
	keep_sample();
	wire_put_credit(&out, &(struct frame_credit){ source, 1000 });
	keep_sample();
	wire_put_stream(&out, 0, bytes, 40);
	keep_sample();
	wire_put_stream_credit(&out, 0, 300000);
	keep_sample();
	wire_put_demote(&out, GOODBYE_SURPLUS);
	keep_sample();
	wire_put_promote(&out, PROMOTE_NO);
	keep_sample();
	wire_put_idle(&out, true);
	keep_sample();
	wire_put_pipe(&out, &(struct frame_pipe){ PIPES_MAX, "src" });
	keep_sample();
	wire_put_channel(&out, FRAME_PIPE_END, 1);
	keep_sample();
	wire_put_pipe_close(&out, &(struct frame_pipe_close){ 1, PIPE_REASON_MEMORY });
	keep_sample();
	wire_put_channel(&out, FRAME_PIPE_FREE, 1);
	keep_sample();
	wire_put_member(&member, &(struct announce_member){ "web1", four });
	announce_sample(ANNOUNCE_MEMBER, buffer_bytes(&member), buffer_length(&member));
	buffer_fini(&member);
	wire_put_member(&member, &(struct announce_member){ "", six, "ops,build,x" });
	announce_sample(ANNOUNCE_MEMBER, buffer_bytes(&member), buffer_length(&member));
	buffer_fini(&member);
	announce_sample(ANNOUNCE_BEACON, bytes, 8);
	announce_sample(ANNOUNCE_LEAVE, NULL, 0);
	announce_sample(ANNOUNCE_NETSPLIT, b.bytes, ID_BYTES);
	announce_sample(ANNOUNCE_HEALED, b.bytes, ID_BYTES);
	announce_sample(ANNOUNCE_GONE, b.bytes, ID_BYTES);
	wire_put_call(&call, &(struct contact){ b, six });
	announce_sample(ANNOUNCE_CALL, buffer_bytes(&call), buffer_length(&call));
	buffer_fini(&call);
	announce_sample(99, bytes, 300);
}

static void drop_samples(void)
{
	buffer_fini(&samples);
	buffer_fini(&inner);
	buffer_fini(&out);
}

TestSuite(wire_damage, .init = make_samples, .fini = drop_samples);

static int decode_announced(const struct frame_announce *f)
{
	struct announce_member m;
	struct contact call;
	uint64_t number;
	struct id id;
	int r = 0;
	if (f->type == ANNOUNCE_MEMBER) {
		r = wire_get_member(f->payload, f->bytes, &m);
		cr_assert(r < 0 || !m.name[0] || name_valid(m.name));
	} else if (f->type == ANNOUNCE_BEACON) {
		r = wire_get_beacon(f->payload, f->bytes, &number);
	} else if (f->type == ANNOUNCE_CALL) {
		r = wire_get_call(f->payload, f->bytes, &call);
	} else if (f->type >= ANNOUNCE_NETSPLIT && f->type <= ANNOUNCE_GONE) {
		r = wire_get_id(f->payload, f->bytes, &id);
	}
	cr_assert(r == 0 || r == -EPROTO);
	return r;
}

static void again_frontier(const struct frame_frontier *f)
{
	size_t at = wire_begin_frontier(&out, f->last, f->count);
	for (uint16_t i = 0; i < f->count; i++) {
		struct frame_position e = wire_frontier_entry(f, i);
		wire_put_frontier_entry(&out, &e);
	}
	wire_end(&out, at);
}

// What is signed, made again of what it was read as, with its signature.
static void again_sealed(const struct sealed *sealed)
{
	cr_assert_eq(buffer_length(&inner), sealed->n);
	cr_assert_eq(memcmp(buffer_bytes(&inner), sealed->bytes, sealed->n), 0);
	buffer_append(&inner, sealed->bytes + sealed->n, SIGNATURE_BYTES);
}

static void again_header(const struct frame_batch *f)
{
	static uint32_t lengths[BATCH_COUNT];
	for (uint16_t i = 0; i < f->count; i++)
		lengths[i] = wire_batch_length(f, i);
	buffer_consume(&inner, buffer_length(&inner));
	wire_put_batch(&inner, f, lengths);
	again_sealed(&f->sealed);
}

static void again_batch(const struct frame_batch *f)
{
	again_header(f);
	wire_put_sealed(&out, FRAME_BATCH, buffer_bytes(&inner), buffer_length(&inner));
}

static void again_trimmed(const struct frame_trimmed *f)
{
	again_header(&f->shown);
	wire_put_trimmed(&out, f->next, buffer_bytes(&inner), buffer_length(&inner));
}

static void again_announce(const struct frame_announce *f)
{
	buffer_consume(&inner, buffer_length(&inner));
	wire_put_announce(&inner, f);
	again_sealed(&f->sealed);
	wire_put_sealed(&out, FRAME_ANNOUNCE, buffer_bytes(&inner), buffer_length(&inner));
}

static int decode_pull(const uint8_t *p, size_t n)
{
	struct frame_position f;
	int r = wire_get_pull(p, n, &f);
	wire_put_pull(&out, &f);
	return r;
}

static void again_digest(const struct frame_digest *f)
{
	size_t at = wire_begin_digest(&out, f->count);
	for (uint16_t i = 0; i < f->count; i++) {
		struct digest_entry e = wire_digest_entry(f, i);
		wire_put_digest_entry(&out, &e);
	}
	wire_end(&out, at);
}

static int decode_tree(const uint8_t *p, size_t n)
{
	bool eager;
	int r = wire_get_tree(p, n, &eager);
	wire_put_tree(&out, eager);
	return r;
}

static int decode_small(enum frame_type type, const uint8_t *p, size_t n)
{
	enum promote promote;
	uint16_t channel;
	bool idle;
	uint8_t reason;
	int r;

	if (type == FRAME_PROMOTE) {
		r = wire_get_promote(p, n, &promote);
		wire_put_promote(&out, promote);
	} else if (type == FRAME_IDLE) {
		r = wire_get_idle(p, n, &idle);
		wire_put_idle(&out, idle);
	} else if (type == FRAME_PIPE_END || type == FRAME_PIPE_FREE) {
		r = wire_get_channel(p, n, &channel);
		wire_put_channel(&out, type, channel);
	} else {
		r = wire_get_demote(p, n, &reason);
		wire_put_demote(&out, reason);
	}
	return r;
}

static int decode_ping(enum frame_type type, const uint8_t *p, size_t n)
{
	uint64_t token;
	int r = wire_get_ping(p, n, &token);
	wire_put_ping(&out, type, token);
	return r;
}

#define AGAIN(kind, put)                           \
	{                                          \
		struct frame_##kind f;             \
		int r = wire_get_##kind(p, n, &f); \
		if (r == 0) {                      \
			put;                       \
		}                                  \
		return r;                          \
	}

// Decodes a payload and, when it is good, encodes what came of it into `out`.
static int decode(enum frame_type type, const uint8_t *p, size_t n)
{
	switch (type) {
	case FRAME_HELLO:
		AGAIN(hello, wire_put_hello(&out, &f))
	case FRAME_ACCEPT:
		wire_put_accept(&out);
		return n ? -EPROTO : 0; // core/node's check
	case FRAME_GOODBYE:
		AGAIN(goodbye, wire_put_goodbye(&out, &f))
	case FRAME_PING:
	case FRAME_PONG:
		return decode_ping(type, p, n);
	case FRAME_PEERS:
		AGAIN(peers, wire_put_peers(&out, &f))
	case FRAME_REWIRE:
		AGAIN(rewire, wire_put_rewire(&out, &f))
	case FRAME_FRONTIER:
		AGAIN(frontier, again_frontier(&f))
	case FRAME_PULL:
		return decode_pull(p, n);
	case FRAME_PRUNE:
		AGAIN(prune, wire_put_prune(&out, &f))
	case FRAME_DIGEST:
		AGAIN(digest, again_digest(&f))
	case FRAME_TREE:
		return decode_tree(p, n);
	case FRAME_TRIMMED:
		AGAIN(trimmed, again_trimmed(&f))
	case FRAME_BATCH:
		AGAIN(batch, again_batch(&f))
	case FRAME_CHUNK:
		AGAIN(chunk, wire_put_chunk(&out, &f.source, f.data, f.bytes))
	case FRAME_STALL:
		AGAIN(stall, wire_put_stall(&out, &f))
	case FRAME_CREDIT:
		AGAIN(credit, wire_put_credit(&out, &f))
	case FRAME_STREAM:
		AGAIN(stream, wire_put_stream(&out, f.channel, f.data, f.bytes))
	case FRAME_STREAM_CREDIT:
		AGAIN(stream_credit, wire_put_stream_credit(&out, f.channel, f.offset))
	case FRAME_ANNOUNCE:
		AGAIN(announce, again_announce(&f); decode_announced(&f))
	case FRAME_DEMOTE:
	case FRAME_PROMOTE:
	case FRAME_IDLE:
	case FRAME_PIPE_END:
	case FRAME_PIPE_FREE:
		return decode_small(type, p, n);
	case FRAME_PIPE:
		AGAIN(pipe, wire_put_pipe(&out, &f))
	case FRAME_PIPE_CLOSE:
		AGAIN(pipe_close, wire_put_pipe_close(&out, &f))
	case FRAME_PROOF:
		AGAIN(proof, wire_put_proof(&out, &f))
	}
	cr_assert_fail("no such type: %d", type);
	return 0;
}

// Decodes a copy of exactly n bytes, so that a read beyond them is noticed.
static int decode_copy(enum frame_type type, const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	cr_assert(copy);
	if (n)
		memcpy(copy, p, n);
	buffer_consume(&out, buffer_length(&out));
	int r = decode(type, n ? copy : copy + 1, n);
	// All but HELLO, which may go on and whose bad names are dropped, have one encoding.
	if (r == 0 && type != FRAME_HELLO) {
		cr_assert_eq(buffer_length(&out), n + FRAME_HEADER);
		cr_assert(n == 0 || memcmp(buffer_bytes(&out) + FRAME_HEADER, copy, n) == 0);
	}
	free(copy);
	cr_assert(r == 0 || r == -EPROTO, "%d of a frame of type %d", r, type);
	return r;
}

Test(wire_damage, samples_cover_every_type)
{
	bool seen[FRAME_STALL + 1] = { [0] = true };
	for (size_t i = 0; i < sample_count; i++) {
		seen[sample[i].type] = true;
		cr_expect_eq(decode_copy(sample[i].type, buffer_bytes(&samples) + sample[i].at,
				     sample[i].n),
			0, "sample %zu", i);
	}
	for (int type = 0; type <= FRAME_STALL; type++)
		cr_expect(seen[type], "type %d", type);
}

// How many bytes a payload has before its data, which may have any length.
static size_t fixed_part(const struct sample *s)
{
	if (s->type == FRAME_CHUNK)
		return ID_BYTES + 8;
	return s->type == FRAME_STREAM ? 2 : SIZE_MAX;
}

Test(wire_damage, every_truncation_is_malformed)
{
	for (size_t i = 0; i < sample_count; i++)
		for (size_t n = 0; n < sample[i].n; n++) {
			int r = decode_copy(
				sample[i].type, buffer_bytes(&samples) + sample[i].at, n);
			cr_expect_eq(r, n > fixed_part(&sample[i]) ? 0 : -EPROTO,
				"type %d cut to %zu of %zu bytes", sample[i].type, n, sample[i].n);
		}
}

Test(wire_damage, truncated_announced_payloads_are_malformed)
{
	for (size_t i = 0; i < sample_count; i++) {
		struct frame_announce f;
		if (sample[i].type != FRAME_ANNOUNCE)
			continue;
		cr_assert_eq(
			wire_get_announce(buffer_bytes(&samples) + sample[i].at, sample[i].n, &f),
			0);
		bool known = f.type <= ANNOUNCE_CALL && f.type != ANNOUNCE_LEAVE;
		for (uint16_t n = 0; n < f.bytes; n++) {
			uint8_t *copy = malloc(n + 1u);
			cr_assert(copy);
			memcpy(copy + 1, f.payload, n);
			struct frame_announce cut = {
				.type = f.type, .bytes = n, .payload = copy + 1
			};
			// Without its topics, a MEMBER is one of who has none.
			bool whole = f.type == ANNOUNCE_MEMBER && n == 1 + f.payload[0] + 19;
			cr_expect_eq(decode_announced(&cut), known && !whole ? -EPROTO : 0);
			free(copy);
		}
	}
}

Test(wire_damage, bytes_at_the_end_are_malformed)
{
	for (size_t i = 0; i < sample_count; i++) {
		uint8_t longer[FRAME_MAX];
		memcpy(longer, buffer_bytes(&samples) + sample[i].at, sample[i].n);
		longer[sample[i].n] = 0;
		bool open = sample[i].type == FRAME_HELLO || fixed_part(&sample[i]) != SIZE_MAX;
		cr_expect_eq(decode_copy(sample[i].type, longer, sample[i].n + 1),
			open ? 0 : -EPROTO, "type %d", sample[i].type);
	}
}

static size_t mutate(struct random *r, uint8_t *p, size_t n, size_t size)
{
	static const uint8_t telling[] = { 0, 1, 2, 4, 6, 8, 9, 16, 17, 63, 64, 127, 128, 254,
		255 };

	switch (random_below(r, 6)) {
	case 0:
		return random_below(r, n + 1);
	case 1: {
		size_t more = random_below(r, size - n + 1);
		for (size_t i = 0; i < more; i++)
			p[n + i] = (uint8_t)random_next(r);
		return n + more;
	}
	case 2:
		if (n)
			p[random_below(r, n)] = (uint8_t)random_next(r);
		return n;
	case 3:
		if (n)
			p[random_below(r, n)] ^= (uint8_t)(1u << random_below(r, 8));
		return n;
	case 4:
		if (n)
			p[random_below(r, n)] = telling[random_below(r, sizeof telling)];
		return n;
	default: {
		// A run of the same, to make numbers the smallest and the largest.
		size_t at = random_below(r, n + 1), length = random_below(r, 9);
		for (size_t i = at; i < n && i < at + length; i++)
			p[i] = at % 2 ? 0 : 0xff;
		return n;
	}
	}
}

Test(wire_damage, mutations_are_survived)
{
	struct random r = { SEED };
	unsigned good = 0, bad = 0;

	for (int i = 0; i < MUTATIONS; i++) {
		const struct sample *s = &sample[random_below(&r, sample_count)];
		uint8_t p[700];
		size_t n = s->n;
		memcpy(p, buffer_bytes(&samples) + s->at, n);
		for (uint64_t times = 1 + random_below(&r, 3); times > 0; times--)
			n = mutate(&r, p, n, sizeof p);
		// Now and then as something else.
		enum frame_type type =
			random_below(&r, 10) ? s->type
					     : (enum frame_type)(1 + random_below(&r, FRAME_PROOF));
		if (decode_copy(type, p, n) == 0)
			good++;
		else
			bad++;
	}
	// Both ways have been gone often, or the mutations are worth nothing.
	cr_expect_gt(good, MUTATIONS / 20, "%u good", good);
	cr_expect_gt(bad, MUTATIONS / 20, "%u bad", bad);
}

Test(wire_damage, noise_is_survived)
{
	struct random r = { SEED };
	for (int i = 0; i < MUTATIONS / 4; i++) {
		uint8_t p[200], type;
		size_t n = random_below(&r, sizeof p + 1);
		for (size_t j = 0; j < n; j++)
			p[j] = (uint8_t)(random_next(&r) >> random_below(&r, 60));
		decode_copy((enum frame_type)(1 + random_below(&r, FRAME_PROOF)), p, n);
		int64_t length = wire_next(p, n, FRAME_MAX, &type);
		cr_assert(length == -EPROTO || (length >= 0 && length <= (int64_t)n));
	}
}
