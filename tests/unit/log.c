// SPDX-License-Identifier: MIT
#include "core/log.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1000000u
// As by default.
#define log_police(l, now, pressed) log_police(l, now, pressed, STALL_TIMEOUT, STALL_RATE)

static struct log l;
static unsigned released, trimmed, detached;
static uint64_t skipped, written; // messages

static void on_released(void *context, struct batch *b)
{
	cr_assert_eq(context, &l);
	cr_assert_eq(b->holds, 0);
	released++;
}

static void on_trimmed(void *context, struct batch *b)
{
	cr_assert_eq(context, &l);
	cr_assert_not(b->kept);
	trimmed++;
}

static void on_skipped(void *context, struct cursor *c, uint64_t messages)
{
	cr_assert_eq(context, &l);
	cr_assert_eq(c->log, &l);
	skipped += messages;
}

static void on_detached(void *context, struct cursor *c)
{
	cr_assert_eq(context, &l);
	cr_assert_not(c->gating);
	detached++;
}

static void begin(void)
{
	log_init(&l);
	l.context = &l;
	l.released = on_released;
	l.trimmed = on_trimmed;
	l.skipped = on_skipped;
	l.detached = on_detached;
}

static void finish(void)
{
	log_fini(&l);
}

TestSuite(log, .init = begin, .fini = finish);

// The byte that fills message number n.
static uint8_t fill_of(uint64_t n)
{
	return (uint8_t)('a' + n % 26);
}

static struct batch *add(uint64_t now, bool own, uint32_t count, uint32_t bytes_each)
{
	struct batch *b = batch_new(NULL, written + 1, count, count * bytes_each);
	cr_assert(b);
	b->own = own;
	b->count = count;
	b->bytes = count * bytes_each;
	for (uint32_t i = 0; i < count; i++) {
		b->lengths[i] = bytes_each;
		memset(b->data + i * bytes_each, fill_of(written++), bytes_each);
	}
	cr_assert_eq(log_append(&l, b, now), 0);
	return b;
}

static struct batch *add_text(bool own, const char *text)
{
	struct batch *b = batch_new(NULL, ++written, 1, (uint32_t)strlen(text));
	cr_assert(b);
	b->own = own;
	b->count = 1;
	b->bytes = b->lengths[0] = (uint32_t)strlen(text);
	memcpy(b->data, text, b->bytes);
	cr_assert_eq(log_append(&l, b, NOW), 0);
	return b;
}

// One read as the file system does it: what it returns, as a string.
static const char *read_text(struct cursor *c, size_t size, bool packet, size_t *discarded)
{
	static char text[256];
	struct iovec iov[4];
	int count;
	size_t n = cursor_peek(c, NOW, size, packet, iov, &count, 4), at = 0;

	cr_assert_leq(n, size);
	cr_assert_lt(n, sizeof text);
	for (int i = 0; i < count; at += iov[i++].iov_len)
		memcpy(text + at, iov[i].iov_base, iov[i].iov_len);
	cr_assert_eq(at, n);
	text[n] = '\0';
	size_t cut = cursor_advance(c, NOW, n, packet);
	if (discarded)
		*discarded = cut;
	return text;
}

// Reads and checks that nothing but `fill` is in it; the count.
static size_t read_fill(struct cursor *c, uint64_t now, size_t size, uint8_t fill)
{
	struct iovec iov[4];
	int count;
	size_t n = cursor_peek(c, now, size, false, iov, &count, 4);
	for (int i = 0; i < count; i++)
		for (size_t j = 0; j < iov[i].iov_len; j++)
			cr_assert_eq(((uint8_t *)iov[i].iov_base)[j], fill);
	cursor_advance(c, now, n, false);
	return n;
}

#define READ(c, size) read_text(c, size, false, NULL)

Test(log, reading_starts_at_the_moment_of_open)
{
	struct cursor c;
	add_text(false, "before");
	cursor_open(&c, &l, NOW);
	cr_expect_not(cursor_ready(&c));
	cr_expect_str_eq(READ(&c, 100), "");
	add_text(false, "after");
	cr_expect(cursor_ready(&c));
	cr_expect_str_eq(READ(&c, 100), "after");
	cr_expect_not(cursor_ready(&c));
	cr_expect_str_eq(READ(&c, 100), "");
	cursor_close(&c);
}

Test(log, returns_the_whole_messages_that_fit)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	add_text(false, "one\n");
	add_text(false, "two\n");
	add_text(false, "three\n");
	cr_expect_str_eq(READ(&c, 8), "one\ntwo\n");
	cr_expect_str_eq(READ(&c, 6), "three\n");
	cursor_close(&c);
}

