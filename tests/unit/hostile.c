// SPDX-License-Identifier: MIT
// Peers that are well-formed and mean harm, or only have bad luck: none of them may stop a
// source, a link or a node for good.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/node_inner.h"
#include "tests/unit/forge.h"

// A source that is nobody's neighbour.
static struct author far_away(struct world *w)
{
	return forge_author(w, 0xfa, 7);
}

// A link to node `to` whose list says that the far away is at `next` (0: unknown).
static struct forger link_to(struct world *w, int to, uint8_t name, uint64_t next)
{
	struct author author = far_away(w);
	struct frame_position at = { forge_key(&author), next };
	return forge_link(w, to, name, &at, next > 0);
}

static void batch(struct forger *m, uint64_t first, uint32_t bytes)
{
	struct author author = far_away(m->world);
	forge_batch(m, &author, first, 1, bytes);
}

static void chunk(struct forger *m, uint64_t first, uint32_t offset, size_t n)
{
	struct author author = far_away(m->world);
	forge_chunk(m, &author, first, (uint32_t)(offset + n), offset, n);
}

static void message(struct forger *m, uint64_t first)
{
	struct author author = far_away(m->world);
	forge_messages(m, &author, first, 1, 100);
}

static void trimmed(struct forger *m, uint64_t next)
{
	struct author author = far_away(m->world);
	forge_trimmed(m, &author, next);
}

Test(hostile, a_batch_that_never_ends_blocks_nobody)
{
	struct world w;
	world_init(&w, 1);
	world_start(&w, 0);
	struct forger a = link_to(&w, 0, 0xa0, 1), b = link_to(&w, 0, 0xb0, 1);
	struct forger *both[] = { &a, &b };
	cr_assert_eq(world_peers(&w, 0), 2);
	batch(&a, 1, 1000);
	chunk(&a, 1, 0, 900);
	forge_say(&a);
	message(&b, 1); // a copy, while the first one is on its way
	forge_say(&b);
	forge_live(&w, both, 2, 6 * SECOND);
	// Asked for again by now.
	message(&b, 1);
	forge_say(&b);
	cr_assert_eq(forge_read(&w, 0), 1);
	message(&b, 2);
	forge_say(&b);
	cr_assert_eq(forge_read(&w, 0), 2);
	world_fini(&w);
}

// What was passed over while another link delivered the one before is asked for.
Test(hostile, what_came_too_early_is_asked_for_again)
{
	struct world w;
	world_init(&w, 2);
	world_start(&w, 0);
	struct forger a = link_to(&w, 0, 0xa0, 1);
	message(&a, 1); // what a list says is hearsay until there is proof of the source
	forge_say(&a);
	struct forger b = link_to(&w, 0, 0xb0, 5);
	struct forger *both[] = { &a, &b };
	batch(&a, 2, 200);
	chunk(&a, 2, 0, 100);
	forge_say(&a);
	message(&b, 2);
	message(&b, 3);
	forge_say(&b);
	chunk(&a, 2, 100, 100);
	forge_say(&a);
	cr_assert_eq(forge_read(&w, 0), 2);
	forge_live(&w, both, 2, SECOND);
	cr_assert_geq(world_heard(b.stranger, FRAME_PULL), 1);
	message(&b, 3);
	forge_say(&b);
	cr_assert_eq(forge_read(&w, 0), 3);
	world_fini(&w);
}

// Part of a missing range came from one neighbour, which is lost then: the rest is a gap.
Test(hostile, the_rest_of_a_missing_range_is_not_forgotten)
{
	struct world w;
	world_init(&w, 3);
	world_start(&w, 0);
	struct forger a = link_to(&w, 0, 0xa0, 49);
	message(&a, 49);
	forge_say(&a);
	struct forger b = link_to(&w, 0, 0xb0, 101);
	struct forger *both[] = { &b, &a };
	forge_live(&w, both, 2, SECOND);
	// The answer to the PULL that its list has caused.
	trimmed(&b, 100);
	forge_say(&b);
	message(&a, 50);
	forge_say(&a);
	cr_assert_eq(forge_read(&w, 0), 2);
	forge_goodbye(&a, GOODBYE_SHUTDOWN);
	forge_live(&w, both, 1, SECOND);
	// Asked again, now that nobody else is left.
	trimmed(&b, 100);
	forge_say(&b);
	forge_live(&w, both, 1, 8 * SECOND);
	cr_assert_eq(world_events(&w, 0, "gap"), 1);
	message(&b, 100);
	forge_say(&b);
	cr_assert_eq(forge_read(&w, 0), 3);
	world_fini(&w);
}

