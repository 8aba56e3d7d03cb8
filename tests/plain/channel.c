// SPDX-License-Identifier: MIT
// core/channel without cryptography: for the bench, where what encryption costs is the difference,
// and for whole networks in virtual time, where it is not what is tested. No product links it.
//
// Each end says its public key, the acceptor after the dialler as in TLS, and is believed. After
// that bytes pass as they are, and on the way out without a copy.
#include "core/channel.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct channel_settings {
	struct public_key own;
};

struct channel_settings *channel_settings_new(const struct identity *identity)
{
	struct channel_settings *settings = malloc(sizeof *settings);
	if (settings)
		settings->own = identity->public_key;
	return settings;
}

void channel_settings_free(struct channel_settings *settings)
{
	free(settings);
}

int channel_init(struct channel *c, struct channel_settings *settings, bool dialler)
{
	*c = (struct channel){
		.dialler = dialler,
		.source = settings->own.bytes, // still to be said
		.source_left = PUBLIC_KEY_BYTES,
	};
	return 0;
}

void channel_fini(struct channel *c)
{
	*c = (struct channel){ 0 };
}

static int say_key(struct channel *c, struct buffer *wire)
{
	buffer_append(wire, c->source, c->source_left);
	c->bytes_out += c->source_left;
	c->source_left = 0;
	return buffer_failed(wire) ? -ENOMEM : 0;
}

int channel_begin(struct channel *c, struct buffer *wire)
{
	assert(c->dialler && !c->open);
	return say_key(c, wire);
}

int channel_open(struct channel *c, const uint8_t *bytes, size_t n, struct buffer *plain,
	struct buffer *wire)
{
	if (!c->open) {
		size_t more = PUBLIC_KEY_BYTES - (size_t)c->bytes_in;
		more = more < n ? more : n;
		memcpy(c->peer.bytes + c->bytes_in, bytes, more);
		c->bytes_in += more;
		c->open = c->bytes_in == PUBLIC_KEY_BYTES;
		bytes += more;
		n -= more;
		if (c->open && c->source_left && say_key(c, wire) < 0)
			return -ENOMEM;
	}
	c->bytes_in += n;
	buffer_append(plain, bytes, n);
	return buffer_failed(plain) ? -ENOMEM : 0;
}

int channel_seal(struct channel *c, struct buffer *plain, struct buffer *wire)
{
	if (!c->open)
		return -EPROTO;
	if (buffer_failed(plain))
		return -ENOMEM;
	c->bytes_out += buffer_length(plain);
	if (buffer_length(wire) == 0) {
		struct buffer empty = *wire;
		*wire = *plain;
		*plain = empty;
		return 0;
	}
	buffer_append(wire, buffer_bytes(plain), buffer_length(plain));
	buffer_consume(plain, buffer_length(plain));
	return buffer_failed(wire) ? -ENOMEM : 0;
}

// Bound to nothing but who they are.
int channel_binding(struct channel *c, const struct public_key *own, struct session_binding *b)
{
	*b = (struct session_binding){
		.dialler = c->dialler ? *own : c->peer,
		.acceptor = c->dialler ? c->peer : *own,
	};
	return 0;
}
