// SPDX-License-Identifier: MIT
// An IPv4 or IPv6 address with a port, as a value. Text: 10.0.0.5:8495, [fe80::1]:8495.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/limits.h"

struct address {
	uint8_t family;	   // 4, 6, or 0 for none
	uint8_t bytes[16]; // network order; IPv4 uses the first four, the rest is zero
	uint16_t port;	   // host order
};

#define ADDRESS_TEXT 56

struct address_text {
	char text[ADDRESS_TEXT];
};

struct address_text address_format(const struct address *a);
// The host alone, without port and brackets.
struct address_text address_format_host(const struct address *a);
// "1.2.3.4:5" or "[::1]:5": 0, or -EINVAL. A port of 0 is invalid.
int address_parse(struct address *a, const char *text);
// "1.2.3.4" or "::1" (or "[::1]"), port set to `port`.
int address_parse_host(struct address *a, const char *host, uint16_t port);
// Splits "host:port" or "[v6]:port" into host (without brackets, HOST_MAX + 1 bytes) and port
// (0: none given, when `port_optional`). 0 or -EINVAL.
int address_split(const char *text, char *host, uint16_t *port, bool port_optional);
// Could it be a host's name? Letters, digits, '-', '_' and '.', and not something that is meant
// to be a number: 300.1.1.1 is a wrong address and not a name.
bool address_host_plausible(const char *host);
bool address_equal(const struct address *a, const struct address *b);
bool address_same_host(const struct address *a, const struct address *b); // whatever the port
bool address_is_loopback(const struct address *a);
// May it be dialled, and told to others as a place to dial? One host on any network: not the
// unspecified address, no multicast or broadcast, and of IPv6 nothing link-local, which means
// nothing without an interface, and no IPv4 in disguise.
bool address_dialable(const struct address *a);
