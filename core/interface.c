// SPDX-License-Identifier: MIT
// Interfaces: IPv4 by netdevice(7), which knows no IPv6, and IPv6 by /proc.
#include "core/interface.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/endpoint.h"

#define REQUESTS 128 // addresses of IPv4 that are looked at
// One line of IPv6 is 54 bytes.
#define TABLE_BYTES (16 * KIB)

struct list {
	struct interface_address *out;
	size_t count, max;
	int fd;
};

static void add(struct list *l, const char *name, unsigned index, struct address address)
{
	struct ifreq request = { 0 };

	address.port = 1; // any one
	bool usable = address_dialable(&address);
	address.port = 0;
	memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	if (!usable || l->count == l->max || ioctl(l->fd, SIOCGIFFLAGS, &request) < 0 ||
		!(request.ifr_flags & IFF_UP) ||
		!(request.ifr_flags & (IFF_MULTICAST | IFF_LOOPBACK)))
		return;
	if (index == 0 && ioctl(l->fd, SIOCGIFINDEX, &request) == 0)
		index = (unsigned)request.ifr_ifindex;
	if (index)
		l->out[l->count++] = (struct interface_address){ index, address };
}

static void add_four(struct list *l)
{
	struct ifreq requests[REQUESTS];
	struct ifconf all = { .ifc_len = sizeof requests, .ifc_req = requests };

	if (ioctl(l->fd, SIOCGIFCONF, &all) < 0)
		return;
	for (size_t i = 0; i < (size_t)all.ifc_len / sizeof *requests; i++) {
		union endpoint e = { .any = requests[i].ifr_addr };
		struct address address = endpoint_get(&e);
		if (address.family == 4)
			add(l, requests[i].ifr_name, 0, address);
	}
}

// ADDRESS INDEX PREFIX SCOPE FLAGS NAME, all but the name in hexadecimal.
static void add_six_line(struct list *l, const char *line)
{
	struct address address = { .family = 6 };
	char digits[33], name[IFNAMSIZ];
	unsigned index, flags;

	if (sscanf(line, "%32[0-9a-f] %x %*x %*x %x %15s", digits, &index, &flags, name) != 4 ||
		strlen(digits) != 32 ||
		flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TEMPORARY))
		return;
	for (size_t i = 0; i < 16; i++) {
		unsigned byte;
		sscanf(digits + 2 * i, "%2x", &byte);
		address.bytes[i] = (uint8_t)byte;
	}
	add(l, name, index, address);
}

static void add_six(struct list *l)
{
	char table[TABLE_BYTES];
	size_t n = 0;
	ssize_t got = 0;
	// That of the network that this process is in.
	int fd = open("/proc/self/net/if_inet6", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	while (n < sizeof table - 1 && (got = read(fd, table + n, sizeof table - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	table[n] = '\0';
	for (char *line = table, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		add_six_line(l, line);
	}
}

size_t interface_list(struct interface_address *out, size_t max, int fd)
{
	struct list l = { .out = out, .max = max, .fd = fd };

	add_four(&l);
	add_six(&l);
	return l.count;
}
