// SPDX-License-Identifier: MIT
// Whom nodes take for what: lists of who may link, keys that change, and ids that two have.
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/node_inner.h"
#include "tests/unit/forge.h"

static void start(struct world *w, uint64_t seed, int count)
{
	world_init(w, seed);
	for (int i = 0; i < count; i++)
		world_start(w, i);
	for (int i = 1; i < count; i++)
		world_seed(w, i, 0);
}

static bool links_are(const struct world *w, int a, int b, bool linked)
{
	return world_linked(w, a, b) == linked;
}

static void set_access(struct world *w, int i, const int *authorized, int count)
{
	struct access fresh = { 0 };
	fresh.restricted = true;
	for (int k = 0; k < count; k++)
		cr_assert_eq(access_allow(&fresh, &w->nodes[authorized[k]].id), 0);
	if (w->nodes[i].node)
		node_set_access(world_node(w, i), &fresh);
	else
		w->nodes[i].access = fresh;
}

// A chain 2 - 0 - 1 that is closed to a triangle, in which 0 denies 2.
Test(trust, the_denied_goes_and_stays_away)
{
	struct world w;
	start(&w, 1, 3);
	world_run(&w, 5 * SECOND);
	cr_assert(links_are(&w, 0, 2, true) && links_are(&w, 1, 2, true));
	cr_assert(world_publish(&w, 2, 100));
	world_run(&w, SECOND);
	cr_assert_eq(w.nodes[0].read[2], 1);

	cr_assert_eq(node_deny(world_node(&w, 0), &w.nodes[2].id), 0);
	cr_assert_eq(node_deny(world_node(&w, 0), &w.nodes[0].id), -EINVAL);
	cr_assert_eq(world_peers(&w, 0), 1, "at once");
	cr_assert_eq(world_events_with(&w, 0, "remove", "reason=denied"), 1);
	world_run(&w, SECOND / 10);
	cr_assert_eq(world_events_with(&w, 2, "remove", "reason=denied"), 1);

	// Neither by itself nor by hand does it come back, and both sides say so.
	int64_t token = node_connect(world_node(&w, 2), "127.0.0.1", w.nodes[0].address.port);
	cr_assert_gt(token, 0);
	world_run(&w, SECOND);
	cr_assert_eq(node_connect_result(w.nodes[2].node, token), -EACCES);
	cr_assert_eq(world_events_with(&w, 0, "refused", "reason=denied"), 1);
	cr_assert_eq(world_events_with(&w, 2, "refused", "reason=denied by=peer"), 1);
	world_run(&w, 120 * SECOND);
	cr_assert(links_are(&w, 0, 2, false) && links_are(&w, 1, 2, true));
	cr_assert_leq(world_events(&w, 0, "refused"), 10);
	world_fini(&w);
}

// 2 - 0 - 1, and nothing else: what the denied 3, behind 2, says goes through 0 unread.
Test(trust, what_the_denied_say_is_relayed_and_not_read)
{
	struct world w;
	world_init(&w, 2);
	w.min_peers = 1;
	cr_assert_eq(access_deny(&w.nodes[0].access, &w.nodes[3].id), 0);
	for (int i = 0; i < 4; i++)
		world_start(&w, i);
	cr_assert_eq(access_deny(&w.nodes[1].access, &w.nodes[2].id), 0);
	cr_assert_eq(access_deny(&w.nodes[1].access, &w.nodes[3].id), 0);
	world_seed(&w, 1, 0);
	world_seed(&w, 2, 0);
	world_seed(&w, 3, 2);
	world_run(&w, 5 * SECOND);
	cr_assert(links_are(&w, 3, 2, true) && links_are(&w, 2, 0, true) &&
		  links_are(&w, 0, 1, true));
	cr_assert_eq(node_allow(world_node(&w, 1), &w.nodes[3].id), 0);
	for (int i = 0; i < 5; i++) {
		cr_assert(world_publish(&w, 3, i == 3 ? 100000 : 100));
		cr_assert(world_publish(&w, 2, 100));
		world_run(&w, SECOND);
	}
	cr_expect_eq(w.nodes[0].read[3], 0);
	cr_expect_eq(w.nodes[1].read[3], 5);
	cr_expect_eq(w.nodes[0].read[2], 5);
	cr_expect_eq(w.nodes[1].read[2], 0, "denied there, too");
	cr_expect_eq(world_events(&w, 1, "gap") + world_events(&w, 0, "gap"), 0);

	cr_assert_eq(node_allow(world_node(&w, 0), &w.nodes[3].id), 0);
	cr_assert(world_publish(&w, 3, 100));
	world_run(&w, SECOND);
	cr_expect_eq(w.nodes[0].read[3], 1);
	cr_expect_eq(w.nodes[0].last[3], 6);
	cr_expect_eq(w.nodes[1].read[3], 6);
	world_fini(&w);
}

