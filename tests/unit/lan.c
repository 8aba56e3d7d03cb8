// SPDX-License-Identifier: MIT
// What a node makes of hails, and when it hails itself: without a network, in virtual time.
#include "core/lan.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/node_inner.h"

static struct keyring ring, foreign;
static struct access access_lists;
static struct identity *self;
static struct node *node;
static uint64_t now = 1000 * SECOND;
static struct address dialled[1024];
static size_t dials;

static int on_dial(void *context, struct link *link, const struct address *to)
{
	if (dials < sizeof dialled / sizeof *dialled)
		dialled[dials++] = *to;
	return -EHOSTUNREACH;
}

static void on_hangup(void *context, struct link *link)
{
}

static int on_resolve(void *context, uint64_t tag, const char *host, uint16_t port)
{
	return -ENOENT;
}

static void advance(uint64_t by)
{
	now += by;
	node_advance(node, now, now);
}

static void start(uint32_t min_peers, bool discovery)
{
	static const struct node_driver driver = { NULL, on_dial, on_hangup, on_resolve };
	uint8_t secret[32];

	cr_assert_eq(keyring_add(&ring, memset(secret, 3, sizeof secret)), 0);
	cr_assert_eq(keyring_add(&foreign, memset(secret, 4, sizeof secret)), 0);
	self = identity_new(memset(secret, 1, sizeof secret));
	const struct node_config config = { .identity = self,
		.keyring = &ring,
		.access = &access_lists,
		.incarnation = 5,
		.seed = 42,
		.address = { 4, { 10, 0, 0, 1 }, 8495 },
		.min_peers = min_peers,
		.max_peers = 5,
		.ping_timeout = PING_TIMEOUT_DEFAULT,
		.discovery = discovery };
	node = node_new(&config, &driver);
	cr_assert(node);
	advance(1);
}

static void finish(void)
{
	node_free(node);
	identity_free(self);
}

TestSuite(lan, .fini = finish);

// Of node number `who`, at 10.0.0.`who`.
static struct hail hail_of(uint8_t who, uint64_t counter, bool asks)
{
	return (struct hail){ .asks = asks,
		.id = { { who, 1 } },
		.incarnation = 1,
		.counter = counter,
		.address = { 4, { 10, 0, 0, who }, 8495 } };
}

static void hear_from(const struct hail *h, const struct keyring *with, struct address from)
{
	uint8_t datagram[HAIL_BYTES];

	from.port = HAIL_PORT;
	cr_assert_eq(hail_encode(h, with, datagram), 0);
	node_hailed(node, &from, datagram, sizeof datagram);
	advance(1);
}

static void hear(uint8_t who, uint64_t counter, bool asks)
{
	struct hail h = hail_of(who, counter, asks);
	hear_from(&h, &ring, h.address);
}

static size_t refusals(void)
{
	const char *text;
	size_t n = event_log_read(&node->events, node->events.tail, &text), count = 0;

	for (const char *at = text; (at = memmem(at, n - (size_t)(at - text), " by=hail", 8)); at++)
		count++;
	return count;
}

static bool has_dialled(uint8_t who)
{
	for (size_t i = 0; i < dials; i++)
		if (dialled[i].bytes[3] == who)
			return true;
	return false;
}

Test(lan, whom_it_hears_it_dials_when_it_has_too_few)
{
	start(3, true);
	hear(7, 1, false);
	cr_expect(has_dialled(7));
	cr_expect_eq(node->counters.hails_heard, 1);
	cr_expect_eq(node->view.count, 1);
}

Test(lan, with_enough_peers_it_notes_and_does_not_dial)
{
	start(0, true);
	hear(7, 1, false);
	cr_expect_eq(dials, 0);
	cr_expect_eq(node->view.count, 1);
}

Test(lan, off_it_neither_hails_nor_hears)
{
	start(3, false);
	cr_expect_eq(node_hail_due(node), UINT64_MAX);
	hear(7, 1, true);
	cr_expect_eq(dials, 0);
	cr_expect_eq(node->counters.hails_heard, 0);
}

Test(lan, what_is_not_of_this_network_has_no_effect)
{
	struct hail h = hail_of(7, 1, true);
	struct keyring forged;

	start(3, true);
	hear_from(&h, &foreign, h.address);
	cr_expect_eq(node->counters.hails_foreign, 1);
	cr_expect_eq(refusals(), 0, "another network is nothing to complain of");
	forged = foreign;
	forged.keys[0].name = ring.keys[0].name;
	for (int i = 0; i < 1000; i++)
		hear_from(&h, &forged, h.address);
	node_hailed(node, &h.address, (const uint8_t *)"smokefs", 7);
	cr_expect_eq(node->counters.hails_refused, 1001);
	cr_expect_eq(refusals(), 1, "said once");
	cr_expect_eq(dials, 0);
	cr_expect_eq(node->view.count, 0);
}

