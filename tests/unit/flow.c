// SPDX-License-Identifier: MIT
// Who is waited for, for how long, and what becomes of who is not.
#include <criterion/criterion.h>

#include "core/node_inner.h"
#include "tests/unit/forge.h"

static struct world w;

static void fini(void)
{
	world_fini(&w);
}

TestSuite(flow, .fini = fini);

// Writes as much as is taken, for so long; whoever says STALL does so each half second.
static void write_for(struct forger *m, const struct frame_stall *stall, uint64_t duration)
{
	for (uint64_t t = 0; t < duration; t += SECOND / 2) {
		while (world_publish(&w, 0, 100000))
			;
		if (m && stall) {
			wire_put_stall(&m->out, stall);
			forge_say(m);
		}
		forge_live(&w, &m, m ? 1 : 0, SECOND / 2);
	}
}

// Nodes 0 and 1, and a member at node `to` who gives no credit.
static struct forger miser_at(int to, uint64_t seed)
{
	world_init(&w, seed);
	world_start(&w, 0);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	struct forger m = forge_link(&w, to, 0xa0, NULL, 0);
	struct forger *one[] = { &m };
	forge_live(&w, one, 1, 2 * SECOND);
	return m;
}

static struct source_key own_key(int i)
{
	return w.nodes[i].node->publisher.own->key;
}

static struct lane *lane_to(int from, int to, int source)
{
	struct link *link = node_link_by_id(w.nodes[from].node, &w.nodes[to].id);
	struct source_key key = own_key(source);
	struct source *s = source_find(w.nodes[from].node, &key);
	return link && s ? lane_find(link, s) : NULL;
}

Test(flow, who_explains_himself_has_more_time_but_not_for_ever)
{
	struct forger m = miser_at(0, 1);
	struct frame_stall stall = { own_key(0), 0 };
	write_for(&m, &stall, 20 * SECOND);
	cr_expect_eq(world_events(&w, 0, "slow"), 0, "its reader may be slow");
	write_for(&m, &stall, 20 * SECOND);
	cr_expect_eq(world_events(&w, 0, "slow"), 1, "no reader may be as slow as that");
	cr_expect_eq(w.nodes[1].read[0], w.nodes[1].last[0]);
}

Test(flow, who_says_nothing_goes_after_six_seconds)
{
	struct forger m = miser_at(0, 2);
	write_for(&m, NULL, 5 * SECOND);
	cr_expect_eq(world_events(&w, 0, "slow"), 0);
	write_for(&m, NULL, 3 * SECOND);
	cr_expect_eq(world_events(&w, 0, "slow"), 1);
}

Test(flow, a_circle_ends_at_once)
{
	struct forger m = miser_at(0, 3);
	struct frame_stall stall = { own_key(0), STALL_DEPTH_MAX + 1 };
	write_for(&m, &stall, 3 * SECOND);
	cr_expect_eq(world_events(&w, 0, "slow"), 1);
}

// 0 - 1 - miser: what 0 is told, before 1 acts.
Test(flow, depth_counts_the_nodes_in_between)
{
	struct forger m = miser_at(1, 4);
	write_for(&m, NULL, 4 * SECOND);
	struct lane *lane = lane_to(0, 1, 0);
	cr_assert(lane);
	cr_expect_eq(lane->stall_depth, 1);
	cr_expect_lt(w.now - lane->stall_heard, 2 * SECOND);
	write_for(&m, NULL, 10 * SECOND);
	cr_expect_eq(world_events(&w, 1, "slow"), 1);
	cr_expect_eq(world_events(&w, 0, "slow"), 0, "1 has acted");
}

Test(flow, own_reader_has_depth_none)
{
	struct forger m = miser_at(0, 5);
	forge_goodbye(&m, GOODBYE_DONE);
	world_run(&w, SECOND);
	w.nodes[1].reading = false;
	write_for(NULL, NULL, 2 * SECOND + SECOND / 2);
	struct lane *lane = lane_to(0, 1, 0);
	cr_assert(lane);
	cr_expect_neq(lane->stall_heard, 0);
	cr_expect_eq(lane->stall_depth, 0);
	write_for(NULL, NULL, 5 * SECOND);
	cr_expect_eq(world_events(&w, 0, "slow"), 0);
	cr_expect_eq(world_events(&w, 1, "slow"), 1, "the reader");
}