Test(trust, who_is_allowed_again_links_again)
{
	struct world w;
	start(&w, 3, 2);
	world_run(&w, 3 * SECOND);
	cr_assert_eq(node_deny(world_node(&w, 0), &w.nodes[1].id), 0);
	world_run(&w, 40 * SECOND);
	cr_assert(links_are(&w, 0, 1, false));
	cr_assert_eq(node_allow(world_node(&w, 0), &w.nodes[1].id), 0);
	world_run(&w, SECOND);
	cr_assert(links_are(&w, 0, 1, true));
	world_fini(&w);
}

static int connect_from(struct world *w, int a, int b)
{
	int64_t token = node_connect(world_node(w, a), "127.0.0.1", w->nodes[b].address.port);
	cr_assert_gt(token, 0);
	world_run(w, 2 * SECOND);
	return node_connect_result(w->nodes[a].node, token);
}

Test(trust, only_the_authorized_link)
{
	static const int list[] = { 1 };
	for (int way = 0; way < 2; way++) {
		struct world w;
		start(&w, 4, 0);
		set_access(&w, 0, list, 1);
		for (int i = 0; i < 3; i++)
			world_start(&w, i);
		world_run(&w, SECOND);
		cr_expect_eq(connect_from(&w, way ? 0 : 2, way ? 2 : 0), -EACCES);
		cr_expect(links_are(&w, 0, 2, false));
		for (int i = 0; i <= 2; i += 2) {
			cr_expect_eq(world_events(&w, i, "refused"), 1, "node %d", i);
			cr_expect_eq(world_events_with(&w, i, "refused", "reason=denied"), 1);
			cr_expect_eq(world_peers(&w, i), 0);
		}
		cr_expect_eq(connect_from(&w, way ? 0 : 1, way ? 1 : 0), 0);
		cr_expect(links_are(&w, 0, 1, true));
		world_fini(&w);
	}
}

// A seed's id is not known before it has been reached.
Test(trust, an_authorized_seed_is_dialled)
{
	static const int list[] = { 1 };
	struct world w;
	world_init(&w, 5);
	set_access(&w, 0, list, 1);
	world_start(&w, 0);
	world_start(&w, 1);
	world_seed(&w, 0, 1);
	world_run(&w, 3 * SECOND);
	cr_assert(links_are(&w, 0, 1, true));
	world_fini(&w);
}

// Messages of the unlisted come over the listed, and are read: the list is of links.
Test(trust, lists_that_are_read_again)
{
	static const int both[] = { 1, 2 }, one[] = { 1 };
	struct world w;
	start(&w, 6, 3);
	world_run(&w, 5 * SECOND);
	set_access(&w, 0, both, 2);
	cr_expect_eq(world_peers(&w, 0), 2);
	set_access(&w, 0, one, 1);
	cr_expect_eq(world_peers(&w, 0), 1);
	cr_expect_eq(world_events_with(&w, 0, "remove", "reason=denied"), 1);
	world_run(&w, 2 * SECOND);
	cr_assert(links_are(&w, 0, 2, false) && links_are(&w, 0, 1, true));
	cr_assert(world_publish(&w, 2, 100));
	world_run(&w, SECOND);
	cr_expect_eq(w.nodes[0].read[2], 1);
	struct access open = { 0 };
	node_set_access(world_node(&w, 0), &open);
	cr_expect_eq(connect_from(&w, 0, 2), 0);
	cr_expect(links_are(&w, 0, 2, true));
	world_fini(&w);
}

static void ring_of(struct keyring *ring, const uint8_t *keys, int count)
{
	*ring = (struct keyring){ 0 };
	for (int k = 0; k < count; k++) {
		uint8_t secret[NETWORK_KEY_BYTES] = { keys[k] };
		cr_assert_eq(keyring_add(ring, secret), 0);
	}
}

static void rekey(struct world *w, int i, const uint8_t *keys, int count)
{
	struct keyring fresh;
	ring_of(&fresh, keys, count);
	node_rekey(world_node(w, i), &fresh);
}

// Everybody writes for a while, and everybody reads all of it.
static void traffic(struct world *w, int count)
{
	for (int turn = 0; turn < 5; turn++) {
		for (int i = 0; i < count; i++)
			cr_assert(world_publish(w, i, turn == 2 ? 50000 : 100));
		world_run(w, SECOND / 5);
	}
}

