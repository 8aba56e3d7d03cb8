// SPDX-License-Identifier: MIT
// The test vectors of docs/protocol.md against the code: frames encoded, decoded and, where they
// are signed, verified; and what is derived from keys.
#include <criterion/criterion.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/batch.h"
#include "core/hail.h"
#include "core/topics.h"
#include "core/wire.h"

#define A                                                                                       \
	{                                                                                       \
		{                                                                               \
			0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, \
				0xac, 0xad, 0xae, 0xaf                                          \
		}                                                                               \
	}
#define B                                                                                       \
	{                                                                                       \
		{                                                                               \
			0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, \
				0xbc, 0xbd, 0xbe, 0xbf                                          \
		}                                                                               \
	}
#define C                                                                                       \
	{                                                                                       \
		{                                                                               \
			0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, \
				0xcc, 0xcd, 0xce, 0xcf                                          \
		}                                                                               \
	}
#define FOUR(port)                        \
	{                                 \
		4, { 127, 0, 0, 1 }, port \
	}
#define SIX(port)                     \
	{                             \
		6, { [15] = 1 }, port \
	}

#define INCARNATION 1

static struct buffer out;
// The secrets of the page, each 32 bytes of one value.
static struct identity *dialler, *acceptor; // 1, 2
static struct keyring ring;		    // 3
static struct session_binding session;	    // 4
static uint8_t permit[DIGEST_BYTES];

static void make_keys(void)
{
	uint8_t secret[32], text[17 + EXPORTER_BYTES] = "smokefs/1 permit";

	dialler = identity_new(memset(secret, 1, sizeof secret));
	acceptor = identity_new(memset(secret, 2, sizeof secret));
	cr_assert(dialler && acceptor);
	cr_assert_eq(keyring_add(&ring, memset(secret, 3, sizeof secret)), 0);
	memset(session.exporter, 4, sizeof session.exporter);
	session.dialler = dialler->public_key;
	session.acceptor = acceptor->public_key;
	memcpy(text + 17, session.exporter, EXPORTER_BYTES);
	cr_assert_eq(digest(text, sizeof text, permit), 0);
}

// What a decoder gave is what was encoded. Structs are compared field by field, as they have
// padding.
static void expect_id(const struct id *got, const struct id *wanted)
{
	cr_expect(id_equal(got, wanted), "id %s", id_format(got).text);
}

static void expect_address(const struct address *got, const struct address *wanted)
{
	cr_expect(address_equal(got, wanted), "address %s", address_format(got).text);
}

static void expect_contact(const struct contact *got, const struct contact *wanted)
{
	expect_id(&got->id, &wanted->id);
	expect_address(&got->address, &wanted->address);
}

static void expect_source(const struct source_key *got, const struct source_key *wanted)
{
	expect_id(&got->id, &wanted->id);
	cr_expect_eq(got->incarnation, wanted->incarnation);
}

static void expect_bytes(const void *got, const void *wanted, size_t n)
{
	cr_expect_eq(memcmp(got, wanted, n), 0);
}

// What is derived, beside the frames.
static void node_key(const uint8_t *p, size_t n)
{
	(void)p;
	cr_expect_eq(n, PUBLIC_KEY_BYTES);
	buffer_append(&out, dialler->public_key.bytes, PUBLIC_KEY_BYTES);
}

static void node_id_of_key(const uint8_t *p, size_t n)
{
	struct id id = identity_of(&dialler->public_key);
	(void)p;
	cr_expect_eq(n, ID_BYTES);
	expect_id(&id, &dialler->id);
	buffer_append(&out, id.bytes, ID_BYTES);
}

static void network_key_name(const uint8_t *p, size_t n)
{
	struct network_name name;
	cr_assert_eq(n, NETWORK_NAME_BYTES);
	memcpy(name.bytes, p, n);
	cr_expect_eq(keyring_find(&ring, &name), &ring.keys[0]);
	buffer_append(&out, ring.keys[0].name.bytes, NETWORK_NAME_BYTES);
}

static void permit_of_session(const uint8_t *p, size_t n)
{
	(void)p;
	cr_expect_eq(n, DIGEST_BYTES);
	buffer_append(&out, permit, DIGEST_BYTES);
}

static void check_proof(enum role role, const uint8_t *p, size_t n)
{
	struct frame_proof f = { .network = ring.keys[0].name }, g;
	cr_assert_eq(membership_prove(&ring.keys[0], role, &session, f.proof), 0);
	wire_put_proof(&out, &f);
	cr_assert_eq(wire_get_proof(p, n, &g), 0);
	expect_bytes(g.network.bytes, f.network.bytes, NETWORK_NAME_BYTES);
	cr_expect(membership_verify(&ring.keys[0], role, &session, g.proof));
	enum role other = role == ROLE_DIALLER ? ROLE_ACCEPTOR : ROLE_DIALLER;
	cr_expect_not(membership_verify(&ring.keys[0], other, &session, g.proof));
}