// A stopped node costs the others stall_timeout, once, and catches up or is told what it lacks.
Test(flow, a_stopped_node_is_cut_loose_and_catches_up)
{
	world_init(&w, 6);
	for (int i = 0; i < 3; i++) {
		world_start(&w, i);
		if (i)
			world_seed(&w, i, 0);
	}
	world_run(&w, 3 * SECOND);
	for (int i = 0; i < 3; i++) {
		struct node_config config = *node_config(world_node(&w, i));
		config.stall_timeout = SECOND;
		node_retune(world_node(&w, i), &config);
	}
	world_pause(&w, 2, true);
	uint32_t before = w.nodes[1].read[0];
	write_for(NULL, NULL, SECOND + SECOND / 2);
	uint32_t after = w.nodes[1].read[0];
	write_for(NULL, NULL, SECOND);
	cr_expect_gt(w.nodes[1].read[0], after + 20, "nobody waits any more");
	cr_expect_gt(after, before);
	cr_expect_eq(world_events(&w, 0, "slow"), 1);
	world_pause(&w, 2, false);
	world_run(&w, 5 * SECOND);
	cr_expect_eq(w.nodes[1].read[0], w.nodes[0].published);
	cr_expect_eq(w.nodes[2].last[0], w.nodes[0].published);
	uint64_t missed = node_counters(w.nodes[2].node)->messages_missed;
	cr_expect_eq(w.nodes[2].read[0] + missed, w.nodes[0].published);
	const struct link *link = node_link_by_id(w.nodes[0].node, &w.nodes[2].id);
	cr_assert(link);
	cr_expect_eq(link->loose_since, 0);
	for (uint32_t i = 0; i < link->lane_count; i++)
		cr_expect(!link->lanes[i] || !link->lanes[i]->loose);
	cr_expect_eq(world_events(&w, 0, "remove"), 0);
}

Test(flow, a_window_grows_alone_and_less_in_company)
{
	struct forger m = miser_at(1, 7);
	write_for(&m, NULL, SECOND);
	struct link *link = node_link_by_id(w.nodes[1].node, &w.nodes[0].id);
	struct source_key key = own_key(0);
	struct lane *lane = lane_find(link, source_find(w.nodes[1].node, &key));
	cr_assert(lane);
	cr_expect_eq(lane->window, SOURCE_WINDOW);
	struct author authors[96];
	for (int round = 0; round < 8; round++) {
		for (uint8_t i = 0; i < 96; i++) {
			authors[i] = forge_author(&w, (uint8_t)(0x10 + i), 7);
			forge_messages(&m, &authors[i], (uint64_t)round + 1, 1, 100);
		}
		forge_say(&m);
		write_for(&m, NULL, SECOND / 2);
	}
	cr_expect_eq(w.nodes[1].node->broadcast.window, SOURCE_WINDOW_LEAST);
}

// Much comes fast: the one that sends keeps it until the other says that it has it, and hears of
// that before the log is full, however long the pause was to be.
Test(flow, what_comes_fast_is_not_held_up_by_words)
{
	const uint32_t enough = 5 * RETAIN_BYTES / 100000;

	world_init(&w, 8);
	w.latency = MILLISECOND / 4;
	world_start(&w, 0);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	world_run(&w, 2 * SECOND);
	uint64_t began = w.now;
	uint32_t before = w.nodes[1].read[0];
	while (w.nodes[1].read[0] - before < enough && w.now - began < SECOND) {
		while (world_publish(&w, 0, 100000))
			;
		world_run(&w, MILLISECOND);
	}
	// For each time that the log is full it waited for DIGEST_INTERVAL.
	cr_expect_lt(w.now - began, 3 * DIGEST_INTERVAL);
}
