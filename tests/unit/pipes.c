// SPDX-License-Identifier: MIT
// Pipes between nodes in virtual time, and the direct links that carry them.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/pipe.h"
#include "tests/unit/world.h"

static struct world w;

static bool all_up(struct world *world)
{
	return world_components(world) == 1;
}

static void start(int count, uint32_t min, uint32_t max)
{
	world_init(&w, 7);
	w.min_peers = min;
	w.max_peers = max;
	for (int i = 0; i < count; i++)
		world_start(&w, i);
	for (int i = 1; i < count; i++)
		world_seed(&w, i, 0);
	cr_assert(world_until(&w, 20 * SECOND, all_up));
	world_run(&w, 2 * SECOND);
}

static void finish(void)
{
	world_fini(&w);
}

static void start_pair(void)
{
	start(2, 3, 5);
}

static struct pipe *find(int at, int peer, const char *name)
{
	struct pipe *p = NULL;
	while ((p = node_next_pipe(world_node(&w, at), &w.nodes[peer].id, p)))
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

static struct pipe *made(int at, int peer, const char *name)
{
	if (!find(at, peer, name))
		cr_assert_eq(node_pipe_make(world_node(&w, at), &w.nodes[peer].id, name), 0);
	return find(at, peer, name);
}

static struct pipe_writer writer(int at, int peer, const char *name)
{
	struct pipe_writer x = { 0 };
	pipe_writer_open(&x, made(at, peer, name));
	cr_assert_eq(pipe_writer_begin(&x), 0);
	return x;
}

static struct pipe_reader reader(int at, int peer, const char *name)
{
	struct pipe_reader r = { 0 };
	struct pipe *p = find(at, peer, name);
	cr_assert(p, "no pipe %s", name);
	pipe_reader_open(&r, p);
	return r;
}

static void say(struct pipe_writer *x, const char *text)
{
	cr_assert_eq(pipe_write(x, text, strlen(text)), (ssize_t)strlen(text));
}

static void write_once(int at, int peer, const char *name, const char *text)
{
	struct pipe_writer x = writer(at, peer, name);
	if (*text)
		say(&x, text);
	pipe_writer_close(&x);
}

// All that is there: text, or the outcome of the read that found nothing.
static ssize_t take(struct pipe_reader *r, char *text, size_t size)
{
	struct iovec iov;
	size_t n = 0;
	ssize_t got;
	while ((got = pipe_peek(r, size - 1 - n, &iov)) > 0) {
		memcpy(text + n, iov.iov_base, (size_t)got);
		n += (size_t)got;
		pipe_consume(r, (size_t)got);
		if (n == size - 1)
			break;
	}
	text[n] = '\0';
	return n ? (ssize_t)n : got;
}

static void expect(struct pipe_reader *r, const char *text)
{
	char found[256];
	ssize_t n = take(r, found, sizeof found);
	cr_expect_eq(n, (ssize_t)strlen(text), "%zd", n);
	cr_expect_str_eq(found, text);
}

static ssize_t outcome(struct pipe_reader *r)
{
	char found[256];
	return take(r, found, sizeof found);
}

TestSuite(pipes, .init = start_pair, .fini = finish);

Test(pipes, bytes_then_an_end_that_stays)
{
	struct pipe_writer x = writer(0, 1, "src");
	world_run(&w, SECOND);
	struct pipe_reader r = reader(1, 0, "src");
	cr_expect_eq(outcome(&r), -EAGAIN);
	say(&x, "one ");
	world_run(&w, SECOND);
	expect(&r, "one ");
	cr_expect_eq(outcome(&r), -EAGAIN);
	say(&x, "two");
	pipe_writer_close(&x);
	world_run(&w, SECOND);
	expect(&r, "two");
	cr_expect_eq(outcome(&r), 0);
	write_once(0, 1, "src", "later");
	world_run(&w, SECOND);
	cr_expect_eq(outcome(&r), 0, "the end stays");
	pipe_reader_close(&r);
	r = reader(1, 0, "src");
	expect(&r, "later");
	cr_expect_eq(outcome(&r), 0);
	pipe_reader_close(&r);
}

Test(pipes, both_directions_are_their_own)
{
	write_once(0, 1, "x", "there");
	write_once(1, 0, "x", "back");
	world_run(&w, SECOND);
	struct pipe_reader a = reader(0, 1, "x"), b = reader(1, 0, "x");
	expect(&a, "back");
	expect(&b, "there");
	pipe_reader_close(&a);
	pipe_reader_close(&b);
}

Test(pipes, generations_wait_in_order_and_empty_ones_count)
{
	write_once(0, 1, "g", "first");
	write_once(0, 1, "g", "");
	write_once(0, 1, "g", "third");
	world_run(&w, SECOND);
	static const char *const texts[] = { "first", "", "third" };
	for (int i = 0; i < 3; i++) {
		struct pipe_reader r = reader(1, 0, "g");
		if (*texts[i])
			expect(&r, texts[i]);
		cr_expect_eq(outcome(&r), 0);
		pipe_reader_close(&r);
	}
	struct pipe_reader r = reader(1, 0, "g");
	cr_expect_eq(outcome(&r), -EAGAIN);
	pipe_reader_close(&r);
}

Test(pipes, opened_and_not_written_to_is_no_generation)
{
	struct pipe_writer x;
	pipe_writer_open(&x, made(0, 1, "t"));
	pipe_writer_close(&x);
	world_run(&w, SECOND);
	cr_expect_not(find(1, 0, "t"));
	pipe_writer_open(&x, find(0, 1, "t"));
	say(&x, "begins");
	pipe_writer_close(&x);
	world_run(&w, SECOND);
	struct pipe_reader r = reader(1, 0, "t");
	expect(&r, "begins");
	cr_expect_eq(outcome(&r), 0);
	pipe_reader_close(&r);
}

Test(pipes, a_reader_that_leaves_leaves_the_rest)
{
	write_once(0, 1, "h", "abcdef");
	world_run(&w, SECOND);
	struct pipe_reader r = reader(1, 0, "h");
	struct iovec iov;
	cr_assert_eq(pipe_peek(&r, 3, &iov), 3);
	pipe_consume(&r, 3);
	pipe_reader_close(&r);
	r = reader(1, 0, "h");
	expect(&r, "def");
	// All is read, though nobody has seen the end: the next one does not see it either.
	pipe_reader_close(&r);
	r = reader(1, 0, "h");
	cr_expect_eq(outcome(&r), -EAGAIN);
	pipe_reader_close(&r);
}

Test(pipes, several_writers_are_one_generation)
{
	struct pipe_writer a = writer(0, 1, "s"), b = writer(0, 1, "s");
	say(&a, "a");
	say(&b, "b");
	pipe_writer_close(&a);
	world_run(&w, SECOND);
	struct pipe_reader r = reader(1, 0, "s");
	expect(&r, "ab");
	cr_expect_eq(outcome(&r), -EAGAIN);
	pipe_writer_close(&b);
	world_run(&w, SECOND);
	cr_expect_eq(outcome(&r), 0);
	pipe_reader_close(&r);
}

Test(pipes, two_readers_share_and_both_see_the_end)
{
	struct pipe_writer x = writer(0, 1, "r");
	say(&x, "12");
	world_run(&w, SECOND);
	struct pipe_reader a = reader(1, 0, "r"), b = reader(1, 0, "r");
	struct iovec iov;
	cr_assert_eq(pipe_peek(&a, 1, &iov), 1);
	pipe_consume(&a, 1);
	expect(&b, "2");
	cr_expect_eq(outcome(&a), -EAGAIN);
	pipe_writer_close(&x);
	world_run(&w, SECOND);
	cr_expect_eq(outcome(&a), 0);
	cr_expect_eq(outcome(&b), 0);
	pipe_reader_close(&a);
	pipe_reader_close(&b);
}

// Writes until there is no room, time passing.
static size_t fill(struct pipe_writer *x)
{
	static const uint8_t bytes[10000];
	size_t total = 0;
	for (int idle = 0; idle < 3;) {
		ssize_t n = pipe_write(x, bytes, sizeof bytes);
		total += n > 0 ? (size_t)n : 0;
		idle = n > 0 ? 0 : idle + 1;
		world_run(&w, SECOND);
	}
	return total;
}

static size_t drain(struct pipe_reader *r)
{
	static char text[PIPE_WINDOW + 1];
	size_t total = 0;
	ssize_t n;
	while ((n = take(r, text, sizeof text)) > 0)
		total += (size_t)n;
	return total;
}

Test(pipes, an_unread_pipe_stops_its_writer_and_goes_on)
{
	struct pipe_writer x = writer(0, 1, "w");
	size_t total = fill(&x);
	// A window over there, and one here less room for the end.
	cr_expect_eq(total, 2 * PIPE_WINDOW - PIPE_END_CHARGE);
	cr_expect_not(pipe_writable(&x));
	struct pipe_reader r = reader(1, 0, "w");
	cr_expect_eq(drain(&r), PIPE_WINDOW);
	world_run(&w, SECOND);
	cr_expect(pipe_writable(&x));
	pipe_writer_close(&x);
	cr_expect_eq(drain(&r), PIPE_WINDOW - PIPE_END_CHARGE);
	cr_expect_eq(outcome(&r), -EAGAIN);
	world_run(&w, SECOND);
	cr_expect_eq(outcome(&r), 0);
	pipe_reader_close(&r);
}

Test(pipes, small_writes_go_whole_or_wait)
{
	static const uint8_t bytes[PIPE_WINDOW];
	struct pipe_writer x = writer(0, 1, "a");
	fill(&x);
	struct pipe_reader r = reader(1, 0, "a");
	char text[1001];
	// Room for 1,000 bytes here, once a quarter of the window has been granted anew.
	drain(&r);
	world_run(&w, SECOND);
	size_t room = PIPE_WINDOW - PIPE_END_CHARGE;
	cr_assert_eq(pipe_write(&x, bytes, room - 1000), (ssize_t)(room - 1000));
	cr_expect_eq(pipe_write(&x, bytes, 1001), -EAGAIN);
	cr_expect_eq(pipe_write(&x, bytes, 1000), 1000);
	cr_expect_eq(take(&r, text, sizeof text), 1000);
	pipe_writer_close(&x);
	pipe_reader_close(&r);
}

Test(pipes, generations_are_bounded_however_small)
{
	struct pipe_writer x = { 0 };
	int count = 0, r = 0;
	for (; r == 0 && count < 5000; count++) {
		pipe_writer_open(&x, made(0, 1, "many"));
		r = pipe_writer_begin(&x);
		pipe_writer_close(&x);
		if (count % 100 == 0)
			world_run(&w, SECOND);
	}
	cr_expect_eq(r, -ENOBUFS);
	cr_expect_leq(count, 2 * (int)(PIPE_WINDOW / PIPE_END_CHARGE) + 1);
	for (int i = 0; i < 10; i++) {
		struct pipe_reader reading = reader(1, 0, "many");
		cr_expect_eq(outcome(&reading), 0);
		pipe_reader_close(&reading);
	}
}

Test(pipes, names_have_a_form_and_a_bound)
{
	struct node *node = world_node(&w, 0);
	const struct id *to = &w.nodes[1].id;
	char name[16];
	cr_expect_eq(node_pipe_make(node, to, ".hidden"), -EINVAL);
	cr_expect_eq(node_pipe_make(node, to, "a b"), -EINVAL);
	for (int i = 0; i < PIPES_MAX; i++) {
		snprintf(name, sizeof name, "p%d", i);
		cr_expect_eq(node_pipe_make(node, to, name), 0);
	}
	cr_expect_eq(node_pipe_make(node, to, "p3"), -EEXIST);
	cr_expect_eq(node_pipe_make(node, to, "more"), -EUSERS);
	cr_expect_eq(node_pipe_remove(node, to, "p3"), 0);
	cr_expect_eq(node_pipe_remove(node, to, "p3"), -ENOENT);
	cr_expect_eq(node_pipe_make(node, to, "more"), 0);
}

Test(pipes, sixty_four_are_open_at_once)
{
	struct pipe_writer x[PIPES_MAX], one_more = { 0 };
	char name[16];
	for (int i = 0; i < PIPES_MAX; i++) {
		snprintf(name, sizeof name, "p%d", i);
		x[i] = writer(0, 1, name);
		say(&x[i], name);
	}
	world_run(&w, SECOND);
	node_pipe_remove(world_node(&w, 0), &w.nodes[1].id, "p0");
	cr_assert_eq(node_pipe_make(world_node(&w, 0), &w.nodes[1].id, "q"), 0);
	pipe_writer_open(&one_more, find(0, 1, "q"));
	cr_expect_eq(pipe_writer_begin(&one_more), -EUSERS);
	pipe_writer_close(&one_more);
	for (int i = 0; i < PIPES_MAX; i++) {
		snprintf(name, sizeof name, "p%d", i);
		struct pipe_reader r = reader(1, 0, name);
		expect(&r, name);
		pipe_writer_close(&x[i]);
		world_run(&w, SECOND);
		cr_expect_eq(outcome(&r), 0);
		pipe_reader_close(&r);
	}
	world_run(&w, SECOND);
	write_once(0, 1, "q", "room again");
	world_run(&w, SECOND);
	struct pipe_reader r = reader(1, 0, "q");
	expect(&r, "room again");
	pipe_reader_close(&r);
}

Test(pipes, a_lost_peer_is_an_error_and_no_end)
{
	struct pipe_writer x = writer(0, 1, "l");
	write_once(0, 1, "whole", "kept");
	say(&x, "half");
	world_run(&w, SECOND);
	struct pipe_reader r = reader(1, 0, "l"), idle = reader(1, 0, "l");
	struct pipe_reader other = reader(1, 0, "whole");
	pipe_reader_close(&other);
	made(1, 0, "never");
	struct pipe_reader never = reader(1, 0, "never");
	node_drop(world_node(&w, 0), &w.nodes[1].id);
	world_run(&w, SECOND);
	expect(&r, "half");
	cr_expect_eq(outcome(&r), -EIO);
	cr_expect_eq(outcome(&idle), -EIO);
	cr_expect_eq(outcome(&never), -EIO);
	cr_expect_eq(pipe_write(&x, "more", 4), -EIO);
	cr_expect_eq(world_events_with(&w, 0, "lost", "pipe="), 2);
	other = reader(1, 0, "whole");
	expect(&other, "kept");
	cr_expect_eq(outcome(&other), 0);
	pipe_writer_close(&x);
	pipe_reader_close(&r);
	pipe_reader_close(&idle);
	pipe_reader_close(&never);
	pipe_reader_close(&other);
}

Test(pipes, what_is_kept_without_a_link_is_bounded)
{
	for (int i = 0; i < 4; i++) {
		struct pipe_writer x = writer(0, 1, "k");
		fill(&x);
		pipe_writer_close(&x);
		node_drop(world_node(&w, 0), &w.nodes[1].id);
		world_run(&w, 40 * SECOND);
		cr_assert(world_linked(&w, 0, 1));
	}
	struct pipe *p = find(1, 0, "k");
	cr_expect_leq(pipe_unread(p), PIPE_WINDOW);
	cr_expect_gt(world_events_with(&w, 1, "lost", "unread="), 0);
}

Test(pipes, removed_by_the_reader)
{
	struct pipe_writer x = writer(0, 1, "d");
	say(&x, "unread");
	world_run(&w, SECOND);
	cr_assert_eq(node_pipe_remove(world_node(&w, 1), &w.nodes[0].id, "d"), 0);
	cr_expect_eq(world_events_with(&w, 1, "lost", "unread=6 reason=removed"), 1);
	world_run(&w, SECOND);
	cr_expect_eq(pipe_write(&x, "more", 4), -EPIPE);
	cr_expect_eq(world_events_with(&w, 0, "lost", "unacknowledged=6 reason=removed"), 1);
	pipe_writer_close(&x);
	write_once(0, 1, "d", "again");
	world_run(&w, SECOND);
	struct pipe_reader r = reader(1, 0, "d");
	expect(&r, "again");
	pipe_reader_close(&r);
}

Test(pipes, removed_while_open_lives_for_who_has_it)
{
	struct pipe_writer x = writer(0, 1, "u");
	say(&x, "one");
	world_run(&w, SECOND);
	struct pipe_reader r = reader(1, 0, "u");
	cr_assert_eq(node_pipe_remove(world_node(&w, 1), &w.nodes[0].id, "u"), 0);
	cr_assert_eq(node_pipe_remove(world_node(&w, 0), &w.nodes[1].id, "u"), 0);
	cr_expect_not(find(1, 0, "u"));
	say(&x, "two");
	pipe_writer_close(&x);
	world_run(&w, SECOND);
	expect(&r, "onetwo");
	cr_expect_eq(outcome(&r), 0);
	pipe_reader_close(&r);
	cr_expect_eq(world_events(&w, 1, "lost"), 0);
}

Test(pipes, a_stopping_node_is_no_end)
{
	struct pipe_writer x = writer(0, 1, "z");
	say(&x, "half");
	world_run(&w, SECOND);
	struct pipe_reader r = reader(1, 0, "z");
	node_stop(world_node(&w, 0));
	world_run(&w, SECOND);
	expect(&r, "half");
	cr_expect_eq(outcome(&r), -EIO);
	pipe_reader_close(&r);
	cr_expect_eq(pipe_write(&x, "more", 4), -EIO);
	pipe_writer_close(&x);
}

TestSuite(direct, .fini = finish);

// Two that are not linked, in a ring.
static void find_strangers(int count, int *a, int *b)
{
	for (*a = 0; *a < count; ++*a)
		for (*b = *a + 1; *b < count; ++*b)
			if (!world_linked(&w, *a, *b))
				return;
	cr_assert_fail("everybody is linked");
}

static struct peer peer_at(int at, int peer)
{
	struct peer found;
	cr_assert(node_find_peer_id(world_node(&w, at), &w.nodes[peer].id, &found));
	return found;
}

// Reaches from `a` to `b`: the outcome.
static int reach(int a, int b, uint64_t patience)
{
	int64_t token = node_reach(world_node(&w, a), &w.nodes[b].id, true);
	if (token <= 0)
		return (int)token;
	for (uint64_t t = 0; t < patience; t += SECOND / 10) {
		world_run(&w, SECOND / 10);
		int r = node_connect_result(world_node(&w, a), token);
		if (r != -EINPROGRESS)
			return r;
	}
	node_connect_cancel(world_node(&w, a), token);
	return -EINPROGRESS;
}

Test(direct, anybody_can_be_reached_and_counts_for_nothing)
{
	int a, b;
	start(8, 2, 2);
	find_strangers(8, &a, &b);
	cr_expect_not(peer_at(a, b).linked, "known, and looking does not dial");
	world_run(&w, 5 * SECOND);
	cr_expect_not(peer_at(a, b).linked);
	cr_assert_eq(reach(a, b, 5 * SECOND), 0);
	world_run(&w, SECOND);
	cr_expect(peer_at(a, b).direct);
	cr_expect(peer_at(b, a).direct);
	cr_expect_leq(world_peers(&w, a), 2);
	cr_expect_eq(reach(a, b, SECOND), 0, "it is there");
	write_once(a, b, "x", "over it");
	world_run(&w, SECOND);
	struct pipe_reader r = reader(b, a, "x");
	expect(&r, "over it");
	// In use at one end it stays, idle at both it goes after a minute.
	world_run(&w, 3 * DIRECT_IDLE);
	cr_expect(peer_at(a, b).linked);
	pipe_reader_close(&r);
	world_run(&w, DIRECT_IDLE / 2);
	cr_expect(peer_at(a, b).linked);
	world_run(&w, DIRECT_IDLE);
	cr_expect_not(peer_at(a, b).linked);
	cr_expect_gt(world_events_with(&w, a, "remove", "reason=done"), 0);
}

Test(direct, no_broadcast_goes_over_it)
{
	int a, b;
	start(8, 2, 2);
	find_strangers(8, &a, &b);
	cr_assert_eq(reach(a, b, 5 * SECOND), 0);
	struct peer before = peer_at(b, a);
	for (int i = 0; i < 20; i++) {
		cr_assert(world_publish(&w, a, 100000));
		world_run(&w, SECOND);
	}
	cr_expect_eq(w.nodes[b].read[a], 20);
	cr_expect_lt(peer_at(b, a).bytes_in - before.bytes_in, 100000);
}

Test(direct, who_cannot_be_dialled_dials_back)
{
	int a, b;
	start(8, 2, 2);
	find_strangers(8, &a, &b);
	w.nodes[b].shut = true;
	cr_assert_eq(reach(a, b, 10 * SECOND), 0);
	cr_expect_not(peer_at(a, b).outgoing);
	// Neither can be dialled.
	node_drop(world_node(&w, a), &w.nodes[b].id);
	world_run(&w, SECOND);
	w.nodes[a].shut = true;
	cr_expect_eq(reach(a, b, 10 * SECOND), -ECONNREFUSED);
}

Test(direct, nobody_there_and_nobody_known)
{
	struct id nobody = { { 9 } };
	start(3, 3, 5);
	cr_expect_eq(node_reach(world_node(&w, 0), &nobody, true), -ENOENT);
	cr_expect_eq(node_reach(world_node(&w, 0), &w.nodes[0].id, true), -ENOENT);
}

Test(direct, a_link_in_use_outlives_the_order)
{
	uint32_t full = 2;
	struct peer peer = { 0 };
	start(4, 2, full);
	// All of node 0's links are in use, and newcomers come through it.
	struct stream *streams[2];
	int used = 0;
	while (node_next_peer(world_node(&w, 0), peer.serial, &peer) && used < 2) {
		streams[used] = stream_ref(peer.stream);
		streams[used++]->handles++;
	}
	for (int i = 4; i < 12; i++) {
		world_start(&w, i);
		world_seed(&w, i, 0);
		world_run(&w, 10 * SECOND);
	}
	cr_assert(world_until(&w, 20 * SECOND, all_up));
	int direct = 0;
	for (int i = 0; i < used; i++)
		cr_expect_not(streams[i]->gone, "a user's stream was cut for order");
	for (peer.serial = 0; node_next_peer(world_node(&w, 0), peer.serial, &peer);)
		direct += peer.direct;
	cr_expect_gt(direct, 0);
	cr_expect_leq(world_peers(&w, 0), full);
	for (int i = 0; i < used; i++) {
		streams[i]->handles--;
		stream_unref(streams[i]);
	}
}

Test(direct, one_that_is_needed_counts_again)
{
	int a, b;
	start(6, 2, 2);
	find_strangers(6, &a, &b);
	cr_assert_eq(reach(a, b, 5 * SECOND), 0);
	peer_at(a, b).stream->handles++;
	for (int i = 0; i < 6; i++)
		if (i != a && i != b)
			world_crash(&w, i);
	cr_assert(world_until(&w, 20 * SECOND, all_up));
	world_run(&w, SECOND);
	cr_expect_not(peer_at(a, b).direct);
	cr_expect_not(peer_at(b, a).direct);
	cr_assert(world_publish(&w, a, 100));
	world_run(&w, SECOND);
	cr_expect_geq(w.nodes[b].read[a], 1);
	peer_at(a, b).stream->handles--;
}