static void check_traffic(const struct world *w, int count)
{
	for (int i = 0; i < count; i++) {
		cr_expect_eq(world_events(w, i, "gap"), 0, "node %d", i);
		cr_expect_eq(w->nodes[i].disorder, 0);
		for (int k = 0; k < count; k++)
			if (k != i)
				cr_expect_eq(w->nodes[i].read[k], w->nodes[k].published,
					"node %d of %d: %u of %u", i, k, w->nodes[i].read[k],
					w->nodes[k].published);
	}
}

// The new key is added everywhere, then put first everywhere, then the old one goes; one node at a
// time, and nobody notices.
Test(trust, keys_change_under_way)
{
	static const uint8_t steps[][2] = { { 1, 2 }, { 2, 1 }, { 2, 0 } };
	static const uint8_t old[] = { 1 };
	struct world w;
	world_init(&w, 7);
	for (int i = 0; i < 3; i++)
		ring_of(&w.nodes[i].keyring, old, 1);
	for (int i = 0; i < 3; i++)
		world_start(&w, i);
	world_seed(&w, 1, 0);
	world_seed(&w, 2, 0);
	world_run(&w, 5 * SECOND);
	traffic(&w, 3);
	for (int step = 0; step < 3; step++)
		for (int i = 0; i < 3; i++) {
			rekey(&w, i, steps[step], steps[step][1] ? 2 : 1);
			traffic(&w, 3);
		}
	world_run(&w, 2 * SECOND);
	check_traffic(&w, 3);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(world_events(&w, i, "remove"), 0);
		cr_expect_eq(world_events(&w, i, "refused"), 0);
		cr_expect_eq(node_member_count(w.nodes[i].node), 3);
		cr_expect_eq(node_counters(w.nodes[i].node)->announcements_dropped, 0);
	}

	// Who has the old one alone does not get in, who has the new one does, and hears of all.
	static const uint8_t fresh[] = { 2 };
	ring_of(&w.nodes[3].keyring, old, 1);
	ring_of(&w.nodes[4].keyring, fresh, 1);
	world_start(&w, 3);
	world_start(&w, 4);
	world_run(&w, SECOND);
	cr_expect_eq(connect_from(&w, 3, 0), -EACCES);
	cr_expect_eq(connect_from(&w, 4, 0), 0);
	world_run(&w, 5 * SECOND);
	cr_expect_eq(node_member_count(w.nodes[4].node), 4);
	cr_expect_eq(node_member_count(w.nodes[3].node), 1);
	uint32_t before = w.nodes[4].read[1];
	cr_assert(world_publish(&w, 1, 100));
	world_run(&w, SECOND);
	cr_expect_eq(w.nodes[4].read[1], before + 1);
	world_fini(&w);
}

// What was signed under a key that is retired is still read; it opens nothing.
Test(trust, a_retired_key_opens_nothing)
{
	static const uint8_t old[] = { 1 }, both[] = { 2, 1 }, fresh[] = { 2 };
	struct world w;
	world_init(&w, 8);
	for (int i = 0; i < 2; i++)
		ring_of(&w.nodes[i].keyring, both, 2);
	ring_of(&w.nodes[2].keyring, old, 1);
	for (int i = 0; i < 3; i++)
		world_start(&w, i);
	world_seed(&w, 1, 0);
	world_run(&w, 3 * SECOND);
	// 2 links to 1 alone, and signs with the old key.
	cr_assert_eq(connect_from(&w, 2, 1), 0);
	for (int i = 0; i < 2; i++)
		rekey(&w, i, fresh, 1);
	uint32_t before = w.nodes[0].read[2];
	cr_assert(world_publish(&w, 2, 100));
	world_run(&w, SECOND);
	cr_expect_eq(w.nodes[0].read[2], before + 1);
	cr_expect_eq(world_events(&w, 1, "remove"), 0, "links stay");
	cr_assert_eq(node_drop(world_node(&w, 1), &w.nodes[2].id), 0);
	world_run(&w, SECOND);
	cr_expect_eq(connect_from(&w, 2, 1), -EACCES);
	world_fini(&w);
}

Test(trust, the_same_keys_again_change_nothing)
{
	struct world w;
	start(&w, 9, 2);
	world_run(&w, 3 * SECOND);
	struct keyring before = w.nodes[0].keyring, same = before;
	uint64_t announced = w.nodes[0].node->announce.counter;
	node_rekey(world_node(&w, 0), &same);
	cr_expect_eq(memcmp(&w.nodes[0].keyring, &before, sizeof before), 0);
	cr_expect_eq(w.nodes[0].node->announce.counter, announced);
	cr_expect_eq(same.count, 0, "cleansed");
	traffic(&w, 2);
	check_traffic(&w, 2);
	cr_expect_eq(world_events(&w, 0, "remove") + world_events(&w, 1, "remove"), 0);
	world_fini(&w);
}

