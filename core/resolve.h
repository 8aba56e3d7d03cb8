// SPDX-License-Identifier: MIT
// Host names to addresses through c-ares, on the loop, never blocking it.
#pragma once

#include <ev.h>
#include <stdint.h>

#include "core/address.h"

struct resolver;

// RESOLVE_MAX addresses of one name at most.

// error: 0, or -ENOENT (no such host), -ETIMEDOUT, -ENOMEM, or -EHOSTUNREACH
// (no server answers, or none knows).
typedef void resolve_done(
	void *context, uint64_t tag, int error, const struct address *addresses, size_t count);

// NULL when c-ares cannot start.
struct resolver *resolver_new(struct ev_loop *loop, void *context, resolve_done *done);
// Pending look-ups end without a call.
void resolver_free(struct resolver *r);
// All A and AAAA records. `done` follows from the loop, never from within. 0 or -ENOMEM.
int resolver_start(struct resolver *r, uint64_t tag, const char *host, uint16_t port);
