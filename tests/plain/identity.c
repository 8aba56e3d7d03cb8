// SPDX-License-Identifier: MIT
// Signatures and hashes that are none, for the bench and for networks in virtual time. The linker
// puts these in the place of those of core/identity (--wrap), for everybody but core/identity
// itself, so that ids are as ever.
#include <string.h>

#include "core/identity.h"

int __wrap_identity_sign(const struct identity *identity, const char *tag, const uint8_t *bytes,
	size_t n, uint8_t signature[SIGNATURE_BYTES]);
bool __wrap_identity_verify(const struct public_key *key, const char *tag, const uint8_t *bytes,
	size_t n, const uint8_t signature[SIGNATURE_BYTES]);
int __wrap_digest(const uint8_t *bytes, size_t n, uint8_t out[DIGEST_BYTES]);

int __wrap_identity_sign(const struct identity *identity, const char *tag, const uint8_t *bytes,
	size_t n, uint8_t signature[SIGNATURE_BYTES])
{
	memset(signature, 0, SIGNATURE_BYTES);
	return 0;
}

bool __wrap_identity_verify(const struct public_key *key, const char *tag, const uint8_t *bytes,
	size_t n, const uint8_t signature[SIGNATURE_BYTES])
{
	return true;
}

int __wrap_digest(const uint8_t *bytes, size_t n, uint8_t out[DIGEST_BYTES])
{
	memset(out, 0, DIGEST_BYTES);
	return 0;
}
