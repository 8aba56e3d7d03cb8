// SPDX-License-Identifier: MIT
// What is kept for the file `messages`, and its text.
#include "fs/messages.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/node_inner.h"
#include "tests/unit/world.h"

static struct world w;
static struct history *history; // of node 1
static struct messages_window window;

static void begin(void)
{
	world_init(&w, 1);
	w.history = HISTORY_BYTES;
	for (int i = 0; i < 2; i++) {
		world_start(&w, i);
		w.nodes[i].reading = false;
	}
	world_seed(&w, 1, 0);
	world_run(&w, 2 * SECOND);
	cr_assert(world_linked(&w, 0, 1));
	history = node_history(w.nodes[1].node);
}

static void finish(void)
{
	messages_window_fini(&window);
	world_fini(&w);
}

TestSuite(messages, .init = begin, .fini = finish);

static void say(int i, const struct topic *topic, const void *data, size_t n)
{
	cr_assert_eq(node_publish_to(world_node(&w, i), topic, 0, data, n), 0);
}

static void say_text(int i, const char *text)
{
	say(i, NULL, text, strlen(text));
}

// The text from `offset` to its end, read in pieces of `size`.
static char *read_from(uint64_t offset, size_t size)
{
	struct buffer out = BUFFER_INIT;
	const char *bytes = NULL;
	ssize_t n;

	while ((n = messages_read(history, &window, offset, size, &bytes)) > 0) {
		cr_assert_leq((size_t)n, size);
		buffer_append(&out, bytes, (size_t)n);
		offset += (uint64_t)n;
	}
	cr_assert_eq(n, 0);
	buffer_append(&out, "", 1);
	char *text = strdup((char *)buffer_bytes(&out));
	buffer_fini(&out);
	return text;
}

// The lines, as objects; the caller's to decref.
static json_t *parse(const char *text)
{
	json_t *array = json_array();
	while (*text) {
		const char *end = strchr(text, '\n');
		json_error_t error;
		cr_assert(end, "a line without an end");
		json_t *line = json_loadb(text, (size_t)(end - text), JSON_ALLOW_NUL, &error);
		cr_assert(line, "%s", error.text);
		json_array_append_new(array, line);
		text = end + 1;
	}
	return array;
}

static json_t *lines(void)
{
	messages_measure(history);
	char *text = read_from(history->begin, 100000);
	json_t *array = parse(text);
	free(text);
	return array;
}

static const char *string(json_t *array, size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(array, i), key));
}

static json_int_t number(json_t *array, size_t i, const char *key)
{
	return json_integer_value(json_object_get(json_array_get(array, i), key));
}

Test(messages, have_all_that_is_to_be_known)
{
	cr_assert_eq(node_topic_join(world_node(&w, 1), "ops"), 0);
	cr_assert_eq(node_topic_join(world_node(&w, 0), "ops"), 0);
	cr_assert_eq(node_topic_join(world_node(&w, 0), "other"), 0);
	const struct topic *ops = node_next_topic(w.nodes[0].node, NULL);
	say_text(0, "hello\n");
	world_run(&w, 200 * MILLISECOND);
	say(0, ops, "to ops", 6);
	say(0, node_next_topic(w.nodes[0].node, ops), "to others", 9);
	world_run(&w, 200 * MILLISECOND);
	say_text(1, "mine");
	world_run(&w, 200 * MILLISECOND);
	json_t *l = lines();
	cr_assert_eq(json_array_size(l), 3, "but for a topic that is not joined");
	cr_expect_str_eq(string(l, 0, "source"), id_format(&w.nodes[0].id).text);
	cr_expect_str_eq(string(l, 0, "name"), "n0");
	cr_expect_str_eq(string(l, 0, "data"), "hello\n");
	cr_expect_null(json_object_get(json_array_get(l, 0), "topic"));
	cr_expect_null(json_object_get(json_array_get(l, 0), "base64"));
	cr_expect_eq(number(l, 0, "sequence"), 1);
	cr_expect_eq(number(l, 0, "length"), 6);
	cr_expect_eq(strlen(string(l, 0, "time")), 24);
	cr_expect_eq(string(l, 0, "time")[23], 'Z');
	cr_expect_str_eq(string(l, 1, "topic"), "ops");
	cr_expect_eq(number(l, 1, "sequence"), 2);
	cr_expect_lt(strcmp(string(l, 0, "time"), string(l, 1, "time")), 0);
	cr_expect_str_eq(string(l, 2, "source"), id_format(&w.nodes[1].id).text);
	cr_expect_str_eq(string(l, 2, "name"), "n1");
	cr_expect_str_eq(string(l, 2, "data"), "mine");
	json_decref(l);
}

