// SPDX-License-Identifier: MIT
// Peers that are well-formed and mean harm, or only have bad luck: none of them may stop a
// source, a link or a node for good.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/wire.h"
#include "tests/unit/world.h"

// A peer of bytes: it says what a test wants and hears nothing.
struct peer_of_bytes {
	struct world *world;
	struct world_stranger *stranger;
	struct buffer out;
};

static const struct source_key far_away = { { { 0xfa } }, 7 };

static void say(struct peer_of_bytes *p)
{
	cr_assert_not(buffer_failed(&p->out));
	world_say(p->world, p->stranger, buffer_bytes(&p->out), buffer_length(&p->out));
	buffer_fini(&p->out);
}

static void frontier(struct peer_of_bytes *p, const struct frame_position *entries, uint16_t count)
{
	size_t at = wire_begin_frontier(&p->out, true, count);
	for (uint16_t i = 0; i < count; i++)
		wire_put_frontier_entry(&p->out, &entries[i]);
	wire_end(&p->out, at);
}

// A link to node `to` whose list says that `far_away` is at `next` (0: unknown).
static struct peer_of_bytes link_to(struct world *w, int to, uint8_t name, uint64_t next)
{
	struct peer_of_bytes p = { .world = w, .stranger = world_connect(w, to) };
	struct frame_position at = { far_away, next };
	struct frame_hello hello = { .version_min = 1,
		.version_max = 1,
		.intent = INTENT_JOIN,
		.id = { { name } },
		.incarnation = 1,
		.instance = name,
		.room = 1 };
	wire_put_hello(&p.out, &hello);
	say(&p);
	wire_put_accept(&p.out);
	frontier(&p, &at, next > 0);
	say(&p);
	return p;
}

static void batch(struct peer_of_bytes *p, uint64_t first, uint32_t bytes)
{
	wire_put_batch(&p->out, &far_away, first, bytes, 1, &bytes);
}

static void chunk(struct peer_of_bytes *p, uint64_t first, size_t n)
{
	uint8_t bytes[CHUNK_BYTES] = { 0 };
	struct world_message m = { WORLD_NODES - 1, 1, (uint32_t)first };
	memcpy(bytes, &m, sizeof m);
	wire_put_chunk(&p->out, &far_away, bytes, n);
}

static void message(struct peer_of_bytes *p, uint64_t first)
{
	batch(p, first, 100);
	chunk(p, first, 100);
}

static void position(struct peer_of_bytes *p, enum frame_type type, uint64_t next)
{
	struct frame_position f = { far_away, next };
	wire_put_position(&p->out, type, &f);
}

// Time passes; the peers show that they live.
static void live(struct world *w, struct peer_of_bytes *peers[], int count, uint64_t seconds)
{
	for (uint64_t i = 0; i < 2 * seconds; i++) {
		for (int k = 0; k < count; k++) {
			if (world_closed(peers[k]->stranger))
				continue;
			wire_put_ping(&peers[k]->out, FRAME_PING, i);
			say(peers[k]);
		}
		world_run(w, SECOND / 2);
	}
}

static uint32_t read_of_far_away(const struct world *w, int i)
{
	return w->nodes[i].read[WORLD_NODES - 1];
}

Test(hostile, a_batch_that_never_ends_blocks_nobody)
{
	struct world w;
	world_init(&w, 1);
	world_start(&w, 0);
	struct peer_of_bytes a = link_to(&w, 0, 0xa0, 1), b = link_to(&w, 0, 0xb0, 1);
	struct peer_of_bytes *both[] = { &a, &b };
	cr_assert_eq(world_peers(&w, 0), 2);
	batch(&a, 1, 1000);
	chunk(&a, 1, 900);
	say(&a);
	message(&b, 1); // a copy, while the first one is on its way
	say(&b);
	live(&w, both, 2, 6);
	// Asked for again by now.
	message(&b, 1);
	say(&b);
	cr_assert_eq(read_of_far_away(&w, 0), 1);
	message(&b, 2);
	say(&b);
	cr_assert_eq(read_of_far_away(&w, 0), 2);
	world_fini(&w);
}

// What was passed over while another link delivered the one before is asked for.
Test(hostile, what_came_too_early_is_asked_for_again)
{
	struct world w;
	world_init(&w, 2);
	world_start(&w, 0);
	struct peer_of_bytes a = link_to(&w, 0, 0xa0, 1), b = link_to(&w, 0, 0xb0, 5);
	struct peer_of_bytes *both[] = { &a, &b };
	batch(&a, 1, 200);
	chunk(&a, 1, 100);
	say(&a);
	// The answer to the PULL that B's list has caused.
	message(&b, 1);
	message(&b, 2);
	say(&b);
	chunk(&a, 1, 100);
	say(&a);
	cr_assert_eq(read_of_far_away(&w, 0), 1);
	live(&w, both, 2, 1);
	cr_assert_eq(world_heard(b.stranger, FRAME_PULL), 2);
	message(&b, 2);
	say(&b);
	cr_assert_eq(read_of_far_away(&w, 0), 2);
	world_fini(&w);
}