// Exactly one of the two is stopped, the other one is a member as before.
static void clash(uint64_t seed, bool direct, uint64_t incarnation)
{
	struct world w;
	world_init(&w, seed);
	world_double(&w, 2, 1);
	w.nodes[1].incarnation = 1600000000000;
	w.nodes[2].incarnation = w.nodes[1].incarnation + incarnation;
	world_start(&w, 0);
	world_start(&w, 1);
	world_start(&w, 3);
	world_seed(&w, 1, 0);
	world_seed(&w, 3, 0);
	world_run(&w, 3 * SECOND);
	world_start(&w, 2);
	if (direct)
		world_seed(&w, 2, 1);
	world_seed(&w, 2, 0);
	int stopped = 0;
	for (int turn = 0; turn < 600 && !stopped; turn++) {
		world_run(&w, SECOND / 10);
		stopped = node_stopped(w.nodes[1].node) + node_stopped(w.nodes[2].node);
	}
	world_run(&w, 2 * SECOND);
	bool first = node_stopped(w.nodes[1].node), second = node_stopped(w.nodes[2].node);
	cr_assert_neq(first, second, "seed %d direct %d: %d %d", (int)seed, direct, first, second);
	int gone = first ? 1 : 2, left = first ? 2 : 1;
	cr_expect_eq(world_events(&w, gone, "clash"), 1);
	cr_expect_eq(world_events(&w, left, "clash"), 0);
	for (int i = 1; i <= 2; i++)
		cr_expect_eq(w.nodes[i].kept_in_disorder, 0);
	cr_expect_geq(w.nodes[gone].keeps, 1);
	// Everybody who could be misled by this has had a minute.
	world_run(&w, 60 * SECOND);
	cr_expect_eq(world_events(&w, left, "clash"), 0);
	cr_expect(world_linked(&w, 0, left) || world_linked(&w, 3, left));
	cr_expect_eq(node_member_count(w.nodes[left].node), 3, "seed %d: the one that is left: %zu",
		(int)seed, node_member_count(w.nodes[left].node));
	for (int i = 0; i <= 3; i += 3)
		cr_expect_eq(node_member_count(w.nodes[i].node), 3, "seed %d: %d of %zu", (int)seed,
			i, node_member_count(w.nodes[i].node));
	uint32_t before = w.nodes[3].read[left];
	cr_assert(world_publish(&w, left, 100));
	world_run(&w, SECOND);
	cr_expect_eq(w.nodes[3].read[left], before + 1, "seed %d direct %d", (int)seed, direct);
	world_fini(&w);
}

Test(trust, two_with_one_id_that_meet)
{
	for (uint64_t seed = 10; seed < 15; seed++)
		clash(seed, true, 1);
}

Test(trust, two_with_one_id_that_do_not_meet)
{
	for (uint64_t seed = 20; seed < 25; seed++)
		clash(seed, false, 1);
}

// A backup was restored, with an incarnation from long ago: it is raised, and that is all.
static void restored(uint64_t seed, bool crashed)
{
	struct world w;
	world_init(&w, seed);
	// Later than what the clock says, or the clock alone would do.
	w.nodes[2].incarnation = 1800000000000;
	for (int i = 0; i < 3; i++)
		world_start(&w, i);
	world_seed(&w, 1, 0);
	world_seed(&w, 2, 0);
	world_run(&w, 5 * SECOND);
	cr_assert(world_publish(&w, 2, 100));
	world_run(&w, SECOND);
	cr_assert_eq(w.nodes[1].read[2], 1);
	if (crashed)
		world_vanish(&w, 2);
	else
		world_stop(&w, 2);
	world_run(&w, SECOND / 2);
	w.nodes[2].incarnation = 1700000000000;
	world_start(&w, 2);
	world_seed(&w, 2, 0);
	world_run(&w, 60 * SECOND);
	cr_expect_eq(world_events(&w, 2, "clash"), 0);
	cr_expect_not(node_stopped(w.nodes[2].node));
	cr_expect_gt(node_config(w.nodes[2].node)->incarnation, 1800000000000);
	cr_expect_gt(w.nodes[2].kept, 1800000000000);
	cr_expect_eq(w.nodes[2].kept_in_disorder, 0);
	cr_expect(world_linked(&w, 2, 0));
	for (int i = 0; i < 3; i++)
		cr_expect_eq(node_member_count(w.nodes[i].node), 3, "node %d", i);
	for (int i = 0; i < 3; i++) {
		cr_assert(world_publish(&w, 2, 100));
		world_run(&w, SECOND);
	}
	cr_expect_eq(w.nodes[0].read[2], 4);
	cr_expect_eq(w.nodes[1].read[2], 4);
	cr_expect_eq(world_events(&w, 1, "gap"), 0);
	world_fini(&w);
}

