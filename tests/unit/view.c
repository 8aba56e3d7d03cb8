// SPDX-License-Identifier: MIT
#include "core/view.h"

#include <criterion/criterion.h>

#define NOW (100 * SECOND)

static struct view v;
static struct random r = { 1 };

static void finish(void)
{
	view_fini(&v);
}

TestSuite(view, .fini = finish);

static struct contact contact_of(uint16_t n)
{
	return (struct contact){ .id = { { 1, (uint8_t)(n >> 8), (uint8_t)n } },
		.address = { 4, { 10, 1, (uint8_t)(n >> 8), (uint8_t)n }, 8495 } };
}

static struct view_entry *find(uint16_t n)
{
	struct contact c = contact_of(n);
	return view_find_address(&v, &c.address);
}

static struct view_entry *add(uint64_t now, uint16_t n)
{
	struct contact c = contact_of(n);
	view_add(&v, now, &c);
	return find(n);
}

static void fill(void)
{
	for (uint16_t n = 0; n < VIEW_MAX; n++)
		cr_assert(add(NOW + n, n));
	cr_assert_eq(v.count, VIEW_MAX);
}

static bool usable(void *context, const struct view_entry *e)
{
	return !context || e != context;
}

Test(view, keeps_one_entry_for_an_address)
{
	struct view_entry *e = add(NOW, 1);
	cr_assert(e);
	cr_expect_eq(view_silence(e, NOW), 0);
	cr_expect_eq(add(NOW + 5 * MILLISECOND, 1), e);
	cr_expect_eq(view_silence(e, NOW + 6 * MILLISECOND), MILLISECOND);
	cr_expect_eq(v.count, 1);
	struct contact c = contact_of(1);
	cr_expect_eq(view_find_id(&v, &c.id), e);
}

Test(view, ignores_contacts_without_an_address)
{
	struct contact c = contact_of(1);
	c.address = (struct address){ 0 };
	view_add(&v, NOW, &c);
	cr_expect_eq(v.count, 0);
}

Test(view, a_node_that_moved_keeps_its_entry)
{
	struct view_entry *e = add(NOW, 1);
	struct contact c = contact_of(1);
	c.address.port = 9000;
	view_add(&v, NOW, &c);
	cr_expect_eq(v.count, 1);
	cr_expect_eq(e->port, 9000);
}

Test(view, hearsay_does_not_move_what_was_reached)
{
	struct view_entry *e = add(NOW, 1);
	struct contact c = contact_of(1);
	view_succeeded(e, NOW, &c.id);
	c.address.port = 9000;
	view_add(&v, NOW, &c);
	cr_expect_eq(v.count, 2);
	cr_expect_eq(e->port, 8495);
	// Nor does it change whose address it is.
	c = contact_of(1);
	c.id.bytes[15] = 99;
	view_add(&v, NOW, &c);
	cr_expect_eq(e->id.bytes[15], 0);
}

Test(view, an_unknown_id_does_not_replace_a_known_one)
{
	struct view_entry *e = add(NOW, 1);
	struct contact c = contact_of(1);
	struct id known = c.id;
	c.id = (struct id){ { 0 } };
	view_add(&v, NOW, &c);
	cr_expect(id_equal(&e->id, &known));
	// And two that are unknown are not the same node.
	c = contact_of(2);
	c.id = (struct id){ { 0 } };
	view_add(&v, NOW, &c);
	c.address.port = 1;
	view_add(&v, NOW, &c);
	cr_expect_eq(v.count, 3);
}

Test(view, seeds_are_kept_by_address_or_name)
{
	cr_assert_eq(view_add_seed(&v, "10.1.0.1", 8495), 0);
	cr_assert_eq(view_add_seed(&v, "web1", 8495), 0);
	cr_assert_eq(view_add_seed(&v, "web1", 8496), 0);
	cr_assert_eq(view_add_seed(&v, "web1", 8495), 0);
	cr_assert_eq(view_add_seed(&v, "10.1.0.1", 8495), 0);
	cr_expect_eq(v.count, 3);
	struct view_entry *e = find(1);
	cr_assert(e);
	cr_expect(e->seed);
	cr_expect_null(view_host(&v, e));
	cr_expect_eq(add(NOW, 1), e, "mentioned by others it stays the same entry");
	cr_expect(e->seed);
}

Test(view, a_known_node_becomes_a_seed)
{
	struct view_entry *e = add(NOW, 1);
	cr_assert_eq(view_add_seed(&v, "10.1.0.1", 8495), 0);
	cr_expect_eq(v.count, 1);
	cr_expect(e->seed);
}

Test(view, a_full_one_gives_up_who_failed_most)
{
	fill();
	find(100)->failures = 2;
	find(50)->failures = 3;
	cr_assert(add(NOW + 1000, 1000));
	cr_expect_eq(v.count, VIEW_MAX);
	cr_expect_null(find(50));
	cr_assert(add(NOW + 1000, 1001));
	cr_expect_null(find(100));
}

