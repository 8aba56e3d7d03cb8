// SPDX-License-Identifier: MIT
#include "core/names.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct names names;

static void finish(void)
{
	names_fini(&names);
}

TestSuite(names, .fini = finish);

static struct id make_id(unsigned n)
{
	struct id id = { { 1 } };
	memcpy(id.bytes + 1, &n, sizeof n);
	return id;
}

Test(names, the_first_who_is_seen_has_it)
{
	struct id a = make_id(1), b = make_id(2);

	cr_expect_null(names_holder(&names, "web1"));
	cr_expect(names_seen(&names, "web1", &a));
	cr_expect(names.changed);
	names.changed = false;
	cr_expect_not(names_seen(&names, "web1", &b));
	cr_expect(names_seen(&names, "web1", &a));
	cr_expect(id_equal(names_holder(&names, "web1"), &a));
	cr_expect_not(names.changed);
	// One node may have several.
	cr_expect(names_seen(&names, "web2", &a));
	cr_expect_null(names_holder(&names, "Web1"));
}

Test(names, what_is_no_name_is_nobodys)
{
	static const char *const bad[] = { "", ".", "..", "-a", "a b", "a/b", "a~b", "\xc3\xa4",
		"0123456789012345678901234567890123456789012345678901234567890123" };
	struct id a = make_id(1);

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_expect_not(names_seen(&names, bad[i], &a), "%s", bad[i]);
		cr_expect_null(names_holder(&names, bad[i]));
	}
	cr_expect_not(names.changed);
}

static void see(unsigned n)
{
	struct id id = make_id(n);
	char name[16];

	snprintf(name, sizeof name, "n%u", n);
	cr_assert(names_seen(&names, name, &id));
}

Test(names, the_one_seen_longest_ago_is_forgotten)
{
	for (unsigned i = 0; i < NAMES_MAX; i++)
		see(i);
	see(0);
	see(NAMES_MAX);
	cr_expect_eq(HASH_COUNT(names.table), NAMES_MAX);
	cr_expect_not_null(names_holder(&names, "n0"));
	cr_expect_null(names_holder(&names, "n1"));
	cr_expect_not_null(names_holder(&names, "n2"));
}

Test(names, text_has_all_of_it_in_order)
{
	struct buffer out = BUFFER_INIT, again = BUFFER_INIT;
	struct names other = { 0 };

	for (unsigned i = 0; i < NAMES_MAX; i++)
		see(i);
	see(7);
	cr_assert_eq(names_write(&names, &out), 0);
	cr_expect_leq(buffer_length(&out), NAMES_TEXT_MAX);
	cr_expect_eq(names_parse(&other, (char *)buffer_bytes(&out), buffer_length(&out)), 0);
	cr_expect_not(other.changed);
	cr_assert_eq(names_write(&other, &again), 0);
	cr_expect_eq(buffer_length(&out), buffer_length(&again));
	cr_expect_eq(memcmp(buffer_bytes(&out), buffer_bytes(&again), buffer_length(&out)), 0);
	buffer_fini(&out);
	buffer_fini(&again);
	names_fini(&other);
}

Test(names, lines_that_are_none_are_passed_over)
{
	char text[512];
	struct id a = make_id(1), b = make_id(2);
	int n = snprintf(text, sizeof text,
		"%s web1\n\nnonsense\n%s web1\n%s  web2\n%s ../x\n%s \n%s web3\n%s web4",
		id_format(&a).text, id_format(&b).text, id_format(&a).text, id_format(&a).text,
		id_format(&a).text, id_format(&b).text, id_format(&b).text);

	cr_expect_eq(names_parse(&names, text, (size_t)n), 7);
	cr_expect_eq(HASH_COUNT(names.table), 2);
	cr_expect(id_equal(names_holder(&names, "web1"), &a));
	cr_expect(id_equal(names_holder(&names, "web3"), &b));
	cr_expect_null(names_holder(&names, "web4"), "the end of the file is missing");
}
