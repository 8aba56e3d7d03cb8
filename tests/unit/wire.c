// SPDX-License-Identifier: MIT
#include "core/wire.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/batch.h"

static const struct id a = { { 0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } };
static const struct id b = { { 0xb0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } };
static const struct address four = { 4, { 10, 0, 0, 5 }, 8495 };
static const struct address six = { 6, { 0x20, 1, 0xd, 0xb8, [15] = 5 }, 65535 };
static const struct source_key source = { { { 0xa0, 1, 2 } }, 0x0102030405060708 };
static const uint8_t bytes[CHUNK_BYTES] = "bytes of a message";
static const struct stamp stamp = { { { 1, 2, 3, 4, 5, 6, 7, 8 } }, { { 0xe0, 1, 2, [31] = 31 } },
	0x0102030405060708 };
static const uint8_t hashes[64 * DIGEST_BYTES] = { 0x10, [64 * DIGEST_BYTES - 1] = 0x11 };
static const uint8_t signature[SIGNATURE_BYTES] = { 0x20, [SIGNATURE_BYTES - 1] = 0x21 };

static struct buffer out, header;

static void finish(void)
{
	buffer_fini(&out);
	buffer_fini(&header);
}

TestSuite(wire, .fini = finish);

// The payload of the one frame in `out`, after a check of its header.
static const uint8_t *payload(enum frame_type expected, size_t *n)
{
	uint8_t type = 0;
	int64_t length = wire_next(buffer_bytes(&out), buffer_length(&out), FRAME_MAX, &type);
	cr_assert_eq(length, (int64_t)buffer_length(&out), "one whole frame");
	cr_assert_eq(type, expected);
	*n = (size_t)length - FRAME_HEADER;
	return buffer_bytes(&out) + FRAME_HEADER;
}

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
	f.permit[DIGEST_BYTES - 1] = 0x31;
	for (int i = 0; i < HELLO_ADDRESSES; i++)
		f.addresses[i] = i % 2 ? six : four;
	return f;
}

Test(wire, hello_comes_back)
{
	struct frame_hello f = full_hello(), g;
	size_t n;
	wire_put_hello(&out, &f);
	cr_assert_leq(buffer_length(&out), FRAME_MAX_EARLY);
	const uint8_t *p = payload(FRAME_HELLO, &n);
	cr_assert_eq(wire_get_hello(p, n, &g), 0);
	cr_expect_eq(g.version_min, 1);
	cr_expect_eq(g.version_max, 3);
	cr_expect_eq(g.features, 0x80000001);
	cr_expect_eq(g.intent, INTENT_REPLACE);
	cr_expect_eq(g.incarnation, UINT64_MAX);
	cr_expect_eq(g.instance, 0x1122334455667788);
	cr_expect_eq(g.peers, 5);
	cr_expect_eq(g.room, ROOM_UNLIMITED);
	cr_expect(id_equal(&g.replaced, &b));
	cr_expect(id_equal(&g.offer.id, &b));
	cr_expect(address_equal(&g.offer.address, &six));
	cr_expect_arr_eq(g.permit, f.permit, DIGEST_BYTES);
	cr_expect(id_equal(&g.component.origin, &b));
	cr_expect_eq(g.component.number, 77);
	cr_expect_eq(g.component.age, 4999);
	cr_expect_str_eq(g.name, f.name);
	cr_assert_eq(g.address_count, HELLO_ADDRESSES);
	for (int i = 0; i < HELLO_ADDRESSES; i++)
		cr_expect(address_equal(&g.addresses[i], &f.addresses[i]));
}

Test(wire, smallest_hello_comes_back)
{
	struct frame_hello f = { .version_min = 1, .version_max = 1, .intent = INTENT_JOIN };
	struct frame_hello g;
	size_t n;
	wire_put_hello(&out, &f);
	const uint8_t *p = payload(FRAME_HELLO, &n);
	cr_assert_eq(wire_get_hello(p, n, &g), 0);
	cr_expect_eq(g.name[0], '\0');
	cr_expect_eq(g.address_count, 0);
	cr_expect_eq(g.offer.address.family, 0);
}

Test(wire, hello_may_go_on)
{
	struct frame_hello f = full_hello(), g;
	size_t n;
	wire_put_hello(&out, &f);
	buffer_append(&out, "more", 4);
	wire_end(&out, 0);
	const uint8_t *p = payload(FRAME_HELLO, &n);
	cr_assert_eq(wire_get_hello(p, n, &g), 0, "a feature may append to it");
	cr_expect(address_equal(&g.addresses[HELLO_ADDRESSES - 1], &six));
}

Test(wire, hello_of_other_versions_is_read_no_further)
{
	struct frame_hello g;
	const uint8_t newer[] = { 0, 2, 0, 9, 1, 2, 3, 4, 0xff, 0xff, 0xff };
	const uint8_t older[] = { 0, 0, 0, 0, 0, 0, 0, 0 };
	cr_assert_eq(wire_get_hello(newer, sizeof newer, &g), 0);
	cr_expect_eq(g.version_min, 2);
	cr_expect_eq(g.version_max, 9);
	cr_expect_eq(g.features, 0x01020304);
	cr_expect_eq(g.intent, 0);
	cr_expect_eq(wire_get_hello(newer, 8, &g), 0);
	cr_expect_eq(wire_get_hello(newer, 7, &g), -EPROTO);
	cr_assert_eq(wire_get_hello(older, sizeof older, &g), 0);
	cr_expect_eq(g.version_max, 0);
}

// Encodes what `f` has become and decodes it again.
static int rehello(const struct frame_hello *f)
{
	struct frame_hello g;
	size_t n;
	buffer_consume(&out, buffer_length(&out));
	wire_put_hello(&out, f);
	const uint8_t *p = payload(FRAME_HELLO, &n);
	return wire_get_hello(p, n, &g);
}

