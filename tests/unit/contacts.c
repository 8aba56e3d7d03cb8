// SPDX-License-Identifier: MIT
#include "core/contacts.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct view view, other;
static struct keyring ring, foreign;

static void start(void)
{
	cr_assert_eq(keyring_add(&ring, (const uint8_t[NETWORK_KEY_BYTES]){ 1 }), 0);
	cr_assert_eq(keyring_add(&foreign, (const uint8_t[NETWORK_KEY_BYTES]){ 2 }), 0);
}

static void finish(void)
{
	view_fini(&view);
	view_fini(&other);
	keyring_fini(&ring);
	keyring_fini(&foreign);
}

TestSuite(contacts, .init = start, .fini = finish);

static struct contact contact(unsigned i)
{
	return (struct contact){ { { (uint8_t)i, (uint8_t)(i >> 8), 1 } },
		{ i % 2 ? 6 : 4, { 10, (uint8_t)(i >> 8), (uint8_t)i, 1 }, 8495 } };
}

static void take(void *context, const struct contact *c)
{
	view_add(context, 1, c);
}

static size_t parse(struct view *into, const struct keyring *keys, const struct buffer *text)
{
	return contacts_parse((char *)buffer_bytes(text), buffer_length(text), keys, take, into);
}

Test(contacts, who_answered_comes_first_and_all_come_back)
{
	struct buffer out = BUFFER_INIT;

	for (unsigned i = 0; i < VIEW_MAX; i++) {
		struct contact c = contact(i);
		view_add(&view, 1, &c);
	}
	struct contact last = contact(200), nameless = { .address = { 4, { 10, 9, 9, 9 }, 1 } };
	view_succeeded(view_find_id(&view, &last.id), 2, &last.id);
	view_add(&view, 3, &nameless);
	view_add_seed(&view, "seed.example", 8495);
	cr_assert_eq(contacts_write(&view, &ring, &out), 0);
	cr_expect_leq(buffer_length(&out), CONTACTS_TEXT_MAX);
	char first[128];
	snprintf(first, sizeof first, "network %016" PRIx64 "\n%s %s\n",
		keyring_number(&ring.keys[0].name), address_format(&last.address).text,
		id_format(&last.id).text);
	cr_expect_eq(memcmp(buffer_bytes(&out), first, strlen(first)), 0);
	cr_expect_eq(parse(&other, &ring, &out), 0);
	cr_expect_eq(other.count, VIEW_MAX);
	const struct view_entry *e = view_find_address(&other, &nameless.address);
	cr_assert(e && id_is_zero(&e->id));
	e = view_find_address(&other, &last.address);
	cr_assert(e && id_equal(&e->id, &last.id) && !e->reached);
	buffer_fini(&out);
}

Test(contacts, those_of_another_network_are_nobody)
{
	struct buffer out = BUFFER_INIT;
	struct contact c = contact(1);

	view_add(&view, 1, &c);
	cr_assert_eq(contacts_write(&view, &ring, &out), 0);
	cr_expect_eq(parse(&other, &foreign, &out), 0);
	cr_expect_eq(other.count, 0);
	// A key that is not the first any more still opens.
	cr_assert_eq(keyring_add(&foreign, ring.keys[0].secret), 0);
	cr_expect_eq(parse(&other, &foreign, &out), 0);
	cr_expect_eq(other.count, 1);
	buffer_fini(&out);
}

Test(contacts, lines_that_are_none_are_passed_over)
{
	static const char *const bad[] = { "", "nonsense", "10.0.0.1:1", "10.0.0.1 -",
		"10.0.0.1:0 -", "10.0.0.1:1 - -", "10.0.0.1:1  -", "10.0.0.1:1 x", "0.0.0.0:1 -",
		"224.0.0.1:1 -", "[fe80::1]:1 -", "10.0.0.1:1 aaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
		"aaaaaaaaaaaaaaaaaaaaaaaaaa" };
	char head[64];
	struct buffer text = BUFFER_INIT;

	int n = snprintf(
		head, sizeof head, "network %016" PRIx64 "\n", keyring_number(&ring.keys[0].name));
	buffer_append(&text, head, (size_t)n);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		buffer_append(&text, bad[i], strlen(bad[i]));
		buffer_append(&text, "\n", 1);
	}
	buffer_append(&text, "10.0.0.1:1\0-\n", 13);
	buffer_append(&text, "10.0.0.2:1 -\n10.0.0.3:1 -", 25);
	cr_expect_eq(parse(&other, &ring, &text), sizeof bad / sizeof *bad + 2);
	cr_expect_eq(other.count, 1, "the end of the file is missing");
	buffer_fini(&text);
}

Test(contacts, a_file_without_its_first_line_is_none)
{
	static const char *const none[] = { "", "\n", "network", "network 0\n10.0.0.1:1 -\n",
		"10.0.0.1:1 -\n10.0.0.2:1 -\n" };
	for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
		cr_expect_eq(contacts_parse(none[i], strlen(none[i]), &ring, take, &other), 0);
		cr_expect_eq(other.count, 0, "%s", none[i]);
	}
}
