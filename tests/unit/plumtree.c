// SPDX-License-Identifier: MIT
// Trees of messages in networks of virtual time: what goes over which link, and what happens when
// it breaks.
#include <criterion/criterion.h>

#include "core/link.h"
#include "core/node_inner.h"
#include "tests/unit/world.h"

#include <utlist.h>

static void start_all(struct world *w, int count)
{
	for (int i = 0; i < count; i++)
		world_start(w, i);
	for (int i = 1; i < count; i++)
		world_seed(w, i, 0);
}

static bool all_read(struct world *w)
{
	for (int i = 0; i < WORLD_NODES; i++)
		for (int s = 0; w->nodes[i].node && s < WORLD_NODES; s++)
			if (s != i && w->nodes[s].node &&
				w->nodes[i].last[s] != w->nodes[s].published)
				return false;
	return true;
}

static uint64_t copies(const struct world *w)
{
	uint64_t sum = 0;
	for (int i = 0; i < WORLD_NODES; i++)
		if (w->nodes[i].node)
			sum += node_counters(w->nodes[i].node)->batches_duplicate;
	return sum;
}

static uint64_t gaps(const struct world *w)
{
	uint64_t sum = 0;
	for (int i = 0; i < WORLD_NODES; i++)
		if (w->nodes[i].node)
			sum += node_counters(w->nodes[i].node)->messages_missed;
	return sum;
}

static int node_of(const struct world *w, const struct id *id)
{
	for (int i = 0; i < WORLD_NODES; i++)
		if (id_equal(&w->nodes[i].id, id))
			return i;
	return -1;
}

// Nodes that are reached from `i` over eager links, each counted once for every way to it.
static int reach(const struct world *w, int i, bool *seen)
{
	struct link *link;
	int count = 1;

	seen[i] = true;
	DL_FOREACH (w->nodes[i].node->links, link) {
		int other = node_of(w, &link->id);
		if (link_up(link) && plumtree_eager(link) && !seen[other])
			count += reach(w, other, seen);
	}
	return count;
}

static void check_tree(const struct world *w, int count)
{
	bool seen[WORLD_NODES] = { false };
	struct link *link;
	int eager = 0;

	for (int i = 0; i < count; i++)
		DL_FOREACH (w->nodes[i].node->links, link)
			eager += link_up(link) && plumtree_eager(link);
	cr_expect_eq(eager, 2 * (count - 1), "%d ends of eager links", eager);
	cr_expect_eq(reach(w, 0, seen), count, "not all are reached");
}

// One way from everybody to everybody, when nobody has written yet.
Test(plumtree, beacons_leave_a_tree)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct world w;
		world_init(&w, seed);
		start_all(&w, 40);
		world_run(&w, 21 * SECOND);
		cr_assert_eq(world_components(&w), 1);
		check_tree(&w, 40);
		world_run(&w, 10 * SECOND);
		check_tree(&w, 40);
		world_fini(&w);
	}
}

// Next to no copies, from the first message of every source on, although latency changes with every
// segment, and with it what is the shortest way.
Test(plumtree, next_to_nothing_comes_twice)
{
	for (uint64_t seed = 1; seed <= 2; seed++) {
		struct world w;
		world_init(&w, seed);
		start_all(&w, 40);
		world_run(&w, 20 * SECOND);
		world_run(&w, SECOND); // not while a beacon makes another tree
		uint64_t before = copies(&w);
		for (int turn = 0; turn < 30; turn++) {
			for (int i = 0; i < 40; i++)
				cr_assert(world_publish(&w, i, 200));
			world_run(&w, 100 * MILLISECOND);
		}
		cr_assert(world_until(&w, 5 * SECOND, all_read));
		cr_expect_leq(copies(&w) - before, 40 * 40 * 30 / 1000, "seed %d: %d", (int)seed,
			(int)(copies(&w) - before));
		world_fini(&w);
	}
}

// A large message goes through a chain in little more time than over one link.
Test(plumtree, it_cuts_through)
{
	struct world w;
	world_init(&w, 4);
	w.min_peers = 2;
	w.max_peers = 3;
	start_all(&w, 20);
	world_run(&w, 30 * SECOND);
	cr_assert(world_publish(&w, 0, 100));
	cr_assert(world_until(&w, 5 * SECOND, all_read));
	uint64_t begun = w.now;
	cr_assert(world_publish(&w, 0, 1000000));
	while (w.nodes[1].last[0] != 2 && w.now - begun < 10 * SECOND)
		world_run(&w, MILLISECOND);
	uint64_t first = w.now - begun;
	cr_assert(world_until(&w, 10 * SECOND, all_read));
	// What is in flight on a link is bounded: the message takes several rounds on each.
	cr_expect_lt(w.now - begun, 4 * first + 500 * MILLISECOND);
	cr_expect_gt(first, 4 * w.latency);
	world_fini(&w);
}

// Links over which a large message is arriving break, all the time: it comes, whole, once.
Test(plumtree, a_broken_message_goes_on_elsewhere)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct world w;
		world_init(&w, 10 + seed);
		start_all(&w, 12);
		world_run(&w, 15 * SECOND);
		for (int turn = 0; turn < 10; turn++) {
			cr_assert(world_publish(&w, 0, MESSAGE_MAX));
			world_run(&w, 30 * MILLISECOND);
			for (int k = 0; k < 4; k++) {
				int i = 1 + (int)random_below(&w.random, 11);
				struct source_key key = { w.nodes[0].id,
					node_config(w.nodes[0].node)->incarnation };
				struct source *s = source_find(w.nodes[i].node, &key);
				struct link *from = s && s->partial
							    ? node_link_by_serial(w.nodes[i].node,
								      s->partial_from)
							    : NULL;
				if (from)
					node_drop(w.nodes[i].node, &from->id);
			}
			cr_assert(world_until(&w, 20 * SECOND, all_read), "seed %d", (int)seed);
		}
		cr_expect_eq(gaps(&w), 0);
		for (int i = 0; i < 12; i++)
			cr_expect_eq(w.nodes[i].disorder, 0);
		world_fini(&w);
	}
}

// Who is served by nobody still holds up those who would trim what it lacks.
Test(plumtree, a_neighbour_that_lags_is_waited_for)
{
	struct world w;
	struct link *link;

	world_init(&w, 5);
	start_all(&w, 3);
	world_run(&w, 10 * SECOND);
	world_publish(&w, 0, 100);
	cr_assert(world_until(&w, SECOND, all_read));
	// Node 2 stops answering; nobody may forget what it lacks until it is given up.
	world_pause(&w, 2, true);
	uint64_t begun = w.now;
	while (w.now - begun < SECOND) {
		while (world_publish(&w, 0, 500000))
			;
		world_run(&w, 10 * MILLISECOND);
	}
	for (int i = 0; i < 2; i++) {
		struct source_key key = { w.nodes[0].id,
			node_config(w.nodes[0].node)->incarnation };
		struct source *s = source_find(w.nodes[i].node, &key);
		cr_assert(s);
		DL_FOREACH (w.nodes[i].node->links, link) {
			struct lane *lane = lane_find(link, s);
			if (!lane || !id_equal(&link->id, &w.nodes[2].id))
				continue;
			cr_expect(!s->oldest || s->oldest->first <= lane->peer_next,
				"node %d has trimmed what node 2 lacks", i);
		}
	}
	world_pause(&w, 2, false);
	cr_assert(world_until(&w, 10 * SECOND, all_read));
	cr_expect_eq(gaps(&w), 0);
	world_fini(&w);
}