// The payload of the first frame of that type.
static size_t heard_frame(const struct forger *m, enum frame_type type, const uint8_t **payload)
{
	size_t n;
	const uint8_t *bytes = world_heard_bytes(m->stranger, &n);
	uint8_t found = 0;
	for (int64_t length; (length = wire_next(bytes, n, FRAME_MAX, &found)) > 0;
		bytes += length, n -= (size_t)length)
		if (found == type) {
			*payload = bytes + FRAME_HEADER;
			return (size_t)length - FRAME_HEADER;
		}
	return 0;
}

Test(hostile, nobody_knows_our_own_source_better)
{
	struct world w;
	world_init(&w, 4);
	world_start(&w, 0);
	struct forger a = link_to(&w, 0, 0xa0, 0);
	struct forger *one[] = { &a };
	// Its own header, shown to it.
	cr_assert(world_publish(&w, 0, 100));
	world_run(&w, SECOND / 10);
	const uint8_t *header;
	size_t n = heard_frame(&a, FRAME_BATCH, &header);
	cr_assert_gt(n, 0);
	wire_put_trimmed(&a.out, 2, header, n);
	forge_say(&a);
	forge_live(&w, one, 1, 5 * SECOND);
	cr_assert_eq(world_events(&w, 0, "gap"), 0);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	world_run(&w, 2 * SECOND);
	cr_assert(world_publish(&w, 0, 100));
	forge_live(&w, one, 1, 5 * SECOND);
	cr_assert_eq(w.nodes[1].read[0], 1);
	cr_assert_eq(world_events(&w, 1, "gap"), 0);
	world_fini(&w);
}

// A peer whose list has nothing, that reads its socket and never gives credit, or that does not
// read at all but shows that it lives: who is behind it goes on.
static void writer_against(bool deaf)
{
	struct world w;
	world_init(&w, 5);
	world_start(&w, 0);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	struct forger a = link_to(&w, 0, 0xa0, 0);
	struct forger *one[] = { &a };
	forge_live(&w, one, 1, 2 * SECOND);
	cr_assert_eq(world_peers(&w, 0), 2);
	world_deaf(a.stranger, deaf);
	for (int second = 0; second < 10; second++) {
		while (world_publish(&w, 0, MESSAGE_MAX))
			;
		forge_live(&w, one, 1, 1 * SECOND);
	}
	// Within twice stall_timeout others are not held up any more,
	cr_assert_gt(w.nodes[1].read[0], 4);
	cr_assert_eq(w.nodes[1].read[0], w.nodes[1].last[0]);
	cr_assert_eq(world_events(&w, 0, "slow"), 1);
	cr_assert_eq(node_counters(w.nodes[0].node)->links_slow, 1);
	cr_assert_eq(world_peers(&w, 0), 2, "it may catch up");
	// and in half a minute it is gone.
	for (int second = 0; second < 32; second++) {
		while (world_publish(&w, 0, MESSAGE_MAX))
			;
		forge_live(&w, one, 1, 1 * SECOND);
	}
	cr_assert_eq(world_peers(&w, 0), 1);
	cr_assert_eq(w.nodes[1].read[0], w.nodes[1].last[0]);
	world_fini(&w);
}

Test(hostile, who_gives_no_credit_goes)
{
	writer_against(false);
}

Test(hostile, who_does_not_read_goes)
{
	writer_against(true);
}

// A reader that has stopped holds one message of somebody else, while a lot is written here.
Test(hostile, own_messages_behind_a_stuck_reader_have_a_bound)
{
	struct world w;
	world_init(&w, 6);
	world_start(&w, 0);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	world_run(&w, 2 * SECOND);
	w.nodes[0].reading = false;
	cr_assert(world_publish(&w, 1, 100));
	world_run(&w, SECOND);
	for (int i = 0; i < 200; i++) {
		while (!world_publish(&w, 0, MESSAGE_MAX))
			world_run(&w, 10 * MILLISECOND);
		world_run(&w, 20 * MILLISECOND);
	}
	size_t kept = node_log(w.nodes[0].node)->bytes;
	cr_assert_leq(kept, RETAIN_BYTES + 4 * MIB);
	world_fini(&w);
}

