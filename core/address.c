// SPDX-License-Identifier: MIT
// Addresses as text. Parsing only: nothing here touches a socket or a resolver.
#include "core/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct address_text address_format_host(const struct address *a)
{
	struct address_text out = { "" };
	if (a->family)
		inet_ntop(a->family == 6 ? AF_INET6 : AF_INET, a->bytes, out.text, sizeof out.text);
	return out;
}

struct address_text address_format(const struct address *a)
{
	struct address_text out, host = address_format_host(a);
	if (a->family == 0)
		snprintf(out.text, sizeof out.text, "-");
	else
		snprintf(out.text, sizeof out.text, a->family == 6 ? "[%.45s]:%u" : "%.45s:%u",
			host.text, a->port);
	return out;
}

int address_parse_host(struct address *a, const char *host, uint16_t port)
{
	char bare[ADDRESS_TEXT];
	size_t n = strlen(host);
	struct address parsed = { .port = port };

	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	if (n >= sizeof bare)
		return -EINVAL;
	memcpy(bare, host, n);
	bare[n] = '\0';
	if (inet_pton(AF_INET, bare, parsed.bytes) == 1)
		parsed.family = 4;
	else if (inet_pton(AF_INET6, bare, parsed.bytes) == 1)
		parsed.family = 6;
	else
		return -EINVAL;
	*a = parsed;
	return 0;
}

static int parse_port(const char *text, uint16_t *port)
{
	char *end;
	if (*text < '0' || *text > '9' || strlen(text) > 5)
		return -EINVAL;
	unsigned long value = strtoul(text, &end, 10);
	if (*end || value == 0 || value > 65535)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

int address_split(const char *text, char *host, uint16_t *port, bool port_optional)
{
	const char *colon = strrchr(text, ':');
	const char *bracket = strrchr(text, ']');
	size_t n;

	if (bracket && colon && colon < bracket)
		colon = NULL;
	// Several colons and no bracket: a bare IPv6 address, whose end is no port.
	if (colon && !bracket && strchr(text, ':') != colon)
		colon = NULL;
	if (!colon && !port_optional)
		return -EINVAL;
	*port = 0;
	if (colon && parse_port(colon + 1, port) < 0)
		return -EINVAL;
	n = colon ? (size_t)(colon - text) : strlen(text);
	if (bracket) {
		if (text[0] != '[' || bracket != text + n - 1)
			return -EINVAL;
		text++;
		n -= 2;
	}
	if (n == 0 || n > HOST_MAX || memchr(text, '[', n) || memchr(text, ']', n))
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = '\0';
	return 0;
}

int address_parse(struct address *a, const char *text)
{
	char host[HOST_MAX + 1];
	uint16_t port;
	struct address parsed;
	if (address_split(text, host, &port, false) < 0 ||
		address_parse_host(&parsed, host, port) < 0 ||
		(parsed.family == 6) != (text[0] == '['))
		return -EINVAL;
	*a = parsed;
	return 0;
}

bool address_host_plausible(const char *host)
{
	static const char digits[] = "0123456789", other[] = "-_.";
	size_t n = strlen(host);
	if (n == 0 || n > HOST_MAX || strstr(host, "..") || *host == '.' || *host == '-')
		return false;
	for (const char *c = host; *c; c++)
		if (!((*c | 32) >= 'a' && (*c | 32) <= 'z') && !strchr(digits, *c) &&
			!strchr(other, *c))
			return false;
	if (host[n - 1] == '.')
		n--;
	size_t label = n;
	while (label > 0 && host[label - 1] != '.')
		label--;
	return strspn(host + label, digits) < n - label;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && a->port == b->port &&
	       memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool address_same_host(const struct address *a, const struct address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool address_is_loopback(const struct address *a)
{
	static const uint8_t six[16] = { [15] = 1 };
	if (a->family == 4)
		return a->bytes[0] == 127;
	return a->family == 6 && memcmp(a->bytes, six, sizeof six) == 0;
}

static bool is_dialable_six(const uint8_t *bytes)
{
	static const uint8_t zero[16], mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (memcmp(bytes, zero, 16) == 0 || memcmp(bytes, mapped, 12) == 0)
		return false;
	return bytes[0] != 0xff && !(bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80);
}

bool address_dialable(const struct address *a)
{
	if (a->port == 0)
		return false;
	// "This network", and from 224.0.0.0 on: multicast, reserved, broadcast (RFC 6890).
	if (a->family == 4)
		return a->bytes[0] != 0 && a->bytes[0] < 224;
	return a->family == 6 && is_dialable_six(a->bytes);
}