Test(wire, hello_is_checked)
{
	struct frame_hello f = full_hello();
	cr_expect_eq(rehello(&f), 0);
	f.version_min = 4;
	cr_expect_eq(rehello(&f), -EPROTO, "versions the wrong way round");
	f = full_hello();
	f.intent = 0;
	cr_expect_eq(rehello(&f), -EPROTO);
	f.intent = INTENT_DIRECT + 1;
	cr_expect_eq(rehello(&f), -EPROTO);
	f = full_hello();
	f.addresses[3].port = 0;
	cr_expect_eq(rehello(&f), -EPROTO, "an address without a port");
}

// Where things are in the HELLO of full_hello().
enum { HELLO_OFFER_FAMILY = 61, HELLO_NAME = 140, HELLO_COUNT = HELLO_NAME + 1 + NAME_MAX_LENGTH };

static int patched_hello(size_t at, uint8_t value, struct frame_hello *g)
{
	struct frame_hello f = full_hello();
	size_t n;
	buffer_consume(&out, buffer_length(&out));
	wire_put_hello(&out, &f);
	const uint8_t *p = payload(FRAME_HELLO, &n);
	buffer_bytes(&out)[FRAME_HEADER + at] = value;
	return wire_get_hello(p, n, g);
}

Test(wire, hello_with_too_many_addresses_is_malformed)
{
	struct frame_hello g;
	cr_expect_eq(patched_hello(HELLO_COUNT, HELLO_ADDRESSES, &g), 0);
	cr_expect_eq(patched_hello(HELLO_COUNT, HELLO_ADDRESSES + 1, &g), -EPROTO);
	cr_expect_eq(patched_hello(HELLO_COUNT, 255, &g), -EPROTO);
}

Test(wire, unknown_families_are_malformed)
{
	struct frame_hello g;
	cr_expect_eq(patched_hello(HELLO_OFFER_FAMILY, 6, &g), 0);
	for (int family = 0; family < 256; family++)
		if (family != 0 && family != 4 && family != 6)
			cr_expect_eq(patched_hello(HELLO_OFFER_FAMILY, (uint8_t)family, &g),
				-EPROTO, "%d", family);
}

Test(wire, names_with_other_letters_are_no_names)
{
	struct frame_hello g;
	for (int c = 0; c < 256; c++) {
		bool letter = c && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "0123456789",
					   c);
		bool inner = letter || c == '.' || c == '_' || c == '-';
		cr_assert_eq(patched_hello(HELLO_NAME + 1, (uint8_t)c, &g), 0);
		cr_expect_eq(g.name[0] != '\0', letter, "first %d", c);
		cr_assert_eq(patched_hello(HELLO_NAME + 5, (uint8_t)c, &g), 0);
		cr_expect_eq(g.name[0] != '\0', inner, "inner %d", c);
		cr_expect(!g.name[0] || strlen(g.name) == NAME_MAX_LENGTH);
	}
}

Test(wire, names_that_are_too_long_are_malformed)
{
	struct frame_hello g;
	uint8_t member[1 + 255 + 1] = { 0 };
	struct announce_member m;

	cr_expect_eq(patched_hello(HELLO_NAME, NAME_MAX_LENGTH + 1, &g), -EPROTO);
	memset(member + 1, 'x', 255);
	for (int n = 0; n < 256; n++) {
		member[0] = (uint8_t)n;
		member[1 + n] = 0; // no address
		int r = wire_get_member(member, (size_t)n + 2, &m);
		member[1 + n] = 'x';
		cr_expect_eq(r, n <= NAME_MAX_LENGTH ? 0 : -EPROTO, "%d", n);
		if (r == 0)
			cr_expect_eq(strlen(m.name), (size_t)n);
	}
}