static void proof_dialler(const uint8_t *p, size_t n)
{
	check_proof(ROLE_DIALLER, p, n);
}

static void proof_acceptor(const uint8_t *p, size_t n)
{
	check_proof(ROLE_ACCEPTOR, p, n);
}

static void check_hello(const struct frame_hello *f, const uint8_t *p, size_t n)
{
	struct frame_hello g;
	wire_put_hello(&out, f);
	cr_assert_eq(wire_get_hello(p, n, &g), 0);
	cr_expect_eq(g.version_min, f->version_min);
	cr_expect_eq(g.version_max, f->version_max);
	cr_expect_eq(g.features, f->features);
	cr_expect_eq(g.intent, f->intent);
	cr_expect_eq(g.incarnation, f->incarnation);
	cr_expect_eq(g.instance, f->instance);
	cr_expect_eq(g.peers, f->peers);
	cr_expect_eq(g.room, f->room);
	expect_id(&g.replaced, &f->replaced);
	expect_contact(&g.offer, &f->offer);
	expect_bytes(g.permit, f->permit, DIGEST_BYTES);
	expect_id(&g.component.origin, &f->component.origin);
	cr_expect_eq(g.component.number, f->component.number);
	cr_expect_eq(g.component.age, f->component.age);
	cr_expect_str_eq(g.name, f->name);
	cr_assert_eq(g.address_count, f->address_count);
	for (int i = 0; i < f->address_count; i++)
		expect_address(&g.addresses[i], &f->addresses[i]);
}

static void hello_v1(const uint8_t *p, size_t n)
{
	static const struct frame_hello f = {
		.version_min = 1,
		.version_max = 1,
		.intent = INTENT_JOIN,
		.incarnation = 1,
		.instance = 0x1122334455667788,
		.room = 5,
		.component = { A, 1, 0 },
		.name = "web1",
		.address_count = 1,
		.addresses = { FOUR(8495) },
	};
	check_hello(&f, p, n);
}

static void hello_replace(const uint8_t *p, size_t n)
{
	struct frame_hello f = {
		.version_min = 1,
		.version_max = 2,
		.features = 1,
		.intent = INTENT_REPLACE,
		.incarnation = 1,
		.instance = 0x1122334455667788,
		.peers = 5,
		.replaced = C,
		.offer = { B, SIX(8496) },
		.component = { B, 300, 1500 },
		.address_count = 2,
		.addresses = { FOUR(8495), SIX(8495) },
	};
	memcpy(f.permit, permit, sizeof f.permit);
	check_hello(&f, p, n);
}

static void accept_frame(const uint8_t *p, size_t n)
{
	(void)p;
	wire_put_accept(&out);
	cr_expect_eq(n, 0);
}

static void check_goodbye(const struct frame_goodbye *f, const uint8_t *p, size_t n)
{
	struct frame_goodbye g;
	wire_put_goodbye(&out, f);
	cr_assert_eq(wire_get_goodbye(p, n, &g), 0);
	cr_expect_eq(g.reason, f->reason);
	cr_assert_eq(g.count, f->count);
	for (int i = 0; i < f->count; i++)
		expect_contact(&g.contacts[i], &f->contacts[i]);
}

static void goodbye_shutdown(const uint8_t *p, size_t n)
{
	check_goodbye(&(struct frame_goodbye){ .reason = GOODBYE_SHUTDOWN }, p, n);
}

static void goodbye_full(const uint8_t *p, size_t n)
{
	check_goodbye(
		&(struct frame_goodbye){ GOODBYE_FULL, 2, { { B, FOUR(8496) }, { C, SIX(8497) } } },
		p, n);
}

static void check_ping(enum frame_type type, const uint8_t *p, size_t n)
{
	uint64_t token;
	wire_put_ping(&out, type, 0x0123456789abcdef);
	cr_assert_eq(wire_get_ping(p, n, &token), 0);
	cr_expect_eq(token, 0x0123456789abcdef);
}

static void ping(const uint8_t *p, size_t n)
{
	check_ping(FRAME_PING, p, n);
}

static void pong(const uint8_t *p, size_t n)
{
	check_ping(FRAME_PONG, p, n);
}

static void peers(const uint8_t *p, size_t n)
{
	const struct frame_peers f = { true, 2, { { B, FOUR(8496) }, { C, SIX(8497) } } };
	struct frame_peers g;
	wire_put_peers(&out, &f);
	cr_assert_eq(wire_get_peers(p, n, &g), 0);
	cr_assert_eq(g.count, f.count);
	cr_expect(g.ask);
	for (int i = 0; i < f.count; i++)
		expect_contact(&g.contacts[i], &f.contacts[i]);
}

