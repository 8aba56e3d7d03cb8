// SPDX-License-Identifier: MIT
// The file `members` of a large network, while its nodes come and go.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/node_inner.h"
#include "fs/text.h"

#define MANY 10000

static struct keyring ring;
static struct access lists;
static struct identity *self;
static struct node *node;
static uint64_t now = 1000 * SECOND;
static bool present[2 * MANY];
static size_t count;
static struct random dice = { 7 };

static int on_dial(void *context, struct link *link, const struct address *to)
{
	return -EHOSTUNREACH;
}

static void on_hangup(void *context, struct link *link)
{
}

static int on_resolve(void *context, uint64_t tag, const char *host, uint16_t port)
{
	return -ENOENT;
}

static void start(void)
{
	static const struct node_driver driver = { NULL, on_dial, on_hangup, on_resolve };
	uint8_t secret[32];

	cr_assert_eq(keyring_add(&ring, memset(secret, 3, sizeof secret)), 0);
	self = identity_new(memset(secret, 1, sizeof secret));
	const struct node_config config = { .identity = self,
		.keyring = &ring,
		.access = &lists,
		.incarnation = 1,
		.seed = 42,
		.name = "here",
		.address = { 4, { 10, 0, 0, 1 }, 8495 },
		.max_peers = 5,
		.ping_timeout = PING_TIMEOUT_DEFAULT };
	node = node_new(&config, &driver);
	cr_assert(node);
	node_advance(node, now, 1700000000 * SECOND);
}

static void finish(void)
{
	node_free(node);
	identity_free(self);
}

TestSuite(roster, .init = start, .fini = finish);

static struct id make_id(unsigned n)
{
	struct id id = { { 0xee } };
	memcpy(id.bytes + 1, &n, sizeof n);
	return id;
}

static void come(unsigned n)
{
	struct id id = make_id(n);
	struct announce_member info = { .address = { 4, { 10, 1, 0, 0 }, (uint16_t)(1 + n) } };

	snprintf(info.name, sizeof info.name, "n%u", n);
	members_heard(node, &id, &info);
	count += !present[n];
	present[n] = true;
}

static void go(unsigned n)
{
	struct id id = make_id(n);

	members_left(node, &id);
	count -= present[n];
	present[n] = false;
}

// Reads it as a user would, and holds it against what is known.
static void check(const char *when)
{
	static bool seen[2 * MANY];
	struct buffer out = BUFFER_INIT;
	struct text_context context = { .node = node };
	char *line, *rest;
	size_t lines = 0;

	memset(seen, 0, sizeof seen);
	cr_assert_eq(text_members(&out, &context), 0);
	buffer_append(&out, "", 1);
	rest = (char *)buffer_bytes(&out);
	while ((line = strsep(&rest, "\n")) && *line) {
		char id[32], name[64], address[64], since[32], state[16], more;
		cr_assert_eq(sscanf(line, "%31s %63s %63s %31s %15s%c", id, name, address, since,
				     state, &more),
			5, "%s", line);
		cr_assert_eq(strlen(since), 24, "%s", line);
		if (lines++ == 0) {
			cr_assert_str_eq(state, "self");
			cr_assert_str_eq(id, id_format(&node->id).text);
			cr_assert_str_eq(name, "here");
			continue;
		}
		unsigned n = (unsigned)atoi(name + 1);
		struct id wanted = make_id(n);
		cr_assert_str_eq(state, "member");
		cr_assert_str_eq(id, id_format(&wanted).text);
		cr_assert(present[n], "%s: %s has left", when, name);
		cr_assert_not(seen[n], "%s: %s twice", when, name);
		seen[n] = true;
	}
	cr_assert_eq(lines, count + 1, "%s: %zu lines", when, lines);
	cr_assert_eq(node_member_count(node), lines);
	buffer_fini(&out);
}

Test(roster, alone)
{
	check("alone");
}

Test(roster, ten_thousand_who_come_and_go)
{
	for (unsigned i = 0; i < MANY; i++)
		come(i);
	check("all");
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 500; i++) {
			unsigned n = (unsigned)random_below(&dice, 2 * MANY);
			if (random_below(&dice, 2))
				come(n);
			else
				go(n);
		}
		check("churn");
	}
	for (unsigned i = 0; i < 2 * MANY; i++)
		go(i);
	check("nobody");
}

// It is rendered in one turn of the loop, which nothing may hold up.
Test(roster, of_ten_thousand_takes_little_time)
{
	struct buffer out = BUFFER_INIT;
	struct text_context context = { .node = node };
	struct timespec began, ended;

	for (unsigned i = 0; i < MANY; i++)
		come(i);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);
	cr_assert_eq(text_members(&out, &context), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
	double ms = (double)(ended.tv_sec - began.tv_sec) * 1e3 +
		    (double)(ended.tv_nsec - began.tv_nsec) / 1e6;
	cr_log_info("%.1f ms, %zu bytes", ms, buffer_length(&out));
	cr_expect_lt(ms, 100, "%.1f ms of CPU", ms);
	buffer_fini(&out);
}

// The bounds of a line.
Test(roster, longest_line)
{
	struct buffer out = BUFFER_INIT;
	struct text_context context = { .node = node };
	struct announce_member info = { .address = { 6, { [0 ... 15] = 0xfd }, 65535 } };
	struct id id = make_id(1);
	char name[NAME_MAX_LENGTH + 1];

	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	memcpy(info.name, name, sizeof name);
	members_heard(node, &id, &info);
	info = (struct announce_member){ 0 };
	id = make_id(2);
	members_heard(node, &id, &info);
	cr_assert_eq(text_members(&out, &context), 0);
	buffer_append(&out, "", 1);
	char *line = strchr((char *)buffer_bytes(&out), '\n') + 1;
	char *last = strchr(line, '\n') + 1;
	cr_expect_not_null(strstr(line, name));
	cr_expect_not_null(strstr(line, "[fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:65535 "));
	cr_expect_eq(strncmp(last - 8, " member\n", 8), 0);
	cr_expect_not_null(strstr(last, " - - "));
	cr_expect_null(strstr(line, "topics="));
	buffer_fini(&out);
	info = (struct announce_member){ .address = { 6, { [0 ... 15] = 0xfd }, 65535 } };
	id = make_id(1);
	memcpy(info.name, name, sizeof name);
	memset(info.topics, 'x', TOPICS_TEXT);
	members_heard(node, &id, &info);
	cr_assert_eq(text_members(&out, &context), 0);
	buffer_append(&out, "", 1);
	line = strchr((char *)buffer_bytes(&out), '\n') + 1;
	cr_expect_not_null(strstr(line, " member topics=xxx"));
	last = strchr(line, '\n') + 1;
	cr_expect_eq(last[-2], 'x');
	cr_expect_eq(last - strstr(line, "topics=") - 1, 7 + TOPICS_TEXT, "to its last letter");
	buffer_fini(&out);
}
