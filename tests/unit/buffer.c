// SPDX-License-Identifier: MIT
#include "core/buffer.h"

#include <criterion/criterion.h>
#include <string.h>

#include "core/random.h"

static struct buffer b;

static void finish(void)
{
	buffer_fini(&b);
}

TestSuite(buffer, .fini = finish);

Test(buffer, is_empty_at_first)
{
	cr_expect_eq(buffer_length(&b), 0);
	cr_expect_not(buffer_failed(&b));
	buffer_append(&b, NULL, 0);
	buffer_consume(&b, 0);
	cr_expect_null(b.data, "nothing is allocated for nothing");
}

Test(buffer, gives_back_what_was_appended)
{
	buffer_append(&b, "hello ", 6);
	buffer_append(&b, "world", 5);
	cr_assert_eq(buffer_length(&b), 11);
	cr_expect_arr_eq(buffer_bytes(&b), "hello world", 11);
	buffer_consume(&b, 6);
	cr_assert_eq(buffer_length(&b), 5);
	cr_expect_arr_eq(buffer_bytes(&b), "world", 5);
	buffer_consume(&b, 5);
	cr_expect_eq(buffer_length(&b), 0);
	cr_expect_eq(b.start, 0, "an empty buffer starts over");
}

Test(buffer, reserves_without_counting)
{
	uint8_t *to = buffer_reserve(&b, 1000);
	cr_assert(to);
	memset(to, 'x', 1000);
	cr_expect_eq(buffer_length(&b), 0);
	buffer_commit(&b, 10);
	cr_expect_eq(buffer_length(&b), 10);
}

Test(buffer, reuses_the_room_at_the_front)
{
	static uint8_t block[256];
	buffer_append(&b, block, sizeof block);
	size_t capacity = b.capacity;
	for (int i = 0; i < 10000; i++) {
		buffer_consume(&b, 100);
		buffer_append(&b, block, 100);
	}
	cr_expect_leq(b.capacity, 4 * capacity, "grew to %zu", b.capacity);
}

Test(buffer, behaves_as_a_queue)
{
	struct random r = { 7 };
	uint64_t in = 0, out = 0;

	for (int i = 0; i < 20000; i++) {
		uint8_t block[600];
		size_t n = random_below(&r, sizeof block + 1);
		for (size_t j = 0; j < n; j++)
			block[j] = (uint8_t)(in++ * 31);
		buffer_append(&b, block, n);
		size_t take = random_below(&r, buffer_length(&b) + 1);
		for (size_t j = 0; j < take; j++)
			cr_assert_eq(buffer_bytes(&b)[j], (uint8_t)(out++ * 31));
		buffer_consume(&b, take);
		cr_assert_eq(buffer_length(&b), in - out);
	}
}

Test(buffer, shrinks_when_empty_and_large)
{
	static uint8_t block[5000];
	buffer_append(&b, block, sizeof block);
	buffer_shrink(&b, 100);
	cr_expect_eq(buffer_length(&b), sizeof block, "what is in use stays");
	buffer_consume(&b, sizeof block);
	buffer_shrink(&b, 1 << 20);
	cr_expect(b.data, "one that will be used again is kept");
	buffer_shrink(&b, 100);
	cr_expect_null(b.data);
	buffer_append(&b, "x", 1);
	cr_expect_eq(buffer_length(&b), 1, "and it can be used again");
	buffer_consume(&b, 1);
	buffer_shrink(&b, 1 << 20);
	cr_expect_null(b.data, "a small one is not worth keeping");
}

Test(buffer, failure_is_sticky)
{
	buffer_append(&b, "kept", 4);
	b.failed = true;
	buffer_append(&b, "lost", 4);
	cr_expect_null(buffer_reserve(&b, 1));
	cr_expect(buffer_failed(&b));
	cr_expect_eq(buffer_length(&b), 4);
	cr_expect_arr_eq(buffer_bytes(&b), "kept", 4);
	buffer_consume(&b, 4);
	buffer_shrink(&b, 0);
	cr_expect(buffer_failed(&b), "shrinking does not hide it");
}