static void rewire(const uint8_t *p, size_t n)
{
	struct frame_rewire f = { .target = { B, FOUR(8496) }, .replaced = C, .leave = true };
	struct frame_rewire g;
	memcpy(f.permit, permit, sizeof f.permit);
	wire_put_rewire(&out, &f);
	cr_assert_eq(wire_get_rewire(p, n, &g), 0);
	expect_contact(&g.target, &f.target);
	expect_id(&g.replaced, &f.replaced);
	expect_bytes(g.permit, f.permit, DIGEST_BYTES);
	cr_expect_eq(g.leave, f.leave);
}

static void check_frontier(
	bool last, const struct frame_position *entries, uint16_t count, const uint8_t *p, size_t n)
{
	struct frame_frontier g;
	size_t at = wire_begin_frontier(&out, last, count);
	for (uint16_t i = 0; i < count; i++)
		wire_put_frontier_entry(&out, &entries[i]);
	wire_end(&out, at);
	cr_assert_eq(wire_get_frontier(p, n, &g), 0);
	cr_expect_eq(g.last, last);
	cr_assert_eq(g.count, count);
	for (uint16_t i = 0; i < count; i++) {
		struct frame_position e = wire_frontier_entry(&g, i);
		expect_source(&e.source, &entries[i].source);
		cr_expect_eq(e.next, entries[i].next);
	}
}

static void frontier_empty(const uint8_t *p, size_t n)
{
	check_frontier(true, NULL, 0, p, n);
}

static void frontier(const uint8_t *p, size_t n)
{
	static const struct frame_position entries[] = { { { A, 1 }, 7 },
		{ { B, 1700000000000 }, UINT64_C(1) << 32 } };
	check_frontier(false, entries, 2, p, n);
}

static struct source_key own_source(void)
{
	return (struct source_key){ dialler->id, INCARNATION };
}

static void pull(const uint8_t *p, size_t n)
{
	struct frame_position f = { own_source(), 7 }, g;
	wire_put_pull(&out, &f);
	cr_assert_eq(wire_get_pull(p, n, &g), 0);
	expect_source(&g.source, &f.source);
	cr_expect_eq(g.next, f.next);
}

static void check_prune(enum prune kind, const uint8_t *p, size_t n)
{
	struct frame_prune f = { own_source(), kind }, g;
	wire_put_prune(&out, &f);
	cr_assert_eq(wire_get_prune(p, n, &g), 0);
	expect_source(&g.source, &f.source);
	cr_expect_eq(g.kind, kind);
}

static void prune_stop(const uint8_t *p, size_t n)
{
	check_prune(PRUNE_STOP, p, n);
}

static void prune_finish(const uint8_t *p, size_t n)
{
	check_prune(PRUNE_FINISH, p, n);
}

static void prune_stopped(const uint8_t *p, size_t n)
{
	check_prune(PRUNE_STOPPED, p, n);
}

static void digest_frame(const uint8_t *p, size_t n)
{
	struct digest_entry e = { { own_source(), 7 }, 25 };
	struct frame_digest g;
	size_t at = wire_begin_digest(&out, 1);
	wire_put_digest_entry(&out, &e);
	wire_end(&out, at);
	cr_assert_eq(wire_get_digest(p, n, &g), 0);
	cr_assert_eq(g.count, 1);
	struct digest_entry got = wire_digest_entry(&g, 0);
	expect_source(&got.position.source, &e.position.source);
	cr_expect_eq(got.position.next, 7);
	cr_expect_eq(got.age, 25);
}

static void check_tree(bool eager, const uint8_t *p, size_t n)
{
	bool got = !eager;
	wire_put_tree(&out, eager);
	cr_assert_eq(wire_get_tree(p, n, &got), 0);
	cr_expect_eq(got, eager);
}

static void tree_lazy(const uint8_t *p, size_t n)
{
	check_tree(false, p, n);
}

static void tree_eager(const uint8_t *p, size_t n)
{
	check_tree(true, p, n);
}

static struct stamp own_stamp(void)
{
	return (struct stamp){ ring.keys[0].name, dialler->public_key, INCARNATION };
}

// Appends the signature of all of it.
static void sign(struct buffer *b, const char *tag)
{
	uint8_t signature[SIGNATURE_BYTES];
	cr_assert_eq(identity_sign(dialler, tag, buffer_bytes(b), buffer_length(b), signature), 0);
	buffer_append(b, signature, sizeof signature);
}