Test(view, among_equals_who_was_not_heard_of_for_longest_goes)
{
	fill();
	add(NOW + 5000, 0);
	cr_assert(add(NOW + 1000, 1000));
	cr_expect(find(0));
	cr_expect_null(find(1));
	cr_expect(find(2));
}

Test(view, seeds_and_dials_are_never_evicted)
{
	cr_assert_eq(view_add_seed(&v, "10.1.3.232", 8495), 0); // number 1000
	find(1000)->failures = 200;
	cr_assert_eq(view_add_seed(&v, "web1", 1), 0);
	for (uint16_t n = 0; n < VIEW_MAX - 2; n++)
		add(NOW, n);
	find(7)->dialling = true;
	find(7)->failures = 200;
	for (uint16_t n = 2000; n < 3000; n++)
		cr_assert(add(NOW + n, n));
	cr_expect_eq(v.count, VIEW_MAX);
	cr_expect(find(1000));
	cr_expect(find(7));
	cr_expect_null(find(8));
	unsigned names = 0;
	struct view_entry *e;
	VIEW_FOREACH (&v, e)
		names += view_host(&v, e) != NULL;
	cr_expect_eq(names, 1);
}

Test(view, full_of_seeds_it_takes_nobody)
{
	for (uint16_t n = 0; n < VIEW_MAX; n++) {
		struct contact c = contact_of(n);
		cr_assert_eq(view_add_seed(&v, address_format_host(&c.address).text, 8495), 0);
	}
	cr_expect_null(add(NOW, 1000));
	cr_expect_eq(v.count, VIEW_MAX);
	cr_expect_eq(add(NOW, 5), find(5), "known ones are still updated");
	cr_expect_eq(view_silence(find(5), NOW), 0);
}

Test(view, backoff_grows_within_its_bounds_and_is_jittered)
{
	struct view_entry *e = add(NOW, 1);
	for (uint32_t failures = 0; failures < 100; failures++) {
		uint64_t nominal = BACKOFF_MIN << (failures < 10 ? failures : 10);
		nominal = nominal < BACKOFF_MAX ? nominal : BACKOFF_MAX;
		uint64_t low = UINT64_MAX, high = 0;
		for (int i = 0; i < 200; i++) {
			e->failures = (uint8_t)failures;
			e->dialling = true;
			view_failed(e, &r, NOW, BACKOFF_MAX);
			uint64_t delay = view_wait(e, NOW);
			low = delay < low ? delay : low;
			high = delay > high ? delay : high;
		}
		cr_assert_eq(e->failures, failures + 1);
		cr_assert_not(e->dialling);
		cr_expect_geq(low, BACKOFF_MIN);
		cr_expect_leq(high, BACKOFF_MAX);
		cr_expect_geq(low, nominal - nominal / 4);
		cr_expect_leq(high, nominal + nominal / 4);
		cr_expect_gt(high - low, nominal / 8, "they spread: %llu to %llu",
			(unsigned long long)low, (unsigned long long)high);
	}
}

Test(view, backoff_survives_a_counter_at_its_end)
{
	struct view_entry *e = add(NOW, 1);
	e->failures = UINT8_MAX - 1;
	for (int i = 0; i < 3; i++) {
		view_failed(e, &r, NOW, BACKOFF_MAX);
		cr_expect_eq(e->failures, UINT8_MAX);
		cr_expect_geq(view_wait(e, NOW), BACKOFF_MIN);
		cr_expect_leq(view_wait(e, NOW), BACKOFF_MAX);
	}
}

Test(view, success_clears_the_record)
{
	struct view_entry *e = add(NOW, 1);
	struct id id = { { 9 } };
	e->dialling = true;
	view_failed(e, &r, NOW, BACKOFF_MAX);
	e->dialling = true;
	view_succeeded(e, NOW + SECOND, &id);
	cr_expect_eq(e->failures, 0);
	cr_expect_not(e->dialling);
	cr_expect(e->reached);
	cr_expect(id_equal(&e->id, &id));
	cr_expect_eq(view_silence(e, NOW + SECOND), 0);
	cr_expect_leq(view_wait(e, NOW + SECOND), BACKOFF_MAX);
}

Test(view, picks_the_fewest_failures)
{
	for (uint16_t n = 0; n < 20; n++)
		add(NOW, n)->failures = (uint8_t)(5 - n % 5);
	for (int i = 0; i < 100; i++) {
		struct view_entry *e = view_pick(&v, &r, NOW, false, usable, NULL);
		cr_assert(e);
		cr_expect_eq(e->failures, 1);
	}
}

Test(view, picks_equals_alike)
{
	unsigned picked[4] = { 0 };
	struct view_entry *entries[4];
	for (uint16_t n = 0; n < 4; n++)
		entries[n] = add(NOW, n);
	add(NOW, 4)->failures = 1;
	for (int i = 0; i < 4000; i++) {
		struct view_entry *e = view_pick(&v, &r, NOW, false, usable, NULL);
		for (int n = 0; n < 4; n++)
			picked[n] += e == entries[n];
	}
	for (int n = 0; n < 4; n++) {
		cr_expect_gt(picked[n], 800);
		cr_expect_lt(picked[n], 1200);
	}
}

