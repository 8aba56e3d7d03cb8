// SPDX-License-Identifier: MIT
// Members that hold the key and lie, forge, replay or flood: they are closed or bounded, and
// nobody else is affected.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"
#include "tests/unit/forge.h"

// Node 1 is behind node 0, where the forger links.
static struct forger start(struct world *w, uint64_t seed)
{
	world_init(w, seed);
	world_start(w, 0);
	world_start(w, 1);
	world_seed(w, 1, 0);
	world_run(w, 3 * SECOND);
	cr_assert(world_linked(w, 0, 1));
	struct forger f = forge_link(w, 0, 1, NULL, 0);
	cr_assert_eq(world_peers(w, 0), 2);
	return f;
}

static unsigned sources(const struct world *w, int i)
{
	return HASH_COUNT(w->nodes[i].node->broadcast.sources);
}

static const struct node_counters *counters(const struct world *w, int i)
{
	return node_counters(w->nodes[i].node);
}

// The two honest ones talk to each other as if nothing had been.
static void check_unaffected(struct world *w)
{
	uint32_t before[] = { w->nodes[0].read[1], w->nodes[1].read[0] };
	cr_expect(world_linked(w, 0, 1));
	cr_expect(world_publish(w, 0, 100) && world_publish(w, 1, 100));
	world_run(w, SECOND);
	cr_expect_eq(w->nodes[0].read[1], before[0] + 1);
	cr_expect_eq(w->nodes[1].read[0], before[1] + 1);
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(world_events(w, i, "gap"), 0);
		cr_expect_eq(world_events(w, i, "stop"), 0);
		cr_expect_eq(w->nodes[i].disorder, 0);
	}
}

// Closed, with one event and one count, and the node behind has seen nothing of it.
static void check_forged(struct world *w, struct forger *f, const char *what)
{
	unsigned before = sources(w, 1);
	world_run(w, SECOND);
	cr_expect(world_closed(f->stranger), "%s: closed", what);
	cr_expect_eq(world_events_with(w, 0, "remove", "reason=bad-signature"), 1, "%s", what);
	cr_expect_eq(counters(w, 0)->signatures_bad, 1, "%s", what);
	cr_expect_eq(counters(w, 1)->signatures_bad, 0, "%s: relayed", what);
	cr_expect_eq(world_events(w, 1, "remove"), 0, "%s", what);
	cr_expect_eq(sources(w, 1), before, "%s: relayed", what);
	cr_expect_eq(forge_read(w, 0) + forge_read(w, 1), 0, "%s: read", what);
	cr_expect_eq(node_member_count(w->nodes[1].node), 2, "%s", what);
	check_unaffected(w);
}

Test(insider, bad_signatures)
{
	static const char *const what[] = { "batch", "announcement", "trimmed", "stolen key",
		"stolen lease" };
	for (int i = 0; i < 5; i++) {
		struct world w;
		struct forger f = start(&w, 1);
		struct author author = forge_author(&w, 2, 1);
		struct author stolen = { w.nodes[1].identity, author.network, 9 };
		if (i == 0)
			forge_batch(&f, &author, 1, 1, 100);
		else if (i == 1)
			forge_lease(&f, &author, 1, 4000);
		else if (i == 2)
			forge_trimmed(&f, &author, 5);
		else if (i == 3)
			forge_batch(&f, &stolen, 1, 1, 100);
		else
			forge_lease(&f, &stolen, 1, 4000);
		// What is signed with another key is as good as what is damaged.
		forge_damage(&f);
		if (i == 0)
			forge_chunk(&f, &author, 1, 100, 0, 100);
		forge_say(&f);
		check_forged(&w, &f, what[i]);
		cr_expect_eq(world_events(&w, 1, "clash"), 0);
		cr_expect_eq(w.nodes[1].keeps, 0, "%s: taken for a double", what[i]);
		world_fini(&w);
	}
}

