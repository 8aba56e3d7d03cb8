// SPDX-License-Identifier: MIT
#include "core/hail.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct keyring ring, other;
static struct hail hail = { .asks = true,
	.id = { { 1, 2, 3 } },
	.incarnation = 1700000000000,
	.counter = 7,
	.address = { 4, { 10, 0, 0, 5 }, 8495 } };
static uint8_t datagram[HAIL_BYTES + 1];

static void add_key(struct keyring *to, uint8_t value)
{
	uint8_t secret[NETWORK_KEY_BYTES];
	cr_assert_eq(keyring_add(to, memset(secret, value, sizeof secret)), 0);
}

static void setup(void)
{
	add_key(&ring, 3);
	add_key(&other, 5);
	cr_assert_eq(hail_encode(&hail, &ring, datagram), 0);
}

TestSuite(hail, .init = setup);

static void expect_same(const struct hail *got)
{
	cr_expect_eq(got->asks, hail.asks);
	cr_expect(id_equal(&got->id, &hail.id));
	cr_expect_eq(got->incarnation, hail.incarnation);
	cr_expect_eq(got->counter, hail.counter);
	cr_expect(address_equal(&got->address, &hail.address));
}

Test(hail, comes_back_as_it_was)
{
	static const struct address addresses[] = { { 4, { 169, 254, 0, 1 }, 1 },
		{ 4, { 127, 0, 0, 1 }, 65535 }, { 6, { 0xfd, 0x77, [15] = 1 }, 8495 } };
	struct hail got;

	cr_assert_eq(hail_decode(&got, &ring, datagram, HAIL_BYTES), 0);
	expect_same(&got);
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		hail.address = addresses[i];
		hail.asks = !hail.asks;
		hail.counter = UINT64_MAX - i;
		cr_assert_eq(hail_encode(&hail, &ring, datagram), 0);
		cr_assert_eq(hail_decode(&got, &ring, datagram, HAIL_BYTES), 0);
		expect_same(&got);
	}
}

Test(hail, is_made_with_the_first_key_and_heard_with_any)
{
	struct keyring both = { 0 };
	struct hail got;

	add_key(&both, 5);
	add_key(&both, 3);
	cr_expect_eq(hail_decode(&got, &both, datagram, HAIL_BYTES), 0);
	cr_assert_eq(hail_encode(&hail, &both, datagram), 0);
	cr_expect_eq(hail_decode(&got, &other, datagram, HAIL_BYTES), 0);
	cr_expect_eq(hail_decode(&got, &ring, datagram, HAIL_BYTES), -ENOKEY);
}

Test(hail, of_another_network_is_foreign)
{
	struct hail got;
	cr_expect_eq(hail_decode(&got, &other, datagram, HAIL_BYTES), -ENOKEY);
}

// A key that was in use opens nothing any more.
Test(hail, of_a_retired_key_is_foreign)
{
	struct hail got;
	struct keyring fresh = { 0 };

	add_key(&fresh, 6);
	keyring_replace(&ring, &fresh);
	cr_expect(keyring_knows(&ring,
		&(struct network_name){ { 0x50, 0x79, 0x59, 0x3e, 0x44, 0x8c, 0x7a, 0xb8 } }));
	cr_expect_eq(hail_decode(&got, &ring, datagram, HAIL_BYTES), -ENOKEY);
}

Test(hail, with_any_bit_changed_is_refused)
{
	struct hail got;

	for (size_t bit = 0; bit < 8 * HAIL_BYTES; bit++) {
		datagram[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_expect_lt(hail_decode(&got, &ring, datagram, HAIL_BYTES), 0, "bit %zu", bit);
		datagram[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	cr_expect_eq(hail_decode(&got, &ring, datagram, HAIL_BYTES), 0);
}

Test(hail, forged_by_one_who_has_heard_the_name_of_the_key)
{
	struct keyring forged = other;
	struct hail got;

	forged.keys[0].name = ring.keys[0].name;
	cr_assert_eq(hail_encode(&hail, &forged, datagram), 0);
	cr_expect_eq(hail_decode(&got, &ring, datagram, HAIL_BYTES), -EBADMSG);
}

Test(hail, of_any_other_size_is_refused)
{
	struct hail got;

	for (size_t n = 0; n < HAIL_BYTES; n++)
		cr_expect_eq(hail_decode(&got, &ring, datagram, n), -EPROTO, "%zu bytes", n);
	cr_expect_eq(hail_decode(&got, &ring, datagram, HAIL_BYTES + 1), -EPROTO);
}

// What a member says that is nonsense.
Test(hail, that_cannot_be_dialled_is_refused)
{
	static const struct address addresses[] = { { 0 }, { 4, { 10, 0, 0, 5 }, 0 },
		{ 4, { 0 }, 8495 }, { 4, { 239, 255, 84, 95 }, 8495 },
		{ 4, { 10, 0, 0, 5, 1 }, 8495 }, { 5, { 10, 0, 0, 5 }, 8495 },
		{ 6, { 0xfe, 0x80, [15] = 1 }, 8495 }, { 6, { 0xff, 0x12, [15] = 1 }, 8495 },
		{ 6, { [10] = 0xff, 0xff, 10, 0, 0, 5 }, 8495 } };
	struct hail got;

	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		hail.address = addresses[i];
		cr_assert_eq(hail_encode(&hail, &ring, datagram), 0);
		cr_expect_eq(hail_decode(&got, &ring, datagram, HAIL_BYTES), -EPROTO, "%zu", i);
	}
	hail.address = (struct address){ 4, { 10, 0, 0, 5 }, 8495 };
	hail.id = (struct id){ { 0 } };
	cr_assert_eq(hail_encode(&hail, &ring, datagram), 0);
	cr_expect_eq(hail_decode(&got, &ring, datagram, HAIL_BYTES), -EPROTO);
}
