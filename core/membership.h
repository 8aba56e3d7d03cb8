// SPDX-License-Identifier: MIT
// The proof that the other end of a channel holds the network key:
//
//     HMAC-SHA256(network key, tag | role | exporter | dialler's key | acceptor's key)
//
// The exporter (RFC 8446, 7.5) binds it to one TLS session and the keys to its two ends; the role
// keeps it from being reflected. The dialler proves first, and the acceptor answers only what it
// has verified, so that a stranger learns nothing to try keys against.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/identity.h"
#include "core/keyring.h"

#define EXPORTER_BYTES	 32
#define MEMBERSHIP_BYTES 32

enum role { ROLE_DIALLER = 1, ROLE_ACCEPTOR = 2 };

struct session_binding {
	uint8_t exporter[EXPORTER_BYTES];
	struct public_key dialler, acceptor;
};

// 0 or -ENOMEM.
int membership_prove(const struct network_key *key, enum role role,
	const struct session_binding *binding, uint8_t proof[MEMBERSHIP_BYTES]);
// In constant time.
bool membership_verify(const struct network_key *key, enum role role,
	const struct session_binding *binding, const uint8_t proof[MEMBERSHIP_BYTES]);
