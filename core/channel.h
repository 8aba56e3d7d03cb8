// SPDX-License-Identifier: MIT
// What lies between frames and the socket: TLS 1.3 (RFC 8446) over memory, without sockets.
//
// Both ends show a self-signed certificate whose Ed25519 key is their identity. The channel says
// whose key it was, not whether that is welcome: see core/membership. No tickets, no resumption,
// no early data, no renegotiation.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buffer.h"
#include "core/identity.h"
#include "core/membership.h"

#define CHANNEL_ALPN "smokefs/1"
// Until the channel is open, the other end is a stranger: what it may send in all.
#define CHANNEL_HANDSHAKE_MAX (16 * 1024)
// The longest ClientHello an acceptor reads, and what the other end's certificates may take.
#define CHANNEL_HELLO_MAX	(4 * 1024)
#define CHANNEL_CERTIFICATE_MAX (4 * 1024)
// Wire bytes under one key; then we change ours. AES-GCM is good for six times as much (RFC 8446,
// 5.5).
#define CHANNEL_REKEY_BYTES ((uint64_t)64 << 30)
// Wire bytes a peer must have sent under a key before it may change it: a change costs us far more
// than it costs the peer.
#define CHANNEL_REKEY_MIN ((uint64_t)1 << 20)

// What all channels of a node share: its identity and the settings of TLS.
struct channel_settings;
// Borrows the identity. NULL when memory is out.
struct channel_settings *channel_settings_new(const struct identity *identity);
void channel_settings_free(struct channel_settings *settings);

// Stays where it is from channel_init() to channel_fini().
struct channel {
	struct ssl_st *tls;
	bool dialler;
	bool open;		      // the handshake is done, `peer` is known
	bool failed;		      // nothing goes through any more
	struct public_key peer;	      // the other end's, which holds its secret half
	uint64_t bytes_in, bytes_out; // on the wire
	uint64_t keyed_in, keyed_out; // of these, under the keys of now
	// The first bytes an acceptor got, looked at before TLS sees them.
	uint8_t first[9];
	uint8_t first_length;
	// Where TLS reads and writes, during a call.
	const uint8_t *source;
	size_t source_left;
	struct buffer *sink;
};

// 0 or -ENOMEM. The settings have to outlive it.
int channel_init(struct channel *c, struct channel_settings *settings, bool dialler);
void channel_fini(struct channel *c);
// The dialler's first words, appended to `wire`. 0, -ENOMEM.
int channel_begin(struct channel *c, struct buffer *wire);
// Wire bytes to frames' bytes, appended to `plain`; what TLS itself has to answer is appended to
// `wire`. 0; -EPROTO: not TLS, not as we speak it, tampered with, or ended by an alert (an alert of
// ours, if there is one to send, is in `wire`); -ENOMEM. An error is for good.
int channel_open(struct channel *c, const uint8_t *bytes, size_t n, struct buffer *plain,
	struct buffer *wire);
// Frames' bytes to wire bytes; empties `plain`, appends to `wire`. 0, -ENOMEM; -EPROTO when it is
// not open or has failed.
int channel_seal(struct channel *c, struct buffer *plain, struct buffer *wire);
// What the proofs of both ends are bound to. Only when it is open. 0 or -ENOMEM.
int channel_binding(struct channel *c, const struct public_key *own, struct session_binding *b);
