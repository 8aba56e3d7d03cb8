// SPDX-License-Identifier: MIT
// Base32 of a node's id.
#include "core/id.h"

#include <errno.h>

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

struct id_text id_format(const struct id *id)
{
	struct id_text out;
	uint32_t bits = 0;
	int held = 0, at = 0;

	for (int i = 0; i < ID_BYTES; i++) {
		bits = bits << 8 | id->bytes[i];
		for (held += 8; held >= 5; held -= 5)
			out.text[at++] = alphabet[bits >> (held - 5) & 31];
	}
	out.text[at++] = alphabet[bits << (5 - held) & 31];
	out.text[at] = '\0';
	return out;
}

int id_parse(struct id *id, const char *text)
{
	struct id parsed;
	uint32_t bits = 0;
	int held = 0, at = 0;

	if (strnlen(text, ID_TEXT + 1) != ID_TEXT)
		return -EINVAL;
	for (int i = 0; i < ID_TEXT; i++) {
		const char *digit = strchr(alphabet, text[i]);
		if (!digit)
			return -EINVAL;
		bits = bits << 5 | (uint32_t)(digit - alphabet);
		held += 5;
		if (held >= 8 && at < ID_BYTES) {
			parsed.bytes[at++] = (uint8_t)(bits >> (held - 8));
			held -= 8;
		}
	}
	if (bits & ((1u << held) - 1))
		return -EINVAL;
	*id = parsed;
	return 0;
}