Test(insider, data_that_is_not_what_was_signed)
{
	for (int i = 0; i < 2; i++) {
		struct world w;
		struct forger f = start(&w, 2);
		struct author author = forge_author(&w, 2, 1);
		uint32_t size = i ? 3 * CHUNK_BYTES : 100;
		uint32_t last = i ? 2 * CHUNK_BYTES : 0;
		forge_batch(&f, &author, 1, 1, size);
		for (uint32_t at = 0; at < last; at += CHUNK_BYTES)
			forge_chunk(&f, &author, 1, size, at, CHUNK_BYTES);
		forge_chunk(&f, &author, 1, size, last, size - last);
		forge_damage(&f);
		forge_say(&f);
		world_run(&w, SECOND);
		// What was right of it may be gone on with.
		cr_expect_eq(w.nodes[0].node->broadcast.partial_bytes, i ? size : 0);
		world_run(&w, SECOND);
		cr_expect(world_closed(f.stranger));
		cr_expect_eq(world_events_with(&w, 0, "remove", "reason=bad-signature"), 1);
		cr_expect_eq(counters(&w, 0)->signatures_bad, 1);
		cr_expect_eq(forge_read(&w, 0) + forge_read(&w, 1), 0);
		// Whoever has the real one may send it.
		struct forger honest = forge_link(&w, 0, 3, NULL, 0);
		forge_messages(&honest, &author, 1, 1, size);
		forge_say(&honest);
		world_run(&w, SECOND);
		cr_expect_eq(forge_read(&w, 0), 1);
		cr_expect_eq(forge_read(&w, 1), 1);
		check_unaffected(&w);
		world_fini(&w);
	}
}

Test(insider, chunks_of_odd_sizes)
{
	struct world w;
	struct forger f = start(&w, 3);
	struct author author = forge_author(&w, 2, 1);
	uint32_t size = CHUNK_BYTES + 1000;
	forge_batch(&f, &author, 1, 1, size);
	for (uint32_t at = 0, n = 1; at < size; at += n, n = n % 997 + 1)
		forge_chunk(&f, &author, 1, size, at, at + n < size ? n : size - at);
	forge_say(&f);
	world_run(&w, SECOND);
	cr_expect_eq(forge_read(&w, 0), 1);
	cr_expect_eq(forge_read(&w, 1), 1);
	// More than was said.
	forge_batch(&f, &author, 2, 1, 100);
	forge_chunk(&f, &author, 2, 200, 0, 101);
	forge_say(&f);
	world_run(&w, SECOND);
	cr_expect(world_closed(f.stranger));
	cr_expect_eq(world_events_with(&w, 0, "remove", "reason=protocol-error"), 1);
	cr_expect_eq(forge_read(&w, 0), 1);
	check_unaffected(&w);
	world_fini(&w);
}

// Everything signed that the forger has heard, said again.
static void replay(struct forger *from, struct forger *to)
{
	size_t n;
	const uint8_t *bytes = world_heard_bytes(from->stranger, &n);
	uint8_t type = 0;
	for (int64_t length; (length = wire_next(bytes, n, FRAME_MAX, &type)) > 0;
		bytes += length, n -= (size_t)length)
		if (type == FRAME_BATCH || type == FRAME_CHUNK || type == FRAME_ANNOUNCE)
			wire_put_sealed(&to->out, type, bytes + FRAME_HEADER,
				(size_t)length - FRAME_HEADER);
	forge_say(to);
}