Test(wire, name_validity)
{
	char longest[NAME_MAX_LENGTH + 2] = { 0 };
	static const char *const good[] = { "a", "Z", "0", "web1", "a.b-c_d", "9." };
	static const char *const bad[] = { "", ".", ".a", "-a", "_a", "a b", "a/b", "a~b", "a\n",
		"\xc3\xa4", "a%", ".." };
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		cr_expect(name_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_expect_not(name_valid(bad[i]), "%s", bad[i]);
	memset(longest, 'x', NAME_MAX_LENGTH);
	cr_expect(name_valid(longest));
	longest[NAME_MAX_LENGTH] = 'x';
	cr_expect_not(name_valid(longest));
}

Test(wire, proof_comes_back)
{
	struct frame_proof f = { .network = stamp.network }, g;
	size_t n;
	memcpy(f.proof, bytes, MEMBERSHIP_BYTES);
	f.proof[MEMBERSHIP_BYTES - 1] = 0x40;
	wire_put_proof(&out, &f);
	const uint8_t *p = payload(FRAME_PROOF, &n);
	cr_assert_eq(n, NETWORK_NAME_BYTES + MEMBERSHIP_BYTES);
	cr_assert_eq(wire_get_proof(p, n, &g), 0);
	cr_expect_arr_eq(g.network.bytes, f.network.bytes, NETWORK_NAME_BYTES);
	cr_expect_arr_eq(g.proof, f.proof, MEMBERSHIP_BYTES);
	cr_expect_eq(wire_get_proof(p, n - 1, &g), -EPROTO);
	buffer_append(&out, "x", 1);
	wire_end(&out, 0);
	p = payload(FRAME_PROOF, &n);
	cr_expect_eq(wire_get_proof(p, n, &g), -EPROTO, "unlike HELLO it does not go on");
}

Test(wire, goodbye_comes_back)
{
	struct frame_goodbye f = { GOODBYE_FULL, 3, { { a, four }, { b, six }, { a, { 0 } } } }, g;
	size_t n;
	wire_put_goodbye(&out, &f);
	const uint8_t *p = payload(FRAME_GOODBYE, &n);
	cr_assert_eq(wire_get_goodbye(p, n, &g), 0);
	cr_expect_eq(g.reason, GOODBYE_FULL);
	cr_assert_eq(g.count, 3);
	cr_expect(id_equal(&g.contacts[1].id, &b));
	cr_expect(address_equal(&g.contacts[0].address, &four));
	cr_expect(address_equal(&g.contacts[1].address, &six));
	cr_expect_eq(g.contacts[2].address.family, 0);
	buffer_bytes(&out)[FRAME_HEADER] = 200;
	cr_expect_eq(wire_get_goodbye(p, n, &g), 0, "reasons of other versions are taken");
	cr_expect_str_eq(goodbye_name(g.reason), "unknown");
}

Test(wire, goodbye_beyond_the_limit_is_malformed)
{
	struct frame_goodbye g;
	uint8_t p[2 + (HELLO_ADDRESSES + 1) * (ID_BYTES + 1)] = { GOODBYE_FULL,
		HELLO_ADDRESSES + 1 };
	cr_expect_eq(wire_get_goodbye(p, sizeof p, &g), -EPROTO);
	p[1] = HELLO_ADDRESSES;
	cr_expect_eq(wire_get_goodbye(p, sizeof p - (ID_BYTES + 1), &g), 0);
	cr_expect_eq(g.count, HELLO_ADDRESSES);
}

Test(wire, every_reason_has_its_name)
{
	cr_expect_str_eq(goodbye_name(GOODBYE_SHUTDOWN), "shutdown");
	cr_expect_str_eq(goodbye_name(GOODBYE_CLASH), "duplicate-id");
	cr_expect_str_eq(goodbye_name(17), "bad-signature");
	cr_expect_str_eq(goodbye_name(18), "network-key");
	cr_expect_str_eq(goodbye_name(19), "denied");
	cr_expect_str_eq(goodbye_name(20), "tls");
	cr_expect_str_eq(goodbye_name(21), "flood");
	for (unsigned i = 1; i <= 21; i++)
		cr_expect_str_neq(goodbye_name(i), "unknown");
	cr_expect_str_eq(goodbye_name(0), "unknown");
	cr_expect_str_eq(goodbye_name(22), "unknown");
}

Test(wire, reasons_that_refuse_a_pair)
{
	for (unsigned i = 0; i < 256; i++) {
		bool refuses = i == GOODBYE_VERSION || i == GOODBYE_CLASH ||
			       i == GOODBYE_MEMBERSHIP || i == GOODBYE_DENIED;
		cr_expect_eq(goodbye_refuses(i), refuses, "%u", i);
	}
}

Test(wire, ping_and_pong_come_back)
{
	uint64_t token;
	size_t n;
	wire_put_ping(&out, FRAME_PING, 0x0123456789abcdef);
	const uint8_t *p = payload(FRAME_PING, &n);
	cr_assert_eq(wire_get_ping(p, n, &token), 0);
	cr_expect_eq(token, 0x0123456789abcdef);
	buffer_consume(&out, buffer_length(&out));
	wire_put_ping(&out, FRAME_PONG, 1);
	p = payload(FRAME_PONG, &n);
	cr_assert_eq(wire_get_ping(p, n, &token), 0);
	cr_expect_eq(token, 1);
}

Test(wire, accept_is_empty)
{
	size_t n;
	wire_put_accept(&out);
	payload(FRAME_ACCEPT, &n);
	cr_expect_eq(n, 0);
}

Test(wire, peers_come_back)
{
	struct frame_peers f = { true, PEERS_ADDRESSES }, g;
	size_t n;
	for (int i = 0; i < PEERS_ADDRESSES; i++)
		f.contacts[i] = (struct contact){ i % 3 ? a : b, i % 2 ? four : six };
	wire_put_peers(&out, &f);
	const uint8_t *p = payload(FRAME_PEERS, &n);
	cr_assert_eq(wire_get_peers(p, n, &g), 0);
	cr_assert_eq(g.count, PEERS_ADDRESSES);
	cr_expect(g.ask);
	for (int i = 0; i < PEERS_ADDRESSES; i++) {
		cr_expect(id_equal(&g.contacts[i].id, &f.contacts[i].id));
		cr_expect(address_equal(&g.contacts[i].address, &f.contacts[i].address));
	}
}

Test(wire, peers_beyond_the_limit_are_malformed)
{
	struct frame_peers g;
	uint8_t p[2 + (PEERS_ADDRESSES + 1) * (ID_BYTES + 1)] = { 0, PEERS_ADDRESSES + 1 };
	cr_expect_eq(wire_get_peers(p, sizeof p, &g), -EPROTO);
	p[1] = PEERS_ADDRESSES;
	cr_expect_eq(wire_get_peers(p, sizeof p - (ID_BYTES + 1), &g), 0);
}

Test(wire, rewire_comes_back)
{
	struct frame_rewire f = { { a, four }, b, .leave = true }, g;
	size_t n;
	memset(f.permit, 0x50, sizeof f.permit);
	f.permit[0] = 0x51;
	wire_put_rewire(&out, &f);
	const uint8_t *p = payload(FRAME_REWIRE, &n);
	cr_assert_eq(wire_get_rewire(p, n, &g), 0);
	cr_expect(id_equal(&g.target.id, &a));
	cr_expect(address_equal(&g.target.address, &four));
	cr_expect(id_equal(&g.replaced, &b));
	cr_expect_arr_eq(g.permit, f.permit, DIGEST_BYTES);
	cr_expect(g.leave);
	buffer_bytes(&out)[FRAME_HEADER + n - 1] = 0;
	cr_expect_eq(wire_get_rewire(p, n, &g), 0);
	cr_expect_not(g.leave);
	buffer_bytes(&out)[FRAME_HEADER + n - 1] = 2;
	cr_expect_eq(wire_get_rewire(p, n, &g), -EPROTO, "a flag is 0 or 1");
}

Test(wire, largest_frontier_comes_back)
{
	static struct frame_position entries[FRONTIER_ENTRIES];
	struct frame_frontier g;
	size_t n;
	for (uint16_t i = 0; i < FRONTIER_ENTRIES; i++)
		entries[i] = (struct frame_position){ { b, i }, i + 1u };
	put_frontier(true, entries, FRONTIER_ENTRIES);
	const uint8_t *p = payload(FRAME_FRONTIER, &n);
	cr_assert_eq(wire_get_frontier(p, n, &g), 0);
	cr_expect(g.last);
	cr_assert_eq(g.count, FRONTIER_ENTRIES);
	for (uint16_t i = 0; i < FRONTIER_ENTRIES; i++) {
		struct frame_position e = wire_frontier_entry(&g, i);
		cr_expect(id_equal(&e.source.id, &b));
		cr_expect_eq(e.source.incarnation, i);
		cr_expect_eq(e.next, i + 1u);
	}
}

Test(wire, frontier_is_checked)
{
	static const uint8_t many[3 + (FRONTIER_ENTRIES + 1) * FRONTIER_ENTRY] = { 0,
		(FRONTIER_ENTRIES + 1) >> 8, (FRONTIER_ENTRIES + 1) & 0xff };
	struct frame_position entries[2] = { { source, 1 }, { source, 0 } };
	struct frame_frontier g;
	size_t n;
	cr_expect_eq(wire_get_frontier(many, sizeof many, &g), -EPROTO);
	put_frontier(false, entries, 2);
	const uint8_t *p = payload(FRAME_FRONTIER, &n);
	cr_expect_eq(wire_get_frontier(p, n, &g), -EPROTO, "sequence numbers begin at 1");
	buffer_bytes(&out)[FRAME_HEADER + n - 1] = 1;
	cr_expect_eq(wire_get_frontier(p, n, &g), 0);
	cr_expect_not(g.last);
	buffer_bytes(&out)[FRAME_HEADER] = 2;
	cr_expect_eq(wire_get_frontier(p, n, &g), -EPROTO, "a flag is 0 or 1");
}

Test(wire, pull_comes_back)
{
	struct frame_position f = { source, UINT64_MAX }, g;
	size_t n;
	wire_put_pull(&out, &f);
	const uint8_t *p = payload(FRAME_PULL, &n);
	cr_assert_eq(wire_get_pull(p, n, &g), 0);
	cr_expect(id_equal(&g.source.id, &source.id));
	cr_expect_eq(g.source.incarnation, source.incarnation);
	cr_expect_eq(g.next, UINT64_MAX);
	memset(buffer_bytes(&out) + FRAME_HEADER + n - 8, 0, 8);
	cr_expect_eq(wire_get_pull(p, n, &g), -EPROTO, "sequence numbers begin at 1");
}

Test(wire, prune_comes_back)
{
	struct frame_prune f = { source, PRUNE_STOPPED }, g;
	size_t n;
	wire_put_prune(&out, &f);
	const uint8_t *p = payload(FRAME_PRUNE, &n);
	cr_assert_eq(wire_get_prune(p, n, &g), 0);
	cr_expect(id_equal(&g.source.id, &source.id));
	cr_expect_eq(g.source.incarnation, source.incarnation);
	cr_expect_eq(g.kind, PRUNE_STOPPED);
	for (int kind = 0; kind < 256; kind++) {
		buffer_bytes(&out)[FRAME_HEADER + n - 1] = (uint8_t)kind;
		bool known = kind >= PRUNE_STOP && kind <= PRUNE_STOPPED;
		cr_expect_eq(wire_get_prune(p, n, &g), known ? 0 : -EPROTO, "kind %d", kind);
	}
	cr_expect_eq(wire_get_prune(p, n - 1, &g), -EPROTO);
}

Test(wire, digest_comes_back)
{
	struct frame_digest g;
	size_t n;
	size_t at = wire_begin_digest(&out, 2);
	wire_put_digest_entry(&out, &(struct digest_entry){ { source, UINT64_MAX }, 0 });
	wire_put_digest_entry(&out, &(struct digest_entry){ { source, 1 }, UINT16_MAX });
	wire_end(&out, at);
	const uint8_t *p = payload(FRAME_DIGEST, &n);
	cr_assert_eq(wire_get_digest(p, n, &g), 0);
	cr_assert_eq(g.count, 2);
	struct digest_entry first = wire_digest_entry(&g, 0), second = wire_digest_entry(&g, 1);
	cr_expect(id_equal(&first.position.source.id, &source.id));
	cr_expect_eq(first.position.next, UINT64_MAX);
	cr_expect_eq(first.age, 0);
	cr_expect_eq(second.position.next, 1);
	cr_expect_eq(second.age, UINT16_MAX);
	cr_expect_eq(wire_get_digest(p, n - 1, &g), -EPROTO);
	memset(buffer_bytes(&out) + FRAME_HEADER + n - 10, 0, 8);
	cr_expect_eq(wire_get_digest(p, n, &g), -EPROTO, "sequence numbers begin at 1");
	const uint8_t none[2] = { 0 }, many[2] = { 2, 1 };
	cr_expect_eq(wire_get_digest(none, 2, &g), -EPROTO, "of nothing");
	cr_expect_eq(wire_get_digest(many, 2, &g), -EPROTO);
}

Test(wire, stall_comes_back)
{
	size_t n;
	struct frame_stall f = { source, STALL_DEPTH_MAX + 1 }, g;
	wire_put_stall(&out, &f);
	const uint8_t *p = payload(FRAME_STALL, &n);
	cr_assert_eq(wire_get_stall(p, n, &g), 0);
	cr_expect_eq(memcmp(&g.source, &source, sizeof source), 0);
	cr_expect_eq(g.depth, f.depth);
	cr_expect_eq(wire_get_stall(p, n - 1, &g), -EPROTO);
	buffer_bytes(&out)[FRAME_HEADER + 24]++;
	cr_expect_eq(wire_get_stall(p, n, &g), -EPROTO, "deeper than a circle");
}

Test(wire, tree_comes_back)
{
	size_t n;
	bool eager = false;
	wire_put_tree(&out, true);
	const uint8_t *p = payload(FRAME_TREE, &n);
	cr_assert_eq(wire_get_tree(p, n, &eager), 0);
	cr_expect(eager);
	buffer_bytes(&out)[FRAME_HEADER] = 2;
	cr_expect_eq(wire_get_tree(p, n, &eager), -EPROTO, "a flag is 0 or 1");
}

Test(wire, chunks_of_a_batch)
{
	cr_expect_eq(batch_chunks(0), 0);
	cr_expect_eq(batch_chunks(1), 1);
	cr_expect_eq(batch_chunks(16384), 1);
	cr_expect_eq(batch_chunks(16385), 2);
	cr_expect_eq(batch_chunks(65536), 4);
	cr_expect_eq(batch_chunks(1044480), 64);
	cr_expect_eq(batch_chunks(UINT32_MAX), 262144, "no sum wraps");
}

static void expect_stamp(const struct stamp *got)
{
	cr_expect_arr_eq(got->network.bytes, stamp.network.bytes, NETWORK_NAME_BYTES);
	cr_expect_arr_eq(got->key.bytes, stamp.key.bytes, PUBLIC_KEY_BYTES);
	cr_expect_eq(got->incarnation, stamp.incarnation);
}

#define TOPIC 0xf1e2d3c4b5a69788

// A signed header in `header`.
static void seal_batch(uint64_t first, uint32_t sum, uint16_t count, const uint32_t *lengths)
{
	// Of what is too long, the decoder must not come to the hashes.
	static uint8_t more[65 * DIGEST_BYTES];
	buffer_consume(&header, buffer_length(&header));
	memcpy(more, hashes, sizeof hashes);
	struct frame_batch f = { .stamp = stamp,
		.first = first,
		.topic = TOPIC,
		.bytes = sum,
		.count = count,
		.hashes = more };
	wire_put_batch(&header, &f, lengths);
	buffer_append(&header, signature, sizeof signature);
}

static void expect_batch(const struct frame_batch *g, const uint8_t *p, size_t n, uint64_t first,
	uint32_t sum, uint16_t count, const uint32_t *lengths)
{
	expect_stamp(&g->stamp);
	cr_expect_eq(g->first, first);
	cr_expect_eq(g->topic, TOPIC);
	cr_expect_eq(g->bytes, sum);
	cr_assert_eq(g->count, count);
	for (uint16_t i = 0; i < count; i++)
		cr_expect_eq(wire_batch_length(g, i), lengths[i]);
	cr_expect_eq(memcmp(g->hashes, hashes, (size_t)batch_chunks(sum) * DIGEST_BYTES), 0);
	cr_expect_eq(g->sealed.bytes, p, "from the first byte on it is signed");
	cr_expect_eq(g->sealed.n, n - SIGNATURE_BYTES, "and all but the signature is");
	cr_expect_arr_eq(g->sealed.bytes + g->sealed.n, signature, SIGNATURE_BYTES);
}

static int rebatch(uint64_t first, uint32_t sum, uint16_t count, const uint32_t *lengths)
{
	struct frame_batch g;
	size_t n;
	seal_batch(first, sum, count, lengths);
	buffer_consume(&out, buffer_length(&out));
	wire_put_sealed(&out, FRAME_BATCH, buffer_bytes(&header), buffer_length(&header));
	const uint8_t *p = payload(FRAME_BATCH, &n);
	int r = wire_get_batch(p, n, &g);
	if (r < 0)
		return r;
	cr_expect_eq(n, batch_header_bytes(count, sum));
	expect_batch(&g, p, n, first, sum, count, lengths);
	return 0;
}

Test(wire, batch_comes_back)
{
	static uint32_t ones[BATCH_COUNT + 1];
	for (int i = 0; i <= BATCH_COUNT; i++)
		ones[i] = 1;
	cr_expect_eq(rebatch(1, 6, 3, (uint32_t[]){ 1, 2, 3 }), 0);
	cr_expect_eq(rebatch(1, MESSAGE_MAX, 1, (uint32_t[]){ MESSAGE_MAX }), 0);
	cr_expect_eq(
		rebatch(1, BATCH_BYTES, 2, (uint32_t[]){ BATCH_BYTES - MESSAGE_MAX, MESSAGE_MAX }),
		0);
	cr_expect_eq(rebatch(1, BATCH_COUNT, BATCH_COUNT, ones), 0);
	cr_expect_eq(rebatch(UINT64_MAX - 1, 1, 1, ones), 0);
	cr_expect_eq(rebatch(1, CHUNK_BYTES, 1, (uint32_t[]){ CHUNK_BYTES }), 0);
	cr_expect_eq(rebatch(1, CHUNK_BYTES + 1, 1, (uint32_t[]){ CHUNK_BYTES + 1 }), 0);
}

Test(wire, batch_has_a_hash_for_each_chunk_and_a_whole_signature)
{
	static const uint32_t sums[] = { 1, CHUNK_BYTES, CHUNK_BYTES + 1, MESSAGE_MAX };
	struct frame_batch g;

	for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++) {
		seal_batch(1, sums[i], 1, &sums[i]);
		const uint8_t *p = buffer_bytes(&header);
		size_t n = buffer_length(&header);
		cr_expect_eq(wire_get_batch(p, n, &g), 0);
		cr_expect_eq(wire_get_batch(p, n - 1, &g), -EPROTO, "a short signature");
		cr_expect_eq(wire_get_batch(p, n - SIGNATURE_BYTES, &g), -EPROTO, "none");
		cr_expect_eq(wire_get_batch(p, n - DIGEST_BYTES, &g), -EPROTO, "a hash less");
		buffer_append(&header, hashes, DIGEST_BYTES);
		cr_expect_eq(wire_get_batch(buffer_bytes(&header), n + DIGEST_BYTES, &g), -EPROTO,
			"a hash more");
	}
}

