// SPDX-License-Identifier: MIT
// Settings of nodes that change while they run.
#include <criterion/criterion.h>

#include "core/link.h"
#include "core/node_inner.h"
#include "tests/unit/world.h"

#define NODES 14

static struct world w;

static void finish(void)
{
	world_fini(&w);
}

TestSuite(retune, .fini = finish);

static bool gathered(struct world *world)
{
	size_t others = (size_t)world_count(world) - 1;
	size_t least = others < world->min_peers ? others : world->min_peers;

	for (int i = 0; i < world_count(world); i++)
		if (world_peers(world, i) < least)
			return false;
	return world_components(world) == 1 && world_consistent(world);
}

static void start(uint64_t seed, int count)
{
	world_init(&w, seed);
	for (int i = 0; i < count; i++)
		world_start(&w, i);
	for (int i = 1; i < count; i++)
		world_seed(&w, i, 0);
	cr_assert(world_until(&w, 30 * SECOND, gathered), "seed %d", (int)seed);
}

static void set_peers(int i, uint32_t min, uint32_t max)
{
	struct node *node = world_node(&w, i);
	struct node_config config = *node_config(node);
	config.min_peers = min;
	config.max_peers = max;
	node_retune(node, &config);
}

static int removed(const char *reason)
{
	int count = 0;
	for (int i = 0; i < NODES; i++)
		count += world_events_with(&w, i, "remove", reason);
	return count;
}

static bool has_one(struct world *world)
{
	return world_peers(world, 0) == 1;
}

Test(retune, one_node_gives_up_its_surplus_and_nobody_is_cut_off)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		start(seed, NODES);
		cr_assert_geq(world_peers(&w, 0), 3);
		set_peers(0, 1, 1);
		cr_expect(world_until(&w, 2 * REWIRE_TIMEOUT, has_one), "seed %d", (int)seed);
		// One more for a moment is how others find a place.
		world_run(&w, 10 * SECOND);
		cr_expect(world_until(&w, 2 * REWIRE_TIMEOUT, has_one), "seed %d", (int)seed);
		cr_expect_eq(world_components(&w), 1, "seed %d", (int)seed);
		for (int i = 0; i < NODES; i++)
			cr_expect_eq(world_events(&w, i, "disconnect"), 0, "seed %d", (int)seed);
		cr_expect_eq(removed("timeout"), 0);
		world_fini(&w);
	}
	world_init(&w, 1);
}

// Everybody at once: what is left holds together, and grows again.
Test(retune, a_whole_network_is_set_lower_and_higher)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		start(seed, NODES);
		for (int i = 0; i < NODES; i++)
			set_peers(i, 2, 3);
		w.min_peers = 2;
		w.max_peers = 3;
		world_run(&w, 3 * REWIRE_TIMEOUT);
		cr_expect(world_until(&w, 30 * SECOND, gathered), "seed %d", (int)seed);
		for (int i = 0; i < NODES; i++)
			set_peers(i, 5, 0);
		w.min_peers = 5;
		w.max_peers = 0;
		cr_expect(world_until(&w, 20 * SECOND, gathered), "seed %d", (int)seed);
		world_fini(&w);
	}
	world_init(&w, 1);
}

// In a full mesh nobody has anybody else to go to: they go all the same.
Test(retune, a_mesh_lets_go)
{
	start(4, 4);
	for (int i = 1; i < 4; i++)
		set_peers(i, 1, 5);
	set_peers(0, 0, 1);
	cr_expect(world_until(&w, 2 * REWIRE_TIMEOUT, has_one));
	cr_expect_eq(world_components(&w), 1);
}

Test(retune, a_new_ping_timeout_counts_from_the_next_ping)
{
	start(1, 2);
	struct node *node = world_node(&w, 0);
	struct node_config config = *node_config(node);
	world_pause(&w, 1, true);
	world_run(&w, 2 * SECOND);
	config.ping_timeout = SECOND;
	node_retune(world_node(&w, 0), &config);
	// It has been silent for longer, which was allowed then.
	world_run(&w, 900 * MILLISECOND);
	cr_expect_eq(world_peers(&w, 0), 1);
	world_run(&w, 200 * MILLISECOND);
	cr_expect_eq(world_peers(&w, 0), 0);
	cr_expect_eq(world_events_with(&w, 0, "remove", "reason=timeout"), 1);
}

Test(retune, what_is_not_set_is_as_by_default)
{
	start(1, 2);
	struct node *node = world_node(&w, 0);
	cr_expect_eq(node_config(node)->stall_timeout, STALL_TIMEOUT);
	cr_expect_eq(node_config(node)->min_rate, STALL_RATE);
	struct node_config config = *node_config(node);
	config.stall_timeout = 5 * SECOND;
	config.min_rate = 7;
	node_retune(node, &config);
	cr_expect_eq(node_config(node)->stall_timeout, 5 * SECOND);
	cr_expect_eq(node_config(node)->min_rate, 7);
	config.stall_timeout = config.min_rate = 0;
	node_retune(node, &config);
	cr_expect_eq(node_config(node)->stall_timeout, STALL_TIMEOUT);
	cr_expect_eq(node_config(node)->min_rate, STALL_RATE);
}