Test(insider, an_earlier_life_is_not_told_again)
{
	struct world w;
	struct forger f = start(&w, 4);
	struct forger *one[] = { &f };
	for (int i = 0; i < 5; i++)
		cr_assert(world_publish(&w, 1, 100));
	world_run(&w, SECOND);
	world_stop(&w, 1); // and its LEAVE
	forge_live(&w, one, 1, SECOND);
	cr_assert_eq(world_heard(f.stranger, FRAME_BATCH), 2);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	world_start(&w, 2);
	world_seed(&w, 2, 0);
	forge_live(&w, one, 1, 5 * SECOND);
	cr_assert_eq(node_member_count(w.nodes[0].node), 3);
	cr_assert_eq(node_member_count(w.nodes[2].node), 3);
	uint64_t incarnation = node_config(w.nodes[1].node)->incarnation;
	uint32_t read = w.nodes[0].read[1];
	// One who has joined before it hears of that life at all.
	world_start(&w, 3);
	struct forger third = forge_link(&w, 3, 4, NULL, 0);
	struct forger *two[] = { &f, &third };
	world_seed(&w, 3, 0);
	forge_live(&w, two, 2, 2 * SECOND);
	cr_assert(world_linked(&w, 0, 3));
	// To those who have seen that life, to those who have not, and to itself.
	for (int i = 0; i < 4; i++) {
		struct forger to = forge_link(&w, i, 3, NULL, 0);
		replay(&f, &to);
		world_run(&w, SECOND);
		cr_expect_not(world_closed(to.stranger), "it may have been late: node %d", i);
		forge_goodbye(&to, GOODBYE_SHUTDOWN);
		world_run(&w, SECOND);
	}
	for (int i = 0; i < 4; i++) {
		cr_expect_eq(node_member_count(w.nodes[i].node), 4, "node %d", i);
		cr_expect_eq(world_events(&w, i, "gap"), 0);
		cr_expect_eq(world_events(&w, i, "clash"), 0);
	}
	cr_expect_eq(node_config(w.nodes[1].node)->incarnation, incarnation);
	cr_expect_eq(w.nodes[0].read[1], read);
	cr_expect_eq(w.nodes[1].read[1], 0);
	cr_expect_eq(w.nodes[2].read[1], 0);
	cr_expect_eq(w.nodes[3].read[1], 0);
	cr_expect_gt(counters(&w, 3)->sources_refused, 0);
	check_unaffected(&w);
	world_fini(&w);
}

// A list may say what it likes: the messages come from those who have them.
Test(insider, lists_that_lie)
{
	struct world w;
	struct forger f = start(&w, 5);
	for (int i = 0; i < 5; i++)
		cr_assert(world_publish(&w, 1, 100));
	world_run(&w, SECOND);
	struct frame_position lie = { { w.nodes[1].id, node_config(w.nodes[1].node)->incarnation },
		1000000000 };
	// To one who knows better, and to a newcomer that has nobody else.
	struct forger liar = forge_link(&w, 0, 2, &lie, 1);
	world_start(&w, 2);
	struct forger first = forge_link(&w, 2, 2, &lie, 1);
	struct forger *all[] = { &f, &liar, &first };
	world_seed(&w, 2, 0);
	forge_live(&w, all, 3, 3 * SECOND);
	cr_assert(world_linked(&w, 0, 2));
	for (int i = 0; i < 5; i++) {
		cr_assert(world_publish(&w, 1, 100));
		forge_live(&w, all, 3, SECOND);
	}
	cr_expect_eq(w.nodes[0].read[1], 10);
	cr_expect_eq(w.nodes[2].read[1], 5);
	cr_expect_eq(world_events(&w, 2, "gap"), 0);
	check_unaffected(&w);
	world_fini(&w);
}

Test(insider, nothing_is_lost_because_one_has_trimmed)
{
	struct world w;
	struct forger honest = start(&w, 6);
	struct author author = forge_author(&w, 2, 1);
	struct frame_position far = { forge_key(&author), 1000000 };
	forge_messages(&honest, &author, 1, 1, 100);
	forge_say(&honest);
	struct forger liar = forge_link(&w, 0, 3, &far, 1);
	struct forger *both[] = { &liar, &honest };
	forge_live(&w, both, 2, SECOND);
	cr_assert_geq(world_heard(liar.stranger, FRAME_PULL), 1);
	forge_trimmed(&liar, &author, 1000000);
	forge_say(&liar);
	forge_live(&w, both, 2, SECOND);
	cr_expect_geq(world_heard(honest.stranger, FRAME_PULL), 1);
	forge_messages(&honest, &author, 2, 4, 100);
	forge_say(&honest);
	forge_live(&w, both, 2, SECOND);
	cr_expect_eq(forge_read(&w, 0), 5);
	cr_expect_eq(forge_read(&w, 1), 5);
	cr_expect_eq(world_events(&w, 0, "gap"), 0);
	world_fini(&w);
}