static int retrimmed(uint64_t next)
{
	struct frame_trimmed g;
	size_t n;
	buffer_consume(&out, buffer_length(&out));
	wire_put_trimmed(&out, next, buffer_bytes(&header), buffer_length(&header));
	const uint8_t *p = payload(FRAME_TRIMMED, &n);
	int r = wire_get_trimmed(p, n, &g);
	if (r < 0)
		return r;
	cr_expect_eq(g.next, next);
	expect_batch(&g.shown, p + 8, n - 8, 7, 6, 3, (uint32_t[]){ 1, 2, 3 });
	return 0;
}

Test(wire, trimmed_says_no_more_than_its_header_shows)
{
	seal_batch(7, 6, 3, (uint32_t[]){ 1, 2, 3 });
	cr_expect_eq(retrimmed(0), -EPROTO, "sequence numbers begin at 1");
	cr_expect_eq(retrimmed(1), 0);
	cr_expect_eq(retrimmed(7), 0);
	cr_expect_eq(retrimmed(10), 0, "what comes after the batch");
	cr_expect_eq(retrimmed(11), -EPROTO, "nothing shows that there is a tenth message");
	cr_expect_eq(retrimmed(UINT64_MAX), -EPROTO);
}

Test(wire, trimmed_at_the_end_of_all_numbers)
{
	struct frame_trimmed g;
	size_t n;
	seal_batch(UINT64_MAX - 1, 1, 1, (uint32_t[]){ 1 });
	wire_put_trimmed(&out, UINT64_MAX, buffer_bytes(&header), buffer_length(&header));
	const uint8_t *p = payload(FRAME_TRIMMED, &n);
	cr_expect_eq(wire_get_trimmed(p, n, &g), 0);
	cr_expect_eq(g.next, UINT64_MAX);
}

