// SPDX-License-Identifier: MIT
#include "core/membership.h"

#include <criterion/criterion.h>
#include <string.h>

static struct network_key key;
static struct session_binding binding;

static void setup(void)
{
	memset(key.secret, 1, sizeof key.secret);
	memset(binding.exporter, 2, sizeof binding.exporter);
	memset(binding.dialler.bytes, 3, sizeof binding.dialler.bytes);
	memset(binding.acceptor.bytes, 4, sizeof binding.acceptor.bytes);
}

TestSuite(membership, .init = setup);

Test(membership, is_the_hmac_of_its_header)
{
	uint8_t text[21 + 1 + 3 * 32] = "smokefs/1 membership";
	uint8_t proof[MEMBERSHIP_BYTES];

	for (int role = ROLE_DIALLER; role <= ROLE_ACCEPTOR; role++) {
		text[21] = (uint8_t)role;
		for (int i = 0; i < 3; i++)
			memset(text + 22 + 32 * i, 2 + i, 32);
		// HMAC by its definition, RFC 2104.
		uint8_t inner[64 + sizeof text], outer[64 + DIGEST_BYTES];
		memset(inner, 0x36, 64);
		memset(outer, 0x5c, 64);
		for (int i = 0; i < NETWORK_KEY_BYTES; i++) {
			inner[i] ^= key.secret[i];
			outer[i] ^= key.secret[i];
		}
		memcpy(inner + 64, text, sizeof text);
		cr_assert_eq(digest(inner, sizeof inner, outer + 64), 0);
		uint8_t expected[DIGEST_BYTES];
		cr_assert_eq(digest(outer, sizeof outer, expected), 0);
		cr_assert_eq(membership_prove(&key, (enum role)role, &binding, proof), 0);
		cr_expect_arr_eq(proof, expected, MEMBERSHIP_BYTES);
	}
}

Test(membership, verifies_a_proof)
{
	uint8_t proof[MEMBERSHIP_BYTES];

	cr_assert_eq(membership_prove(&key, ROLE_DIALLER, &binding, proof), 0);
	cr_expect(membership_verify(&key, ROLE_DIALLER, &binding, proof));
	cr_assert_eq(membership_prove(&key, ROLE_ACCEPTOR, &binding, proof), 0);
	cr_expect(membership_verify(&key, ROLE_ACCEPTOR, &binding, proof));
}

Test(membership, takes_nothing_else)
{
	uint8_t proof[MEMBERSHIP_BYTES];
	struct network_key other_key = key;
	struct session_binding swapped = { .dialler = binding.acceptor,
		.acceptor = binding.dialler };

	cr_assert_eq(membership_prove(&key, ROLE_DIALLER, &binding, proof), 0);
	cr_expect_not(membership_verify(&key, ROLE_ACCEPTOR, &binding, proof), "reflected");
	memcpy(swapped.exporter, binding.exporter, EXPORTER_BYTES);
	cr_expect_not(membership_verify(&key, ROLE_DIALLER, &swapped, proof), "ends swapped");
	cr_expect_not(membership_verify(&key, ROLE_ACCEPTOR, &swapped, proof));
	for (size_t i = 0; i < sizeof other_key.secret; i++) {
		other_key.secret[i] ^= 0x80;
		cr_expect_not(membership_verify(&other_key, ROLE_DIALLER, &binding, proof));
		other_key.secret[i] ^= 0x80;
	}
	for (size_t i = 0; i < sizeof binding; i++) {
		((uint8_t *)&binding)[i] ^= 1;
		cr_expect_not(membership_verify(&key, ROLE_DIALLER, &binding, proof),
			"exporter and keys: byte %zu", i);
		((uint8_t *)&binding)[i] ^= 1;
	}
	for (int bit = 0; bit < 8 * MEMBERSHIP_BYTES; bit++) {
		proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_expect_not(membership_verify(&key, ROLE_DIALLER, &binding, proof));
		proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	memset(proof, 0, sizeof proof);
	cr_expect_not(membership_verify(&key, ROLE_DIALLER, &binding, proof));
}