Test(insider, made_up_sources)
{
	struct world w;
	struct forger f = start(&w, 7);
	struct author author = forge_author(&w, 2, 1);
	for (int i = 0; i < 2000; i++) {
		author.incarnation++;
		forge_messages(&f, &author, 1, 1, 20);
		if (i % 100 == 0)
			forge_say(&f);
	}
	forge_say(&f);
	world_run(&w, SECOND);
	for (int i = 0; i < 2; i++)
		cr_expect_leq(sources(&w, i), NEW_SOURCE_BURST + 64);
	cr_expect_gt(counters(&w, 0)->sources_refused, 800);
	// Somebody new is heard all the same, from another neighbour.
	world_start(&w, 2);
	world_seed(&w, 2, 1);
	world_run(&w, 3 * SECOND);
	cr_assert(world_publish(&w, 2, 100));
	world_run(&w, SECOND);
	cr_expect_eq(w.nodes[0].read[2], 1);
	cr_expect_eq(w.nodes[1].read[2], 1);
	check_unaffected(&w);
	world_fini(&w);
}

static void put_unsigned(struct forger *f, const struct author *a, uint64_t counter)
{
	struct buffer b = BUFFER_INIT;
	struct frame_announce announce = {
		.stamp = { a->network, a->identity->public_key, a->incarnation },
		.counter = counter,
		.type = 200,
	};
	uint8_t none[SIGNATURE_BYTES] = { 0 };
	wire_put_announce(&b, &announce);
	buffer_append(&b, none, sizeof none);
	wire_put_sealed(&f->out, FRAME_ANNOUNCE, buffer_bytes(&b), buffer_length(&b));
	buffer_fini(&b);
}

static bool flooder_gone(struct world *w)
{
	return world_events_with(w, 0, "remove", "reason=flood") > 0;
}

Test(insider, announcements_without_end)
{
	struct world w;
	struct forger f = start(&w, 8);
	struct author author = forge_author(&w, 2, 1);
	uint64_t counter = 0;
	unsigned kept = HASH_COUNT(w.nodes[0].node->announce.latest);
	// Of a type that nobody knows, so that it is relayed unread.
	for (int i = 0; i < ANNOUNCE_BURST + 200; i++) {
		forge_announce(&f, &author, ++counter, 200, "x", 1);
		if (i % 1024 == 1023)
			forge_say(&f);
	}
	cr_expect_not(flooder_gone(&w));
	// What is too much is not looked at: the signatures of these are none.
	for (int i = 0; i < ANNOUNCE_BURST; i++)
		put_unsigned(&f, &author, ++counter);
	forge_say(&f);
	world_run(&w, SECOND);
	cr_expect(flooder_gone(&w));
	cr_expect(world_closed(f.stranger));
	cr_expect_geq(counters(&w, 0)->announcements_dropped, ANNOUNCE_BURST);
	cr_expect_eq(world_events_with(&w, 0, "remove", "reason=flood"), 1);
	cr_expect_eq(world_events(&w, 1, "remove"), 0, "who relays is not to blame");
	for (int i = 0; i < 2; i++)
		cr_expect_leq(HASH_COUNT(w.nodes[i].node->announce.latest), kept + 1);
	world_start(&w, 2);
	world_seed(&w, 2, 1);
	world_run(&w, 3 * SECOND);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(node_member_count(w.nodes[i].node), 3, "node %d", i);
	check_unaffected(&w);
	world_fini(&w);
}

