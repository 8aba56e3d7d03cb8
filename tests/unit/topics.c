// SPDX-License-Identifier: MIT
// Topics in networks in virtual time: who is delivered what, and who hears of whom.
#include "core/topics.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/node_inner.h"
#include "tests/unit/world.h"

static struct world w;

static void finish(void)
{
	world_fini(&w);
}

TestSuite(topics, .fini = finish);

static bool gathered(struct world *world)
{
	int count = world_count(world);
	for (int i = 0; i < count; i++)
		if (node_member_count(world->nodes[i].node) != (size_t)count)
			return false;
	return world_components(world) == 1;
}

// A chain: each knows the one before it and has no room for others.
static void start_chain(int count)
{
	world_init(&w, 1);
	w.min_peers = 1;
	w.max_peers = 2;
	for (int i = 0; i < count; i++) {
		world_start(&w, i);
		w.nodes[i].reading = false;
		if (i > 0)
			world_seed(&w, i, i - 1);
		world_run(&w, SECOND);
	}
	cr_assert(world_until(&w, 10 * SECOND, gathered));
	for (int i = 1; i < count; i++)
		cr_assert(world_linked(&w, i - 1, i));
	for (int i = 2; i < count; i++)
		cr_assert_not(world_linked(&w, 0, i), "a chain");
}

static const struct topic *find(int i, const char *name)
{
	const struct topic *t = NULL;
	while ((t = node_next_topic(w.nodes[i].node, t)))
		if (strcmp(t->name, name) == 0)
			break;
	return t;
}

static void join(int i, const char *name)
{
	cr_assert_eq(node_topic_join(world_node(&w, i), name), 0);
	cr_assert(find(i, name));
}

struct reader {
	struct cursor cursor;
	char text[4096];
	size_t n;
};

static void listen_to(struct reader *r, int i, const char *name)
{
	r->n = 0;
	cursor_open(&r->cursor, node_log(w.nodes[i].node), w.now);
	r->cursor.topic = name ? find(i, name)->number : 0;
}

static const char *hear(struct reader *r)
{
	struct iovec iov[1];
	int count;
	size_t n;

	while ((n = cursor_peek(&r->cursor, w.now, MESSAGE_MAX, true, iov, &count, 1)) > 0) {
		cr_assert_lt(r->n + n, sizeof r->text);
		memcpy(r->text + r->n, iov[0].iov_base, n);
		r->n += n;
		cursor_advance(&r->cursor, w.now, n, true);
	}
	r->text[r->n] = '\0';
	return r->text;
}

static int say(int i, const char *topic, const char *text)
{
	return node_publish_to(
		world_node(&w, i), topic ? find(i, topic) : NULL, 0, text, strlen(text));
}

static const char *topics_of(int i, int of)
{
	const struct member *m = members_find(&w.nodes[i].node->members, &w.nodes[of].id);
	return m && m->topics ? m->topics : "-";
}

Test(topics, reach_those_who_joined_through_those_who_did_not)
{
	struct reader b, d, everyone, middle;

	start_chain(4);
	join(0, "ops");
	join(1, "ops");
	join(3, "ops");
	join(3, "other");
	listen_to(&b, 1, "ops");
	listen_to(&d, 3, "ops");
	listen_to(&everyone, 3, NULL);
	listen_to(&middle, 2, NULL);
	cr_assert_eq(say(0, "ops", "1"), 0);
	cr_assert_eq(say(0, NULL, "2"), 0);
	cr_assert_eq(say(0, "ops", "3"), 0);
	world_run(&w, SECOND);
	cr_assert_eq(say(3, "other", "4"), 0);
	cr_assert_eq(say(3, "ops", "5"), 0);
	world_run(&w, SECOND);
	cr_expect_str_eq(hear(&b), "135");
	cr_expect_str_eq(hear(&d), "13", "its own is not read back");
	cr_expect_str_eq(hear(&everyone), "2");
	cr_expect_str_eq(hear(&middle), "2", "relays, and does not deliver");
	cr_expect_eq(node_counters(w.nodes[2].node)->messages_filtered, 4);
	cr_expect_eq(node_counters(w.nodes[2].node)->messages_received, 5);
	cr_expect_eq(node_counters(w.nodes[1].node)->messages_filtered, 1);
	cr_expect_eq(node_counters(w.nodes[3].node)->messages_filtered, 0);
	cr_expect_eq(world_events(&w, 3, "gap"), 0);
	cursor_close(&b.cursor);
	cursor_close(&d.cursor);
	cursor_close(&everyone.cursor);
	cursor_close(&middle.cursor);
}

