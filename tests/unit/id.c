// SPDX-License-Identifier: MIT
#include "core/id.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "core/random.h"

static struct id id_of(uint64_t seed)
{
	struct random r = { seed };
	struct id id;
	for (int i = 0; i < ID_BYTES; i++)
		id.bytes[i] = (uint8_t)random_next(&r);
	return id;
}

Test(id, formats_as_base32_without_padding)
{
	struct id id = { { 0 } };
	cr_expect_str_eq(id_format(&id).text, "aaaaaaaaaaaaaaaaaaaaaaaaaa");
	memset(id.bytes, 0xff, ID_BYTES);
	cr_expect_str_eq(id_format(&id).text, "7777777777777777777777777"
					      "4");
	// The bytes of "foobar" as RFC 4648 has them, then zeros.
	memset(id.bytes, 0, ID_BYTES);
	memcpy(id.bytes, "foobar", 6);
	cr_expect_str_eq(id_format(&id).text, "mzxw6ytboiaaaaaaaaaaaaaaaa");
}

Test(id, parses_what_it_formats)
{
	for (uint64_t seed = 0; seed < 1000; seed++) {
		struct id id = id_of(seed), back;
		struct id_text text = id_format(&id);
		cr_assert_eq(strlen(text.text), ID_TEXT);
		cr_assert_eq(id_parse(&back, text.text), 0);
		cr_assert(id_equal(&id, &back));
	}
}

Test(id, refuses_other_lengths)
{
	struct id id = id_of(1), before = id;
	cr_expect_eq(id_parse(&id, ""), -EINVAL);
	cr_expect_eq(id_parse(&id, "aaaaaaaaaaaaaaaaaaaaaaaaa"), -EINVAL);
	cr_expect_eq(id_parse(&id, "aaaaaaaaaaaaaaaaaaaaaaaaaaa"), -EINVAL);
	cr_expect(id_equal(&id, &before), "a failed parse leaves the id as it was");
}

Test(id, refuses_other_letters)
{
	static const char *const bad[] = {
		"Aaaaaaaaaaaaaaaaaaaaaaaaaa", // upper case
		"0aaaaaaaaaaaaaaaaaaaaaaaaa",
		"1aaaaaaaaaaaaaaaaaaaaaaaaa",
		"8aaaaaaaaaaaaaaaaaaaaaaaaa",
		"aaaaaaaaaaaa=aaaaaaaaaaaaa",
		"aaaaaaaaaaaa aaaaaaaaaaaaa",
		"aaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa4",
	};
	struct id id;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_expect_eq(id_parse(&id, bad[i]), -EINVAL, "%s", bad[i]);
}

Test(id, refuses_what_is_not_canonical)
{
	// 26 characters are 130 bits: the last two must be zero.
	char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
	struct id id;
	for (const char *last = "abcdefghijklmnopqrstuvwxyz234567"; *last; last++) {
		text[ID_TEXT - 1] = *last;
		int expected = strchr("aeimquy4", *last) ? 0 : -EINVAL;
		cr_expect_eq(id_parse(&id, text), expected, "%s", text);
	}
}

Test(id, order_is_that_of_the_bytes)
{
	struct id low = { { 0 } }, high = { { 0 } };
	cr_expect(id_is_zero(&low));
	high.bytes[0] = 0x80;
	low.bytes[ID_BYTES - 1] = 0xff;
	cr_expect_lt(id_compare(&low, &high), 0);
	cr_expect_gt(id_compare(&high, &low), 0);
	cr_expect_not(id_equal(&low, &high));
	cr_expect_not(id_is_zero(&low));
}