// What is owed and too little for a frame must not be what a large message lacks.
Test(hostile, a_stuck_reader_is_to_blame_and_not_its_node)
{
	struct world w;
	world_init(&w, 7);
	world_start(&w, 0);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	world_run(&w, 2 * SECOND);
	for (int i = 0; i < 30; i++) {
		cr_assert(world_publish(&w, 0, 15000));
		world_run(&w, 20 * MILLISECOND);
	}
	w.nodes[1].reading = false;
	for (int i = 0; i < 10; i++) {
		while (!world_publish(&w, 0, MESSAGE_MAX))
			world_run(&w, 10 * MILLISECOND);
	}
	world_run(&w, 20 * SECOND);
	cr_assert_eq(world_events(&w, 0, "remove"), 0);
	cr_assert_eq(world_events(&w, 1, "slow"), 1);
	w.nodes[1].reading = true;
	world_run(&w, SECOND);
	cr_assert_eq(w.nodes[1].last[0], 40);
	world_fini(&w);
}

// In a chain it is the end that goes, not who is in the middle.
Test(hostile, the_middle_of_a_chain_is_not_to_blame)
{
	struct world w;
	world_init(&w, 8);
	world_start(&w, 0);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	struct forger a = link_to(&w, 1, 0xa0, 0);
	struct forger *one[] = { &a };
	forge_live(&w, one, 1, 2 * SECOND);
	for (int second = 0; second < 20; second++) {
		while (world_publish(&w, 0, MESSAGE_MAX))
			;
		forge_live(&w, one, 1, 1 * SECOND);
	}
	cr_assert_eq(world_events(&w, 0, "slow"), 0);
	cr_assert_eq(world_events(&w, 1, "slow"), 1);
	world_fini(&w);
}

// Members that were taken for dead are members again when they are back.
Test(hostile, who_is_back_is_a_member)
{
	struct world w;
	world_init(&w, 9);
	for (int i = 0; i < 3; i++)
		world_start(&w, i);
	world_seed(&w, 1, 0);
	world_seed(&w, 2, 0);
	world_run(&w, 5 * SECOND);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(node_member_count(w.nodes[i].node), 3);
	world_pause(&w, 2, true);
	world_run(&w, 6 * SECOND);
	world_pause(&w, 2, false);
	world_run(&w, 20 * SECOND);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(world_peers(&w, i), 2);
		cr_expect_eq(node_member_count(w.nodes[i].node), 3, "node %d", i);
	}
	world_fini(&w);
}

Test(hostile, the_last_peer_that_dies_is_no_member)
{
	struct world w;
	world_init(&w, 10);
	world_start(&w, 0);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	world_run(&w, 5 * SECOND);
	cr_assert_eq(node_member_count(w.nodes[0].node), 2);
	world_crash(&w, 1);
	world_run(&w, 5 * SECOND);
	cr_assert_eq(node_member_count(w.nodes[0].node), 1);
	cr_assert_eq(world_events(&w, 0, "leave"), 1);
	world_start(&w, 1);
	world_run(&w, 20 * SECOND);
	cr_assert_eq(node_member_count(w.nodes[0].node), 2);
	world_fini(&w);
}

// A newcomer that hears of the dead lowest from one who has just heard of it, and so on.
Test(hostile, the_beacon_of_the_dead_does_not_live_on)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct world w;
		int lowest = 0;
		world_init(&w, seed);
		for (int i = 0; i < 8; i++)
			if (id_compare(&w.nodes[i].id, &w.nodes[lowest].id) < 0)
				lowest = i;
		for (int i = 0; i < 8; i++)
			world_start(&w, i);
		for (int i = 0; i < 8; i++)
			if (i != lowest)
				world_seed(&w, i, lowest);
		world_run(&w, 30 * SECOND);
		world_crash(&w, lowest);
		int known = lowest == 0 ? 1 : 0;
		for (int i = 20; i < 28; i++) {
			world_run(&w, 9 * SECOND);
			if (id_compare(&w.nodes[i].id, &w.nodes[lowest].id) < 0)
				continue;
			world_start(&w, i);
			world_seed(&w, i, known);
			known = i;
		}
		world_run(&w, 30 * SECOND);
		for (int i = 0; i < WORLD_NODES; i++)
			if (w.nodes[i].node)
				cr_assert_eq(world_events(&w, i, "netsplit"), 0, "seed %d node %d",
					(int)seed, i);
		world_fini(&w);
	}
}

Test(hostile, a_link_in_use_that_order_gives_up_is_direct)
{
	struct world w;
	struct peer peer;
	world_init(&w, 11);
	w.max_peers = 1;
	w.min_peers = 0;
	world_start(&w, 0);
	struct forger a = link_to(&w, 0, 0xa0, 0);
	struct forger *one[] = { &a };
	cr_assert(node_next_peer(w.nodes[0].node, 0, &peer));
	peer.stream->handles++;
	wire_put_rewire(
		&a.out, &(struct frame_rewire){ .target = { { { 1 } }, w.nodes[9].address } });
	forge_say(&a);
	forge_live(&w, one, 1, 2 * SECOND);
	cr_assert_eq(world_peers(&w, 0), 0);
	cr_assert(node_next_peer(w.nodes[0].node, 0, &peer));
	cr_expect(peer.direct);
	cr_expect_not(peer.stream->gone);
	peer.stream->handles--;
	world_fini(&w);
}