// As a receiver would judge it; and not with the other tag, or a byte changed.
static void expect_signed(const struct stamp *stamp, const struct sealed *sealed, const char *tag,
	const char *other_tag)
{
	const uint8_t *signature = sealed->bytes + sealed->n;
	struct public_key key = stamp->key;
	uint8_t *changed = malloc(sealed->n);

	cr_assert(changed);
	expect_bytes(stamp->network.bytes, ring.keys[0].name.bytes, NETWORK_NAME_BYTES);
	cr_expect_eq(stamp->incarnation, INCARNATION);
	struct id id = identity_of(&key);
	expect_id(&id, &dialler->id);
	cr_expect(identity_verify(&key, tag, sealed->bytes, sealed->n, signature));
	cr_expect_not(identity_verify(&key, other_tag, sealed->bytes, sealed->n, signature));
	for (size_t i = 0; i < sealed->n; i += 7) {
		memcpy(changed, sealed->bytes, sealed->n);
		changed[i] ^= 1;
		cr_expect_not(identity_verify(&key, tag, changed, sealed->n, signature));
	}
	free(changed);
}

// A batch of one to three messages, their bytes one after the other.
struct example {
	uint64_t first;
	const uint8_t *data;
	uint32_t bytes;
	uint16_t count;
	uint32_t lengths[3];
	uint8_t hashes[2][DIGEST_BYTES];
	uint64_t topic;
};

static struct example hello_world(void)
{
	struct example e = { .first = 7, .bytes = 12, .count = 3, .lengths = { 5, 1, 6 } };
	e.data = (const uint8_t *)"hello\nworld\n";
	cr_assert_eq(digest(e.data, e.bytes, e.hashes[0]), 0);
	return e;
}

static void put_example(struct buffer *b, const struct example *e)
{
	struct frame_batch f = { .stamp = own_stamp(),
		.first = e->first,
		.topic = e->topic,
		.bytes = e->bytes,
		.count = e->count,
		.hashes = e->hashes[0] };
	wire_put_batch(b, &f, e->lengths);
	sign(b, BATCH_TAG);
}

static void expect_example(const struct frame_batch *g, const struct example *e)
{
	cr_expect_eq(g->first, e->first);
	cr_expect_eq(g->topic, e->topic);
	cr_expect_eq(g->bytes, e->bytes);
	cr_assert_eq(g->count, e->count);
	for (uint16_t i = 0; i < e->count; i++)
		cr_expect_eq(wire_batch_length(g, i), e->lengths[i]);
	expect_bytes(g->hashes, e->hashes, (size_t)batch_chunks(e->bytes) * DIGEST_BYTES);
	expect_signed(&g->stamp, &g->sealed, BATCH_TAG, ANNOUNCE_TAG);
}

static void check_batch(const struct example *e, const uint8_t *p, size_t n)
{
	struct buffer header = BUFFER_INIT;
	struct frame_batch g;
	put_example(&header, e);
	wire_put_sealed(&out, FRAME_BATCH, buffer_bytes(&header), buffer_length(&header));
	buffer_fini(&header);
	cr_assert_eq(wire_get_batch(p, n, &g), 0);
	cr_expect_eq(n, batch_header_bytes(e->count, e->bytes));
	expect_example(&g, e);
}

static void batch(const uint8_t *p, size_t n)
{
	struct example e = hello_world();
	check_batch(&e, p, n);
}

static void batch_of_chunks(const uint8_t *p, size_t n)
{
	static const uint8_t zero[CHUNK_BYTES + 1];
	struct example e = { 10, zero, CHUNK_BYTES + 1, 1, { CHUNK_BYTES + 1 }, { { 0 } } };
	cr_assert_eq(digest(zero, CHUNK_BYTES, e.hashes[0]), 0);
	cr_assert_eq(digest(zero, 1, e.hashes[1]), 0);
	check_batch(&e, p, n);
}

static void topic_number_of_name(const uint8_t *p, size_t n)
{
	uint64_t number;

	cr_assert_eq(topic_number("ops", &number), 0);
	for (int i = 7; i >= 0; i--) {
		uint8_t byte = (uint8_t)(number >> 8 * i);
		buffer_append(&out, &byte, 1);
	}
}

static void batch_of_topic(const uint8_t *p, size_t n)
{
	struct example e = hello_world();
	cr_assert_eq(topic_number("ops", &e.topic), 0);
	check_batch(&e, p, n);
}

static void trimmed(const uint8_t *p, size_t n)
{
	struct example e = hello_world();
	struct buffer header = BUFFER_INIT;
	struct frame_trimmed g;
	put_example(&header, &e);
	wire_put_trimmed(&out, 9, buffer_bytes(&header), buffer_length(&header));
	buffer_fini(&header);
	cr_assert_eq(wire_get_trimmed(p, n, &g), 0);
	cr_expect_eq(g.next, 9);
	expect_example(&g.shown, &e);
}

