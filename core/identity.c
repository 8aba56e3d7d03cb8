// SPDX-License-Identifier: MIT
// Keys, certificates, signatures and hashes, by OpenSSL. One thread.
#include "core/identity.h"

#include <assert.h>
#include <errno.h>
#include <openssl/asn1.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define TAG_MAX 31 // characters

// What is signed lies in one piece, as Ed25519 reads it twice.
struct message {
	uint8_t *bytes;
	size_t length;
	uint8_t small[4096]; // where it lies when it fits: no allocation for a batch's header
};

// One context for all hashes: after the first, none allocates, fetches or fails.
int digest(const uint8_t *bytes, size_t n, uint8_t out[DIGEST_BYTES])
{
	static EVP_MD_CTX *context;

	if (!context) {
		// No file of the system's changes what we compute and speak.
		OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
		EVP_MD *md = EVP_MD_fetch(NULL, "SHA2-256", NULL);
		context = md ? EVP_MD_CTX_new() : NULL;
		if (!context || !EVP_DigestInit_ex2(context, md, NULL)) {
			EVP_MD_CTX_free(context);
			EVP_MD_free(md);
			context = NULL;
			goto fail;
		}
		EVP_MD_free(md);
	} else if (!EVP_DigestInit_ex2(context, NULL, NULL)) {
		goto fail;
	}
	if (EVP_DigestUpdate(context, bytes, n) && EVP_DigestFinal_ex(context, out, NULL))
		return 0;
fail:
	ERR_clear_error();
	return -ENOMEM;
}

struct id identity_of(const struct public_key *key)
{
	uint8_t hash[DIGEST_BYTES] = { 0 };
	struct id id;

	(void)digest(key->bytes, PUBLIC_KEY_BYTES, hash);
	memcpy(id.bytes, hash, ID_BYTES);
	return id;
}

// Always the same bytes for the same key: no clock, no random serial, no names.
static X509 *certify(EVP_PKEY *key)
{
	X509 *x = X509_new();
	if (x && X509_set_version(x, X509_VERSION_3) &&
		ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
		ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "19700101000000Z") &&
		ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "99991231235959Z") &&
		X509_set_pubkey(x, key) && X509_sign(x, key, NULL) > 0)
		return x;
	X509_free(x);
	return NULL;
}

struct identity *identity_new(const uint8_t secret[SECRET_KEY_BYTES])
{
	struct identity *identity = calloc(1, sizeof *identity);
	size_t n = PUBLIC_KEY_BYTES;

	if (!identity)
		return NULL;
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	identity->key =
		EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, SECRET_KEY_BYTES);
	if (!identity->key ||
		!EVP_PKEY_get_raw_public_key(identity->key, identity->public_key.bytes, &n))
		goto fail;
	identity->certificate = certify(identity->key);
	identity->id = identity_of(&identity->public_key);
	if (!identity->certificate || id_is_zero(&identity->id))
		goto fail;
	return identity;
fail:
	ERR_clear_error();
	identity_free(identity);
	return NULL;
}

void identity_free(struct identity *identity)
{
	if (!identity)
		return;
	X509_free(identity->certificate);
	EVP_PKEY_free(identity->key); // overwrites the secret
	free(identity);
}

static int message_init(struct message *m, const char *tag, const uint8_t *bytes, size_t n)
{
	size_t tag_length = strlen(tag) + 1;

	assert(tag_length <= TAG_MAX + 1);
	m->length = tag_length + n;
	m->bytes = m->length <= sizeof m->small ? m->small : malloc(m->length);
	if (!m->bytes)
		return -ENOMEM;
	memcpy(m->bytes, tag, tag_length);
	if (n)
		memcpy(m->bytes + tag_length, bytes, n);
	return 0;
}

static void message_fini(struct message *m)
{
	if (m->bytes != m->small)
		free(m->bytes);
}

int identity_sign(const struct identity *identity, const char *tag, const uint8_t *bytes, size_t n,
	uint8_t signature[SIGNATURE_BYTES])
{
	struct message m;
	size_t length = SIGNATURE_BYTES;
	int r = message_init(&m, tag, bytes, n);
	if (r < 0)
		return r;

	EVP_MD_CTX *context = EVP_MD_CTX_new();
	if (!context || EVP_DigestSignInit(context, NULL, NULL, NULL, identity->key) != 1 ||
		EVP_DigestSign(context, signature, &length, m.bytes, m.length) != 1) {
		ERR_clear_error();
		r = -ENOMEM;
	}
	EVP_MD_CTX_free(context);
	message_fini(&m);
	return r;
}

bool identity_verify(const struct public_key *key, const char *tag, const uint8_t *bytes, size_t n,
	const uint8_t signature[SIGNATURE_BYTES])
{
	struct message m;
	if (message_init(&m, tag, bytes, n) < 0)
		return false;

	EVP_PKEY *public =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes, PUBLIC_KEY_BYTES);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = public && context &&
		  EVP_DigestVerifyInit(context, NULL, NULL, NULL, public) == 1 &&
		  EVP_DigestVerify(context, signature, SIGNATURE_BYTES, m.bytes, m.length) == 1;
	if (!ok)
		ERR_clear_error();
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(public);
	message_fini(&m);
	return ok;
}
