// SPDX-License-Identifier: MIT
#include "core/identity.h"

#include <criterion/criterion.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>

// RFC 8032, 7.1, test 1.
static const uint8_t secret[SECRET_KEY_BYTES] = { 0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60,
	0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69,
	0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60 };
static const uint8_t public_key[PUBLIC_KEY_BYTES] = { 0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a,
	0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6,
	0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a };

static struct identity *self;

static void setup(void)
{
	self = identity_new(secret);
	cr_assert(self);
}

static void finish(void)
{
	identity_free(self);
	cr_expect_eq(ERR_peek_error(), 0, "errors are not left to others");
}

TestSuite(identity, .init = setup, .fini = finish);

Test(identity, hashes_as_fips_180_does)
{
	static const uint8_t abc[DIGEST_BYTES] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
		0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
		0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
	static const uint8_t empty[DIGEST_BYTES] = { 0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
		0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
		0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55 };
	uint8_t out[DIGEST_BYTES];

	for (int i = 0; i < 3; i++) {
		cr_assert_eq(digest((const uint8_t *)"abc", 3, out), 0);
		cr_expect_arr_eq(out, abc, DIGEST_BYTES);
		cr_assert_eq(digest(NULL, 0, out), 0);
		cr_expect_arr_eq(out, empty, DIGEST_BYTES, "the one before leaves nothing behind");
	}
}

Test(identity, has_the_public_half_of_its_key)
{
	uint8_t hash[DIGEST_BYTES];

	cr_expect_arr_eq(self->public_key.bytes, public_key, PUBLIC_KEY_BYTES);
	cr_assert_eq(digest(public_key, PUBLIC_KEY_BYTES, hash), 0);
	cr_expect_arr_eq(self->id.bytes, hash, ID_BYTES);
	struct id id = identity_of(&self->public_key);
	cr_expect(id_equal(&id, &self->id));
}

Test(identity, makes_the_same_certificate_again)
{
	struct identity *again = identity_new(secret);
	unsigned char *a = NULL, *b = NULL;

	cr_assert(again);
	int n = i2d_X509(self->certificate, &a);
	cr_assert_gt(n, 0);
	cr_assert_eq(i2d_X509(again->certificate, &b), n);
	cr_expect_arr_eq(a, b, n);
	OPENSSL_free(a);
	OPENSSL_free(b);
	identity_free(again);

	// The length is the same for all, so that it tells nothing.
	again = identity_new(public_key);
	cr_assert(again);
	cr_expect_eq(i2d_X509(again->certificate, NULL), n);
	identity_free(again);
}

Test(identity, shows_its_key_in_a_certificate_for_good)
{
	X509 *x = self->certificate;

	cr_expect_eq(X509_get_version(x), X509_VERSION_3);
	cr_expect_eq(ASN1_INTEGER_get(X509_get0_serialNumber(x)), 1);
	cr_expect_eq(X509_verify(x, self->key), 1, "it is signed by itself");
	cr_expect_eq(X509_NAME_entry_count(X509_get_subject_name(x)), 0);
	cr_expect_eq(ASN1_TIME_cmp_time_t(X509_get0_notBefore(x), 0), 0);
	cr_expect_eq(ASN1_TIME_cmp_time_t(X509_get0_notAfter(x), 253402300799), 0);
}

Test(identity, verifies_what_it_signs)
{
	static const size_t lengths[] = { 0, 1, 300, 4096 - 4, 4096 - 3, 100000 };
	uint8_t *bytes = malloc(100000);
	uint8_t signature[SIGNATURE_BYTES];

	cr_assert(bytes);
	memset(bytes, 'x', 100000);
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		size_t n = lengths[i];
		cr_assert_eq(identity_sign(self, "tag", bytes, n, signature), 0);
		cr_expect(identity_verify(&self->public_key, "tag", bytes, n, signature));
		if (n == 0)
			continue;
		cr_expect_not(identity_verify(&self->public_key, "tag", bytes, n - 1, signature));
		for (size_t at = 0; at < n; at += n / 2 + 1) {
			bytes[at] ^= 1;
			cr_expect_not(
				identity_verify(&self->public_key, "tag", bytes, n, signature));
			bytes[at] ^= 1;
		}
	}
	free(bytes);
}

Test(identity, signs_the_same_bytes_the_same_way)
{
	uint8_t a[SIGNATURE_BYTES], b[SIGNATURE_BYTES];

	cr_assert_eq(identity_sign(self, "tag", public_key, sizeof public_key, a), 0);
	cr_assert_eq(identity_sign(self, "tag", public_key, sizeof public_key, b), 0);
	cr_expect_arr_eq(a, b, SIGNATURE_BYTES);
}

Test(identity, refuses_a_signature_that_was_touched)
{
	uint8_t signature[SIGNATURE_BYTES];

	cr_assert_eq(identity_sign(self, "tag", public_key, sizeof public_key, signature), 0);
	for (int bit = 0; bit < 8 * SIGNATURE_BYTES; bit += 7) {
		signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_expect_not(identity_verify(&self->public_key, "tag", public_key,
				      sizeof public_key, signature),
			"bit %d", bit);
		signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	cr_expect(identity_verify(
		&self->public_key, "tag", public_key, sizeof public_key, signature));
}

Test(identity, signs_for_one_purpose)
{
	uint8_t signature[SIGNATURE_BYTES];

	cr_assert_eq(identity_sign(self, "one", (const uint8_t *)"bytes", 5, signature), 0);
	cr_expect_not(
		identity_verify(&self->public_key, "two", (const uint8_t *)"bytes", 5, signature));
	// The terminator parts the tag from the bytes.
	cr_expect_not(
		identity_verify(&self->public_key, "on", (const uint8_t *)"ebytes", 6, signature));
	cr_expect_not(
		identity_verify(&self->public_key, "oneb", (const uint8_t *)"ytes", 4, signature));
	// What is signed is the tag, its terminator and the bytes: what others have to write, too.
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	cr_assert(EVP_DigestVerifyInit(context, NULL, NULL, NULL, self->key));
	cr_expect_eq(EVP_DigestVerify(context, signature, SIGNATURE_BYTES,
			     (const unsigned char *)"one\0bytes", 9),
		1);
	EVP_MD_CTX_free(context);
}

Test(identity, signs_for_one_key)
{
	struct identity *other = identity_new(public_key);
	struct public_key wrong = self->public_key;
	uint8_t signature[SIGNATURE_BYTES];

	cr_assert(other);
	cr_assert_eq(identity_sign(self, "tag", public_key, sizeof public_key, signature), 0);
	cr_expect_not(identity_verify(
		&other->public_key, "tag", public_key, sizeof public_key, signature));
	memset(wrong.bytes, 0xff, sizeof wrong.bytes); // not a point of the curve
	cr_expect_not(identity_verify(&wrong, "tag", public_key, sizeof public_key, signature));
	identity_free(other);
}