static void chunk(const uint8_t *p, size_t n)
{
	struct source_key source = own_source();
	struct example e = hello_world();
	struct frame_chunk g;
	wire_put_chunk(&out, &source, e.data, e.bytes);
	cr_assert_eq(wire_get_chunk(p, n, &g), 0);
	expect_source(&g.source, &source);
	cr_assert_eq(g.bytes, e.bytes);
	expect_bytes(g.data, e.data, e.bytes);
}

static void credit(const uint8_t *p, size_t n)
{
	struct frame_credit f = { own_source(), 524288 }, g;
	wire_put_credit(&out, &f);
	cr_assert_eq(wire_get_credit(p, n, &g), 0);
	expect_source(&g.source, &f.source);
	cr_expect_eq(g.bytes, f.bytes);
}

static void stream(const uint8_t *p, size_t n)
{
	struct frame_stream g;
	wire_put_stream(&out, 0, (const uint8_t *)"hello\n", 6);
	cr_assert_eq(wire_get_stream(p, n, &g), 0);
	cr_expect_eq(g.channel, 0);
	cr_assert_eq(g.bytes, 6);
	cr_expect_arr_eq(g.data, "hello\n", 6);
}

static void stall(const uint8_t *p, size_t n)
{
	struct frame_stall f = { own_source(), 2 }, g;
	wire_put_stall(&out, &f);
	cr_assert_eq(wire_get_stall(p, n, &g), 0);
	expect_source(&g.source, &f.source);
	cr_expect_eq(g.depth, 2);
}

static void stream_credit(const uint8_t *p, size_t n)
{
	struct frame_stream_credit g;
	wire_put_stream_credit(&out, 0, 327680);
	cr_assert_eq(wire_get_stream_credit(p, n, &g), 0);
	cr_expect_eq(g.channel, 0);
	cr_expect_eq(g.offset, 327680);
}

static void check_demote(uint8_t reason, const uint8_t *p, size_t n)
{
	uint8_t got;
	wire_put_demote(&out, reason);
	cr_assert_eq(wire_get_demote(p, n, &got), 0);
	cr_expect_eq(got, reason);
}

static void demote_used(const uint8_t *p, size_t n)
{
	check_demote(0, p, n);
}

static void demote_idle(const uint8_t *p, size_t n)
{
	check_demote(GOODBYE_SURPLUS, p, n);
}

static void check_promote(enum promote what, const uint8_t *p, size_t n)
{
	enum promote got;
	wire_put_promote(&out, what);
	cr_assert_eq(wire_get_promote(p, n, &got), 0);
	cr_expect_eq(got, what);
}

static void promote_ask(const uint8_t *p, size_t n)
{
	check_promote(PROMOTE_ASK, p, n);
}

static void promote_yes(const uint8_t *p, size_t n)
{
	check_promote(PROMOTE_YES, p, n);
}

static void promote_no(const uint8_t *p, size_t n)
{
	check_promote(PROMOTE_NO, p, n);
}

static void idle_frame(const uint8_t *p, size_t n)
{
	bool got;
	wire_put_idle(&out, true);
	cr_assert_eq(wire_get_idle(p, n, &got), 0);
	cr_expect(got);
}

static void pipe_frame(const uint8_t *p, size_t n)
{
	struct frame_pipe f = { 1, "src" }, g;
	wire_put_pipe(&out, &f);
	cr_assert_eq(wire_get_pipe(p, n, &g), 0);
	cr_expect_eq(g.channel, f.channel);
	cr_expect_str_eq(g.name, f.name);
}

static void check_channel(enum frame_type type, const uint8_t *p, size_t n)
{
	uint16_t got;
	wire_put_channel(&out, type, 1);
	cr_assert_eq(wire_get_channel(p, n, &got), 0);
	cr_expect_eq(got, 1);
}

static void pipe_end(const uint8_t *p, size_t n)
{
	check_channel(FRAME_PIPE_END, p, n);
}

static void pipe_free_frame(const uint8_t *p, size_t n)
{
	check_channel(FRAME_PIPE_FREE, p, n);
}

static void pipe_close(const uint8_t *p, size_t n)
{
	struct frame_pipe_close f = { 1, PIPE_REASON_REMOVED }, g;
	wire_put_pipe_close(&out, &f);
	cr_assert_eq(wire_get_pipe_close(p, n, &g), 0);
	cr_expect_eq(g.channel, f.channel);
	cr_expect_eq(g.reason, f.reason);
}

