// SPDX-License-Identifier: MIT
#include "tests/sim/queue.h"

#include <criterion/criterion.h>

#include "core/random.h"

static struct queue q;

static void finish(void)
{
	queue_fini(&q);
}

TestSuite(queue, .fini = finish);

static void put(uint64_t at, uint32_t number)
{
	queue_put(&q, at, HAPPEN_TIMER, NULL, number);
}

static void take(uint64_t at, uint32_t number)
{
	cr_assert_eq(queue_next(&q), at);
	struct event e = queue_take(&q);
	cr_assert_eq(e.at, at);
	cr_assert_eq(e.life, number);
}

Test(queue, gives_back_in_the_order_of_time)
{
	put(70, 1);
	put(5, 2);
	put(1000000000000, 3);
	put(5000, 4);
	take(5, 2);
	put(6, 5);
	take(6, 5);
	take(70, 1);
	take(5000, 4);
	take(1000000000000, 3);
	cr_expect_eq(q.count, 0);
}

Test(queue, at_one_time_who_came_first_is_first)
{
	put(300000, 1);
	put(299999, 2);
	put(300000, 3);
	take(299999, 2);
	// It lies elsewhere by now, and still comes after those.
	put(300000, 4);
	take(300000, 1);
	put(300000, 5);
	take(300000, 3);
	take(300000, 4);
	take(300000, 5);
}

Test(queue, to_look_at_the_next_is_not_to_pass_what_is_before)
{
	put(10, 1);
	take(10, 1);
	put(123456789, 2);
	cr_expect_eq(queue_next(&q), 123456789);
	put(11, 3);
	take(11, 3);
	take(123456789, 2);
}

Test(queue, what_is_late_comes_at_once)
{
	put(5000, 1);
	take(5000, 1);
	put(10, 2);
	take(5000, 2);
}

Test(queue, agrees_with_a_sorted_list)
{
	enum { COUNT = 2000 };
	static struct {
		uint64_t at;
		bool waits;
	} list[COUNT];
	struct random r = { 7 };
	uint32_t put_so_far = 0, taken = 0;
	uint64_t now = 0;

	while (taken < COUNT) {
		if (put_so_far < COUNT && (taken == put_so_far || random_below(&r, 2))) {
			uint64_t span = (uint64_t)1 << random_below(&r, 40);
			list[put_so_far].at = now + random_below(&r, span);
			list[put_so_far].waits = true;
			put(list[put_so_far].at, put_so_far);
			put_so_far++;
			continue;
		}
		uint32_t first = UINT32_MAX;
		for (uint32_t i = 0; i < put_so_far; i++)
			if (list[i].waits && (first == UINT32_MAX || list[i].at < list[first].at))
				first = i;
		take(list[first].at, first);
		list[first].waits = false;
		now = list[first].at;
		taken++;
	}
}

static unsigned told[QUEUE_TURNS];

static void soon(const struct event *e, int turn)
{
	told[turn]++;
}

Test(queue, tells_of_what_comes_soon)
{
	q.soon = soon;
	for (uint32_t i = 0; i < 40; i++)
		put(64 + i * QUEUE_SLOTS, i);
	for (uint32_t i = 0; i < 40; i++)
		take(64 + i * QUEUE_SLOTS, i);
	for (int turn = 0; turn < QUEUE_TURNS; turn++) {
		cr_expect_gt(told[turn], 30);
		cr_expect_leq(told[turn], 40, "each once");
	}
}
