// SPDX-License-Identifier: MIT
// core/channel without TLS, for what is behind it: each end says its public key first, and is
// believed; what follows goes through as it is.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/channel.h"
#include "tests/fuzz/clear.h"

struct channel_settings {
	struct public_key own;
};

bool clear_damage;
static uint64_t last_session;

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
	*c = (struct channel){ .tls = (void *)settings, .dialler = dialler };
	last_session++;
	memcpy(c->first, &last_session, sizeof last_session);
	return 0;
}

void channel_fini(struct channel *c)
{
	*c = (struct channel){ 0 };
}

static void say_key(struct channel *c, struct buffer *wire)
{
	const struct channel_settings *settings = (void *)c->tls;
	buffer_append(wire, settings->own.bytes, PUBLIC_KEY_BYTES);
}

int channel_begin(struct channel *c, struct buffer *wire)
{
	assert(c->dialler && !c->open);
	say_key(c, wire);
	return 0;
}

int channel_open(struct channel *c, const uint8_t *bytes, size_t n, struct buffer *plain,
	struct buffer *wire)
{
	if (c->failed || clear_damage) {
		c->failed = true;
		return -EPROTO;
	}
	for (; n > 0 && !c->open; bytes++, n--) {
		c->peer.bytes[c->first_length++] = *bytes;
		c->open = c->first_length == PUBLIC_KEY_BYTES;
		if (c->open && !c->dialler)
			say_key(c, wire);
	}
	c->bytes_in += n;
	buffer_append(plain, bytes, n);
	return buffer_failed(plain) ? -ENOMEM : 0;
}

int channel_seal(struct channel *c, struct buffer *plain, struct buffer *wire)
{
	if (!c->open || c->failed)
		return -EPROTO;
	buffer_append(wire, buffer_bytes(plain), buffer_length(plain));
	c->bytes_out += buffer_length(plain);
	buffer_consume(plain, buffer_length(plain));
	return buffer_failed(plain) || buffer_failed(wire) ? -ENOMEM : 0;
}

int channel_binding(struct channel *c, const struct public_key *own, struct session_binding *b)
{
	assert(c->open);
	*b = (struct session_binding){ .dialler = c->dialler ? *own : c->peer,
		.acceptor = c->dialler ? c->peer : *own };
	memcpy(b->exporter, c->first, sizeof last_session);
	return 0;
}