Test(log, does_not_cut_a_message_to_fill_the_buffer)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	add_text(false, "one\n");
	add_text(false, "two\n");
	cr_expect_str_eq(READ(&c, 7), "one\n");
	cr_expect_str_eq(READ(&c, 7), "two\n");
	cursor_close(&c);
}

Test(log, splits_a_batch_between_messages)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	add(NOW, false, 5, 3); // aaabbbcccdddeee
	add(NOW, false, 2, 3); // fffggg
	cr_expect_str_eq(READ(&c, 7), "aaabbb");
	cr_expect_str_eq(READ(&c, 11), "cccdddeee");
	cr_expect_str_eq(READ(&c, 100), "fffggg");
	cursor_close(&c);
}

Test(log, a_message_larger_than_the_buffer_continues)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	add_text(false, "0123456789");
	add_text(false, "next");
	cr_expect_str_eq(READ(&c, 4), "0123");
	cr_expect_str_eq(READ(&c, 4), "4567");
	cr_expect(cursor_ready(&c));
	cr_expect_str_eq(READ(&c, 100), "89next", "the rest, then what fits");
	cursor_close(&c);
}

Test(log, a_peek_changes_nothing)
{
	struct cursor c;
	struct iovec iov[4];
	int count;
	cursor_open(&c, &l, NOW);
	add_text(false, "0123456789");
	cr_expect_eq(cursor_peek(&c, NOW, 4, false, iov, &count, 4), 4);
	cr_expect_eq(cursor_peek(&c, NOW, 100, false, iov, &count, 4), 10);
	cr_expect_eq(cursor_peek(&c, NOW, 0, false, iov, &count, 4), 0);
	cr_expect_eq(count, 0);
	cr_expect_str_eq(READ(&c, 100), "0123456789");
	cursor_close(&c);
}

Test(log, less_may_be_taken_than_was_offered)
{
	struct cursor c;
	struct iovec iov[4];
	int count;
	cursor_open(&c, &l, NOW);
	add(NOW, false, 3, 4);
	add(NOW, false, 1, 4);
	cr_assert_eq(cursor_peek(&c, NOW, 100, false, iov, &count, 4), 16);
	cursor_advance(&c, NOW, 6, false);
	cr_expect_str_eq(READ(&c, 100), "bbccccdddd");
	cursor_close(&c);
}

Test(log, offers_no_more_vectors_than_asked)
{
	struct cursor c;
	struct iovec iov[4];
	int count;
	cursor_open(&c, &l, NOW);
	for (int i = 0; i < 6; i++)
		add(NOW, false, 2, 1);
	cr_expect_eq(cursor_peek(&c, NOW, 100, false, iov, &count, 3), 6);
	cr_expect_eq(count, 3);
	cr_expect_eq(cursor_peek(&c, NOW, 100, false, iov, &count, 1), 2);
	cr_expect_str_eq(READ(&c, 100), "abcdefgh");
	cursor_close(&c);
}

Test(log, packet_mode_returns_one_message_and_discards_its_rest)
{
	struct cursor c;
	size_t discarded;
	cursor_open(&c, &l, NOW);
	add_text(false, "0123456789");
	add_text(false, "two");
	add(NOW, false, 2, 3); // cccddd
	cr_expect_str_eq(read_text(&c, 4, true, &discarded), "0123");
	cr_expect_eq(discarded, 6);
	cr_expect_str_eq(read_text(&c, 100, true, &discarded), "two");
	cr_expect_eq(discarded, 0);
	cr_expect_str_eq(read_text(&c, 3, true, &discarded), "ccc");
	cr_expect_eq(discarded, 0);
	cr_expect_str_eq(READ(&c, 100), "ddd", "the mode is each read's own");
	cr_expect_eq(l.held, 0);
	cursor_close(&c);
}

Test(log, packet_mode_takes_the_rest_of_a_message_begun_without)
{
	struct cursor c;
	size_t discarded;
	cursor_open(&c, &l, NOW);
	add_text(false, "0123456789");
	add_text(false, "two");
	cr_expect_str_eq(READ(&c, 3), "012");
	cr_expect_str_eq(read_text(&c, 2, true, &discarded), "34");
	cr_expect_eq(discarded, 5);
	cr_expect_str_eq(read_text(&c, 9, true, &discarded), "two");
	cursor_close(&c);
}