// Each of two stays within what a link may bring; who relays both must, too.
Test(insider, who_relays_is_not_to_blame)
{
	struct world w;
	struct forger f[] = { start(&w, 16), forge_link(&w, 0, 2, NULL, 0) };
	uint64_t counter = 0;
	for (int i = 0; i < 2 * ANNOUNCE_BURST + 2000; i++) {
		struct author author = forge_author(&w, (uint8_t)(1 + i % 2), 1);
		forge_announce(&f[i % 2], &author, ++counter, 200, "x", 1);
		if (i % 1024 < 2)
			forge_say(&f[i % 2]);
		if (i > 2 * ANNOUNCE_BURST && i % 64 < 2) {
			forge_say(&f[i % 2]);
			world_run(&w, SECOND / 100);
		}
	}
	forge_say(&f[0]);
	forge_say(&f[1]);
	world_run(&w, SECOND);
	cr_expect_gt(counters(&w, 0)->announcements_dropped, 0);
	cr_expect_eq(world_events(&w, 1, "remove"), 0);
	check_unaffected(&w);
	world_fini(&w);
}

// Members that are made up are a few more entries, no dials without end, and no member less.
Test(insider, made_up_members)
{
	struct world w;
	struct forger f = start(&w, 9);
	for (int i = 10; i < 250; i++) {
		struct author author = forge_author(&w, (uint8_t)i, UINT64_MAX);
		forge_lease(&f, &author, UINT64_MAX, (uint16_t)(20000 + i));
	}
	forge_say(&f);
	world_run(&w, SECOND);
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(node_member_count(w.nodes[i].node), 2 + 240);
		cr_expect_leq(w.nodes[i].node->link_count, 3 + DIALS_MAX_ALONE);
	}
	world_start(&w, 2);
	world_seed(&w, 2, 1);
	world_run(&w, 10 * SECOND);
	cr_expect(world_linked(&w, 2, 1));
	check_unaffected(&w);
	world_fini(&w);
}

Test(insider, word_that_somebody_is_gone)
{
	struct world w;
	struct forger f = start(&w, 10);
	struct author author = forge_author(&w, 1, 1);
	uint64_t counter = 0, announced = w.nodes[1].node->announce.counter;
	uint64_t beacons = 10 * SECOND / BEACON_INTERVAL + 1;
	for (int i = 0; i < 1000; i++) {
		forge_announce(
			&f, &author, ++counter, ANNOUNCE_GONE, w.nodes[1].id.bytes, ID_BYTES);
		forge_say(&f);
		world_run(&w, 9 * MILLISECOND);
	}
	cr_expect_leq(w.nodes[1].node->announce.counter - announced, 12 + beacons);
	cr_expect_gt(w.nodes[1].node->announce.counter, announced);
	world_run(&w, 2 * SECOND);
	cr_expect_eq(node_member_count(w.nodes[0].node), 2);
	check_unaffected(&w);
	world_fini(&w);
}

static int dials(const struct node *node)
{
	const struct dial *dial;
	int count = 0;
	DL_FOREACH (node->dials, dial)
		count++;
	return count;
}

Test(insider, addresses_without_end)
{
	struct world w;
	struct forger f = start(&w, 11);
	const struct node *node = w.nodes[0].node;
	for (int i = 0; i < 4000; i++) {
		struct frame_peers peers = { .count = PEERS_ADDRESSES };
		struct frame_rewire rewire = { .replaced = w.nodes[1].id };
		for (int k = 0; k < PEERS_ADDRESSES; k++)
			peers.contacts[k] = (struct contact){
				{ { (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)k, 1 } },
				{ 4, { 127, 0, (uint8_t)k, (uint8_t)i }, (uint16_t)(1000 + i) }
			};
		wire_put_peers(&f.out, &peers);
		rewire.target = peers.contacts[0];
		wire_put_rewire(&f.out, &rewire);
		if (i % 500 == 0) {
			forge_say(&f);
			cr_assert_leq(dials(node), DIALS_MAX_ALONE + DIALS_MAX);
		}
	}
	forge_say(&f);
	const struct view_entry *e;
	int entries = 0;
	VIEW_FOREACH (&node->view, e)
		entries++;
	cr_expect_leq(entries, VIEW_MAX);
	cr_expect_leq(node->link_count, 2 + DIALS_MAX_ALONE + DIALS_MAX);
	world_run(&w, 3 * SECOND);
	world_start(&w, 2);
	world_seed(&w, 2, 1);
	world_run(&w, 3 * SECOND);
	cr_expect(world_linked(&w, 2, 1));
	check_unaffected(&w);
	world_fini(&w);
}

