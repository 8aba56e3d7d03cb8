// SPDX-License-Identifier: MIT
// Addresses as the kernel takes and gives them.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "core/address.h"

union endpoint {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
	struct sockaddr_storage storage;
};

// The length for bind(2) and connect(2).
socklen_t endpoint_set(union endpoint *e, const struct address *a);
// Family 0 when it is neither IPv4 nor IPv6. An IPv4 address that was mapped into IPv6, as a socket
// of both gives it, is IPv4.
struct address endpoint_get(const union endpoint *e);
