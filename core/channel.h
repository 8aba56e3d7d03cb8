// SPDX-License-Identifier: MIT
// What lies between frames and the socket: bytes of the wire in, frames' bytes out, and back.
// Plain for now; here is where a link's encryption goes, without sockets.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/buffer.h"

struct channel {
	uint64_t bytes_in, bytes_out; // on the wire
};

void channel_init(struct channel *c);
void channel_fini(struct channel *c);
// Wire bytes to frames' bytes, appended to `plain`. 0, -ENOMEM; anything else: end the link.
int channel_open(struct channel *c, const uint8_t *wire, size_t n, struct buffer *plain);
// Frames' bytes to wire bytes; empties `plain` into `wire`. 0, -ENOMEM.
int channel_seal(struct channel *c, struct buffer *plain, struct buffer *wire);
