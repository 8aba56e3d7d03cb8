// SPDX-License-Identifier: MIT
#include "core/stream.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/limits.h"
#include "core/random.h"

static struct stream *s;
static bool changed;
static unsigned writable_calls;

static void writable(void *context)
{
	cr_assert_eq(context, &changed);
	writable_calls++;
}

static void begin(void)
{
	s = stream_new(&changed, writable, &changed);
	cr_assert(s);
}

static void finish(void)
{
	stream_unref(s);
}

TestSuite(stream, .init = begin, .fini = finish);

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 7 + offset / 251);
}

// n bytes from the peer, the next ones of its stream.
static int receive(size_t n)
{
	static uint8_t block[STREAM_WINDOW + 1];
	for (size_t i = 0; i < n; i++)
		block[i] = byte_at(s->in_head + i);
	return stream_receive(s, block, n);
}

// Reads up to `size` bytes and checks them; what stream_peek() said.
static ssize_t take(struct stream_reader *r, size_t size)
{
	struct iovec iov;
	ssize_t n = stream_peek(r, size, &iov);
	for (ssize_t i = 0; i < n; i++)
		cr_assert_eq(((uint8_t *)iov.iov_base)[i], byte_at(r->offset + (uint64_t)i));
	if (n > 0)
		stream_consume(r, (size_t)n);
	return n;
}

// Everything that may be sent now, in frames.
static size_t send_all(void)
{
	const uint8_t *bytes;
	size_t n, total = 0;
	while ((n = stream_output(s, CHUNK_BYTES, &bytes)) > 0) {
		for (size_t i = 0; i < n; i++)
			cr_assert_eq(bytes[i], byte_at(s->out_sent + i));
		stream_sent(s, n);
		total += n;
	}
	return total;
}

static ssize_t write_some(size_t n)
{
	static uint8_t block[2 * STREAM_WINDOW];
	for (size_t i = 0; i < n; i++)
		block[i] = byte_at(s->out_head + i);
	return stream_write(s, block, n);
}

Test(stream, reader_waits_for_bytes)
{
	struct stream_reader r;
	stream_reader_open(&r, s);
	cr_expect_eq(take(&r, 10), -EAGAIN);
	cr_expect_not(stream_ready(&r));
	changed = s->fresh = false;
	cr_assert_eq(receive(5), 0);
	cr_expect(changed);
	cr_expect(s->fresh);
	cr_expect(stream_ready(&r));
	cr_expect_eq(take(&r, 3), 3);
	cr_expect_eq(take(&r, 3), 2);
	cr_expect_eq(take(&r, 3), -EAGAIN);
	stream_reader_close(&r);
}

Test(stream, first_reader_gets_what_waits_and_later_ones_start_at_the_head)
{
	struct stream_reader first, second;
	stream_reader_open(&first, s);
	stream_reader_open(&second, s);
	receive(100);
	cr_expect(stream_ready(&second), "nobody has bound yet");
	cr_expect_eq(take(&first, 1), 1);
	cr_expect_not(stream_ready(&second));
	cr_expect_eq(take(&second, 1000), -EAGAIN);
	receive(10);
	cr_expect_eq(take(&second, 1000), 10);
	cr_expect_eq(take(&first, 1000), 109);
	stream_reader_close(&first);
	stream_reader_close(&second);
}

Test(stream, opening_does_not_bind)
{
	struct stream_reader r, other;
	stream_reader_open(&r, s);
	receive(STREAM_WINDOW);
	cr_expect_eq(stream_unread(s), STREAM_WINDOW);
	cr_expect(stream_ready(&r));
	cr_expect_not(r.bound);
	stream_reader_open(&other, s);
	cr_expect_eq(take(&other, STREAM_WINDOW), STREAM_WINDOW);
	cr_expect_eq(stream_unread(s), 0, "a handle that never reads holds nobody up");
	stream_reader_close(&other);
	stream_reader_close(&r);
}

Test(stream, slowest_reader_governs_the_window)
{
	struct stream_reader slow, fast;
	stream_reader_open(&slow, s);
	stream_reader_open(&fast, s);
	take(&slow, 1);
	take(&fast, 1);
	cr_assert_eq(receive(STREAM_WINDOW), 0);
	cr_expect_eq(take(&fast, STREAM_WINDOW), STREAM_WINDOW);
	cr_expect_eq(stream_grant(s), 0);
	cr_expect_eq(stream_unread(s), STREAM_WINDOW);
	cr_expect_eq(take(&slow, STREAM_WINDOW / 2), STREAM_WINDOW / 2);
	cr_expect_eq(stream_grant(s), STREAM_WINDOW + STREAM_WINDOW / 2);
	cr_expect_eq(stream_unread(s), STREAM_WINDOW / 2);
	stream_reader_close(&slow);
	cr_expect_eq(stream_unread(s), 0, "a reader that closes holds nothing back");
	cr_expect_eq(stream_grant(s), 2 * STREAM_WINDOW);
	stream_reader_close(&fast);
}

