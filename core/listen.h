// SPDX-License-Identifier: MIT
// Where a node listens, and at which addresses of this machine others find it.
#pragma once

#include <stddef.h>

#include "core/address.h"

#define LISTEN_PORT 8495

// Binds and listens at *address; family 0 means everywhere, IPv6 and IPv4 with one socket (IPv4
// alone where there is no IPv6). Port 0 means LISTEN_PORT or, when that is taken, the next free one
// above it; address->port then says which. The descriptor, or -errno: -EADDRINUSE,
// -EADDRNOTAVAIL, -EACCES...
int listen_open(struct address *address);
// The addresses of this machine at which others reach a socket that listens everywhere, the best
// one first: that from which the kernel would talk to `toward` (family 0: to anybody far away),
// then those of the other interfaces; without any, those of IPv4 that are link-local, or 127.0.0.1.
// Sends nothing. At most `max`, which is not 0: how many.
size_t listen_detect(struct address *out, size_t max, int fd, const struct address *toward);
// The first address of an interface that shares `bits` bits with `subnet`, with its port.
// 0; -ENOENT: none has; -errno.
int listen_find_interface(struct address *found, const struct address *subnet, unsigned bits);