// An announcement, its payload encoded in `inner`.
static struct frame_announce check_announce(enum announcement type, uint64_t counter,
	const struct buffer *inner, const uint8_t *p, size_t n)
{
	struct frame_announce f = { .stamp = own_stamp(),
		.counter = counter,
		.type = (uint8_t)type,
		.bytes = (uint16_t)buffer_length(inner),
		.payload = buffer_bytes(inner) };
	struct frame_announce g;
	struct buffer envelope = BUFFER_INIT;
	wire_put_announce(&envelope, &f);
	sign(&envelope, ANNOUNCE_TAG);
	wire_put_sealed(&out, FRAME_ANNOUNCE, buffer_bytes(&envelope), buffer_length(&envelope));
	buffer_fini(&envelope);
	cr_assert_eq(wire_get_announce(p, n, &g), 0);
	cr_expect_eq(g.counter, counter);
	cr_expect_eq(g.type, type);
	cr_assert_eq(g.bytes, f.bytes);
	expect_signed(&g.stamp, &g.sealed, ANNOUNCE_TAG, BATCH_TAG);
	return g;
}

static void announce_beacon(const uint8_t *p, size_t n)
{
	struct buffer inner = BUFFER_INIT;
	uint64_t number;
	wire_put_beacon(&inner, 300);
	struct frame_announce g = check_announce(ANNOUNCE_BEACON, 1, &inner, p, n);
	cr_assert_eq(wire_get_beacon(g.payload, g.bytes, &number), 0);
	cr_expect_eq(number, 300);
	buffer_fini(&inner);
}

static void check_member(
	const struct announce_member *m, uint64_t counter, const uint8_t *p, size_t n)
{
	struct announce_member got;
	struct buffer inner = BUFFER_INIT;
	wire_put_member(&inner, m);
	struct frame_announce g = check_announce(ANNOUNCE_MEMBER, counter, &inner, p, n);
	cr_assert_eq(wire_get_member(g.payload, g.bytes, &got), 0);
	cr_expect_str_eq(got.name, m->name);
	expect_address(&got.address, &m->address);
	cr_expect_str_eq(got.topics, m->topics);
	buffer_fini(&inner);
}

static void announce_member(const uint8_t *p, size_t n)
{
	check_member(&(struct announce_member){ "web1", FOUR(8495), "" }, 2, p, n);
}

static void announce_member_topics(const uint8_t *p, size_t n)
{
	check_member(&(struct announce_member){ "web1", FOUR(8495), "ops,build" }, 8, p, n);
}

static void announce_leave(const uint8_t *p, size_t n)
{
	struct buffer inner = BUFFER_INIT;
	check_announce(ANNOUNCE_LEAVE, 3, &inner, p, n);
}

static void check_announced_id(enum announcement type, uint64_t counter, const uint8_t *p, size_t n)
{
	struct id b = B, got;
	struct buffer inner = BUFFER_INIT;
	buffer_append(&inner, b.bytes, ID_BYTES);
	struct frame_announce g = check_announce(type, counter, &inner, p, n);
	cr_assert_eq(wire_get_id(g.payload, g.bytes, &got), 0);
	expect_id(&got, &b);
	buffer_fini(&inner);
}

static void announce_netsplit(const uint8_t *p, size_t n)
{
	check_announced_id(ANNOUNCE_NETSPLIT, 4, p, n);
}

static void announce_healed(const uint8_t *p, size_t n)
{
	check_announced_id(ANNOUNCE_HEALED, 5, p, n);
}

static void announce_gone(const uint8_t *p, size_t n)
{
	check_announced_id(ANNOUNCE_GONE, 6, p, n);
}

static void announce_call(const uint8_t *p, size_t n)
{
	struct contact call = { B, FOUR(8495) }, got;
	struct buffer inner = BUFFER_INIT;
	wire_put_call(&inner, &call);
	struct frame_announce g = check_announce(ANNOUNCE_CALL, 7, &inner, p, n);
	cr_assert_eq(wire_get_call(g.payload, g.bytes, &got), 0);
	expect_id(&got.id, &call.id);
	expect_address(&got.address, &call.address);
	buffer_fini(&inner);
}

static void check_hail(const struct hail *h, const uint8_t *p, size_t n)
{
	uint8_t datagram[HAIL_BYTES];
	struct hail g;

	cr_assert_eq(hail_encode(h, &ring, datagram), 0);
	buffer_append(&out, datagram, sizeof datagram);
	cr_assert_eq(hail_decode(&g, &ring, p, n), 0);
	cr_expect_eq(g.asks, h->asks);
	expect_id(&g.id, &h->id);
	cr_expect_eq(g.incarnation, h->incarnation);
	cr_expect_eq(g.counter, h->counter);
	expect_address(&g.address, &h->address);
}