Test(log, own_messages_are_skipped_without_loopback)
{
	struct cursor c, loop;
	cursor_open(&c, &l, NOW);
	cursor_open(&loop, &l, NOW);
	loop.loopback = true;
	add_text(true, "mine1 ");
	cr_expect_not(cursor_ready(&c));
	cr_expect(cursor_ready(&loop));
	add_text(false, "theirs1 ");
	add_text(true, "mine2 ");
	add_text(false, "theirs2");
	cr_expect_str_eq(READ(&c, 100), "theirs1 theirs2");
	cr_expect_str_eq(READ(&loop, 100), "mine1 theirs1 mine2 theirs2");
	cr_expect_eq(l.overrun, 0);
	cursor_close(&c);
	cursor_close(&loop);
}

Test(log, without_readers_everything_is_released_at_once)
{
	add(NOW, false, 1, 10);
	add(NOW, true, 1, 10);
	cr_expect_eq(released, 2);
	cr_expect_eq(l.held, 0);
	cr_expect_eq(l.bytes, 2 * (10 + MESSAGE_CHARGE));
}

Test(log, a_reader_gates_from_its_first_read)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	add(NOW, false, 1, 10);
	cr_expect_eq(released, 1, "open alone holds nothing");
	cr_expect(cursor_ready(&c));
	cr_expect_not(c.gating, "neither does asking");
	struct iovec iov[4];
	int count;
	cursor_peek(&c, NOW, 100, false, iov, &count, 4);
	cr_expect(c.gating);
	add(NOW, false, 1, 10);
	cr_expect_eq(released, 1);
	cr_expect_eq(l.held, 2 * (10 + MESSAGE_CHARGE), "what waits is held as well");
	cursor_close(&c);
	cr_expect_eq(l.held, 0);
	cr_expect_eq(released, 2);
}

Test(log, a_batch_is_released_once_when_the_slowest_has_passed_it)
{
	struct cursor fast, slow;
	cursor_open(&fast, &l, NOW);
	cursor_open(&slow, &l, NOW);
	READ(&fast, 1);
	READ(&slow, 1);
	for (int i = 0; i < 10; i++)
		add(NOW, false, 2, 4);
	while (*READ(&fast, 8))
		;
	cr_expect_eq(released, 0);
	for (unsigned i = 1; i <= 10; i++) {
		cr_expect_eq(strlen(READ(&slow, 4)), 4);
		cr_expect_eq(released, i - 1, "not in the middle of a batch");
		cr_expect_eq(strlen(READ(&slow, 4)), 4);
		cr_expect_eq(released, i);
	}
	cr_expect_eq(l.held, 0);
	cursor_close(&fast);
	cursor_close(&slow);
}

Test(log, own_batches_are_not_held_by_who_does_not_want_them)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	READ(&c, 1);
	add(NOW, true, 1, 10);
	cr_expect_eq(released, 1);
	c.loopback = false;
	cursor_close(&c);
}

Test(log, consumers_that_append_counts_hold_too)
{
	struct batch *b = batch_new(NULL, 1, 1, 5);
	cr_assert(b);
	b->count = 1;
	b->bytes = b->lengths[0] = 5;
	memset(b->data, 'x', 5);
	b->holds = 2;
	cr_assert_eq(log_append(&l, b, NOW), 0);
	cr_expect_eq(l.held, batch_charge(b));
	log_unhold(&l, b);
	log_hold(&l, b);
	log_unhold(&l, b);
	cr_expect_eq(released, 0);
	log_unhold(&l, b);
	cr_expect_eq(released, 1);
	cr_expect_eq(l.held, 0);
}

Test(log, trims_by_bytes)
{
	uint32_t size = 100 * KIB;
	for (int i = 0; i < 300; i++) {
		add(NOW, false, 1, size);
		log_trim(&l, NOW);
		cr_assert_leq(l.bytes, RETAIN_BYTES);
	}
	cr_expect_gt(l.bytes, RETAIN_BYTES - 2 * size, "and no more than needed");
	cr_expect_eq(trimmed, l.tail);
	cr_expect_eq(l.bytes, (l.head - l.tail) * (size + MESSAGE_CHARGE));
}

Test(log, small_messages_are_charged_for)
{
	for (int i = 0; i < 200; i++)
		add(NOW, false, 1024, 1);
	log_trim(&l, NOW);
	cr_expect_leq(l.bytes, RETAIN_BYTES);
	cr_expect_eq(l.head - l.tail, RETAIN_BYTES / (1024 * (1 + MESSAGE_CHARGE)));
}