Test(hostile, what_was_gathered_goes_out_before_the_end)
{
	struct world w;
	world_init(&w, 12);
	world_start(&w, 0);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	world_run(&w, 2 * SECOND);
	for (int i = 0; i < 10; i++)
		cr_assert(world_publish(&w, 0, 100));
	world_stop(&w, 0);
	world_run(&w, SECOND);
	cr_assert_eq(w.nodes[1].read[0], 10);
	world_fini(&w);
}

// Deadlines that have passed are nobody's any more.
static int turns_until_stopped(struct world *w, int i)
{
	int turns = 0;
	while (!node_stopped(w->nodes[i].node)) {
		uint64_t due = node_deadline(w->nodes[i].node);
		cr_assert_lt(++turns, 1000, "spinning");
		world_run(w, due > w->now ? due - w->now : 1);
	}
	return turns;
}

Test(hostile, stopping_does_not_spin)
{
	struct world w;
	world_init(&w, 13);
	world_start(&w, 0);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	struct forger a = link_to(&w, 0, 0xa0, 0);
	world_run(&w, SECOND);
	world_deaf(a.stranger, true);
	cr_assert(world_publish(&w, 0, 1000000));
	node_stop(w.nodes[0].node);
	turns_until_stopped(&w, 0);
	world_fini(&w);
}

// Each answer is a walk through all that is kept.
Test(hostile, many_pulls_cost_one_answer)
{
	struct world w;
	world_init(&w, 14);
	world_start(&w, 0);
	struct forger b = link_to(&w, 0, 0xb0, 1);
	struct author author = far_away(&w);
	for (uint64_t i = 1; i <= 70000; i += 1000) {
		forge_messages(&b, &author, i, 1000, 16);
		forge_say(&b);
	}
	cr_assert_eq(forge_read(&w, 0), 70000);
	struct forger a = link_to(&w, 0, 0xa0, 70001);
	world_deaf(a.stranger, true);
	for (int i = 0; i < 20000; i++)
		wire_put_pull(
			&a.out, &(struct frame_position){ forge_key(&author), i % 2 ? 69001 : 1 });
	clock_t begun = clock();
	forge_say(&a);
	cr_assert_lt(clock() - begun, CLOCKS_PER_SEC);
	cr_assert_eq(world_peers(&w, 0), 2);
	world_fini(&w);
}

// A name that nobody has proven makes no source, and is asked for at most.
Test(hostile, sources_that_do_not_exist)
{
	struct world w;
	struct frame_position made_up[FRONTIER_ENTRIES];

	world_init(&w, 15);
	world_start(&w, 0);
	struct author author = far_away(&w);
	struct forger a = link_to(&w, 0, 0xa0, 1);
	struct forger b = forge_join(&w, 0, 0xb0);
	struct frame_hello hello = forge_hello(&b);
	wire_put_hello(&b.out, &hello);
	wire_put_accept(&b.out);
	for (uint64_t i = 0; i < FRONTIER_ENTRIES; i++)
		made_up[i] = (struct frame_position){ forge_key(&author), 1000000000 };
	for (uint64_t i = 0; i < FRONTIER_ENTRIES; i++)
		made_up[i].source.incarnation = 1000 + i;
	forge_frontier(&b, made_up, FRONTIER_ENTRIES);
	forge_say(&b);
	for (uint64_t i = 0; i < 10000; i++) {
		made_up[0].source.incarnation = 5000 + i;
		wire_put_pull(&b.out, &made_up[0]);
		wire_put_credit(&b.out, &(struct frame_credit){ made_up[0].source, 1 });
	}
	forge_say(&b);
	world_run(&w, SECOND);
	cr_assert_eq(HASH_COUNT(w.nodes[0].node->broadcast.sources), 2); // its own, and A's
	cr_assert_eq(world_heard(b.stranger, FRAME_PULL), CLAIMS_MAX);
	cr_assert_eq(node_counters(w.nodes[0].node)->claims_dropped, FRONTIER_ENTRIES - CLAIMS_MAX);
	cr_assert_eq(world_events(&w, 0, "gap"), 0);
	cr_assert_eq(world_peers(&w, 0), 2);
	message(&a, 1);
	forge_say(&a);
	cr_assert_eq(forge_read(&w, 0), 1);
	world_fini(&w);
}
