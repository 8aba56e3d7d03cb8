// SPDX-License-Identifier: MIT
// Socket addresses.
#include "core/endpoint.h"

#include <string.h>

socklen_t endpoint_set(union endpoint *e, const struct address *a)
{
	memset(e, 0, sizeof *e);
	if (a->family == 6) {
		e->six.sin6_family = AF_INET6;
		e->six.sin6_port = htons(a->port);
		memcpy(&e->six.sin6_addr, a->bytes, 16);
		return sizeof e->six;
	}
	e->four.sin_family = AF_INET;
	e->four.sin_port = htons(a->port);
	memcpy(&e->four.sin_addr, a->bytes, 4);
	return sizeof e->four;
}

struct address endpoint_get(const union endpoint *e)
{
	struct address a = { 0 };

	if (e->any.sa_family == AF_INET6) {
		bool mapped = IN6_IS_ADDR_V4MAPPED(&e->six.sin6_addr);
		a.family = mapped ? 4 : 6;
		a.port = ntohs(e->six.sin6_port);
		memcpy(a.bytes, (const uint8_t *)&e->six.sin6_addr + (mapped ? 12 : 0),
			mapped ? 4 : 16);
	} else if (e->any.sa_family == AF_INET) {
		a.family = 4;
		a.port = ntohs(e->four.sin_port);
		memcpy(a.bytes, &e->four.sin_addr, 4);
	}
	return a;
}
