// SPDX-License-Identifier: MIT
// A node's identity: 128 bits, written as 26 characters of base32 (RFC 4648, lower case, no
// padding).
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ID_BYTES 16
#define ID_TEXT	 26 // without the terminator

struct id {
	uint8_t bytes[ID_BYTES];
};

struct id_text {
	char text[ID_TEXT + 1];
};

struct id_text id_format(const struct id *id);
// 0, or -EINVAL when text is not the one canonical form of an id.
int id_parse(struct id *id, const char *text);

static inline int id_compare(const struct id *a, const struct id *b)
{
	return memcmp(a->bytes, b->bytes, ID_BYTES);
}

static inline bool id_equal(const struct id *a, const struct id *b)
{
	return id_compare(a, b) == 0;
}

static inline bool id_is_zero(const struct id *id)
{
	static const struct id zero;
	return id_equal(id, &zero);
}
