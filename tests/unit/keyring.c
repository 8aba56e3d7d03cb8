// SPDX-License-Identifier: MIT
#include "core/keyring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/identity.h"

#define A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

static struct keyring ring;
static unsigned line;

static void finish(void)
{
	keyring_fini(&ring);
}

TestSuite(keyring, .fini = finish);

static void add(struct keyring *to, uint8_t fill)
{
	uint8_t secret[NETWORK_KEY_BYTES];
	memset(secret, fill, sizeof secret);
	cr_assert_eq(keyring_add(to, secret), 0);
}

static struct network_name name_of(uint8_t fill)
{
	struct keyring one = { 0 };
	add(&one, fill);
	return one.keys[0].name;
}

static int parse(const char *text)
{
	line = 99;
	keyring_fini(&ring);
	// In memory of its size, so that a read beyond the end is seen.
	size_t n = strlen(text);
	char *exact = malloc(n ? n : 1);
	memcpy(exact, text, n);
	int r = keyring_parse(&ring, exact, n, &line);
	free(exact);
	return r;
}

static bool is_clean(void)
{
	static const struct keyring empty;
	return memcmp(&ring, &empty, sizeof ring) == 0;
}

Test(keyring, names_a_key_by_its_hash)
{
	uint8_t text[27 + NETWORK_KEY_BYTES] = "smokefs/1 network key name";
	uint8_t hash[DIGEST_BYTES];

	memset(text + 27, 7, NETWORK_KEY_BYTES);
	cr_assert_eq(digest(text, sizeof text, hash), 0);
	struct network_name name = name_of(7);
	cr_expect_arr_eq(name.bytes, hash, NETWORK_NAME_BYTES);
}

Test(keyring, adds_and_finds)
{
	struct network_name first = name_of(1), second = name_of(2), third = name_of(3);
	uint8_t secret[NETWORK_KEY_BYTES];

	cr_expect_null(keyring_find(&ring, &first));
	add(&ring, 1);
	add(&ring, 2);
	cr_expect_eq(ring.count, 2);
	cr_expect_eq(keyring_find(&ring, &first), &ring.keys[0]);
	cr_expect_eq(keyring_find(&ring, &second), &ring.keys[1]);
	cr_expect_eq(ring.keys[1].secret[31], 2);
	cr_expect_null(keyring_find(&ring, &third));
	cr_expect(keyring_knows(&ring, &first));
	cr_expect_not(keyring_knows(&ring, &third));
	memset(secret, 2, sizeof secret);
	cr_expect_eq(keyring_add(&ring, secret), -EEXIST);
	for (uint8_t i = 3; ring.count < KEYRING_MAX; i++)
		add(&ring, i);
	memset(secret, 99, sizeof secret);
	cr_expect_eq(keyring_add(&ring, secret), -ENOSPC);
	cr_expect_eq(ring.count, KEYRING_MAX);
}

Test(keyring, reads_a_key_file)
{
	cr_assert_eq(parse("# the network's key\n" A "\n\n" B "\n"), 0);
	cr_assert_eq(ring.count, 2);
	for (int i = 0; i < NETWORK_KEY_BYTES; i++)
		cr_expect_eq(ring.keys[0].secret[i], i);
	cr_expect_eq(ring.keys[1].secret[0], 0xff);
	cr_expect_eq(ring.keys[1].secret[31], 0);
}

Test(keyring, takes_the_text_of_any_editor)
{
	static const char *const texts[] = {
		A,
		A "\r\n",
		"\r\n\t " A "\t \r\n",
		"  # indented\n" A,
		"\n\n\n" A "\n\n\n",
		"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F\n",
	};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		cr_assert_eq(parse(texts[i]), 0, "text %zu, line %u", i, line);
		cr_assert_eq(ring.count, 1);
		cr_expect_eq(ring.keys[0].secret[31], 31);
	}
}