Test(wire, trimmed_needs_a_whole_header)
{
	struct frame_trimmed g;
	size_t n;
	seal_batch(7, 6, 3, (uint32_t[]){ 1, 2, 3 });
	wire_put_trimmed(&out, 9, buffer_bytes(&header), buffer_length(&header));
	const uint8_t *p = payload(FRAME_TRIMMED, &n);
	for (size_t i = 0; i < n; i++)
		cr_expect_eq(wire_get_trimmed(p, i, &g), -EPROTO, "%zu bytes", i);
	buffer_append(&out, "x", 1);
	wire_end(&out, 0);
	p = payload(FRAME_TRIMMED, &n);
	cr_expect_eq(wire_get_trimmed(p, n, &g), -EPROTO);
	seal_batch(7, 6, 2, (uint32_t[]){ 1, 2 });
	cr_expect_eq(retrimmed(8), -EPROTO, "the header is checked like any other");
}

Test(wire, largest_header_fits_a_frame_with_room_to_spare)
{
	static uint32_t lengths[BATCH_COUNT];
	for (int i = 0; i < BATCH_COUNT; i++)
		lengths[i] = BATCH_BYTES / BATCH_COUNT;
	cr_expect_eq(rebatch(1, BATCH_BYTES, BATCH_COUNT, lengths), 0);
	wire_put_trimmed(&out, 1, buffer_bytes(&header), buffer_length(&header));
	cr_expect_leq(buffer_length(&header) + 8 + FRAME_HEADER, FRAME_MAX);
}

