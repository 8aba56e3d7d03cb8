// SPDX-License-Identifier: MIT
// Who a node is: an Ed25519 key (RFC 8032), whose hash is the node's id, and what is signed with
// it. All of it is OpenSSL's.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"

#define PUBLIC_KEY_BYTES 32
#define SECRET_KEY_BYTES 32
#define SIGNATURE_BYTES	 64
#define DIGEST_BYTES	 32 // SHA-256

struct public_key {
	uint8_t bytes[PUBLIC_KEY_BYTES];
};

// A key pair and the self-signed certificate that shows it. Immutable; may be shared.
struct identity {
	struct evp_pkey_st *key;
	struct x509_st *certificate;
	struct public_key public_key;
	struct id id;
};

// From the secret half, which stays the caller's to cleanse. NULL when memory is out.
struct identity *identity_new(const uint8_t secret[SECRET_KEY_BYTES]);
void identity_free(struct identity *identity);
// The first 128 bits of the SHA-256 of the key. Zero, which is nobody's, when memory is out; once
// there is an identity in the process, it is not.
struct id identity_of(const struct public_key *key);

// Signatures. `tag` says what is signed, so that no signature means two things: at most 31
// characters, signed in front of the bytes with its terminator. 0 or -ENOMEM.
int identity_sign(const struct identity *identity, const char *tag, const uint8_t *bytes, size_t n,
	uint8_t signature[SIGNATURE_BYTES]);
bool identity_verify(const struct public_key *key, const char *tag, const uint8_t *bytes, size_t n,
	const uint8_t signature[SIGNATURE_BYTES]);

// SHA-256. 0 or -ENOMEM.
int digest(const uint8_t *bytes, size_t n, uint8_t out[DIGEST_BYTES]);