Test(log, trims_by_age)
{
	add(NOW, false, 1, 10);
	add(NOW + SECOND, false, 1, 10);
	log_trim(&l, NOW + RETAIN_TIME - 1);
	cr_expect_eq(trimmed, 0);
	log_trim(&l, NOW + RETAIN_TIME);
	cr_expect_eq(trimmed, 1);
	log_trim(&l, NOW + RETAIN_TIME + SECOND);
	cr_expect_eq(trimmed, 2);
	cr_expect_eq(l.bytes, 0);
}

Test(log, what_is_held_stays_and_keeps_nothing_else)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	READ(&c, 1);
	add_text(false, "held");
	add(NOW, true, 1, 10);
	log_trim(&l, NOW + 10 * RETAIN_TIME);
	cr_expect_eq(trimmed, 1, "what nobody holds has gone");
	cr_expect_str_eq(READ(&c, 100), "held");
	log_trim(&l, NOW + 10 * RETAIN_TIME);
	cr_expect_eq(trimmed, 2);
	cr_expect_eq(l.tail, l.head);
	cursor_close(&c);
}

// Two batches of one source.
static void chain(struct batch *older, struct batch *newer)
{
	older->newer = newer;
	newer->older = older;
}

Test(log, batches_of_a_source_leave_in_order)
{
	struct batch *first = add(NOW, false, 1, 10), *second = add(NOW, false, 1, 10);
	chain(first, second);
	log_hold(&l, first);
	log_hold(&l, second);
	log_trim(&l, NOW + RETAIN_TIME);
	cr_expect_eq(l.overdue, l.bytes);
	log_unhold(&l, second);
	log_trim(&l, NOW + RETAIN_TIME);
	cr_expect_eq(trimmed, 0, "the first is held");
	log_unhold(&l, first);
	log_trim(&l, NOW + RETAIN_TIME);
	cr_expect_eq(trimmed, 2, "and the second goes with it");
	cr_expect_eq(l.overdue, 0);
	cr_expect_eq(l.bytes, 0);
}

Test(log, what_is_held_again_stays)
{
	struct batch *b = add(NOW, false, 1, 10);
	log_hold(&l, b);
	log_trim(&l, NOW + RETAIN_TIME);
	log_unhold(&l, b);
	log_hold(&l, b);
	log_trim(&l, NOW + RETAIN_TIME);
	cr_expect_eq(trimmed, 0);
	log_unhold(&l, b);
	log_trim(&l, NOW + RETAIN_TIME);
	cr_expect_eq(trimmed, 1);
}

Test(log, what_is_overdue_takes_no_room_from_the_rest)
{
	struct batch *b = add(NOW, false, 1, 1000000);
	log_hold(&l, b);
	for (int i = 0; i < 40; i++) {
		add(NOW, false, 1, 1000000);
		log_trim(&l, NOW);
	}
	cr_expect(b->kept);
	cr_expect_eq(l.overdue, batch_charge(b));
	cr_expect_leq(l.bytes, RETAIN_BYTES + batch_charge(b));
	cr_expect_gt(l.bytes, RETAIN_BYTES - batch_charge(b));
	log_unhold(&l, b);
}

Test(log, what_is_missed_between_what_is_held_is_said_in_its_place)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	add_text(false, "one");
	add_text(false, "two");
	struct batch *three = add(NOW, false, 1, 1);
	log_hold(&l, three);
	log_trim(&l, NOW + RETAIN_TIME);
	cr_expect_eq(trimmed, 2);
	READ(&c, 100);
	cr_expect_eq(skipped, 2, "of three, one is there");
	log_unhold(&l, three);
	cursor_close(&c);
}

Test(log, grows_and_wraps)
{
	struct cursor c;
	char expected[] = "x";
	cursor_open(&c, &l, NOW);
	READ(&c, 1);
	for (int round = 0; round < 50; round++) {
		uint64_t before = written;
		for (int i = 0; i < 37 + round; i++)
			add(NOW, false, 1, 1);
		for (int i = 0; i < 37 + round; i++) {
			expected[0] = (char)fill_of(before++);
			cr_assert_str_eq(READ(&c, 1), expected);
		}
		if (round % 3 == 0)
			log_trim(&l, NOW + RETAIN_TIME);
	}
	cr_expect_gt(trimmed, 0);
	cr_expect_eq(l.overrun, 0);
	cursor_close(&c);
}

Test(log, a_reader_that_was_trimmed_past_counts_what_it_missed)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	add(NOW, false, 3, 10);
	add(NOW, true, 5, 10);
	add(NOW, false, 4, 10);
	log_trim(&l, NOW + RETAIN_TIME);
	add_text(false, "kept");
	cr_expect_str_eq(READ(&c, 100), "kept");
	cr_expect_eq(skipped, 7, "others' messages only: %llu", (unsigned long long)skipped);
	cr_expect_eq(l.overrun, 7);
	cursor_close(&c);
}