// Each source's own order, whatever it says in between.
Test(topics, keep_the_order_of_each_source)
{
	static const char *const names[] = { NULL, "one", "two" };
	struct reader readers[3];
	char text[16];

	start_chain(5);
	for (int i = 0; i < 5; i++)
		for (int k = 1; k < 3; k++)
			join(i, names[k]);
	for (int k = 0; k < 3; k++)
		listen_to(&readers[k], 2, names[k]);
	for (int n = 0; n < 300; n++) {
		snprintf(text, sizeof text, "%c%03d ", n % 2 ? 'a' : 'e', n);
		cr_assert_eq(say(n % 2 ? 0 : 4, names[n / 2 % 3], text), 0);
		if (n % 7 == 0)
			world_run(&w, MILLISECOND);
	}
	world_run(&w, 2 * SECOND);
	for (int k = 0; k < 3; k++) {
		int last[2] = { -1, -1 }, count = 0;
		hear(&readers[k]);
		for (const char *p = readers[k].text; *p; p += 5, count++) {
			int *before = &last[*p == 'a'], n = atoi(p + 1);
			cr_assert_gt(n, *before, "%s", readers[k].text);
			cr_assert_eq(n / 2 % 3, k, "of another topic");
			*before = n;
		}
		cr_expect_eq(count, 100);
		cursor_close(&readers[k].cursor);
	}
}

Test(topics, a_batch_is_of_one_topic_and_one_writer)
{
	struct batch *b;
	int sizes[8] = { 0 }, count = 0;
	uint64_t next = 1;

	start_chain(2);
	join(0, "ops");
	const struct topic *ops = find(0, "ops");
	// The first leaves at once, the others gather.
	static const struct {
		bool ops;
		uint32_t writer;
	} said[] = { { false, 0 }, { false, 0 }, { false, 0 }, { true, 0 }, { true, 0 },
		{ true, 1 }, { true, 2 }, { false, 2 }, { false, 2 }, { false, 0 } };
	for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
		cr_assert_eq(node_publish_to(world_node(&w, 0), said[i].ops ? ops : NULL,
				     said[i].writer, "x", 1),
			0);
	world_run(&w, SECOND);
	for (b = w.nodes[0].node->publisher.own->oldest; b; b = b->newer) {
		cr_assert_eq(b->first, next, "numbers go on over all topics");
		for (uint32_t k = 0; k < b->count; k++) {
			cr_expect_eq(b->topic, said[next + k - 1].ops ? ops->number : 0);
			cr_expect_eq(b->writer, said[next + k - 1].writer);
		}
		next += b->count;
		sizes[count++] = (int)b->count;
	}
	static const int expected[] = { 1, 2, 2, 1, 1, 2, 1 };
	cr_assert_eq(count, 7);
	cr_expect_arr_eq(sizes, expected, sizeof expected);
	cr_expect_eq(node_counters(w.nodes[1].node)->messages_received, 10);
}

