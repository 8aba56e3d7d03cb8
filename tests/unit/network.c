// SPDX-License-Identifier: MIT
// Whole networks in virtual time: joining, dying, splitting, healing, and messages meanwhile.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/unit/world.h"

// How often: SMOKEFS_RUNS in the environment asks for more. With cryptography a few have to do, and
// with a sanitizer, which is slow, a third.
static uint64_t runs(uint64_t usual)
{
#ifdef WORLD_PLAIN
	uint64_t some = usual;
#else
	uint64_t some = usual / 10 + 1;
#endif
#ifdef __SANITIZE_ADDRESS__
	some = some / 3 + 1;
#endif
	const char *text = getenv("SMOKEFS_RUNS");
	return text ? strtoull(text, NULL, 10) : some;
}

static bool gathered(struct world *w)
{
	int count = world_count(w);
	size_t least = (size_t)count - 1 < w->min_peers ? (size_t)count - 1 : w->min_peers;
	for (int i = 0; i < WORLD_NODES; i++)
		if (w->nodes[i].node && world_peers(w, i) < least)
			return false;
	return world_components(w) == 1 && world_consistent(w);
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

static void start_all(struct world *w, int count, int seed)
{
	for (int i = 0; i < count; i++)
		world_start(w, i);
	for (int i = 0; i < count; i++)
		if (i != seed)
			world_seed(w, i, seed);
}

static void check_order(struct world *w)
{
	for (int i = 0; i < WORLD_NODES; i++)
		cr_assert_eq(w->nodes[i].disorder, 0, "node %d read out of order or twice", i);
}

Test(network, two_nodes_meet_and_talk)
{
	struct world w;
	world_init(&w, 1);
	start_all(&w, 2, 0);
	cr_assert(world_until(&w, SECOND, gathered));
	for (int i = 0; i < 100; i++) {
		cr_assert(world_publish(&w, 0, 64));
		cr_assert(world_publish(&w, 1, 1000));
	}
	cr_assert(world_until(&w, SECOND, all_read));
	cr_assert_eq(w.nodes[1].read[0], 100);
	cr_assert_eq(w.nodes[0].read[1], 100);
	cr_assert_eq(w.nodes[0].read[0], 0, "own messages are not read back");
	check_order(&w);
	world_fini(&w);
}

static bool all_known(struct world *w)
{
	size_t count = (size_t)world_count(w);
	for (int i = 0; i < WORLD_NODES; i++)
		if (w->nodes[i].node && node_member_count(w->nodes[i].node) != count)
			return false;
	return true;
}

// Whoever is cut off takes the others for gone, and they it. Both were wrong, and see it soon.
Test(network, cut_off_for_a_while_everybody_is_known_again)
{
	for (uint64_t run = 0; run < runs(50); run++) {
		struct world w;
		world_init(&w, 4000 + run);
		start_all(&w, 12, 0);
		cr_assert(world_until(&w, 20 * SECOND, gathered));
		cr_assert(world_until(&w, 20 * SECOND, all_known));
		int who = (int)(run % 12);
		world_side(&w, who, 1);
		world_run(&w, 4 * SECOND + run % 30 * SECOND);
		cr_assert_eq(world_peers(&w, who), 0);
		world_side(&w, who, 0);
		cr_assert(world_until(&w, 15 * SECOND, gathered), "run %llu",
			(unsigned long long)run);
		// Also after whatever had been dialled in vain has come back.
		world_run(&w, 5 * SECOND);
		cr_assert(world_until(&w, SECOND, all_known), "run %llu", (unsigned long long)run);
		world_fini(&w);
	}
}

Test(network, below_min_a_full_mesh)
{
	for (int count = 2; count <= 4; count++) {
		struct world w;
		world_init(&w, (uint64_t)count);
		start_all(&w, count, 0);
		cr_assert(world_until(&w, 5 * SECOND, gathered), "%d nodes", count);
		for (int i = 0; i < count; i++)
			cr_assert_eq(world_peers(&w, i), (size_t)count - 1);
		world_fini(&w);
	}
}

Test(network, fifty_join_through_one_seed_at_once)
{
	for (uint64_t seed = 1; seed <= runs(4); seed++) {
		struct world w;
		world_init(&w, seed);
		start_all(&w, 50, 0);
		cr_assert(world_until(&w, 20 * SECOND, gathered), "seed %d", (int)seed);
		// And it stays so.
		world_run(&w, 30 * SECOND);
		cr_assert(gathered(&w), "seed %d", (int)seed);
		for (int i = 0; i < 50; i++)
			cr_assert_eq(world_events(&w, i, "netsplit"), 0);
		world_fini(&w);
	}
}

Test(network, a_full_network_takes_newcomers)
{
	struct world w;
	world_init(&w, 7);
	w.max_peers = 4;
	start_all(&w, 6, 0);
	cr_assert(world_until(&w, 20 * SECOND, gathered));
	for (int i = 6; i < 16; i++) {
		world_start(&w, i);
		world_seed(&w, i, 0);
		cr_assert(world_until(&w, 10 * SECOND, gathered), "newcomer %d", i);
	}
	world_fini(&w);
}

Test(network, simultaneous_dials_leave_one_link)
{
	for (uint64_t seed = 1; seed <= runs(200); seed++) {
		struct world w;
		world_init(&w, seed);
		world_start(&w, 0);
		world_start(&w, 1);
		world_seed(&w, 0, 1);
		world_seed(&w, 1, 0);
		world_run(&w, 2 * SECOND);
		cr_assert(world_linked(&w, 0, 1), "seed %d", (int)seed);
		cr_assert(world_consistent(&w), "seed %d", (int)seed);
		for (int i = 0; i < 2; i++) {
			cr_assert_eq(world_events(&w, i, "add"), 1, "seed %d", (int)seed);
			cr_assert_eq(world_events(&w, i, "remove"), 0, "seed %d", (int)seed);
		}
		world_fini(&w);
	}
}

Test(network, crash_is_noticed_and_repaired)
{
	struct world w;
	world_init(&w, 3);
	start_all(&w, 20, 0);
	cr_assert(world_until(&w, 20 * SECOND, gathered));
	world_run(&w, SECOND);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(node_member_count(w.nodes[i].node), 20);
	for (int i = 0; i < 10; i++)
		world_crash(&w, i);
	world_run(&w, 100 * MILLISECOND);
	for (int i = 10; i < 20; i++) {
		struct peer peer = { 0 };
		while (node_next_peer(w.nodes[i].node, peer.serial, &peer))
			for (int dead = 0; dead < 10; dead++)
				cr_assert_not(id_equal(&peer.id, &w.nodes[dead].id));
	}
	cr_assert(world_until(&w, 20 * SECOND, gathered));
	// Where the news of a death did not get through, probes find out.
	world_run(&w, 60 * SECOND);
	for (int i = 10; i < 20; i++)
		cr_assert_eq(node_member_count(w.nodes[i].node), 10, "node %d", i);
	world_fini(&w);
}

Test(network, silent_peer_is_dropped_in_time)
{
	struct world w;
	world_init(&w, 4);
	start_all(&w, 3, 0);
	cr_assert(world_until(&w, 5 * SECOND, gathered));
	world_pause(&w, 2, true);
	world_run(&w, PING_TIMEOUT_DEFAULT - 100 * MILLISECOND);
	cr_assert_eq(world_peers(&w, 0), 2, "too early");
	world_run(&w, SECOND + 100 * MILLISECOND);
	cr_assert_eq(world_peers(&w, 0), 1);
	cr_assert_eq(world_peers(&w, 1), 1);
	// It wakes up, judges nobody by its own sleep, and is back.
	world_pause(&w, 2, false);
	cr_assert(world_until(&w, 12 * SECOND, gathered));
	world_run(&w, SECOND);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(node_member_count(w.nodes[i].node), 3);
	world_fini(&w);
}

Test(network, seed_that_comes_later)
{
	struct world w;
	world_init(&w, 5);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	world_run(&w, 60 * SECOND);
	cr_assert_geq(world_events(&w, 1, "seed-retry"), 6);
	// Backed off to ten seconds, not further.
	cr_assert_leq(world_events(&w, 1, "seed-retry"), 40);
	world_start(&w, 0);
	cr_assert(world_until(&w, 11 * SECOND, gathered));
	world_fini(&w);
}

Test(network, rejoins_when_the_last_peer_is_lost)
{
	struct world w;
	world_init(&w, 6);
	start_all(&w, 2, 0);
	cr_assert(world_until(&w, 5 * SECOND, gathered));
	world_crash(&w, 0);
	world_run(&w, 5 * SECOND);
	cr_assert_eq(world_events(&w, 1, "disconnect"), 1);
	world_start(&w, 0);
	cr_assert(world_until(&w, 11 * SECOND, gathered));
	cr_assert_eq(world_events(&w, 1, "connect"), 2);
	world_fini(&w);
}

static bool healed_everywhere(struct world *w)
{
	for (int i = 0; i < WORLD_NODES; i++)
		if (w->nodes[i].node &&
			world_events(w, i, "netsplit") != world_events(w, i, "healed"))
			return false;
	return world_components(w) == 1;
}

Test(network, netsplit_is_reported_and_healed)
{
	for (uint64_t seed = 1; seed <= runs(10); seed++) {
		struct world w;
		int reports = 0;
		world_init(&w, seed);
		start_all(&w, 20, 0);
		cr_assert(world_until(&w, 20 * SECOND, gathered));
		world_run(&w, 20 * SECOND);
		for (int i = 10; i < 20; i++)
			world_side(&w, i, 1);
		world_run(&w, 60 * SECOND);
		cr_assert_eq(world_components(&w), 2, "seed %d", (int)seed);
		for (int i = 10; i < 20; i++)
			world_side(&w, i, 0);
		cr_assert(world_until(&w, 60 * SECOND, gathered), "seed %d", (int)seed);
		cr_assert(world_until(&w, 60 * SECOND, healed_everywhere), "seed %d", (int)seed);
		for (int i = 0; i < 20; i++)
			reports += world_events(&w, i, "netsplit");
		cr_assert_geq(reports, 10, "seed %d: %d reports", (int)seed, reports);
		world_fini(&w);
	}
}

Test(network, messages_survive_a_short_split)
{
	struct world w;
	world_init(&w, 8);
	start_all(&w, 12, 0);
	cr_assert(world_until(&w, 20 * SECOND, gathered));
	for (int i = 0; i < 12; i++)
		cr_assert(world_publish(&w, i, 100));
	world_run(&w, SECOND);
	for (int i = 6; i < 12; i++)
		world_side(&w, i, 1);
	for (int turn = 0; turn < 50; turn++) {
		for (int i = 0; i < 12; i++)
			world_publish(&w, i, 500);
		world_run(&w, 200 * MILLISECOND);
	}
	for (int i = 6; i < 12; i++)
		world_side(&w, i, 0);
	cr_assert(world_until(&w, 18 * SECOND, all_read));
	check_order(&w);
	for (int i = 0; i < 12; i++) {
		cr_assert_eq(world_events(&w, i, "gap"), 0);
		cr_assert_eq(w.nodes[i].read[(i + 1) % 12], 51);
	}
	world_fini(&w);
}

Test(network, long_absence_is_a_gap_and_said)
{
	struct world w;
	world_init(&w, 9);
	start_all(&w, 2, 0);
	cr_assert(world_until(&w, 20 * SECOND, gathered));
	cr_assert(world_publish(&w, 0, 100));
	world_run(&w, SECOND);
	world_start(&w, 2);
	world_seed(&w, 2, 0);
	cr_assert(world_until(&w, 20 * SECOND, gathered));
	world_side(&w, 1, 1);
	for (int turn = 0; turn < 100; turn++) {
		cr_assert(world_publish(&w, 0, 1000));
		world_run(&w, SECOND);
	}
	world_side(&w, 1, 0);
	cr_assert(world_until(&w, 20 * SECOND, gathered));
	cr_assert(world_publish(&w, 0, 1000));
	cr_assert(world_until(&w, 5 * SECOND, all_read));
	cr_assert_eq(world_events(&w, 1, "gap"), 1);
	cr_assert_eq(w.nodes[1].read[0] + node_counters(w.nodes[1].node)->messages_missed, 102);
	cr_assert_eq(w.nodes[2].read[0], 101);
	check_order(&w);
	world_fini(&w);
}

Test(network, written_alone_goes_out_when_somebody_comes)
{
	struct world w;
	world_init(&w, 10);
	world_start(&w, 0);
	world_run(&w, SECOND);
	for (int i = 0; i < 10; i++)
		cr_assert(world_publish(&w, 0, 1000));
	world_run(&w, 5 * SECOND);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	cr_assert(world_until(&w, 5 * SECOND, all_read));
	cr_assert_eq(w.nodes[1].read[0], 10);
	cr_assert_eq(world_events(&w, 0, "lost"), 0);
	world_fini(&w);
}

Test(network, written_alone_for_too_long_is_lost_and_said)
{
	struct world w;
	size_t written = 0;
	world_init(&w, 11);
	world_start(&w, 0);
	while (world_publish(&w, 0, MESSAGE_MAX))
		written++;
	// Half a window waits, then the writer does.
	cr_assert_eq(written, UNSENT_BYTES / (MESSAGE_MAX + MESSAGE_CHARGE));
	world_run(&w, 31 * SECOND);
	cr_assert_eq(world_events(&w, 0, "lost"), 1);
	cr_assert_eq(node_counters(w.nodes[0].node)->messages_lost, written);
	cr_assert(world_publish(&w, 0, MESSAGE_MAX));
	world_fini(&w);
}

Test(network, a_writer_that_waited_alone_goes_on)
{
	struct world w;
	world_init(&w, 16);
	world_start(&w, 0);
	while (world_publish(&w, 0, MESSAGE_MAX))
		;
	node_take_changes(w.nodes[0].node);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	cr_assert(world_until(&w, 5 * SECOND, all_read));
	cr_assert(node_take_changes(w.nodes[0].node) & NODE_CHANGED_LOG);
	cr_assert(node_has_room(w.nodes[0].node, MESSAGE_MAX));
	world_fini(&w);
}

Test(network, everybody_writes_at_once)
{
	for (uint64_t seed = 1; seed <= runs(5); seed++) {
		struct world w;
		world_init(&w, seed);
		start_all(&w, 20, 0);
		cr_assert(world_until(&w, 20 * SECOND, gathered));
		world_run(&w, SECOND);
		for (int turn = 0; turn < 2000 && world_components(&w) == 1; turn++) {
			bool left = false;
			for (int i = 0; i < 20; i++) {
				size_t size = 16 + random_below(&w.random, 20000);
				left |= w.nodes[i].published < 100;
				for (int k = 0; k < 10 && w.nodes[i].published < 100; k++)
					if (!world_publish(&w, i, size))
						break;
			}
			if (!left)
				break;
			world_run(&w, 5 * MILLISECOND);
		}
		cr_assert(world_until(&w, 30 * SECOND, all_read), "seed %d", (int)seed);
		check_order(&w);
		for (int i = 0; i < 20; i++)
			for (int s = 0; s < 20; s++)
				cr_assert_eq(w.nodes[i].read[s], s == i ? 0 : 100);
		world_fini(&w);
	}
}

Test(network, restart_under_the_same_id)
{
	struct world w;
	world_init(&w, 12);
	start_all(&w, 5, 0);
	cr_assert(world_until(&w, 20 * SECOND, gathered));
	cr_assert(world_publish(&w, 3, 100));
	cr_assert(world_publish(&w, 3, 100));
	world_run(&w, SECOND);
	// Gone without a word and back before anybody noticed.
	world_vanish(&w, 3);
	world_start(&w, 3);
	world_seed(&w, 3, 0);
	cr_assert(world_until(&w, 5 * SECOND, gathered));
	world_run(&w, SECOND);
	cr_assert(world_publish(&w, 3, 100));
	cr_assert(world_until(&w, 5 * SECOND, all_read));
	cr_assert_eq(w.nodes[0].read[3], 3);
	world_fini(&w);
}

Test(network, own_address_among_the_seeds)
{
	struct world w;
	world_init(&w, 13);
	start_all(&w, 2, 0);
	world_seed(&w, 0, 0);
	world_seed(&w, 0, 1);
	cr_assert(world_until(&w, 5 * SECOND, gathered));
	world_run(&w, 5 * SECOND);
	cr_assert(world_consistent(&w));
	world_fini(&w);
}

Test(network, two_nodes_with_one_id)
{
	struct world w;
	world_init(&w, 14);
	world_double(&w, 2, 1);
	w.nodes[2].incarnation = 2;
	world_start(&w, 1);
	world_start(&w, 2);
	world_seed(&w, 2, 1);
	world_run(&w, 2 * SECOND);
	cr_assert_eq(world_peers(&w, 1), 0);
	cr_assert_eq(world_peers(&w, 2), 0);
	cr_assert_geq(world_events(&w, 1, "refused"), 1);
	cr_assert_geq(world_events(&w, 2, "refused"), 1);
	world_fini(&w);
}

Test(network, a_leaving_node_says_goodbye)
{
	struct world w;
	world_init(&w, 15);
	start_all(&w, 3, 0);
	cr_assert(world_until(&w, 5 * SECOND, gathered));
	world_run(&w, SECOND);
	cr_assert_eq(node_member_count(w.nodes[0].node), 3);
	uint64_t before = w.now;
	world_stop(&w, 2);
	cr_assert_lt(w.now - before, 200 * MILLISECOND);
	world_run(&w, 100 * MILLISECOND);
	cr_assert_eq(world_peers(&w, 0), 1);
	cr_assert_eq(node_member_count(w.nodes[0].node), 2);
	world_fini(&w);
}

Test(network, what_nobody_took_is_said_at_the_end)
{
	struct world w;
	world_init(&w, 18);
	world_start(&w, 0);
	for (int i = 0; i < 3; i++)
		cr_assert(world_publish(&w, 0, 100));
	node_stop(w.nodes[0].node);
	cr_expect_eq(world_events_with(&w, 0, "lost", "messages=3 bytes=300 reason=shutdown"), 1);
	world_fini(&w);
}

// Each has said goodbye before the other's arrives: nobody waits for the other to hang up.
Test(network, two_that_leave_at_once_do_not_wait)
{
	struct world w;
	world_init(&w, 16);
	start_all(&w, 2, 0);
	cr_assert(world_until(&w, 5 * SECOND, gathered));
	world_run(&w, SECOND);
	node_stop(w.nodes[0].node);
	node_stop(w.nodes[1].node);
	world_run(&w, 100 * MILLISECOND);
	cr_assert(node_stopped(w.nodes[0].node));
	cr_assert(node_stopped(w.nodes[1].node));
	world_fini(&w);
}

static uint64_t first(void)
{
	const char *text = getenv("SMOKEFS_FIRST");
	return text ? strtoull(text, NULL, 10) : 1;
}

Test(network, a_stuck_reader_costs_three_seconds_once)
{
	struct world w;
	world_init(&w, 17);
	start_all(&w, 5, 0);
	cr_assert(world_until(&w, 5 * SECOND, gathered));
	world_run(&w, SECOND);
	// It has read once, hence it gates, and reads no more.
	world_publish(&w, 0, 100);
	cr_assert(world_until(&w, SECOND, all_read));
	w.nodes[4].reading = false;
	uint64_t begun = w.now;
	while (w.nodes[0].published < 200) {
		if (!world_publish(&w, 0, 500000))
			world_run(&w, 10 * MILLISECOND);
		cr_assert_lt(w.now - begun, 60 * SECOND);
	}
	for (int i = 1; i < 4; i++)
		while (w.nodes[i].last[0] != 200)
			world_run(&w, 10 * MILLISECOND);
	uint64_t stuck = w.now - begun;
	cr_assert_eq(world_events(&w, 4, "slow"), 1);
	cr_assert_lt(node_log(w.nodes[4].node)->bytes, RETAIN_BYTES + 4 * MIB);
	// The same once more, now that it holds nobody up.
	begun = w.now;
	while (w.nodes[0].published < 400)
		if (!world_publish(&w, 0, 500000))
			world_run(&w, 10 * MILLISECOND);
	for (int i = 1; i < 4; i++)
		while (w.nodes[i].last[0] != 400)
			world_run(&w, 10 * MILLISECOND);
	uint64_t free_running = w.now - begun;
	cr_assert_lt(stuck, free_running + STALL_TIMEOUT + SECOND);
	// What it missed is counted, what is kept it still gets.
	w.nodes[4].reading = true;
	world_run(&w, SECOND);
	cr_assert_eq(w.nodes[4].last[0], 400);
	cr_assert_eq(world_events(&w, 4, "overrun"), 1);
	cr_assert_eq(w.nodes[4].read[0] + node_counters(w.nodes[4].node)->messages_overrun, 400);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(world_events(&w, i, "remove"), 0);
	check_order(&w);
	world_fini(&w);
}

#ifndef WORLD_PLAIN // without TLS any bytes are somebody
Test(network, strangers_get_nowhere)
{
	static const uint8_t garbage[] = "GET / HTTP/1.0\r\n\r\n";
	static const uint8_t ping[] = { 0, 0, 0, 9, 4, 0, 0, 0, 0, 0, 0, 0, 1 };
	static const uint8_t half[] = { 22, 3, 1, 0, 200, 1 }; // of a ClientHello
	struct world w;
	struct world_stranger *silent[100];

	world_init(&w, 18);
	start_all(&w, 2, 0);
	cr_assert(world_until(&w, 5 * SECOND, gathered));
	struct world_stranger *s = world_connect(&w, 0);
	world_say(&w, s, garbage, sizeof garbage - 1);
	cr_assert(world_closed(s));
	cr_assert_eq(node_counters(w.nodes[0].node)->links_refused, 1);
	s = world_connect(&w, 0);
	world_say(&w, s, ping, sizeof ping); // in the clear
	cr_assert(world_closed(s));
	cr_assert_eq(node_counters(w.nodes[0].node)->links_refused, 2);
	s = world_connect(&w, 0);
	world_say(&w, s, half, sizeof half);
	cr_assert_not(world_closed(s));
	for (int i = 0; i < 100; i++)
		silent[i] = world_connect(&w, 0);
	// The bound on links of one host that have not proven themselves.
	cr_assert_geq(node_counters(w.nodes[0].node)->accepts_refused, 100 - UNPROVEN_HOST_MAX);
	world_run(&w, HANDSHAKE_TIMEOUT + SECOND);
	cr_assert(world_closed(s));
	for (int i = 0; i < 100; i++)
		cr_assert(world_closed(silent[i]));
	cr_assert_eq(world_peers(&w, 0), 1);
	world_fini(&w);
}
#endif

Test(network, dropped_and_connected_again_at_once)
{
	for (uint64_t seed = 1; seed <= runs(50); seed++) {
		struct world w;
		world_init(&w, seed);
		start_all(&w, 2, 0);
		cr_assert(world_until(&w, 5 * SECOND, gathered));
		struct node *node = w.nodes[0].node;
		cr_assert_eq(node_drop(node, &w.nodes[1].id), 0);
		int64_t token = node_connect(node, "127.0.0.1", w.nodes[1].address.port);
		cr_assert_gt(token, 0);
		world_run(&w, 2 * SECOND);
		cr_assert_eq(node_connect_result(node, token), 0, "seed %d", (int)seed);
		cr_assert(world_linked(&w, 0, 1));
		cr_assert(world_consistent(&w));
		world_fini(&w);
	}
}

Test(network, random_faults)
{
	for (uint64_t seed = first(); seed <= runs(20); seed++) {
		struct world w;
		world_init(&w, seed);
		int count = 2 + (int)random_below(&w.random, 29);
		start_all(&w, count, 0);
		for (int turn = 0; turn < 60; turn++) {
			int i = (int)random_below(&w.random, (uint64_t)count);
			switch (random_below(&w.random, 6)) {
			case 0:
				if (w.nodes[i].node && world_count(&w) > 2)
					world_crash(&w, i);
				break;
			case 1:
				if (w.nodes[i].node)
					world_pause(&w, i, true);
				break;
			case 2:
				world_side(&w, i, !w.nodes[i].side);
				break;
			default:
				world_pause(&w, i, false);
				if (!w.nodes[i].node) {
					world_start(&w, i);
					world_seed(&w, i, 0);
					world_seed(&w, i, (i + 1) % count);
				} else {
					world_publish(&w, i, 1000);
				}
			}
			world_run(&w, random_below(&w.random, 3 * SECOND));
		}
		// The seed lives, or those who know nobody else stay alone.
		if (!w.nodes[0].node) {
			world_start(&w, 0);
			for (int i = 1; i < count; i++)
				world_seed(&w, 0, i);
		}
		for (int i = 0; i < count; i++) {
			world_pause(&w, i, false);
			world_side(&w, i, 0);
		}
		cr_assert(world_until(&w, 120 * SECOND, gathered), "seed %d", (int)seed);
		cr_assert(world_until(&w, 90 * SECOND, healed_everywhere), "seed %d", (int)seed);
		check_order(&w);
		world_fini(&w);
	}
}

#define STEADY 4 // nodes that do not die, so that what they read can be added up

static void drop_somebody(struct world *w, int i)
{
	struct peer peer = { 0 };
	size_t at = world_peers(w, i);
	for (at = at ? random_below(&w->random, at) + 1 : 0; at > 0; at--)
		node_next_peer(w->nodes[i].node, peer.serial, &peer);
	if (peer.serial)
		node_drop(w->nodes[i].node, &peer.id);
}

static void disturb(struct world *w, int i, int count)
{
	struct world_node *n = &w->nodes[i];
	switch (random_below(&w->random, 12)) {
	case 0:
		if (n->node && i >= STEADY)
			world_crash(w, i);
		break;
	case 1:
		if (n->node && i >= STEADY)
			world_vanish(w, i);
		break;
	case 2:
		if (n->node)
			world_pause(w, i, true);
		break;
	case 3:
		world_side(w, i, !n->side);
		break;
	case 4:
		n->reading = false;
		break;
	case 5:
		if (n->node && !n->paused)
			drop_somebody(w, i);
		break;
	case 6:
	case 7:
		world_side(w, i, 0);
		break;
	default:
		world_pause(w, i, false);
		n->reading = true;
		if (!n->node) {
			world_start(w, i);
			world_seed(w, i, (int)random_below(&w->random, STEADY));
			world_seed(w, i, (i + 1) % count);
		}
	}
}

static size_t some_size(struct world *w)
{
	switch (random_below(&w->random, 8)) {
	case 0:
		return MESSAGE_MAX - random_below(&w->random, 600 * KIB);
	case 1:
	case 2:
		return 1000 + random_below(&w->random, 40000);
	default:
		return 16 + random_below(&w->random, 300);
	}
}

static void chatter(struct world *w, int count)
{
	for (int i = 0; i < count; i++) {
		if (!w->nodes[i].node || w->nodes[i].paused || random_below(&w->random, 3) == 0)
			continue;
		uint64_t burst = random_below(&w->random, 20);
		for (uint64_t k = 0; k < burst; k++)
			if (!world_publish(w, i, some_size(w)))
				break;
	}
}

// What a node did not read of a source is in its events.
static void check_accounts(struct world *w, uint64_t seed)
{
	for (int i = 0; i < STEADY; i++) {
		const struct node_counters *c = node_counters(w->nodes[i].node);
		uint64_t absent = 0;
		for (int s = 0; s < STEADY; s++)
			if (s != i)
				absent += w->nodes[s].published - w->nodes[i].read[s];
		cr_assert_leq(absent, c->messages_missed + c->messages_overrun,
			"seed %d: node %d lacks %d, says %d and %d", (int)seed, i, (int)absent,
			(int)c->messages_missed, (int)c->messages_overrun);
	}
}

static bool members_known(struct world *w)
{
	for (int i = 0; i < WORLD_NODES; i++)
		if (w->nodes[i].node &&
			node_member_count(w->nodes[i].node) != (size_t)world_count(w))
			return false;
	return true;
}

// Messages of all sizes while everything happens that can.
Test(network, random_traffic)
{
	for (uint64_t seed = first(); seed <= runs(6); seed++) {
		struct world w;
		world_init(&w, seed);
		int count = STEADY + (int)random_below(&w.random, 10);
		start_all(&w, count, 0);
		cr_assert(world_until(&w, 20 * SECOND, gathered), "seed %d", (int)seed);
		for (int turn = 0; turn < 100; turn++) {
			disturb(&w, (int)random_below(&w.random, (uint64_t)count), count);
			chatter(&w, count);
			world_run(&w, random_below(&w.random, SECOND));
		}
		for (int i = 0; i < count; i++) {
			world_pause(&w, i, false);
			world_side(&w, i, 0);
			w.nodes[i].reading = true;
			if (w.nodes[i].node)
				world_seed(&w, i, 0);
		}
		cr_assert(world_until(&w, 120 * SECOND, gathered), "seed %d", (int)seed);
		// What comes now is small beside what everybody catches up with: it might be
		// trimmed.
		world_run(&w, 15 * SECOND);
		for (int i = 0; i < count; i++)
			while (w.nodes[i].node && !world_publish(&w, i, 100))
				world_run(&w, 10 * MILLISECOND);
		// Nobody is stuck, and nobody waits for ever.
		cr_assert(world_until(&w, 60 * SECOND, all_read), "seed %d", (int)seed);
		cr_assert(world_until(&w, 90 * SECOND, healed_everywhere), "seed %d", (int)seed);
		// At the latest when everybody has renewed its lease.
		cr_assert(world_until(&w, LEASE_RENEW + LEASE_RENEW / 3, members_known), "seed %d",
			(int)seed);
		check_order(&w);
		check_accounts(&w, seed);
		world_fini(&w);
	}
}
