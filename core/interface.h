// SPDX-License-Identifier: MIT
// The interfaces that are up, by their addresses. Asked in a way that a process without privileges,
// and with few system calls, still has: no netlink.
#pragma once

#include <stddef.h>

#include "core/address.h"

struct interface_address {
	unsigned index;		// of the interface
	struct address address; // port 0
};

// Those of interfaces that are up and take multicast, loopback among them. Left out is what cannot
// be dialled, and of IPv6 what is not to be used yet, any more, or for long. `fd` is any socket of
// the internet. At most `max`: how many.
size_t interface_list(struct interface_address *out, size_t max, int fd);