Test(topics, leaving_ends_readers_and_writers)
{
	struct reader r, again;

	start_chain(2);
	join(0, "ops");
	join(1, "ops");
	listen_to(&r, 1, "ops");
	struct topic *held = topic_ref(node_find_topic(w.nodes[1].node, find(1, "ops")->serial));
	cr_assert_eq(say(0, "ops", "1"), 0);
	world_run(&w, SECOND);
	cr_assert_eq(node_topic_leave(world_node(&w, 1), "ops"), 0);
	cr_expect_eq(node_topic_leave(world_node(&w, 1), "ops"), -ENOENT);
	cr_expect_null(find(1, "ops"));
	cr_expect_null(node_find_topic(w.nodes[1].node, held->serial));
	cr_assert_eq(say(0, "ops", "2"), 0);
	world_run(&w, SECOND);
	cr_expect_not(cursor_ended(&r.cursor));
	cr_expect_str_eq(hear(&r), "1");
	cr_expect(cursor_ended(&r.cursor));
	cr_expect_eq(node_publish_to(world_node(&w, 1), held, 0, "x", 1), -EPIPE);
	// Joined anew it is another one, and the handles of before stay where they are.
	join(1, "ops");
	cr_expect_neq(find(1, "ops")->serial, held->serial);
	listen_to(&again, 1, "ops");
	cr_assert_eq(say(0, "ops", "3"), 0);
	world_run(&w, SECOND);
	cr_expect_str_eq(hear(&again), "3");
	cr_expect_str_eq(hear(&r), "1");
	topic_unref(held);
	cursor_close(&r.cursor);
	cursor_close(&again.cursor);
}

Test(topics, what_was_written_before_leaving_goes_out)
{
	struct reader r;

	start_chain(2);
	join(0, "ops");
	join(1, "ops");
	listen_to(&r, 1, "ops");
	cr_assert_eq(say(0, "ops", "1"), 0);
	cr_assert_eq(say(0, "ops", "2"), 0);
	cr_assert(w.nodes[0].node->publisher.open, "it gathers");
	cr_assert_eq(node_topic_leave(world_node(&w, 0), "ops"), 0);
	world_run(&w, SECOND);
	cr_expect_str_eq(hear(&r), "12");
	cursor_close(&r.cursor);
}

Test(topics, are_announced_once_a_second_at_most)
{
	char name[8];

	start_chain(3);
	world_run(&w, 2 * SECOND);
	cr_expect_str_eq(topics_of(2, 0), "-");
	join(0, "ops");
	world_run(&w, 100 * MILLISECOND);
	cr_expect_str_eq(topics_of(2, 0), "ops", "at once");
	uint64_t before = w.nodes[0].node->announce.counter;
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "t%d", i);
		join(0, name);
		world_run(&w, 20 * MILLISECOND);
	}
	cr_expect_eq(w.nodes[0].node->announce.counter, before, "not for each");
	world_run(&w, SECOND);
	cr_expect_eq(w.nodes[0].node->announce.counter, before + 1);
	cr_expect_eq(strncmp(topics_of(2, 0), "ops,t0,t1,t2,", 13), 0);
	world_start(&w, 3);
	w.nodes[3].reading = false;
	world_seed(&w, 3, 2);
	world_run(&w, 2 * SECOND);
	cr_expect_eq(strncmp(topics_of(3, 0), "ops,t0,", 7), 0, "a newcomer learns of them");
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "t%d", i);
		cr_assert_eq(node_topic_leave(world_node(&w, 0), name), 0);
	}
	cr_assert_eq(node_topic_leave(world_node(&w, 0), "ops"), 0);
	world_run(&w, 2 * SECOND);
	cr_expect_str_eq(topics_of(2, 0), "-");
	cr_expect_null(members_find(&w.nodes[3].node->members, &w.nodes[0].id)->topics);
}

Test(topics, that_are_joined_fit_into_one_announcement)
{
	char name[NAME_MAX_LENGTH + 1];
	size_t n = 0;
	int r;

	start_chain(2);
	struct node *node = world_node(&w, 0);
	cr_expect_eq(node_topic_join(node, ""), -EINVAL);
	cr_expect_eq(node_topic_join(node, "a b"), -EINVAL);
	cr_expect_eq(node_topic_join(node, "-a"), -EINVAL);
	cr_expect_eq(node_topic_join(node, "a,b"), -EINVAL);
	for (int i = 0;; i++) {
		memset(name, 'a' + i, sizeof name - 1);
		name[sizeof name - 1] = '\0';
		r = node_topic_join(node, name);
		if (r < 0)
			break;
		n += strlen(name) + 1;
		cr_expect_eq(node_topic_join(node, name), -EEXIST);
	}
	cr_expect_eq(r, -ENOSPC);
	// And one that takes what is left to the last byte.
	name[TOPICS_TEXT - n] = '\0';
	cr_assert_eq(node_topic_join(node, name), 0);
	cr_expect_eq(node_topic_join(node, "z"), -ENOSPC);
	world_run(&w, 2 * SECOND);
	cr_expect_eq(strlen(topics_of(1, 0)), TOPICS_TEXT);
	cr_expect(world_linked(&w, 0, 1), "nobody finds it malformed");
	cr_assert_eq(node_topic_leave(world_node(&w, 0), name), 0);
	cr_expect_eq(node_topic_join(node, "z"), 0);
}

