// SPDX-License-Identifier: MIT
#include "core/event.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/limits.h"

#define WALL 1795366008123456u // 2026-11-22T16:46:48.123456Z

static struct event_log events;
static char mirrored[EVENT_LINE];
static int mirror_calls;

static void finish(void)
{
	event_log_fini(&events);
}

TestSuite(event, .fini = finish);

static void mirror(void *context, const char *line)
{
	cr_assert_eq(context, &events);
	snprintf(mirrored, sizeof mirrored, "%s", line);
	mirror_calls++;
}

// Everything from `offset` on, as a string.
static const char *text_from(uint64_t offset)
{
	static char text[4096];
	const char *bytes = NULL;
	size_t n = event_log_read(&events, offset, &bytes);
	cr_assert_lt(n, sizeof text);
	if (n)
		memcpy(text, bytes, n);
	text[n] = '\0';
	return text;
}

Test(event, line_has_sequence_time_name_and_values)
{
	event_emit(&events, WALL, "add", "id=%s peers=%d", "k3f7", 3);
	event_emit(&events, WALL + 1000, "disconnect", "id=%s", "k3f7");
	cr_expect_str_eq(text_from(0), "1 2026-11-22T16:46:48.123Z add id=k3f7 peers=3\n"
				       "2 2026-11-22T16:46:48.124Z disconnect id=k3f7\n");
	cr_expect_eq(events.sequence, 2);
	cr_expect_eq(events.changed, WALL + 1000);
	cr_expect(events.fresh);
	cr_expect_eq(events.tail, 0);
	cr_expect_eq(events.head, strlen(text_from(0)));
}

Test(event, without_values_there_is_no_space_at_the_end)
{
	const char *none = ""; // not a literal, which the compiler would warn of
	event_emit(&events, 0, "stop", none, 0);
	cr_expect_str_eq(text_from(0), "1 1970-01-01T00:00:00.000Z stop\n");
}

Test(event, reads_from_any_offset)
{
	const char *bytes = NULL;
	cr_expect_eq(event_log_read(&events, 0, &bytes), 0);
	event_emit(&events, WALL, "listen", "port=%d", 1);
	uint64_t second = events.head;
	event_emit(&events, WALL, "listen", "port=%d", 2);
	cr_expect_str_eq(text_from(second), "2 2026-11-22T16:46:48.123Z listen port=2\n");
	cr_expect_str_eq(text_from(second - 2), "1\n2 2026-11-22T16:46:48.123Z listen port=2\n");
	cr_expect_eq(event_log_read(&events, events.head, &bytes), 0);
	cr_expect_eq(event_log_read(&events, events.head + 100, &bytes), 0);
}

Test(event, mirror_gets_each_line_without_its_newline)
{
	events.mirror = mirror;
	events.mirror_context = &events;
	event_emit(&events, WALL, "slow", "reader=%d", 7);
	cr_expect_eq(mirror_calls, 1);
	cr_expect_str_eq(mirrored, "1 2026-11-22T16:46:48.123Z slow reader=7");
	cr_expect_str_eq(text_from(0), "1 2026-11-22T16:46:48.123Z slow reader=7\n");
}

Test(event, escapes_what_would_break_a_line)
{
	cr_expect_str_eq(event_escape("web1.example-a_b~/:[]").text, "web1.example-a_b~/:[]");
	cr_expect_str_eq(event_escape("a b").text, "a%20b");
	cr_expect_str_eq(event_escape("100%=\n\t").text, "100%25%3D%0A%09");
	cr_expect_str_eq(event_escape("\x7f\xc3\xa4\x01").text, "%7F%C3%A4%01");
	cr_expect_str_eq(event_escape("").text, "");
}

Test(event, escaped_value_is_cut_at_a_whole_escape)
{
	char value[1000];
	memset(value, '\n', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	struct event_text out = event_escape(value);
	size_t n = strlen(out.text);
	cr_expect_lt(n, sizeof out.text);
	cr_expect_gt(n, sizeof out.text - 8);
	cr_expect_eq(n % 3, 0);
	cr_expect_str_eq(out.text + n - 3, "%0A");
}

Test(event, line_that_is_too_long_is_cut_and_ends)
{
	static char value[2 * EVENT_LINE];
	memset(value, 'x', sizeof value - 1);
	events.mirror = mirror;
	events.mirror_context = &events;
	event_emit(&events, WALL, "refused", "reason=%s", value);
	uint64_t end = events.head;
	cr_expect_leq(end, EVENT_LINE);
	cr_expect_gt(end, EVENT_LINE - 8);
	const char *text = text_from(0);
	cr_expect_eq(strlen(text), end);
	cr_expect_eq(text[end - 1], '\n');
	cr_expect_eq(text[end - 2], 'x');
	cr_expect_eq(strlen(mirrored), end - 1);
	event_emit(&events, WALL, "stop", "peers=%d", 0);
	cr_expect_str_eq(text_from(end), "2 2026-11-22T16:46:48.123Z stop peers=0\n");
}

Test(event, line_that_just_fits_is_whole)
{
	// Of every length around the limit: the newline is there, and never more than a line.
	for (int n = EVENT_LINE - 60; n < EVENT_LINE + 10; n++) {
		uint64_t start = events.head;
		event_emit(&events, WALL, "x", "%0*d", n, 7);
		const char *line = text_from(start);
		size_t length = strlen(line);
		cr_assert_leq(length, EVENT_LINE);
		cr_assert_eq(line[length - 1], '\n');
		cr_assert_eq(strchr(line, '\n'), line + length - 1);
	}
}

Test(event, trims_whole_lines_and_keeps_offsets)
{
	struct {
		uint64_t offset;
		char text[128];
	} probe = { 0 };
	uint64_t emitted = 0;

	while (events.tail == 0 || events.tail <= probe.offset) {
		if (emitted++ == 5000) {
			probe.offset = events.head;
			event_emit(&events, WALL, "probe", "n=%d", 1);
			snprintf(probe.text, sizeof probe.text, "%s", text_from(probe.offset));
		}
		event_emit(
			&events, WALL, "fill", "n=%llu pad=%050d", (unsigned long long)emitted, 0);
		cr_assert_leq(events.head - events.tail, EVENTS_BYTES);
		cr_assert_eq(events.head - events.tail, buffer_length(&events.text));
		if (probe.offset && events.tail <= probe.offset) {
			const char *bytes = NULL;
			size_t n = event_log_read(&events, probe.offset, &bytes);
			cr_assert_geq(n, strlen(probe.text));
			cr_assert_arr_eq(bytes, probe.text, strlen(probe.text));
		}
	}
	const char *bytes = NULL;
	size_t n = event_log_read(&events, events.tail, &bytes);
	cr_expect_gt(n, EVENTS_BYTES - 2 * EVENT_LINE, "no more than needed is trimmed");
	// The first line kept is whole, and its number follows from what went before it.
	unsigned long long first = 0, lines = 0;
	cr_assert_eq(sscanf(bytes, "%llu 2026-", &first), 1);
	for (const char *at = bytes; at < bytes + n; at++)
		lines += *at == '\n';
	cr_expect_eq(first + lines, events.sequence + 1);
}