// Who takes another's place on a link has its leave, which that link alone can give.
static void replace(uint64_t seed, int permit)
{
	struct world w;
	world_init(&w, seed);
	w.min_peers = w.max_peers = 2;
	for (int i = 0; i < 3; i++)
		world_start(&w, i);
	world_seed(&w, 1, 0);
	world_seed(&w, 2, 0);
	world_run(&w, 5 * SECOND);
	cr_assert(world_linked(&w, 0, 1) && world_linked(&w, 0, 2) && world_linked(&w, 1, 2));

	struct forger f = forge_join(&w, 0, 1);
	struct frame_hello hello = forge_hello(&f);
	hello.intent = INTENT_REPLACE;
	hello.replaced = w.nodes[1].id;
	struct link *other = node_link_by_id(w.nodes[1].node, &w.nodes[permit == 3 ? 0 : 2].id);
	if (permit > 1)
		cr_assert_eq(link_permit(other, hello.permit), 0);
	else
		memset(hello.permit, permit, sizeof hello.permit);
	wire_put_hello(&f.out, &hello);
	forge_say(&f);
	wire_put_accept(&f.out);
	forge_frontier(&f, NULL, 0);
	if (!world_closed(f.stranger))
		forge_say(&f);
	buffer_fini(&f.out);
	world_run(&w, SECOND / 5);
	cr_expect_eq(world_events_with(&w, 0, "remove", "reason=replaced"), permit == 3,
		"permit %d", permit);
	cr_expect_eq(world_linked(&w, 0, 1), permit != 3, "permit %d", permit);
	cr_expect(world_linked(&w, 0, 2));
	if (permit != 3) {
		world_run(&w, SECOND);
		cr_expect(world_closed(f.stranger), "permit %d", permit);
	}
	world_fini(&w);
}

Test(insider, a_place_is_taken_with_leave_alone)
{
	replace(12, 0); // none
	replace(12, 1); // made up
	replace(12, 2); // of another link
	replace(12, 3);
}

Test(insider, frames_of_no_known_type)
{
	struct world w;
	struct forger f = start(&w, 13);
	for (int i = 0; i < 2000; i++)
		wire_put_sealed(&f.out, (uint8_t)(64 + i % 192), (const uint8_t *)"what", 4);
	forge_say(&f);
	world_run(&w, SECOND);
	cr_expect_not(world_closed(f.stranger));
	cr_expect_eq(counters(&w, 0)->frames_unknown, 2000);
	cr_expect_eq(world_events_with(&w, 0, "refused", "reason=unknown-frame"), 1);
	check_unaffected(&w);
	world_fini(&w);
}

// What a HELLO says of an incarnation is about its own id, and a word of a double is no proof.
Test(insider, incarnations_and_doubles)
{
	struct world w;
	struct forger f = start(&w, 14);
	struct forger *one[] = { &f };
	for (uint64_t i = 0; i < 4; i++) {
		struct forger g = forge_join(&w, 0, 4);
		struct frame_hello hello = forge_hello(&g);
		hello.incarnation = i % 2 ? 0 : UINT64_MAX;
		wire_put_hello(&g.out, &hello);
		wire_put_accept(&g.out);
		forge_say(&g);
		forge_live(&w, one, 1, SECOND);
	}
	cr_expect_leq(w.nodes[0].node->link_count, 3);
	for (int i = 0; i < 10; i++) {
		struct forger g = forge_link(&w, 0, 5, NULL, 0);
		forge_goodbye(&g, GOODBYE_CLASH);
		forge_live(&w, one, 1, SECOND / 2);
	}
	cr_expect_leq(w.nodes[0].keeps, 1);
	cr_expect_eq(world_events(&w, 0, "clash"), 0);
	check_unaffected(&w);
	world_fini(&w);
}