Test(lan, one_that_is_played_again_is_dropped)
{
	struct hail h = hail_of(7, 3, true);

	start(3, true);
	hear(7, 3, true);
	size_t before = dials;
	for (int i = 0; i < 100; i++)
		hear(7, 3, true);
	hear(7, 2, true);
	cr_expect_eq(node->counters.hails_dropped, 101);
	cr_expect_eq(node->counters.hails_heard, 1);
	cr_expect_eq(dials, before);
	// A new life begins to count again.
	h.incarnation = 2;
	h.counter = 1;
	hear_from(&h, &ring, h.address);
	cr_expect_eq(node->counters.hails_heard, 2);
	// From another host.
	h.counter = 2;
	hear_from(&h, &ring, (struct address){ 4, { 10, 0, 0, 66 }, 1 });
	cr_expect_eq(node->counters.hails_refused, 1);
	cr_expect_eq(node->counters.hails_heard, 2);
}

Test(lan, its_own_is_no_news)
{
	struct hail h = hail_of(1, 1, true);

	start(3, true);
	h.id = node->id;
	hear_from(&h, &ring, h.address);
	cr_expect_eq(node->view.count, 0);
	cr_expect_eq(node->counters.hails_heard + node->counters.hails_dropped, 0);
}

// A member who makes up others.
Test(lan, a_flood_is_bounded)
{
	start(3, true);
	for (unsigned i = 0; i < 20000; i++) {
		struct hail h = hail_of((uint8_t)(2 + i % 200), 1, true);
		memcpy(h.id.bytes + 2, &i, sizeof i);
		h.address.port = (uint16_t)(1 + i);
		hear_from(&h, &ring, h.address);
	}
	cr_expect_leq(node->counters.hails_heard, HAIL_NEWS_BURST + 1);
	cr_expect_eq(node->counters.hails_heard + node->counters.hails_dropped, 20000);
	cr_expect_leq(node->view.count, VIEW_MAX);
	cr_expect_leq(dials, 2 * HAIL_NEWS_BURST);
	cr_expect_leq(node->lan->counter, 0);
}

static unsigned hails_within(uint64_t duration)
{
	uint8_t datagram[HAIL_BYTES];
	uint64_t end = now + duration;
	unsigned count = 0;

	for (;;) {
		uint64_t due = node_hail_due(node);
		if (due > end)
			break;
		if (due > now)
			advance(due - now);
		cr_assert(node_hail_begin(node), "it said that it was time");
		cr_assert_not(node_hail_begin(node), "once");
		cr_assert_eq(node_hail(node, &node->config.address, datagram), 0);
		struct hail h;
		cr_assert_eq(hail_decode(&h, &ring, datagram, sizeof datagram), 0);
		cr_assert_eq(h.asks, node->config.min_peers > 0);
		cr_assert_eq(h.counter, node->counters.hails_sent);
		cr_assert_lt(++count, 10000, "it hails without an end");
	}
	advance(end - now);
	return count;
}

Test(lan, alone_it_hails_often)
{
	start(3, true);
	cr_expect_eq(hails_within(2 * SECOND), HAIL_BURST);
	unsigned more = hails_within(100 * SECOND);
	cr_expect(more >= 8 && more <= 13, "%u", more);
	node_stop(node);
	cr_expect_eq(node_hail_due(node), UINT64_MAX);
}

Test(lan, with_enough_peers_it_hails_rarely)
{
	start(0, true);
	cr_expect_eq(hails_within(2 * SECOND), HAIL_BURST);
	unsigned more = hails_within(600 * SECOND);
	cr_expect(more >= 8 && more <= 13, "%u", more);
}

Test(lan, who_asks_is_answered_soon)
{
	start(0, true);
	hails_within(2 * SECOND);
	hear(7, 1, false);
	cr_expect_gt(node_hail_due(node), now + SECOND, "who does not ask is not");
	hear(7, 2, true);
	cr_expect_leq(node_hail_due(node), now + HAIL_ANSWER_DELAY);
	cr_expect_gt(node_hail_due(node), now);
	cr_expect_eq(hails_within(SECOND), 1);
}

Test(lan, unless_enough_others_have)
{
	start(0, true);
	hails_within(2 * SECOND);
	hear(7, 1, true);
	for (uint8_t i = 0; i < HAIL_ANSWERS; i++) {
		cr_expect_leq(node_hail_due(node), now + HAIL_ANSWER_DELAY);
		hear((uint8_t)(8 + i), 1, false);
	}
	cr_expect_gt(node_hail_due(node), now + SECOND);
}

Test(lan, those_who_ask_all_the_time_are_answered_now_and_then)
{
	unsigned answers = 0;

	start(0, true);
	hails_within(2 * SECOND);
	for (uint64_t i = 0; i < 150; i++) {
		hear((uint8_t)(2 + i % 50), 1 + i, true);
		answers += hails_within(350 * MILLISECOND);
	}
	cr_expect(answers >= 40 && answers <= 57, "%u in 52 s", answers);
}
