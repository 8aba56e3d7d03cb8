// SPDX-License-Identifier: MIT
#include "core/contacts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CONTACT_LINE (ADDRESS_TEXT + ID_TEXT + 2)

// Cuts the line in two.
static bool read_line(char *line, struct contact *c)
{
	char *id = strchr(line, ' ');

	*c = (struct contact){ 0 };
	if (!id)
		return false;
	*id++ = '\0';
	if (strcmp(id, "-") != 0 && id_parse(&c->id, id) < 0)
		return false;
	return address_parse(&c->address, line) == 0 && address_dialable(&c->address);
}

static bool names_network(const char *line, const struct keyring *ring)
{
	char expected[CONTACT_LINE];
	for (size_t i = 0; i < ring->count; i++) {
		snprintf(expected, sizeof expected, "network %016" PRIx64,
			keyring_number(&ring->keys[i].name));
		if (strcmp(line, expected) == 0)
			return true;
	}
	return false;
}

size_t contacts_parse(const char *text, size_t n, const struct keyring *ring,
	void (*each)(void *context, const struct contact *c), void *context)
{
	size_t bad = 0, number = 0;

	while (n) {
		const char *end = memchr(text, '\n', n);
		size_t length = end ? (size_t)(end - text) : n;
		char line[CONTACT_LINE];
		struct contact c;
		// One without its end has been cut off.
		bool whole = end && length < sizeof line && !memchr(text, '\0', length);
		if (whole) {
			memcpy(line, text, length);
			line[length] = '\0';
		}
		if (number++ == 0) {
			if (!whole || !names_network(line, ring))
				return 0;
		} else if (whole && read_line(line, &c)) {
			each(context, &c);
		} else {
			bad++;
		}
		length += end != NULL;
		text += length;
		n -= length;
	}
	return bad;
}

static void write_entry(struct buffer *out, const struct view *view, const struct view_entry *e)
{
	struct address way = view_address(view, e);
	struct address_text address = address_format(&way);
	buffer_append(out, address.text, strlen(address.text));
	buffer_append(out, " ", 1);
	if (id_is_zero(&e->id))
		buffer_append(out, "-", 1);
	else
		buffer_append(out, id_format(&e->id).text, ID_TEXT);
	buffer_append(out, "\n", 1);
}

int contacts_write(const struct view *view, const struct keyring *ring, struct buffer *out)
{
	char line[CONTACT_LINE];
	const struct view_entry *e;
	size_t count = 0;

	int n = snprintf(
		line, sizeof line, "network %016" PRIx64 "\n", keyring_number(&ring->keys[0].name));
	buffer_append(out, line, (size_t)n);
	for (int reached = 1; reached >= 0; reached--)
		VIEW_FOREACH (view, e)
			if (e->reached == reached && e->kind != VIEW_NAME && !e->self &&
				count++ < VIEW_MAX)
				write_entry(out, view, e);
	return buffer_failed(out) ? -ENOMEM : 0;
}