Test(log, trimmed_to_the_end_is_an_overrun_as_well)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	add(NOW, false, 3, 10);
	log_trim(&l, NOW + RETAIN_TIME);
	cr_expect_not(cursor_ready(&c));
	cr_expect_eq(skipped, 3);
	cr_expect_not(cursor_ready(&c));
	cr_expect_eq(skipped, 3, "told once");
	cursor_close(&c);
}

// A reader that is behind by more than REATTACH_BYTES and reads no more: 2 MiB in 64 KiB batches.
static void fall_behind(struct cursor *c)
{
	cursor_open(c, &l, NOW);
	READ(c, 1);
	for (int i = 0; i < 32; i++)
		add(NOW, false, 1, 64 * KIB);
}

Test(log, police_cuts_loose_who_holds_others_up)
{
	struct cursor c;
	fall_behind(&c);
	cr_expect_eq(released, 0);
	log_police(&l, NOW, true);
	log_police(&l, NOW + STALL_TIMEOUT, true);
	cr_expect_eq(detached, 0);
	log_police(&l, NOW + STALL_TIMEOUT + 1, true);
	cr_expect_eq(detached, 1);
	cr_expect_eq(released, 32);
	cr_expect_eq(l.held, 0);
	log_police(&l, NOW + 3 * STALL_TIMEOUT, true);
	cr_expect_eq(detached, 1);
	cursor_close(&c);
}

Test(log, police_leaves_alone_while_nobody_waits)
{
	struct cursor c;
	fall_behind(&c);
	for (uint64_t t = 0; t < 100; t++)
		log_police(&l, NOW + t * SECOND, false);
	cr_expect_eq(detached, 0);
	// The time counts from when somebody began to wait.
	log_police(&l, NOW + 99 * SECOND + STALL_TIMEOUT, true);
	cr_expect_eq(detached, 0);
	log_police(&l, NOW + 99 * SECOND + STALL_TIMEOUT + 1, true);
	cr_expect_eq(detached, 1);
	cursor_close(&c);
}

Test(log, police_leaves_alone_who_is_near_the_head)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	READ(&c, 1);
	for (int i = 0; i < 15; i++)
		add(NOW, false, 1, 64 * KIB);
	log_police(&l, NOW, true);
	log_police(&l, NOW + 10 * STALL_TIMEOUT, true);
	cr_expect_eq(detached, 0);
	cursor_close(&c);
}

Test(log, police_leaves_alone_who_reads_fast_enough)
{
	struct cursor c;
	uint64_t now = NOW;
	cursor_open(&c, &l, now);
	READ(&c, 1);
	// One message of the largest size, read at one and a half times the rate.
	for (int i = 0; i < 6; i++)
		add(now, false, 1, MESSAGE_MAX);
	for (int i = 0; i < 100; i++) {
		log_police(&l, now, true);
		cr_assert_eq(detached, 0, "after %d reads", i);
		now += SECOND / 10;
		read_fill(&c, now, STALL_RATE * 3 / 2 / 10, fill_of(0));
	}
	cursor_close(&c);
}

// With other figures, which a user may set.
Test(log, police_takes_its_figures_as_they_are_given)
{
	struct cursor c;
	fall_behind(&c);
	(log_police)(&l, NOW, true, SECOND, 1000);
	// Enough for a thousand bytes a second, and not for the default.
	read_fill(&c, NOW, 2000, fill_of(0));
	(log_police)(&l, NOW + SECOND + 1, true, SECOND, 1000);
	cr_expect_eq(detached, 0);
	(log_police)(&l, NOW + 2 * SECOND + 1, true, SECOND, 1000);
	cr_expect_eq(detached, 0);
	(log_police)(&l, NOW + 2 * SECOND + 2, true, SECOND, 1000);
	cr_expect_eq(detached, 1);
	cursor_close(&c);
}

Test(log, police_cuts_loose_who_reads_too_slowly)
{
	struct cursor c;
	uint64_t now = NOW;
	cursor_open(&c, &l, now);
	READ(&c, 1);
	for (int i = 0; i < 6; i++)
		add(now, false, 1, MESSAGE_MAX);
	for (int i = 0; i < 100 && !detached; i++) {
		log_police(&l, now, true);
		now += SECOND / 10;
		read_fill(&c, now, STALL_RATE / 2 / 10, fill_of(0));
	}
	cr_expect_eq(detached, 1);
	cr_expect_leq(now, NOW + STALL_TIMEOUT + SECOND);
	cursor_close(&c);
}