Test(stream, last_close_keeps_what_is_unread)
{
	struct stream_reader r;
	stream_reader_open(&r, s);
	receive(100);
	cr_expect_eq(take(&r, 40), 40);
	stream_reader_close(&r);
	cr_expect_eq(stream_unread(s), 60);
	receive(10);
	stream_reader_open(&r, s);
	cr_expect(stream_ready(&r));
	cr_expect_eq(take(&r, 1000), 70);
	stream_reader_close(&r);
}

Test(stream, last_close_keeps_what_the_last_reader_has_not_read)
{
	struct stream_reader a, b;
	stream_reader_open(&a, s);
	stream_reader_open(&b, s);
	take(&a, 1);
	take(&b, 1);
	receive(100);
	cr_expect_eq(take(&a, 80), 80);
	cr_expect_eq(take(&b, 30), 30);
	stream_reader_close(&b);
	cr_expect_eq(stream_unread(s), 20);
	stream_reader_close(&a);
	cr_expect_eq(stream_unread(s), 20);
}

Test(stream, grants_in_quarters_and_at_the_end)
{
	struct stream_reader r;
	stream_reader_open(&r, s);
	cr_expect_eq(stream_grant(s), 0, "the first window needs no frame");
	receive(STREAM_WINDOW);
	take(&r, STREAM_WINDOW / 4 - 1);
	cr_expect_eq(stream_grant(s), 0);
	writable_calls = 0;
	take(&r, 1);
	cr_expect_eq(writable_calls, 1, "the link is asked to send the grant");
	cr_expect_eq(stream_grant(s), STREAM_WINDOW + STREAM_WINDOW / 4);
	cr_expect_eq(stream_grant(s), 0, "said once");
	take(&r, STREAM_WINDOW);
	cr_expect_eq(stream_grant(s), 2 * STREAM_WINDOW);
	receive(10);
	take(&r, 9);
	cr_expect_eq(stream_grant(s), 0);
	take(&r, 1);
	cr_expect_eq(stream_grant(s), 2 * STREAM_WINDOW + 10, "all is read: said at once");
	stream_reader_close(&r);
}

Test(stream, peer_must_keep_to_its_window)
{
	struct stream_reader r;
	cr_assert_eq(receive(STREAM_WINDOW), 0);
	cr_expect_eq(receive(1), -EPROTO);
	stream_reader_open(&r, s);
	take(&r, STREAM_WINDOW);
	cr_expect_eq(receive(1), -EPROTO, "read is not granted");
	cr_assert_eq(stream_grant(s), 2 * STREAM_WINDOW);
	cr_expect_eq(receive(STREAM_WINDOW), 0);
	cr_expect_eq(receive(1), -EPROTO);
	stream_reader_close(&r);
}

Test(stream, writes_up_to_its_room)
{
	cr_expect(stream_has_room(s));
	cr_expect_eq(write_some(100), 100);
	cr_expect_eq(writable_calls, 1);
	cr_expect_eq(write_some(2 * STREAM_WINDOW), STREAM_WINDOW - 100, "as much as fits");
	cr_expect_not(stream_has_room(s));
	cr_expect_eq(write_some(1), -EAGAIN);
	changed = false;
	cr_expect_eq(send_all(), STREAM_WINDOW);
	cr_expect(changed, "writers are told of the room");
	cr_expect(stream_has_room(s));
}

Test(stream, sends_only_what_was_granted)
{
	write_some(STREAM_WINDOW);
	cr_expect_eq(send_all(), STREAM_WINDOW);
	write_some(1000);
	cr_expect_eq(send_all(), 0);
	cr_expect_eq(stream_unacknowledged(s), STREAM_WINDOW + 1000);
	cr_assert_eq(stream_granted(s, STREAM_WINDOW + 600), 0);
	cr_expect_eq(send_all(), 600);
	cr_assert_eq(stream_granted(s, 2 * STREAM_WINDOW), 0);
	cr_expect_eq(send_all(), 400);
	cr_expect_eq(stream_unacknowledged(s), 1000);
	cr_assert_eq(stream_granted(s, 2 * STREAM_WINDOW + 1000), 0);
	cr_expect_eq(stream_unacknowledged(s), 0);
}

Test(stream, output_is_cut_to_a_frame)
{
	const uint8_t *bytes;
	cr_expect_eq(stream_output(s, CHUNK_BYTES, &bytes), 0);
	write_some(CHUNK_BYTES + 1);
	cr_expect_eq(stream_output(s, CHUNK_BYTES, &bytes), CHUNK_BYTES);
	stream_sent(s, CHUNK_BYTES);
	cr_expect_eq(stream_output(s, CHUNK_BYTES, &bytes), 1);
}