static void hail_four(const uint8_t *p, size_t n)
{
	check_hail(&(struct hail){ true, dialler->id, INCARNATION, 1, FOUR(8495) }, p, n);
}

static void hail_six(const uint8_t *p, size_t n)
{
	check_hail(&(struct hail){ false, dialler->id, INCARNATION, 2, SIX(8495) }, p, n);
}

// Encodes the frame into `out`, decodes the payload and compares.
static const struct vector {
	const char *name;
	enum frame_type type; // 0: bytes without a frame
	void (*check)(const uint8_t *payload, size_t n);
} vectors[] = {
	{ "node-key", 0, node_key },
	{ "node-id", 0, node_id_of_key },
	{ "network-key-name", 0, network_key_name },
	{ "permit", 0, permit_of_session },
	{ "proof-dialler", FRAME_PROOF, proof_dialler },
	{ "proof-acceptor", FRAME_PROOF, proof_acceptor },
	{ "hello-v1", FRAME_HELLO, hello_v1 },
	{ "hello-replace", FRAME_HELLO, hello_replace },
	{ "accept", FRAME_ACCEPT, accept_frame },
	{ "goodbye-shutdown", FRAME_GOODBYE, goodbye_shutdown },
	{ "goodbye-full", FRAME_GOODBYE, goodbye_full },
	{ "ping", FRAME_PING, ping },
	{ "pong", FRAME_PONG, pong },
	{ "peers", FRAME_PEERS, peers },
	{ "rewire", FRAME_REWIRE, rewire },
	{ "frontier-empty", FRAME_FRONTIER, frontier_empty },
	{ "frontier", FRAME_FRONTIER, frontier },
	{ "pull", FRAME_PULL, pull },
	{ "prune-stop", FRAME_PRUNE, prune_stop },
	{ "prune-finish", FRAME_PRUNE, prune_finish },
	{ "prune-stopped", FRAME_PRUNE, prune_stopped },
	{ "digest", FRAME_DIGEST, digest_frame },
	{ "tree-lazy", FRAME_TREE, tree_lazy },
	{ "tree-eager", FRAME_TREE, tree_eager },
	{ "trimmed", FRAME_TRIMMED, trimmed },
	{ "batch", FRAME_BATCH, batch },
	{ "topic-number", 0, topic_number_of_name },
	{ "batch-topic", FRAME_BATCH, batch_of_topic },
	{ "batch-chunks", FRAME_BATCH, batch_of_chunks },
	{ "chunk", FRAME_CHUNK, chunk },
	{ "credit", FRAME_CREDIT, credit },
	{ "stream", FRAME_STREAM, stream },
	{ "stall", FRAME_STALL, stall },
	{ "stream-credit", FRAME_STREAM_CREDIT, stream_credit },
	{ "demote-used", FRAME_DEMOTE, demote_used },
	{ "demote-idle", FRAME_DEMOTE, demote_idle },
	{ "promote-ask", FRAME_PROMOTE, promote_ask },
	{ "promote-yes", FRAME_PROMOTE, promote_yes },
	{ "promote-no", FRAME_PROMOTE, promote_no },
	{ "idle", FRAME_IDLE, idle_frame },
	{ "pipe", FRAME_PIPE, pipe_frame },
	{ "pipe-end", FRAME_PIPE_END, pipe_end },
	{ "pipe-close", FRAME_PIPE_CLOSE, pipe_close },
	{ "pipe-free", FRAME_PIPE_FREE, pipe_free_frame },
	{ "announce-beacon", FRAME_ANNOUNCE, announce_beacon },
	{ "announce-member", FRAME_ANNOUNCE, announce_member },
	{ "announce-member-topics", FRAME_ANNOUNCE, announce_member_topics },
	{ "announce-leave", FRAME_ANNOUNCE, announce_leave },
	{ "announce-netsplit", FRAME_ANNOUNCE, announce_netsplit },
	{ "announce-healed", FRAME_ANNOUNCE, announce_healed },
	{ "announce-gone", FRAME_ANNOUNCE, announce_gone },
	{ "announce-call", FRAME_ANNOUNCE, announce_call },
	{ "hail-four", 0, hail_four },
	{ "hail-six", 0, hail_six },
};
#define VECTORS (sizeof vectors / sizeof vectors[0])

// The page, read into vectors by name.
static struct found {
	char name[64];
	struct buffer frame;
} found[2 * VECTORS];
static size_t found_count;
static bool id_as_text; // stands on the page, too