Test(log, own_messages_are_nobodys_lag)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	READ(&c, 1);
	for (int i = 0; i < 32; i++)
		add(NOW, true, 1, 64 * KIB);
	log_police(&l, NOW, true);
	log_police(&l, NOW + 10 * STALL_TIMEOUT, true);
	cr_expect_eq(detached, 0);
	cursor_close(&c);
}

Test(log, beyond_the_bound_the_slowest_goes_at_once)
{
	struct cursor slow, fast;
	cursor_open(&slow, &l, NOW);
	cursor_open(&fast, &l, NOW);
	READ(&slow, 1);
	READ(&fast, 1);
	while (!detached) {
		uint8_t fill = fill_of(written);
		add(NOW, false, 1, MESSAGE_MAX);
		cr_assert_eq(read_fill(&fast, NOW, MIB, fill), MESSAGE_MAX);
		bool beyond = l.held > LOG_BYTES;
		log_police(&l, NOW, false);
		cr_assert_eq(detached, beyond);
	}
	cr_expect(fast.gating);
	cr_expect_not(slow.gating);
	cr_expect_eq(l.held, 0);
	cursor_close(&slow);
	cursor_close(&fast);
}

Test(log, beyond_the_bound_a_reader_at_the_head_is_not_to_blame)
{
	struct cursor c;
	struct batch *held[80];
	size_t count = 0;
	cursor_open(&c, &l, NOW);
	READ(&c, 1);
	while (l.held <= LOG_BYTES) {
		uint8_t fill = fill_of(written);
		held[count] = add(NOW, false, 1, MESSAGE_MAX);
		log_hold(&l, held[count++]); // as a link does
		read_fill(&c, NOW, MIB, fill);
	}
	log_police(&l, NOW, false);
	cr_expect_eq(detached, 0);
	while (count > 0)
		log_unhold(&l, held[--count]);
	cursor_close(&c);
}

Test(log, who_was_cut_loose_gates_again_near_the_head)
{
	struct cursor c;
	fall_behind(&c);
	log_police(&l, NOW, true);
	log_police(&l, NOW + STALL_TIMEOUT + 1, true);
	cr_assert_not(c.gating);
	size_t left = 32;
	while (!c.gating) {
		cr_assert_eq(read_fill(&c, NOW, 64 * KIB, fill_of(32 - left)), 64 * KIB);
		left--;
		cr_assert_gt(left, 0);
	}
	cr_expect_leq(left * (64 * KIB + MESSAGE_CHARGE), REATTACH_BYTES);
	cr_expect_gt((left + 1) * (64 * KIB + MESSAGE_CHARGE), REATTACH_BYTES);
	cr_expect_eq(l.held, left * (64 * KIB + MESSAGE_CHARGE));
	while (left > 0)
		cr_assert_eq(read_fill(&c, NOW, 64 * KIB, fill_of(32 - left--)), 64 * KIB);
	cr_expect_eq(l.held, 0);
	cr_expect_eq(skipped, 0);
	cursor_close(&c);
}

Test(log, a_message_partly_read_outlives_the_log)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	READ(&c, 1);
	add(NOW, false, 3, 8); // aaaaaaaabbbbbbbbcccccccc
	for (int i = 0; i < 32; i++)
		add(NOW, false, 1, 64 * KIB);
	cr_expect_str_eq(READ(&c, 11), "aaaaaaaa");
	cr_expect_str_eq(READ(&c, 5), "bbbbb");
	log_police(&l, NOW, true);
	log_police(&l, NOW + STALL_TIMEOUT + 1, true);
	cr_assert_eq(detached, 1);
	log_trim(&l, NOW + RETAIN_TIME);
	cr_assert_eq(trimmed, 33);
	cr_expect(cursor_ready(&c));
	cr_expect_str_eq(READ(&c, 2), "bb");
	cr_expect_str_eq(READ(&c, 4), "b", "the message ends where it ends");
	cr_expect_str_eq(READ(&c, 100), "cccccccc", "its batch is kept with it");
	cr_expect_eq(skipped, 32);
	add_text(false, "new");
	cr_expect_str_eq(READ(&c, 100), "new");
	cr_expect_eq(skipped, 32);
	cr_expect(c.gating);
	cursor_close(&c);
}