Test(wire, batch_is_checked)
{
	static uint32_t ones[BATCH_COUNT + 1];
	for (int i = 0; i <= BATCH_COUNT; i++)
		ones[i] = 1;
	cr_expect_eq(rebatch(1, 0, 0, NULL), -EPROTO, "empty");
	cr_expect_eq(rebatch(1, 0, 1, (uint32_t[]){ 0 }), -EPROTO, "an empty message");
	cr_expect_eq(rebatch(1, 2, 3, (uint32_t[]){ 1, 0, 1 }), -EPROTO, "an empty message");
	cr_expect_eq(rebatch(1, 5, 3, (uint32_t[]){ 1, 2, 3 }), -EPROTO, "wrong sum");
	cr_expect_eq(rebatch(1, 7, 3, (uint32_t[]){ 1, 2, 3 }), -EPROTO, "wrong sum");
	cr_expect_eq(rebatch(1, 1, 2, (uint32_t[]){ UINT32_MAX, 2 }), -EPROTO, "sum that wraps");
	cr_expect_eq(rebatch(0, 1, 1, ones), -EPROTO, "sequence numbers begin at 1");
	cr_expect_eq(rebatch(UINT64_MAX, 1, 1, ones), -EPROTO, "and end before they wrap");
	cr_expect_eq(rebatch(1, BATCH_COUNT + 1, BATCH_COUNT + 1, ones), -EPROTO);
	cr_expect_eq(rebatch(1, MESSAGE_MAX + 1, 1, (uint32_t[]){ MESSAGE_MAX + 1 }), -EPROTO);
	cr_expect_eq(rebatch(1, MESSAGE_MAX + 2, 2, (uint32_t[]){ 1, MESSAGE_MAX + 1 }), -EPROTO);
	cr_expect_eq(rebatch(1, BATCH_BYTES + 1, 2,
			     (uint32_t[]){ BATCH_BYTES - MESSAGE_MAX + 1, MESSAGE_MAX }),
		-EPROTO);
}

Test(wire, chunk_comes_back)
{
	struct frame_chunk g;
	size_t n;
	wire_put_chunk(&out, &source, bytes, CHUNK_BYTES);
	const uint8_t *p = payload(FRAME_CHUNK, &n);
	cr_assert_eq(wire_get_chunk(p, n, &g), 0);
	cr_expect(id_equal(&g.source.id, &source.id));
	cr_assert_eq(g.bytes, CHUNK_BYTES);
	cr_expect_arr_eq(g.data, bytes, CHUNK_BYTES);
	buffer_append(&out, "x", 1);
	wire_end(&out, 0);
	p = payload(FRAME_CHUNK, &n);
	cr_expect_eq(wire_get_chunk(p, n, &g), -EPROTO, "larger than a chunk");
	cr_expect_eq(wire_get_chunk(p, ID_BYTES + 8, &g), -EPROTO, "empty");
}