// Links that are accepted and never come up take a place for as long as a handshake may.
Test(insider, links_that_wait)
{
	struct world w;
	struct forger f = start(&w, 15);
	struct forger *one[] = { &f };
	size_t links = w.nodes[0].node->link_count;
	struct forger waiting[3];
	for (int i = 0; i < 3; i++) {
		waiting[i] = forge_join(&w, 0, (uint8_t)(10 + i));
		struct frame_hello hello = forge_hello(&waiting[i]);
		wire_put_hello(&waiting[i].out, &hello);
		forge_say(&waiting[i]);
	}
	cr_expect_eq(w.nodes[0].node->link_count, links + 3);
	cr_expect_eq(world_peers(&w, 0), 2);
	forge_live(&w, one, 1, HANDSHAKE_TIMEOUT + SECOND);
	for (int i = 0; i < 3; i++)
		cr_expect(world_closed(waiting[i].stranger));
	cr_expect_eq(w.nodes[0].node->link_count, links);
	cr_expect_eq(world_events_with(&w, 0, "refused", "reason=timeout"), 3);
	check_unaffected(&w);
	world_fini(&w);
}

// Links that say nothing after their proof are no better than strangers.
Test(insider, proven_links_that_go_no_further)
{
	struct world w;
	world_init(&w, 41);
	w.latency = MILLISECOND;
	world_start(&w, 0);
	world_run(&w, SECOND);
	for (int i = 0; i < 100; i++)
		world_join(&w, 0, world_identity(&w, 1));
	cr_expect_leq(w.nodes[0].node->link_count, UNPROVEN_MAX);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	world_run(&w, 3 * SECOND);
	cr_expect(world_linked(&w, 0, 1));
	world_fini(&w);
}

// Nobody makes us dial others without end.
Test(insider, rewires_without_end)
{
	struct world w;
	struct forger f = start(&w, 42);
	uint64_t before = counters(&w, 0)->dials_failed;
	struct frame_rewire rewire = { .replaced = w.nodes[1].id,
		.leave = true,
		.target = { { { 1, 2, 3 } }, { 4, { 127, 0, 9, 9 }, 25 } } };
	for (int t = 0; t < 1000; t++) {
		wire_put_rewire(&f.out, &rewire);
		forge_say(&f);
		world_run(&w, 9 * MILLISECOND);
	}
	cr_expect_leq(counters(&w, 0)->dials_failed - before,
		DIALS_MAX + 10 * SECOND / MERGE_INTERVAL + 1);
	world_fini(&w);
}

// Made-up names that come slowly enough fill the table and keep nobody out.
Test(insider, a_full_table_of_announcements)
{
	struct world w;
	struct forger f = start(&w, 43);
	struct announce *a = &w.nodes[0].node->announce;
	struct author author = forge_author(&w, 9, 1);
	uint64_t counter = 0;
	// As if it had gone on for long: what is in the table is not looked at again.
	for (uint32_t i = 0; HASH_COUNT(a->latest) < 4 * MEMBERS_MAX; i++) {
		struct announce_entry *e = calloc(1, sizeof *e);
		cr_assert_not_null(e);
		memcpy(e->key.origin.bytes, &i, sizeof i);
		e->key.type = 200;
		e->heard = w.now;
		HASH_ADD(hh, a->latest, key, sizeof e->key, e);
	}
	forge_announce(&f, &author, ++counter, 201, "x", 1);
	forge_say(&f);
	world_start(&w, 2);
	world_seed(&w, 2, 0);
	world_run(&w, 3 * SECOND);
	cr_expect_eq(HASH_COUNT(a->latest), 4 * MEMBERS_MAX);
	cr_expect_not_null(members_find(&w.nodes[0].node->members, &w.nodes[2].id));
	cr_expect_not_null(members_find(&w.nodes[1].node->members, &w.nodes[2].id));
	world_fini(&w);
}