Test(log, a_batch_is_pinned_by_several_and_freed_by_the_last)
{
	struct cursor a, b;
	cursor_open(&a, &l, NOW);
	cursor_open(&b, &l, NOW);
	add_text(false, "0123456789");
	cr_expect_str_eq(READ(&a, 2), "01");
	cr_expect_str_eq(READ(&b, 4), "0123");
	for (int i = 0; i < 32; i++)
		add(NOW, false, 1, 64 * KIB);
	log_police(&l, NOW, true);
	log_police(&l, NOW + STALL_TIMEOUT + 1, true);
	cr_assert_eq(detached, 2);
	log_trim(&l, NOW + RETAIN_TIME);
	cursor_close(&a);
	cr_expect_str_eq(READ(&b, 3), "456");
	cr_expect_str_eq(READ(&b, 3), "789");
	cursor_close(&b);
}

Test(log, a_pin_outlives_the_end_of_the_log)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	add_text(false, "0123456789");
	cr_expect_str_eq(READ(&c, 2), "01");
	for (int i = 0; i < 32; i++)
		add(NOW, false, 1, 64 * KIB);
	log_police(&l, NOW, true);
	log_police(&l, NOW + STALL_TIMEOUT + 1, true);
	log_trim(&l, NOW + RETAIN_TIME);
	cursor_close(&c); // frees the batch, or the leak is reported
}

Test(log, what_a_gating_reader_does_not_want_may_be_trimmed_under_it)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	READ(&c, 1);
	for (int i = 0; i < 10; i++)
		add(NOW, true, 1, 10);
	log_trim(&l, NOW + RETAIN_TIME);
	cr_assert_eq(trimmed, 10);
	add(NOW + RETAIN_TIME, true, 1, 10);
	log_police(&l, NOW + RETAIN_TIME, true);
	add_text(false, "theirs");
	cr_expect_str_eq(READ(&c, 100), "theirs");
	cr_expect_eq(skipped, 0);
	cursor_close(&c);
}

Test(log, closing_where_the_log_was_trimmed_touches_nothing)
{
	struct cursor c;
	cursor_open(&c, &l, NOW);
	READ(&c, 1);
	for (int i = 0; i < 10; i++)
		add(NOW, true, 1, 10);
	log_trim(&l, NOW + RETAIN_TIME);
	add(NOW + RETAIN_TIME, false, 1, 10);
	cr_expect_eq(l.held, 10 + MESSAGE_CHARGE);
	cursor_close(&c);
	cr_expect_eq(l.held, 0);
	cr_expect_eq(released, 11);
}

Test(log, appending_tells)
{
	cr_expect_not(l.fresh);
	add(NOW, false, 1, 1);
	cr_expect(l.fresh);
}

// What a cursor does not want.

static struct batch *add_topic(uint64_t topic, uint32_t writer, uint32_t count, uint32_t bytes_each)
{
	struct batch *b = batch_new(NULL, written + 1, count, count * bytes_each);
	cr_assert(b);
	b->topic = topic;
	b->writer = writer;
	b->own = writer != 0;
	b->count = count;
	b->bytes = count * bytes_each;
	for (uint32_t i = 0; i < count; i++) {
		b->lengths[i] = bytes_each;
		memset(b->data + i * bytes_each, fill_of(written++), bytes_each);
	}
	cr_assert_eq(log_append(&l, b, NOW), 0);
	return b;
}

static void open_topic(struct cursor *c, uint64_t topic)
{
	cursor_open(c, &l, NOW);
	c->topic = topic;
}

Test(log, a_reader_gets_its_topic_and_no_other)
{
	struct cursor all, one, two;
	open_topic(&all, 0);
	open_topic(&one, 1);
	open_topic(&two, 2);
	add_topic(1, 0, 1, 1); // a
	add_topic(0, 0, 2, 1); // bc
	add_topic(2, 0, 1, 1); // d
	add_topic(1, 0, 2, 1); // ef
	add_topic(3, 0, 1, 1); // g
	cr_expect(cursor_ready(&two));
	cr_expect_str_eq(READ(&all, 100), "bc");
	cr_expect_str_eq(READ(&one, 2), "ae");
	cr_expect_str_eq(READ(&one, 100), "f");
	cr_expect_str_eq(read_text(&two, 100, true, NULL), "d");
	cr_expect_not(cursor_ready(&all) || cursor_ready(&one) || cursor_ready(&two));
	cr_expect_eq(skipped, 0);
	cursor_close(&all);
	cursor_close(&one);
	cursor_close(&two);
}