Test(wire, credit_comes_back)
{
	struct frame_credit f = { source, UINT32_MAX }, g;
	size_t n;
	wire_put_credit(&out, &f);
	const uint8_t *p = payload(FRAME_CREDIT, &n);
	cr_assert_eq(wire_get_credit(p, n, &g), 0);
	cr_expect_eq(g.bytes, UINT32_MAX);
	memset(buffer_bytes(&out) + FRAME_HEADER + n - 4, 0, 4);
	cr_expect_eq(wire_get_credit(p, n, &g), -EPROTO, "of nothing");
}

Test(wire, stream_comes_back)
{
	struct frame_stream g;
	struct frame_stream_credit c;
	size_t n;
	wire_put_stream(&out, PIPES_MAX + 1, bytes, 1);
	const uint8_t *none = payload(FRAME_STREAM, &n);
	cr_expect_eq(wire_get_stream(none, n, &g), -EPROTO, "no channel");
	buffer_consume(&out, buffer_length(&out));
	wire_put_stream(&out, PIPES_MAX, bytes, CHUNK_BYTES);
	const uint8_t *p = payload(FRAME_STREAM, &n);
	cr_assert_eq(wire_get_stream(p, n, &g), 0);
	cr_expect_eq(g.channel, PIPES_MAX);
	cr_assert_eq(g.bytes, CHUNK_BYTES);
	cr_expect_arr_eq(g.data, bytes, CHUNK_BYTES);
	cr_expect_eq(wire_get_stream(p, 2, &g), -EPROTO, "empty");
	buffer_append(&out, "x", 1);
	wire_end(&out, 0);
	p = payload(FRAME_STREAM, &n);
	cr_expect_eq(wire_get_stream(p, n, &g), -EPROTO, "larger than a chunk");
	buffer_consume(&out, buffer_length(&out));
	wire_put_stream_credit(&out, 7, UINT64_MAX - 1);
	p = payload(FRAME_STREAM_CREDIT, &n);
	cr_assert_eq(wire_get_stream_credit(p, n, &c), 0);
	cr_expect_eq(c.channel, 7);
	cr_expect_eq(c.offset, UINT64_MAX - 1);
}

static void seal_announce(const struct frame_announce *f)
{
	buffer_consume(&header, buffer_length(&header));
	wire_put_announce(&header, f);
	buffer_append(&header, signature, sizeof signature);
}

static int reannounce(const struct frame_announce *f)
{
	struct frame_announce g;
	size_t n;
	seal_announce(f);
	buffer_consume(&out, buffer_length(&out));
	wire_put_sealed(&out, FRAME_ANNOUNCE, buffer_bytes(&header), buffer_length(&header));
	const uint8_t *p = payload(FRAME_ANNOUNCE, &n);
	int r = wire_get_announce(p, n, &g);
	if (r < 0)
		return r;
	expect_stamp(&g.stamp);
	cr_expect_eq(g.counter, f->counter);
	cr_expect_eq(g.type, f->type);
	cr_assert_eq(g.bytes, f->bytes);
	cr_expect(g.bytes == 0 || memcmp(g.payload, f->payload, g.bytes) == 0);
	cr_expect_eq(g.sealed.bytes, p, "from the first byte on it is signed");
	cr_expect_eq(g.sealed.n, n - SIGNATURE_BYTES, "and all but the signature is");
	cr_expect_arr_eq(g.sealed.bytes + g.sealed.n, signature, SIGNATURE_BYTES);
	return 0;
}

Test(wire, announce_comes_back)
{
	struct frame_announce f = { .stamp = stamp,
		.counter = UINT64_MAX,
		.type = 255,
		.bytes = ANNOUNCE_PAYLOAD,
		.payload = bytes };
	cr_expect_eq(ANNOUNCE_PAYLOAD, 512);
	cr_assert_eq(reannounce(&f), 0, "of a type to come");
	f.bytes = ANNOUNCE_PAYLOAD + 1;
	cr_expect_eq(reannounce(&f), -EPROTO);
	f.bytes = CHUNK_BYTES;
	cr_expect_eq(reannounce(&f), -EPROTO);
	f.bytes = 0;
	f.type = ANNOUNCE_LEAVE;
	cr_expect_eq(reannounce(&f), 0);
	f.bytes = 1;
	f.type = 0;
	cr_expect_eq(reannounce(&f), -EPROTO, "no type");
}

Test(wire, announce_has_a_whole_signature)
{
	struct frame_announce f = { .stamp = stamp, .counter = 1, .type = ANNOUNCE_LEAVE }, g;

	static const uint16_t lengths[] = { 0, 1, ANNOUNCE_PAYLOAD };
	f.payload = bytes;
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		f.bytes = lengths[i];
		seal_announce(&f);
		size_t n = buffer_length(&header);
		for (size_t cut = 0; cut < n; cut++)
			cr_expect_eq(wire_get_announce(buffer_bytes(&header), cut, &g), -EPROTO);
		buffer_append(&header, "x", 1);
		cr_expect_eq(wire_get_announce(buffer_bytes(&header), n + 1, &g), -EPROTO);
	}
}

Test(wire, announced_payloads_come_back)
{
	struct announce_member m = { "web1", six }, g;
	uint64_t number;
	struct id id;
	wire_put_member(&out, &m);
	cr_assert_eq(wire_get_member(buffer_bytes(&out), buffer_length(&out), &g), 0);
	cr_expect_str_eq(g.name, "web1");
	cr_expect(address_equal(&g.address, &six));
	buffer_consume(&out, buffer_length(&out));
	wire_put_beacon(&out, 9);
	cr_assert_eq(wire_get_beacon(buffer_bytes(&out), buffer_length(&out), &number), 0);
	cr_expect_eq(number, 9);
	cr_assert_eq(wire_get_id(b.bytes, ID_BYTES, &id), 0);
	cr_expect(id_equal(&id, &b));
	cr_expect_eq(wire_get_id(b.bytes, ID_BYTES - 1, &id), -EPROTO);
}