Test(messages, are_text_or_base64)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *base64; // NULL: text
	} cases[] = { { "zw\xc3\xb6lf \xe2\x82\xac \xf0\x9f\x94\xa5\n", 17, NULL },
		{ "\"\\\t\x01\x7f", 5, NULL }, { "a\0b", 3, NULL }, { "\xff", 1, "/w==" },
		{ "\xff\xfe", 2, "//4=" }, { "abc\xe2\x82", 5, "YWJj4oI=" },
		{ "\xed\xa0\x80", 3, "7aCA" }, { "\xc0\x80", 2, "wIA=" }, { "plain", 5, NULL } };
	size_t count = sizeof cases / sizeof cases[0];

	for (size_t i = 0; i < count; i++)
		say(0, NULL, cases[i].bytes, cases[i].n);
	world_run(&w, SECOND);
	json_t *l = lines();
	cr_assert_eq(json_array_size(l), count);
	for (size_t i = 0; i < count; i++) {
		json_t *line = json_array_get(l, i), *data = json_object_get(line, "data");
		cr_expect_eq(number(l, i, "length"), (json_int_t)cases[i].n);
		if (cases[i].base64) {
			cr_expect_null(data);
			cr_expect_str_eq(string(l, i, "base64"), cases[i].base64);
			continue;
		}
		cr_assert(data, "case %zu", i);
		cr_expect_null(json_object_get(line, "base64"));
		cr_expect_eq(json_string_length(data), cases[i].n);
		cr_expect_eq(memcmp(json_string_value(data), cases[i].bytes, cases[i].n), 0);
	}
	json_decref(l);
}

// However it is read, it is the same text.
Test(messages, are_at_offsets_that_do_not_change)
{
	static const size_t sizes[] = { 1, 7, 100, 4096, 100000 };
	char text[64];

	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof text, "message %d\n", i);
		say_text(i % 2, text);
		if (i % 10 == 0)
			world_run(&w, 10 * MILLISECOND);
	}
	world_run(&w, SECOND);
	cr_expect_eq(history->end, 0, "nothing is measured before somebody asks");
	messages_measure(history);
	cr_expect_eq(history->measured, history->head);
	char *all = read_from(0, 1 << 20);
	cr_assert_eq(strlen(all), history->end);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		char *again = read_from(0, sizes[i]);
		cr_expect_str_eq(again, all, "by %zu", sizes[i]);
		free(again);
	}
	for (uint64_t at = 0; at < history->end; at += 97) {
		uint64_t from = at * 31 % history->end;
		char *rest = read_from(from, 1000);
		cr_assert_str_eq(rest, all + from);
		free(rest);
	}
	uint64_t end = history->end;
	say_text(0, "one more");
	world_run(&w, SECOND);
	messages_measure(history);
	cr_expect_gt(history->end, end);
	char *more = read_from(0, 1000);
	cr_expect_eq(strncmp(more, all, strlen(all)), 0);
	char *last = read_from(end, 1000);
	json_t *l = parse(last);
	cr_expect_str_eq(string(l, 0, "data"), "one more");
	json_decref(l);
	free(last);
	free(more);
	free(all);
}

Test(messages, outlive_the_log)
{
	say_text(0, "early");
	world_run(&w, SECOND);
	say_text(1, "mine");
	world_run(&w, 10 * SECOND);
	// The source goes with what it has said, and so does the member.
	world_stop(&w, 0);
	world_run(&w, 3 * RETAIN_TIME);
	cr_assert_eq(node_log(w.nodes[1].node)->bytes, 0);
	cr_assert_null(members_find(&w.nodes[1].node->members, &w.nodes[0].id));
	json_t *l = lines();
	cr_assert_eq(json_array_size(l), 2);
	cr_expect_str_eq(string(l, 0, "source"), id_format(&w.nodes[0].id).text);
	cr_expect_str_eq(string(l, 0, "name"), "n0");
	json_decref(l);
}