Test(log, other_topics_are_not_held)
{
	struct cursor c;
	open_topic(&c, 1);
	READ(&c, 1);
	cr_assert(c.gating);
	add_topic(0, 0, 1, 10);
	add_topic(2, 0, 1, 10);
	cr_expect_eq(l.held, 0);
	add_topic(1, 0, 1, 10);
	cr_expect_eq(l.held, 10 + MESSAGE_CHARGE);
	cr_expect_eq(strlen(READ(&c, 100)), 10);
	cr_expect_eq(l.held, 0);
	cr_expect_eq(released, 3);
	cursor_close(&c);
}

// Of what was trimmed before it was read, a reader misses what it wanted, and that alone.
Test(log, what_was_missed_is_counted_for_each_reader)
{
	struct cursor all, one, own;
	open_topic(&all, 0);
	open_topic(&one, 1);
	open_topic(&own, 0);
	own.loopback = true;
	own.writer = 7;
	add_topic(0, 0, 3, 1);
	add_topic(1, 0, 5, 1);
	add_topic(2, 0, 100, 1);
	add_topic(0, 7, 20, 1)->released = true;
	add_topic(0, 8, 40, 1)->released = true;
	add_topic(0, 0, 4, 1)->denied = true;
	log_trim(&l, NOW + RETAIN_TIME);
	cr_assert_eq(trimmed, 6);
	cr_expect_not(cursor_ready(&all));
	cr_expect_eq(skipped, 3);
	cr_expect_not(cursor_ready(&one));
	cr_expect_eq(skipped, 3 + 5);
	cr_expect_not(cursor_ready(&own));
	cr_expect_eq(skipped, 3 + 5 + 3 + 40);
	cr_expect_eq(l.overrun, skipped);
	cr_expect_not(cursor_ready(&own));
	cr_expect_eq(skipped, 51, "said once");
	cursor_close(&all);
	cursor_close(&one);
	cursor_close(&own);
}

Test(log, a_message_that_was_read_is_not_missed)
{
	struct cursor c;
	open_topic(&c, 1);
	add_topic(1, 0, 4, 1);
	add_topic(0, 0, 1, 1);
	add_topic(1, 0, 2, 1);
	cr_expect_eq(strlen(READ(&c, 1)), 1);
	for (int i = 0; i < 32; i++)
		add_topic(1, 0, 1, 64 * KIB);
	log_police(&l, NOW, true);
	log_police(&l, NOW + STALL_TIMEOUT + 1, true);
	cr_assert_eq(detached, 1);
	log_trim(&l, NOW + RETAIN_TIME);
	cr_expect_not(cursor_ready(&c));
	cr_expect_eq(skipped, 3 + 2 + 32);
	cursor_close(&c);
}

Test(log, own_messages_come_back_to_all_but_their_writer)
{
	struct cursor one, two;
	open_topic(&one, 0);
	open_topic(&two, 0);
	one.loopback = two.loopback = true;
	one.writer = 1;
	two.writer = 2;
	add_topic(0, 1, 1, 1); // a
	add_topic(0, 2, 1, 1); // b
	add_topic(0, 3, 1, 1); // c
	add_topic(0, 0, 1, 1); // d
	cr_expect_str_eq(READ(&one, 100), "bcd");
	cr_expect_str_eq(READ(&two, 100), "acd");
	cursor_close(&one);
	cursor_close(&two);
}

Test(log, the_end_of_a_topic_comes_after_what_is_there)
{
	struct cursor c, unread, other, again;
	open_topic(&c, 1);
	open_topic(&unread, 1);
	open_topic(&other, 2);
	READ(&c, 1);
	add_topic(1, 0, 2, 1); // ab
	cr_expect_not(cursor_ended(&c));
	log_end_topic(&l, 1);
	cr_expect_not(cursor_ended(&c));
	add_topic(1, 0, 1, 1); // c
	open_topic(&again, 1);
	add_topic(1, 0, 1, 1); // d
	add_topic(2, 0, 1, 1); // e
	cr_expect_eq(l.held, 2 * (1 + MESSAGE_CHARGE), "what is there, and nothing after it");
	cr_expect_str_eq(READ(&c, 100), "ab");
	cr_expect_str_eq(READ(&c, 100), "");
	cr_expect(cursor_ended(&c));
	cr_expect_eq(l.held, 0);
	cr_expect_str_eq(READ(&unread, 100), "ab");
	cr_expect(cursor_ended(&unread));
	cr_expect_str_eq(READ(&again, 100), "d");
	cr_expect_str_eq(READ(&other, 100), "e");
	cr_expect_not(cursor_ended(&again) || cursor_ended(&other));
	cursor_close(&c);
	cursor_close(&unread);
	cursor_close(&other);
	cursor_close(&again);
}