static int member_of(const void *more, size_t n, struct announce_member *g)
{
	buffer_consume(&out, buffer_length(&out));
	wire_put_member(&out, &(struct announce_member){ "web1", six });
	buffer_append(&out, more, n);
	return wire_get_member(buffer_bytes(&out), buffer_length(&out), g);
}

Test(wire, topics_of_a_member)
{
	struct announce_member m = { "web1", six, "ops,build,x" }, g;

	wire_put_member(&out, &m);
	cr_assert_eq(wire_get_member(buffer_bytes(&out), buffer_length(&out), &g), 0);
	cr_expect_str_eq(g.topics, m.topics);
	cr_expect_eq(member_of("", 0, &g), 0);
	cr_expect_str_eq(g.topics, "");
	cr_expect_eq(member_of("\1\3ops", 5, &g), 0);
	cr_expect_str_eq(g.topics, "ops");
	cr_expect_eq(member_of("\3\3ops\3a,b\2xy", 12, &g), 0);
	cr_expect_str_eq(g.topics, "ops,xy", "what is no name is left out");
	cr_expect_eq(member_of("\1\0", 2, &g), 0);
	cr_expect_str_eq(g.topics, "");
	cr_expect_eq(member_of("\0", 1, &g), -EPROTO, "none are not said");
	cr_expect_eq(member_of("\1", 1, &g), -EPROTO);
	cr_expect_eq(member_of("\1\3op", 4, &g), -EPROTO);
	cr_expect_eq(member_of("\1\3opsx", 6, &g), -EPROTO);
	cr_expect_eq(member_of("\2\3ops", 5, &g), -EPROTO);
}

// As many and as long as an announcement holds, and no more.
Test(wire, bounds_on_topics_of_a_member)
{
	struct announce_member m = { .address = six }, g;
	uint8_t many[1 + 2 * (TOPICS_MAX + 1)], text[2 + TOPICS_TEXT + 8];

	for (int count = TOPICS_MAX - 1; count <= TOPICS_MAX + 1; count++) {
		many[0] = (uint8_t)count;
		for (int i = 0; i < count; i++)
			memcpy(many + 1 + (size_t)i * 2, "\1x", 2);
		cr_expect_eq(member_of(many, 1 + (size_t)count * 2, &g),
			count <= TOPICS_MAX ? 0 : -EPROTO);
	}
	memset(m.name, 'n', NAME_MAX_LENGTH);
	memset(m.topics, 'x', TOPICS_TEXT);
	for (size_t i = NAME_MAX_LENGTH; i < TOPICS_TEXT; i += NAME_MAX_LENGTH + 1)
		m.topics[i] = ',';
	buffer_consume(&out, buffer_length(&out));
	wire_put_member(&out, &m);
	cr_expect_eq(buffer_length(&out), ANNOUNCE_PAYLOAD);
	cr_expect_eq(wire_get_member(buffer_bytes(&out), buffer_length(&out), &g), 0);
	cr_expect_str_eq(g.topics, m.topics);
	// A short name leaves room for more, which is malformed all the same.
	text[0] = 7;
	size_t n = 1;
	for (int i = 0; i < 7; i++, n += 1 + text[n]) {
		text[n] = i < 6 ? NAME_MAX_LENGTH : (uint8_t)(TOPICS_TEXT - 6 * 64 + 1);
		memset(text + n + 1, 'x', text[n]);
	}
	cr_expect_eq(member_of(text, n, &g), -EPROTO);
}

Test(wire, next_frame)
{
	uint8_t type = 0;
	const uint8_t frame[] = { 0, 0, 0, 3, 42, 1, 2, 0, 0 };
	for (size_t n = 0; n < 7; n++)
		cr_expect_eq(wire_next(frame, n, FRAME_MAX, &type), 0, "%zu bytes", n);
	cr_expect_eq(type, 0, "not told before it is whole");
	cr_expect_eq(wire_next(frame, 7, FRAME_MAX, &type), 7);
	cr_expect_eq(type, 42);
	cr_expect_eq(wire_next(frame, 9, FRAME_MAX, &type), 7);
	cr_expect_eq(wire_next(frame, 9, 3, &type), 7);
	cr_expect_eq(wire_next(frame, 9, 2, &type), -EPROTO);
	cr_expect_eq(wire_next(frame, 4, 2, &type), -EPROTO, "as soon as its length is known");
	const uint8_t empty[] = { 0, 0, 0, 0, 1 }, huge[] = { 0xff, 0xff, 0xff, 0xff, 1 };
	cr_expect_eq(wire_next(empty, 5, FRAME_MAX, &type), -EPROTO);
	cr_expect_eq(wire_next(huge, 5, FRAME_MAX, &type), -EPROTO);
}

Test(wire, frames_stay_whole_behind_others_and_when_the_buffer_moves)
{
	uint8_t type;
	size_t count = 0;
	for (int i = 0; i < 1000; i++) {
		wire_put_ping(&out, FRAME_PING, (uint64_t)i);
		wire_put_chunk(&out, &source, bytes, (size_t)i + 1);
		if (i % 7 == 0)
			put_frontier(true, NULL, 0);
	}
	while (buffer_length(&out)) {
		int64_t n = wire_next(buffer_bytes(&out), buffer_length(&out), FRAME_MAX, &type);
		cr_assert_gt(n, 0);
		buffer_consume(&out, (size_t)n);
		count++;
	}
	cr_expect_eq(count, 2000 + 143);
}

Test(wire, a_failed_buffer_stays_so)
{
	struct frame_hello f = full_hello();
	out.failed = true;
	wire_put_hello(&out, &f);
	wire_put_ping(&out, FRAME_PING, 1);
	put_frontier(true, NULL, 0);
	cr_expect(buffer_failed(&out));
	cr_expect_eq(buffer_length(&out), 0);
}
