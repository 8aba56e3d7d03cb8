// SPDX-License-Identifier: MIT
#include "core/access.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct access a;
static unsigned line;

static struct id number(unsigned n)
{
	struct id id = { { 1 } };
	memcpy(id.bytes + 4, &n, sizeof n);
	return id;
}

static const char *text_of(unsigned n)
{
	static char text[8][ID_TEXT + 1];
	static unsigned turn;
	struct id id = number(n);
	char *at = text[turn++ % 8];
	strcpy(at, id_format(&id).text);
	return at;
}

static bool permits(unsigned n)
{
	struct id id = number(n);
	return access_permits(&a, &id);
}

static int allow(unsigned n)
{
	struct id id = number(n);
	return access_allow(&a, &id);
}

static int deny(unsigned n)
{
	struct id id = number(n);
	return access_deny(&a, &id);
}

static int authorized(const char *text)
{
	return access_parse_authorized(&a, text, strlen(text), &line);
}

static int denied(const char *text)
{
	return access_parse_denied(&a, text, strlen(text), &line);
}

static void empty(void)
{
	access_fini(&a);
}

TestSuite(access, .fini = empty);

Test(access, everybody_without_a_list)
{
	cr_assert(permits(1));
	cr_assert_eq(allow(1), 0);
	cr_assert(permits(2), "allow alone makes no list");
}

Test(access, deny_and_allow)
{
	struct id one = number(1);

	cr_assert_eq(deny(1), 0);
	cr_assert_eq(deny(1), 0);
	cr_assert(access_denied(&a, &one));
	cr_assert_not(permits(1));
	cr_assert(permits(2));
	cr_assert_eq(allow(1), 0);
	cr_assert(permits(1));
	cr_assert_not(access_denied(&a, &one));
}

Test(access, an_empty_list_lets_nobody_in)
{
	cr_assert_eq(authorized(""), 0);
	cr_assert(a.restricted);
	cr_assert_not(permits(1));
	cr_assert_eq(allow(1), 0);
	cr_assert(permits(1));
	cr_assert_not(permits(2));
	cr_assert_eq(deny(1), 0);
	cr_assert_not(permits(1));
	cr_assert_eq(allow(1), 0);
	cr_assert(permits(1));
}

Test(access, denied_wins_over_authorized)
{
	char text[128];

	snprintf(text, sizeof text, "%s\n%s\n", text_of(1), text_of(2));
	cr_assert_eq(authorized(text), 0);
	snprintf(text, sizeof text, "%s\n", text_of(1));
	cr_assert_eq(denied(text), 0);
	cr_assert_not(permits(1));
	cr_assert(permits(2));
}

Test(access, comments_blanks_and_repetitions)
{
	char text[512];

	snprintf(text, sizeof text, "# who\n\n \t%s # web1\r\n%s\n%s#x\n#%s\n%s", text_of(1),
		text_of(2), text_of(2), text_of(3), text_of(4));
	cr_assert_eq(authorized(text), 0);
	cr_assert(permits(1));
	cr_assert(permits(2));
	cr_assert_not(permits(3));
	cr_assert(permits(4), "the last line has no newline");
}

Test(access, bad_lines_are_named)
{
	static const char *const bad[] = { "x", "aaaaaaaaaaaaaaaaaaaaaaaaa", // 25
		"aaaaaaaaaaaaaaaaaaaaaaaaaaa",				     // 27
		"AAAAAAAAAAAAAAAAAAAAAAAAAA", "aaaaaaaaaaaaaaaaaaaaaaaaab",  // bits beyond the id
		"aaaaaaaaaaaaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaaaaaaaaaaaaa x" };
	char text[128];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(text, sizeof text, "#\n%s\n%s\n#\n", text_of(1), bad[i]);
		cr_assert_eq(authorized(text), -EINVAL, "%s", bad[i]);
		cr_assert_eq(line, 3, "%s: line %u", bad[i], line);
		cr_assert_eq(denied(text), -EINVAL, "%s", bad[i]);
		cr_assert_eq(line, 3);
		access_fini(&a);
	}
	cr_assert_eq(access_parse_denied(&a, "a\0b\n", 4, &line), -EINVAL);
	cr_assert_eq(line, 1);
}

Test(access, bound)
{
	for (unsigned i = 0; i < ACCESS_MAX; i++)
		cr_assert_eq(deny(i), 0);
	cr_assert_eq(deny(ACCESS_MAX), -ENOSPC);
	cr_assert_eq(deny(7), 0, "is there already");
	cr_assert(permits(ACCESS_MAX));
	cr_assert_eq(allow(7), 0);
	cr_assert_eq(deny(ACCESS_MAX), 0);
	char text[64];
	snprintf(text, sizeof text, "\n%s\n", text_of(ACCESS_MAX + 1));
	cr_assert_eq(denied(text), -ENOSPC);
	cr_assert_eq(line, 2);
}

static void expect_edit(const char *before, unsigned n, bool listed, const char *after)
{
	struct buffer out = BUFFER_INIT;
	struct id id = number(n);

	cr_assert_eq(access_edit(&out, before, strlen(before), &id, listed), 0);
	cr_assert_eq(buffer_length(&out), strlen(after), "%.*s", (int)buffer_length(&out),
		(const char *)buffer_bytes(&out));
	cr_assert(
		buffer_length(&out) == 0 || memcmp(buffer_bytes(&out), after, strlen(after)) == 0);
	buffer_fini(&out);
}

Test(access, edits_keep_the_rest)
{
	char before[256], after[512];

	snprintf(after, sizeof after, "%s\n", text_of(1));
	expect_edit("", 1, true, after);
	expect_edit(after, 1, true, after);
	expect_edit(after, 1, false, "");
	expect_edit("", 1, false, "");
	snprintf(before, sizeof before, "# list\n%s # one\nnonsense\n%s", text_of(1), text_of(2));
	snprintf(after, sizeof after, "# list\nnonsense\n%s\n", text_of(2));
	expect_edit(before, 1, false, after);
	snprintf(after, sizeof after, "%s\n%s\n", before, text_of(3));
	expect_edit(before, 3, true, after);
	snprintf(after, sizeof after, "%s\n", before);
	expect_edit(before, 1, true, after);
}