// Part of a missing range came from one neighbour, which is lost then: the rest is a gap.
Test(hostile, the_rest_of_a_missing_range_is_not_forgotten)
{
	struct world w;
	world_init(&w, 3);
	world_start(&w, 0);
	struct peer_of_bytes a = link_to(&w, 0, 0xa0, 50), b = link_to(&w, 0, 0xb0, 101);
	struct peer_of_bytes *both[] = { &b, &a };
	position(&b, FRAME_TRIMMED, 100);
	say(&b);
	message(&a, 50);
	say(&a);
	cr_assert_eq(read_of_far_away(&w, 0), 1);
	wire_put_goodbye(&a.out, &(struct frame_goodbye){ .reason = GOODBYE_SHUTDOWN });
	say(&a);
	live(&w, both, 1, 8);
	cr_assert_eq(world_events(&w, 0, "gap"), 1);
	message(&b, 100);
	say(&b);
	cr_assert_eq(read_of_far_away(&w, 0), 2);
	world_fini(&w);
}

Test(hostile, nobody_knows_our_own_source_better)
{
	struct world w;
	world_init(&w, 4);
	world_start(&w, 0);
	struct peer_of_bytes a = link_to(&w, 0, 0xa0, 0);
	struct peer_of_bytes *one[] = { &a };
	struct frame_position f = { { w.nodes[0].id, w.nodes[0].life }, 1000 };
	wire_put_position(&a.out, FRAME_TRIMMED, &f);
	say(&a);
	live(&w, one, 1, 5);
	cr_assert_eq(world_events(&w, 0, "gap"), 0);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	world_run(&w, 2 * SECOND);
	cr_assert(world_publish(&w, 0, 100));
	live(&w, one, 1, 5);
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
	struct peer_of_bytes a = link_to(&w, 0, 0xa0, 0);
	struct peer_of_bytes *one[] = { &a };
	live(&w, one, 1, 2);
	cr_assert_eq(world_peers(&w, 0), 2);
	world_deaf(a.stranger, deaf);
	for (int second = 0; second < 30; second++) {
		while (world_publish(&w, 0, MESSAGE_MAX))
			;
		live(&w, one, 1, 1);
	}
	cr_assert_gt(w.nodes[1].read[0], 10);
	cr_assert_eq(w.nodes[1].read[0], w.nodes[1].last[0]);
	cr_assert_eq(world_peers(&w, 0), 1);
	cr_assert_eq(node_counters(w.nodes[0].node)->links_slow, 1);
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
	cr_assert_leq(kept, LOG_BYTES + 16 * MIB);
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
	struct peer_of_bytes a = link_to(&w, 1, 0xa0, 0);
	struct peer_of_bytes *one[] = { &a };
	live(&w, one, 1, 2);
	for (int second = 0; second < 20; second++) {
		while (world_publish(&w, 0, MESSAGE_MAX))
			;
		live(&w, one, 1, 1);
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
	for (uint64_t seed = 1; seed <= 20; seed++) {
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

Test(hostile, a_link_in_use_is_not_given_up_for_order)
{
	struct world w;
	struct peer peer;
	world_init(&w, 11);
	w.max_peers = 1;
	w.min_peers = 0;
	world_start(&w, 0);
	struct peer_of_bytes a = link_to(&w, 0, 0xa0, 0);
	struct peer_of_bytes *one[] = { &a };
	cr_assert(node_next_peer(w.nodes[0].node, 0, &peer));
	peer.stream->handles++;
	wire_put_rewire(
		&a.out, &(struct frame_rewire){ .target = { { { 1 } }, w.nodes[9].address } });
	say(&a);
	live(&w, one, 1, 2);
	cr_assert_eq(world_peers(&w, 0), 1);
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
	struct peer_of_bytes a = link_to(&w, 0, 0xa0, 0);
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
	struct peer_of_bytes b = link_to(&w, 0, 0xb0, 1);
	for (uint64_t i = 1; i <= 70000; i++) {
		message(&b, i);
		if (i % 500 == 0)
			say(&b);
	}
	struct peer_of_bytes a = link_to(&w, 0, 0xa0, 70001);
	world_deaf(a.stranger, true);
	for (int i = 0; i < 20000; i++)
		position(&a, FRAME_PULL, i % 2 ? 69000 : 1);
	clock_t begun = clock();
	say(&a);
	cr_assert_lt(clock() - begun, CLOCKS_PER_SEC);
	cr_assert_eq(world_peers(&w, 0), 2);
	world_fini(&w);
}

// Nor is every source that somebody makes up a search for one to forget.
Test(hostile, sources_that_do_not_exist)
{
	struct world w;
	world_init(&w, 15);
	world_start(&w, 0);
	struct peer_of_bytes a = link_to(&w, 0, 0xa0, 1);
	struct frame_position f = { far_away, 5 };
	for (int i = 0; i < 10000; i++) {
		f.source.incarnation = 1000 + (uint64_t)i;
		wire_put_position(&a.out, FRAME_TRIMMED, &f);
	}
	say(&a);
	world_run(&w, 2 * PULL_TIMEOUT);
	cr_assert_eq(world_events(&w, 0, "gap"), 0);
	world_fini(&w);
}