Test(trust, a_restored_backup_after_a_crash)
{
	restored(30, true);
}

Test(trust, a_restored_backup_after_a_stop)
{
	restored(31, false);
}

// Whether it has arrived already or not: it is not read after the denial.
Test(trust, unread_of_the_denied)
{
	struct world w;
	world_init(&w, 2);
	world_start(&w, 0);
	world_start(&w, 1);
	world_seed(&w, 1, 0);
	world_run(&w, 3 * SECOND);
	w.nodes[0].reading = false;
	for (int i = 0; i < 3; i++) {
		world_publish(&w, 1, 100);
		world_run(&w, SECOND);
	}
	node_deny(world_node(&w, 0), &w.nodes[1].id);
	w.nodes[0].reading = true;
	world_run(&w, 5 * SECOND);
	cr_expect_eq(w.nodes[0].read[1], 0, "%u read after deny", w.nodes[0].read[1]);
	world_fini(&w);
}

// Put back to an earlier state and writing before it has met anybody: what was written is heard.
Test(trust, what_was_written_before_the_later_life_was_heard_of)
{
	struct world w;
	world_init(&w, 31);
	w.nodes[2].incarnation = 1800000000000;
	for (int i = 0; i < 3; i++)
		world_start(&w, i);
	world_seed(&w, 1, 0);
	world_seed(&w, 2, 0);
	world_run(&w, 5 * SECOND);
	world_stop(&w, 2);
	world_run(&w, SECOND / 2);
	w.nodes[2].incarnation = 1700000000000;
	world_start(&w, 2);
	for (int i = 0; i < 3; i++) {
		cr_assert(world_publish(&w, 2, 100));
		world_run(&w, 10 * MILLISECOND);
	}
	world_seed(&w, 2, 0);
	world_run(&w, 10 * SECOND);
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(w.nodes[i].read[2], 3, "node %d", i);
		cr_expect_eq(w.nodes[i].disorder, 0);
	}
	world_run(&w, 40 * SECOND);
	cr_expect_eq(world_events(&w, 2, "lost"), 0);
	world_fini(&w);
}

// A member's word that there is a double costs nothing that was written.
Test(trust, a_false_word_of_a_double_loses_nothing)
{
	struct world w;
	world_init(&w, 32);
	world_start(&w, 0);
	world_start(&w, 1);
	for (int i = 0; i < 3; i++) {
		cr_assert(world_publish(&w, 0, 100));
		world_run(&w, SECOND / 10);
	}
	struct forger f = forge_join(&w, 0, 1);
	struct frame_hello hello = forge_hello(&f);
	wire_put_hello(&f.out, &hello);
	forge_say(&f);
	forge_goodbye(&f, GOODBYE_CLASH);
	world_run(&w, SECOND);
	world_seed(&w, 0, 1);
	world_run(&w, 40 * SECOND);
	cr_expect_eq(w.nodes[1].read[0], 3);
	cr_expect_eq(w.nodes[1].disorder, 0);
	cr_expect_eq(world_events(&w, 0, "lost"), 0);
	cr_expect_eq(node_counters(w.nodes[0].node)->messages_published, 3);
	world_fini(&w);
}

// What is published anew is old enough to be trimmed by that.
Test(trust, a_later_life_takes_over_what_is_due_to_be_trimmed)
{
	struct world w;
	world_init(&w, 33);
	world_start(&w, 0);
	world_start(&w, 1);
	struct node *node = world_node(&w, 0);
	for (int i = 0; i < 3; i++) {
		cr_assert(world_publish(&w, 0, 100000));
		world_run(&w, SECOND / 10);
	}
	for (struct batch *b = node->publisher.own->oldest; b; b = b->newer)
		b->arrived -= RETAIN_TIME;
	node_clash_hint(node);
	world_run(&w, SECOND / 20);
	world_seed(&w, 0, 1);
	world_run(&w, 5 * SECOND);
	cr_expect_eq(w.nodes[1].read[0], 3);
	cr_expect_eq(w.nodes[1].disorder, 0);
	cr_expect_eq(world_events(&w, 0, "lost"), 0);
	world_fini(&w);
}