Test(view, picks_only_what_is_due_idle_and_wanted)
{
	cr_expect_null(view_pick(&v, &r, NOW, false, usable, NULL));
	struct view_entry *waiting = add(NOW, 1), *dialling = add(NOW, 2), *self = add(NOW, 3),
			  *unwanted = add(NOW, 4), *poor = add(NOW, 5);
	view_hold(waiting, NOW, 1);
	dialling->dialling = true;
	self->self = true;
	poor->failures = 200;
	for (int i = 0; i < 20; i++)
		cr_expect_eq(view_pick(&v, &r, NOW, false, usable, unwanted), poor);
	poor->self = true;
	cr_expect_null(view_pick(&v, &r, NOW, false, usable, unwanted));
	cr_expect_eq(view_pick(&v, &r, NOW + MILLISECOND, false, usable, unwanted), waiting);
}

Test(view, picks_any_alike)
{
	unsigned picked[4] = { 0 };
	struct view_entry *entries[4];
	for (uint16_t n = 0; n < 4; n++) {
		entries[n] = add(NOW, n);
		entries[n]->failures = (uint8_t)n;
	}
	add(NOW, 4)->self = true;
	for (int i = 0; i < 4000; i++) {
		struct view_entry *e = view_pick(&v, &r, NOW, true, usable, NULL);
		for (int n = 0; n < 4; n++)
			picked[n] += e == entries[n];
	}
	for (int n = 0; n < 4; n++) {
		cr_expect_gt(picked[n], 800);
		cr_expect_lt(picked[n], 1200);
	}
}

Test(view, times_go_round_and_stay_in_order)
{
	// The clock of an entry begins anew after 2^32 ms.
	uint64_t round = ((uint64_t)1 << 32) * MILLISECOND, before = round - 2 * SECOND;
	struct view_entry *old = add(before, 1), *fresh = add(round + SECOND, 2);
	view_hold(old, before, 5 * SECOND);
	cr_expect_eq(view_wait(old, before), 5 * SECOND);
	cr_expect_eq(view_wait(old, round), 3 * SECOND);
	cr_expect_eq(view_wait(old, round + 3 * SECOND), 0);
	cr_expect_eq(view_wait(old, round + 20 * 24 * 3600 * SECOND), 0);
	cr_expect_eq(view_silence(old, round + SECOND), 3 * SECOND);
	for (uint16_t n = 3; n <= VIEW_MAX + 1; n++)
		add(round + SECOND + n * MILLISECOND, n);
	cr_expect_null(find(1), "it was heard of first");
	cr_expect_eq(find(2), fresh);
}

Test(view, entries_stay_where_they_are)
{
	struct view_entry *first = add(NOW, 0);
	fill();
	cr_expect_eq(find(0), first);
	for (uint16_t n = 0; n < VIEW_MAX; n++)
		find(n)->failures = n == 77;
	struct view_entry *place = find(77);
	cr_expect_eq(add(NOW, 1000), place, "the newcomer is where the other was");
	cr_expect_eq(find(1000)->failures, 0);
	cr_expect_null(find(77));
}

static struct contact six(uint16_t n)
{
	return (struct contact){ .id = { { 6, (uint8_t)(n >> 8), (uint8_t)n } },
		.address = { 6, { 0xfd, [14] = (uint8_t)(n >> 8), (uint8_t)n }, 8495 } };
}

Test(view, has_addresses_of_both_kinds)
{
	cr_expect_leq(sizeof(struct view_entry), 32);
	cr_assert_eq(view_add_seed(&v, "web1", 1), 0);
	for (uint16_t n = 0; n < 3 * VIEW_MAX; n++) {
		struct contact c = n % 3 ? six(n) : contact_of(n);
		view_add(&v, NOW + n * MILLISECOND, &c);
		struct view_entry *e = view_find_address(&v, &c.address);
		cr_assert(e);
		struct address a = view_address(&v, e);
		cr_assert(address_equal(&a, &c.address));
		cr_assert(id_equal(&e->id, &c.id));
		cr_assert_leq(v.far_count, 2 * VIEW_MAX, "places are used again");
	}
	cr_expect_eq(v.count, VIEW_MAX);
	struct view_entry *e;
	VIEW_FOREACH (&v, e) {
		struct address a = view_address(&v, e);
		if (view_host(&v, e))
			cr_expect_str_eq(view_host(&v, e), "web1");
		else
			cr_expect_eq(view_find_address(&v, &a), e);
	}
}

Test(view, a_node_may_move_between_the_kinds)
{
	struct contact c = six(1);
	for (int i = 0; i < 100; i++) {
		c.address = i % 2 ? contact_of(1).address : six(1).address;
		view_add(&v, NOW, &c);
		cr_assert_eq(v.count, 1);
		struct address a = view_address(&v, view_find_id(&v, &c.id));
		cr_assert(address_equal(&a, &c.address));
	}
	cr_expect_leq(v.far_count, 4);
}
