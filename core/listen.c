// SPDX-License-Identifier: MIT
// Listening sockets and the addresses of interfaces. Accepting is core/net.c's.
#include "core/listen.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "core/endpoint.h"

#define BACKLOG 128

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value);
}

static int listen_once(const struct address *address, bool both)
{
	union endpoint e;
	socklen_t size = endpoint_set(&e, address);
	int fd = socket(e.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (r == 0 && address->family == 6)
		r = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !both);
	if (r == 0)
		r = bind(fd, &e.any, size);
	// Two sockets may be bound to one port; only one may listen, so this can say EADDRINUSE.
	if (r == 0)
		r = listen(fd, BACKLOG);
	if (r == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static int listen_everywhere(uint16_t port)
{
	int fd = listen_once(&(struct address){ .family = 6, .port = port }, true);

	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = listen_once(&(struct address){ .family = 4, .port = port }, false);
	return fd;
}

static int listen_at(const struct address *address)
{
	return address->family ? listen_once(address, false) : listen_everywhere(address->port);
}

int listen_open(struct address *address)
{
	if (address->port)
		return listen_at(address);
	for (uint32_t port = LISTEN_PORT; port <= UINT16_MAX; port++) {
		address->port = (uint16_t)port;
		int fd = listen_at(address);
		if (fd != -EADDRINUSE)
			return fd;
	}
	return -EADDRINUSE;
}

// Own addresses.

struct found {
	struct address *out;
	size_t count, max;
	uint16_t port;
	bool six;	 // the socket has IPv6
	bool link_local; // for want of better ones
};

static bool is_link_local(const struct address *a)
{
	return a->family == 4 && a->bytes[0] == 169 && a->bytes[1] == 254;
}

static void add(struct found *f, struct address a)
{
	a.port = f->port;
	if (f->count == f->max || !address_dialable(&a) || address_is_loopback(&a) ||
		(is_link_local(&a) && !f->link_local) || (a.family == 6 && !f->six))
		return;
	for (size_t i = 0; i < f->count; i++)
		if (address_equal(&f->out[i], &a))
			return;
	f->out[f->count++] = a;
}

// Connecting a datagram socket chooses its own address and sends nothing.
static void add_source(struct found *f, const struct address *toward)
{
	union endpoint e;
	socklen_t size = endpoint_set(&e, toward);
	int fd = socket(e.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	if (connect(fd, &e.any, size) == 0) {
		size = sizeof e;
		if (getsockname(fd, &e.any, &size) == 0)
			add(f, endpoint_get(&e));
	}
	close(fd);
}

static void add_interfaces(struct found *f)
{
	struct ifaddrs *list;

	if (getifaddrs(&list) < 0)
		return;
	for (const struct ifaddrs *i = list; i; i = i->ifa_next)
		if (i->ifa_addr && (i->ifa_flags & IFF_UP))
			add(f, endpoint_get((const union endpoint *)i->ifa_addr));
	freeifaddrs(list);
}

size_t listen_detect(struct address *out, size_t max, int fd, const struct address *toward)
{
	// Addresses for documentation (RFC 5737, RFC 3849): they are nobody's, so that only a
	// default route leads there. Port 9 is discard.
	static const struct address far_four = { 4, { 192, 0, 2, 1 }, 9 };
	static const struct address far_six = { 6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 }, 9 };
	struct found f = { .out = out, .max = max };
	union endpoint own = { 0 };
	socklen_t size = sizeof own;

	if (getsockname(fd, &own.any, &size) == 0) {
		// Both ports are at the same place.
		f.port = ntohs(own.four.sin_port);
		f.six = own.any.sa_family == AF_INET6;
	}
	if (toward->family && !address_is_loopback(toward))
		add_source(&f, toward);
	add_source(&f, &far_four);
	add_source(&f, &far_six);
	add_interfaces(&f);
	f.link_local = true;
	if (f.count == 0)
		add_interfaces(&f);
	if (f.count == 0)
		out[f.count++] = (struct address){ 4, { 127, 0, 0, 1 }, f.port };
	return f.count;
}

static bool prefix_equal(const struct address *a, const struct address *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	if (a->family != b->family || memcmp(a->bytes, b->bytes, whole) != 0)
		return false;
	return rest == 0 || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0;
}

int listen_find_interface(struct address *found, const struct address *subnet, unsigned bits)
{
	struct ifaddrs *list;
	int r = -ENOENT;

	if (getifaddrs(&list) < 0)
		return -errno;
	for (const struct ifaddrs *i = list; i && r < 0; i = i->ifa_next) {
		if (!i->ifa_addr)
			continue;
		struct address a = endpoint_get((const union endpoint *)i->ifa_addr);
		if (!prefix_equal(&a, subnet, bits))
			continue;
		a.port = subnet->port;
		*found = a;
		r = 0;
	}
	freeifaddrs(list);
	return r;
}