Test(topics, there_are_64)
{
	char name[8];

	start_chain(2);
	struct node *node = world_node(&w, 0);
	for (int i = 0; i < TOPICS_MAX; i++) {
		snprintf(name, sizeof name, "%d", i);
		cr_assert_eq(node_topic_join(node, name), 0);
	}
	cr_expect_eq(node_topic_count(node), TOPICS_MAX);
	cr_expect_eq(node_topic_join(node, "x"), -ENOSPC);
	world_run(&w, 2 * SECOND);
	cr_expect_eq(strncmp(topics_of(1, 0), "0,1,2,", 6), 0);
	cr_expect_not_null(strstr(topics_of(1, 0), ",63"));
}

// A node whose incarnation is taken publishes anew what nobody has heard: its readers have.
Test(topics, published_anew_are_not_read_back_again)
{
	struct reader r, other;

	world_init(&w, 1);
	w.history = HISTORY_BYTES;
	world_start(&w, 0);
	w.nodes[0].reading = false;
	join(0, "ops");
	listen_to(&r, 0, "ops");
	r.cursor.loopback = true;
	cr_assert_eq(say(0, "ops", "1"), 0);
	world_run(&w, SECOND);
	cr_expect_str_eq(hear(&r), "1");
	node_clash(world_node(&w, 0), 5);
	world_run(&w, SECOND);
	cr_assert_gt(w.nodes[0].node->config.incarnation, 5);
	cr_assert_eq(w.nodes[0].node->publisher.own->newest->count, 1, "it is there once more");
	cr_expect_str_eq(hear(&r), "1");
	cr_expect_eq(node_history(w.nodes[0].node)->head, 1);
	world_start(&w, 1);
	w.nodes[1].reading = false;
	join(1, "ops");
	listen_to(&other, 1, "ops");
	world_seed(&w, 1, 0);
	world_run(&w, 2 * SECOND);
	cr_expect_str_eq(hear(&other), "1", "and of the same topic");
	cr_assert_eq(say(0, "ops", "2"), 0);
	world_run(&w, SECOND);
	cr_expect_str_eq(hear(&r), "12");
	cr_expect_str_eq(hear(&other), "12");
	cursor_close(&r.cursor);
	cursor_close(&other.cursor);
}

// What was missed while a link was down comes with it, whatever topics it is of.
Test(topics, are_repaired_as_all_is)
{
	struct reader c, everyone;

	start_chain(3);
	join(0, "ops");
	join(2, "ops");
	listen_to(&c, 2, "ops");
	listen_to(&everyone, 2, NULL);
	cr_assert_eq(say(0, "ops", "a"), 0);
	world_run(&w, SECOND);
	world_side(&w, 2, 1);
	world_run(&w, 10 * SECOND);
	cr_assert_not(world_linked(&w, 1, 2));
	for (int i = 0; i < 5; i++) {
		cr_assert_eq(say(0, i % 2 ? NULL : "ops", i % 2 ? "x" : "b"), 0);
		world_run(&w, 100 * MILLISECOND);
	}
	world_side(&w, 2, 0);
	world_run(&w, 15 * SECOND);
	cr_expect_str_eq(hear(&c), "abbb");
	cr_expect_str_eq(hear(&everyone), "xx");
	cr_expect_eq(world_events(&w, 2, "gap"), 0);
	cursor_close(&c.cursor);
	cursor_close(&everyone.cursor);
}

Test(topics, have_numbers_of_their_own)
{
	uint64_t one, two;

	world_init(&w, 1);
	cr_assert_eq(topic_number("one", &one), 0);
	cr_assert_eq(topic_number("two", &two), 0);
	cr_expect(one && two && one != two);
}