Test(keyring, says_which_line_is_wrong)
{
	static const struct {
		const char *text;
		unsigned line;
	} cases[] = {
		{ "", 0 },
		{ "\n\n", 0 },
		{ "# only a comment\n", 0 },
		{ "word", 1 },
		{ A "0", 1 },
		{ A "00", 1 },
		{ A A, 1 },
		{ A " " A, 1 },
		{ A " # mine", 1 },
		{ "0x" A, 1 },
		{ A "\n" B "\nx", 3 },
		{ "#\n\n00010203040506070809 a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", 3 },
		{ "g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 1 },
		{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g", 1 },
		{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1", 1 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		cr_expect_eq(parse(cases[i].text), -EINVAL, "case %zu", i);
		cr_expect_eq(line, cases[i].line, "case %zu: line %u", i, line);
		cr_expect(is_clean(), "case %zu", i);
	}
}

Test(keyring, refuses_what_is_not_text)
{
	static const char in_key[] = A "\0", in_comment[] = A "\n# \0\n";

	cr_expect_eq(keyring_parse(&ring, in_key, sizeof in_key, &line), -EINVAL);
	cr_expect_eq(line, 1);
	cr_expect(is_clean());
	cr_expect_eq(keyring_parse(&ring, in_comment, sizeof in_comment - 1, &line), -EINVAL);
	cr_expect_eq(line, 2);
	cr_expect(is_clean());
}

Test(keyring, refuses_the_same_key_twice)
{
	cr_expect_eq(parse(A "\n" B "\n#\n" A "\n"), -EEXIST);
	cr_expect_eq(line, 4);
	cr_expect(is_clean());
}

Test(keyring, has_a_bound)
{
	static char text[KEYRING_TEXT_MAX + 2];
	size_t at = 0;

	for (unsigned i = 0; i < KEYRING_MAX + 1; i++) {
		cr_assert_eq(keyring_parse(&ring, text, at, &line), i ? 0 : -EINVAL);
		cr_assert_eq(ring.count, i);
		keyring_fini(&ring);
		at += (size_t)sprintf(text + at, "%064x\n", i);
	}
	cr_expect_eq(keyring_parse(&ring, text, at, &line), -ENOSPC);
	cr_expect_eq(line, KEYRING_MAX + 1);
	cr_expect(is_clean());

	memset(text, '\n', sizeof text);
	memcpy(text, A, sizeof A - 1);
	cr_expect_eq(keyring_parse(&ring, text, KEYRING_TEXT_MAX, &line), 0);
	keyring_fini(&ring);
	cr_expect_eq(keyring_parse(&ring, text, KEYRING_TEXT_MAX + 1, &line), -EINVAL);
	cr_expect_eq(line, 0);
}

Test(keyring, remembers_the_names_of_the_replaced)
{
	struct network_name first = name_of(1), second = name_of(2);
	struct keyring fresh = { 0 };
	static const struct keyring empty;

	add(&ring, 1);
	add(&fresh, 2);
	keyring_replace(&ring, &fresh);
	cr_expect_arr_eq((uint8_t *)&fresh, (const uint8_t *)&empty, sizeof fresh, "cleansed");
	cr_assert_eq(ring.count, 1);
	cr_expect_eq(ring.keys[0].secret[0], 2);
	cr_expect(keyring_knows(&ring, &first));
	cr_expect_null(keyring_find(&ring, &first), "it opens nothing");
	cr_expect(keyring_find(&ring, &second) != NULL);

	// One that stays is not retired.
	add(&fresh, 3);
	add(&fresh, 2);
	keyring_replace(&ring, &fresh);
	cr_expect_eq(ring.retired_count, 1);
	cr_expect_eq(ring.keys[0].secret[0], 3);
}

Test(keyring, forgets_the_oldest_names_first)
{
	struct keyring fresh = { 0 };
	uint8_t last = 20;

	add(&ring, 1);
	for (uint8_t i = 2; i <= last; i++) {
		add(&fresh, i);
		keyring_replace(&ring, &fresh);
	}
	cr_expect_eq(ring.retired_count, KEYRING_MAX);
	for (uint8_t i = 1; i <= last; i++) {
		struct network_name name = name_of(i);
		cr_expect_eq(keyring_knows(&ring, &name), i >= last - KEYRING_MAX, "key %u", i);
	}
	// One that comes back and goes again is the latest, and is there once.
	add(&fresh, last - KEYRING_MAX);
	keyring_replace(&ring, &fresh);
	add(&fresh, 100);
	keyring_replace(&ring, &fresh);
	struct network_name name = name_of(last - KEYRING_MAX);
	cr_expect_eq(ring.retired_count, KEYRING_MAX);
	cr_expect_arr_eq(ring.retired[KEYRING_MAX - 1].bytes, name.bytes, NETWORK_NAME_BYTES);
	for (size_t i = 0; i < KEYRING_MAX - 1; i++)
		cr_expect(memcmp(ring.retired[i].bytes, name.bytes, NETWORK_NAME_BYTES) != 0);
}

Test(keyring, leaves_no_secret_behind)
{
	add(&ring, 1);
	keyring_fini(&ring);
	cr_expect(is_clean());
}
