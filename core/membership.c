// SPDX-License-Identifier: MIT
// HMAC-SHA256 (RFC 2104) over what a proof is bound to.
#include "core/membership.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

static const char tag[] = "smokefs/1 membership";

int membership_prove(const struct network_key *key, enum role role,
	const struct session_binding *binding, uint8_t proof[MEMBERSHIP_BYTES])
{
	uint8_t text[sizeof tag + 1 + EXPORTER_BYTES + 2 * PUBLIC_KEY_BYTES];
	uint8_t *at = text;
	size_t n = 0;

	at = mempcpy(at, tag, sizeof tag);
	*at++ = (uint8_t)role;
	at = mempcpy(at, binding->exporter, EXPORTER_BYTES);
	at = mempcpy(at, binding->dialler.bytes, PUBLIC_KEY_BYTES);
	memcpy(at, binding->acceptor.bytes, PUBLIC_KEY_BYTES);
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA2-256", NULL, key->secret, NETWORK_KEY_BYTES, text,
		    sizeof text, proof, MEMBERSHIP_BYTES, &n))
		return 0;
	ERR_clear_error();
	return -ENOMEM;
}

bool membership_verify(const struct network_key *key, enum role role,
	const struct session_binding *binding, const uint8_t proof[MEMBERSHIP_BYTES])
{
	uint8_t expected[MEMBERSHIP_BYTES];
	bool ok = membership_prove(key, role, binding, expected) == 0 &&
		  CRYPTO_memcmp(expected, proof, MEMBERSHIP_BYTES) == 0;
	OPENSSL_cleanse(expected, sizeof expected);
	return ok;
}