// All bounds hold, and what is kept is the end of what was said.
Test(messages, are_trimmed_by_whole_batches)
{
	static char large[256 * KIB];
	uint64_t kept = 0;

	memset(large, 'x', sizeof large);
	for (int i = 0; i < 40; i++) {
		snprintf(large, 16, "%015d", i);
		say(0, NULL, large, sizeof large - (size_t)i);
		world_run(&w, 100 * MILLISECOND);
		if (i == 20)
			messages_measure(history);
		cr_assert_leq(history->bytes, HISTORY_BYTES);
		kept = history->head - history->tail;
	}
	cr_expect_gt(kept, 10);
	cr_expect_lt(kept, 17);
	messages_measure(history);
	cr_expect_gt(history->begin, 0, "what was measured and has gone has its place for good");
	json_t *l = lines();
	cr_assert_eq(json_array_size(l), kept);
	for (size_t i = 0; i < kept; i++)
		cr_expect_eq(number(l, i, "sequence"), (json_int_t)(40 - kept + 1 + i));
	cr_expect_eq(number(l, 0, "length"), (json_int_t)(sizeof large - (40 - kept)));
	json_decref(l);
}

Test(messages, that_were_never_measured_have_no_place)
{
	static char large[MESSAGE_MAX];

	memset(large, 'y', sizeof large);
	for (int i = 0; i < 12; i++) {
		say(0, NULL, large, sizeof large);
		world_run(&w, SECOND);
	}
	messages_measure(history);
	cr_expect_eq(history->begin, 0);
	cr_expect_eq(history->head - history->tail, 4);
	json_t *l = lines();
	cr_assert_eq(json_array_size(l), 4);
	cr_expect_eq(number(l, 0, "sequence"), 9);
	json_decref(l);
}

Test(messages, of_the_denied_do_not_appear)
{
	say_text(0, "before");
	world_run(&w, SECOND);
	cr_assert_eq(access_deny(&w.nodes[1].access, &w.nodes[0].id), 0);
	broadcast_enforce_access(w.nodes[1].node);
	say_text(0, "after");
	world_run(&w, SECOND);
	json_t *l = lines();
	cr_assert_eq(json_array_size(l), 1);
	cr_expect_str_eq(string(l, 0, "data"), "before");
	json_decref(l);
}

Test(messages, are_not_kept_unless_they_are_to_be)
{
	w.history = 0;
	world_start(&w, 2);
	w.nodes[2].reading = false;
	world_seed(&w, 2, 0);
	world_run(&w, 2 * SECOND);
	say_text(0, "hello");
	say_text(2, "mine");
	world_run(&w, SECOND);
	cr_expect_eq(node_history(w.nodes[2].node)->head, 0);
	cr_expect_eq(history->head, 2);
}

// It is done in one turn of the loop, which nothing may hold up for long.
Test(messages, are_measured_in_little_time)
{
	static const struct {
		const char *what;
		size_t size;
		char fill;
	} cases[] = { { "small", 1, 'x' }, { "text", 100000, 'x' }, { "controls", 100000, 1 },
		{ "binary", 100000, '\xff' } };
	static char data[100000];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct timespec began, ended;
		memset(data, cases[i].fill, sizeof data);
		for (uint64_t head = history->head;
			history->bytes < HISTORY_BYTES * 9 / 10 || history->head - head < 45;) {
			for (int k = 0; k < 100 && node_has_room(w.nodes[0].node, MESSAGE_MAX); k++)
				say(0, NULL, data, cases[i].size);
			world_run(&w, 20 * MILLISECOND);
		}
		world_run(&w, SECOND);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);
		messages_measure(history);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
		double ms = (double)(ended.tv_sec - began.tv_sec) * 1e3 +
			    (double)(ended.tv_nsec - began.tv_nsec) / 1e6;
		cr_log_info("%s: %.1f ms, %" PRIu64 " entries", cases[i].what, ms,
			history->head - history->tail);
		cr_expect_lt(ms, 3000, "%s: %.1f ms of CPU", cases[i].what, ms);
	}
}