static uint8_t digit_of(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void add_hex(struct buffer *b, const char *text)
{
	for (; *text && !isspace((unsigned char)*text); text += 2) {
		cr_assert(strspn(text, "0123456789abcdef") >= 2, "not bytes: %s", text);
		uint8_t byte = (uint8_t)(digit_of(text[0]) << 4 | digit_of(text[1]));
		buffer_append(b, &byte, 1);
	}
	cr_assert_eq(text[strspn(text, " \n")], '\0', "not one run of bytes");
}

// One line of a block: "name: bytes", or bytes that go on, indented.
static void read_line(const char *line)
{
	if (*line == ' ') {
		cr_assert_gt(found_count, 0);
		add_hex(&found[found_count - 1].frame, line + strspn(line, " "));
		return;
	}
	const char *colon = strchr(line, ':');
	cr_assert(colon && colon - line < (long)sizeof found[0].name, "not a vector: %s", line);
	cr_assert_lt(found_count, 2 * VECTORS);
	struct found *f = &found[found_count++];
	memcpy(f->name, line, (size_t)(colon - line));
	add_hex(&f->frame, colon + 1 + strspn(colon + 1, " "));
}

static void read_page(void)
{
	const char *path = getenv("SMOKEFS_PROTOCOL_MD");
	char line[1024];
	bool inside = false;

	make_keys();
	path = path ? path : "docs/protocol.md";
	FILE *page = fopen(path, "r");
	cr_assert(page, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof line, page)) {
		id_as_text |= strstr(line, id_format(&dialler->id).text) != NULL;
		if (strncmp(line, "```", 3) == 0)
			inside = !inside && strcmp(line, "```vector\n") == 0;
		else if (inside)
			read_line(line);
	}
	fclose(page);
	cr_assert_not(inside, "a block without an end");
}

static void finish(void)
{
	for (size_t i = 0; i < found_count; i++)
		buffer_fini(&found[i].frame);
	buffer_fini(&out);
	keyring_fini(&ring);
	identity_free(dialler);
	identity_free(acceptor);
}

TestSuite(vectors, .init = read_page, .fini = finish);

static const struct vector *vector_by_name(const char *name)
{
	for (size_t i = 0; i < VECTORS; i++)
		if (strcmp(vectors[i].name, name) == 0)
			return &vectors[i];
	return NULL;
}

static const char *hex(const struct buffer *b)
{
	static char text[2 * FRAME_MAX_EARLY + 1];
	size_t n = buffer_length(b) < FRAME_MAX_EARLY ? buffer_length(b) : FRAME_MAX_EARLY;
	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		sprintf(text + 2 * i, "%02x", buffer_bytes(b)[i]);
	return text;
}

// The payload of the one frame, or all of what is none.
static const uint8_t *payload(const struct vector *v, const struct buffer *frame, size_t *n)
{
	const uint8_t *bytes = buffer_bytes(frame);
	uint8_t type = 0;
	*n = buffer_length(frame);
	if (v->type == 0)
		return bytes;
	int64_t length = wire_next(bytes, *n, FRAME_MAX, &type);
	cr_assert_eq(length, (int64_t)*n, "%s: not one frame", v->name);
	cr_assert_eq(type, v->type, "%s: type %u", v->name, type);
	*n -= FRAME_HEADER;
	return bytes + FRAME_HEADER;
}

Test(vectors, page_and_code_agree)
{
	for (size_t i = 0; i < found_count; i++) {
		const struct buffer *frame = &found[i].frame;
		const struct vector *v = vector_by_name(found[i].name);
		size_t n;
		cr_assert(v, "%s: unknown vector", found[i].name);
		const uint8_t *p = payload(v, frame, &n);
		buffer_consume(&out, buffer_length(&out));
		v->check(p, n);
		cr_expect_eq(buffer_length(&out), buffer_length(frame), "%s: length", v->name);
		cr_expect(buffer_length(&out) == buffer_length(frame) &&
				  memcmp(buffer_bytes(&out), buffer_bytes(frame),
					  buffer_length(frame)) == 0,
			"%s: encoded: %s", v->name, hex(&out));
	}
}

Test(vectors, the_page_shows_an_id_as_text)
{
	cr_expect(id_as_text, "%s", id_format(&dialler->id).text);
}

Test(vectors, each_stands_there_once)
{
	for (size_t i = 0; i < VECTORS; i++) {
		unsigned times = 0;
		for (size_t j = 0; j < found_count; j++)
			times += strcmp(found[j].name, vectors[i].name) == 0;
		cr_expect_eq(times, 1, "%s: %u times", vectors[i].name, times);
	}
}

Test(vectors, every_type_of_frame_has_one)
{
	bool seen[256] = { false };
	for (size_t i = 0; i < found_count; i++) {
		const struct vector *v = vector_by_name(found[i].name);
		if (v)
			seen[v->type] = true;
	}
	for (int type = FRAME_HELLO; type <= FRAME_PROOF; type++)
		cr_expect(seen[type], "frame type %d", type);
}