Test(stream, refuses_absurd_grants)
{
	cr_expect_eq(stream_granted(s, STREAM_WINDOW - 1), -EPROTO, "taken back");
	cr_expect_eq(stream_granted(s, 0), -EPROTO);
	cr_expect_eq(stream_granted(s, STREAM_WINDOW), 0, "no news is no harm");
	cr_expect_eq(stream_granted(s, STREAM_WINDOW + 1), -EPROTO, "for bytes never sent");
	cr_expect_eq(stream_granted(s, UINT64_MAX), -EPROTO);
	write_some(10);
	cr_expect_eq(stream_granted(s, STREAM_WINDOW + 10), -EPROTO, "written is not sent");
	send_all();
	cr_expect_eq(stream_granted(s, STREAM_WINDOW + 10), 0);
}

Test(stream, after_its_end_readers_drain_and_see_the_end)
{
	struct stream_reader r, late;
	stream_reader_open(&r, s);
	receive(100);
	take(&r, 30);
	changed = false;
	stream_end(s);
	cr_expect(changed);
	cr_expect(stream_ready(&r));
	cr_expect_eq(take(&r, 50), 50);
	cr_expect_eq(take(&r, 50), 20);
	cr_expect_eq(take(&r, 50), 0);
	cr_expect_eq(take(&r, 50), 0, "the end stays");
	stream_reader_open(&late, s);
	cr_expect_eq(take(&late, 50), 0);
	stream_reader_close(&late);
	stream_reader_close(&r);
}

Test(stream, after_its_end_what_nobody_read_waits)
{
	struct stream_reader r;
	receive(10);
	stream_end(s);
	stream_reader_open(&r, s);
	cr_expect_eq(take(&r, 50), 10);
	cr_expect_eq(take(&r, 50), 0);
	stream_reader_close(&r);
}

Test(stream, after_its_end_writers_get_epipe)
{
	write_some(STREAM_WINDOW);
	stream_end(s);
	cr_expect_eq(write_some(1), -EPIPE);
	cr_expect_not(stream_has_room(s));
	const uint8_t *bytes;
	cr_expect_eq(stream_output(s, CHUNK_BYTES, &bytes), 0);
	cr_expect_eq(stream_unacknowledged(s), STREAM_WINDOW);
}

Test(stream, after_its_end_the_link_is_not_called)
{
	struct stream_reader r;
	stream_reader_open(&r, s);
	receive(STREAM_WINDOW);
	stream_end(s);
	writable_calls = 0;
	cr_expect_eq(take(&r, STREAM_WINDOW), STREAM_WINDOW);
	cr_expect_eq(writable_calls, 0);
	stream_reader_close(&r);
}

Test(stream, handles_keep_it_alive)
{
	struct stream_reader r;
	receive(4);
	stream_reader_open(&r, s);
	stream_end(s);
	stream_unref(s); // the link's
	cr_expect_eq(take(&r, 50), 4);
	stream_ref(s); // for the suite's end
	stream_reader_close(&r);
}

// Two ends, random readers and a network that moves frames at will: every byte arrives, in order.
Test(stream, carries_megabytes_through_small_windows)
{
	struct stream *peer = stream_new(&changed, writable, &changed);
	struct stream_reader r;
	struct random random = { 42 };
	const uint64_t total = 8 * MIB;

	cr_assert(peer);
	stream_reader_open(&r, peer);
	while (r.offset < total) {
		if (s->out_head < total) {
			uint64_t left = total - s->out_head;
			size_t n = 1 + random_below(&random, 100 * KIB);
			write_some(n < left ? n : (size_t)left);
		}
		const uint8_t *bytes;
		size_t n = stream_output(s, CHUNK_BYTES, &bytes);
		if (n > 0 && random_below(&random, 4)) {
			cr_assert_eq(stream_receive(peer, bytes, n), 0);
			stream_sent(s, n);
		}
		if (random_below(&random, 2))
			take(&r, 1 + random_below(&random, 64 * KIB));
		uint64_t grant = random_below(&random, 2) ? stream_grant(peer) : 0;
		if (grant)
			cr_assert_eq(stream_granted(s, grant), 0);
		cr_assert_leq(buffer_length(&peer->in), STREAM_WINDOW);
		cr_assert_leq(buffer_length(&s->out), STREAM_WINDOW);
	}
	uint64_t grant = stream_grant(peer);
	if (grant)
		cr_assert_eq(stream_granted(s, grant), 0);
	cr_expect_eq(stream_unacknowledged(s), 0);
	cr_expect_eq(stream_unread(peer), 0);
	stream_reader_close(&r);
	stream_unref(peer);
}
