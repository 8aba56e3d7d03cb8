// SPDX-License-Identifier: MIT
// The plain channel: bytes pass as they are.
#include "core/channel.h"

#include <errno.h>

void channel_init(struct channel *c)
{
	*c = (struct channel){ 0 };
}

void channel_fini(struct channel *c)
{
	channel_init(c);
}

int channel_open(struct channel *c, const uint8_t *wire, size_t n, struct buffer *plain)
{
	c->bytes_in += n;
	buffer_append(plain, wire, n);
	return buffer_failed(plain) ? -ENOMEM : 0;
}

int channel_seal(struct channel *c, struct buffer *plain, struct buffer *wire)
{
	size_t n = buffer_length(plain);
	c->bytes_out += n;
	if (buffer_length(wire) == 0 && !buffer_failed(plain)) {
		// Nothing is before it: trade the memory instead of copying.
		struct buffer empty = *wire;
		*wire = *plain;
		*plain = empty;
		return buffer_failed(wire) ? -ENOMEM : 0;
	}
	buffer_append(wire, buffer_bytes(plain), n);
	buffer_consume(plain, n);
	return buffer_failed(plain) || buffer_failed(wire) ? -ENOMEM : 0;
}
