// SPDX-License-Identifier: MIT
// The texts of key files, peer lists and contacts. The first byte says what the rest is.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/access.h"
#include "core/contacts.h"
#include "core/keyfile.h"
#include "core/keyring.h"
#include "tests/fuzz/input.h"

static void check_keyring(const char *text, size_t n)
{
	struct keyring ring = { 0 }, again = { 0 };
	struct buffer out = BUFFER_INIT;
	char key[KEY_TEXT + 1];
	unsigned line;
	int r = keyring_parse(&ring, text, n, &line);

	if (r < 0) {
		assert(r == -EINVAL || r == -EEXIST || r == -ENOSPC);
		assert(memcmp(&ring, &again, sizeof ring) == 0);
		assert(line <= n);
		return;
	}
	assert(ring.count > 0 && ring.count <= KEYRING_MAX);
	// What was understood, written down, means the same.
	for (size_t i = 0; i < ring.count; i++) {
		assert(keyring_find(&ring, &ring.keys[i].name) == &ring.keys[i]);
		keyfile_encode(key, ring.keys[i].secret);
		buffer_append(&out, key, KEY_TEXT);
		buffer_append(&out, "\n", 1);
	}
	assert(keyring_parse(&again, (char *)buffer_bytes(&out), buffer_length(&out), &line) == 0);
	assert(memcmp(&ring, &again, sizeof ring) == 0);
	keyring_fini(&ring);
	keyring_fini(&again);
	buffer_fini(&out);
}

static void check_lists(const char *text, size_t n)
{
	struct access a = { 0 };
	struct id id = { { 1 } };
	unsigned line;
	int r = access_parse_authorized(&a, text, n, &line);

	assert(r == 0 || r == -EINVAL || r == -ENOSPC);
	assert(a.restricted && (r == 0 || (line > 0 && line <= n)));
	access_fini(&a);
	assert(access_parse_denied(&a, text, n, &line) == r);
	assert(!a.restricted && access_permits(&a, &id) == !access_denied(&a, &id));
	access_fini(&a);
}

// With the id on the list or off it; does the list, if it is one, say so?
static void check_edit(const char *text, size_t n, const struct id *id, bool listed)
{
	struct buffer out = BUFFER_INIT, again = BUFFER_INIT;
	struct access a = { 0 };
	unsigned line;
	bool good = access_parse_authorized(&a, text, n, &line) == 0;

	access_fini(&a);
	assert(access_edit(&out, text, n, id, listed) == 0);
	const char *edited = (char *)buffer_bytes(&out);
	int r = access_parse_authorized(&a, edited, buffer_length(&out), &line);
	assert(good == (r == 0));
	assert(r < 0 || access_permits(&a, id) == listed);
	access_fini(&a);
	// A second time changes nothing.
	assert(access_edit(&again, edited, buffer_length(&out), id, listed) == 0);
	assert(buffer_length(&again) == buffer_length(&out));
	assert(!edited || memcmp(buffer_bytes(&again), edited, buffer_length(&out)) == 0);
	buffer_fini(&out);
	buffer_fini(&again);
}

static void check_key(const char *text, size_t n)
{
	uint8_t secret[NETWORK_KEY_BYTES], again[NETWORK_KEY_BYTES];
	char key[KEY_TEXT + 1];

	if (!keyfile_decode(secret, text, n))
		return;
	assert(n == KEY_TEXT);
	keyfile_encode(key, secret);
	assert(strncasecmp(key, text, n) == 0);
	assert(keyfile_decode(again, key, KEY_TEXT) && memcmp(secret, again, sizeof again) == 0);
}

static void check_id(const char *text, size_t n)
{
	char *copy = strndup(text, n);
	struct id id;

	assert(copy);
	if (id_parse(&id, copy) == 0)
		assert(strcmp(id_format(&id).text, copy) == 0);
	free(copy);
}

static void take(void *context, const struct contact *c)
{
	assert(address_dialable(&c->address));
	view_add(context, 1, c);
}

static void parse_contacts(struct view *view, const struct keyring *ring, const struct buffer *text)
{
	contacts_parse((char *)buffer_bytes(text), buffer_length(text), ring, take, view);
	assert(view->count <= VIEW_MAX);
}

// Behind the line that says of which network they are.
static void check_contacts(const char *text, size_t n)
{
	struct buffer out = BUFFER_INIT, again = BUFFER_INIT;
	struct keyring ring = { 0 };
	struct view view = { 0 }, other = { 0 };

	assert(keyring_add(&ring, (const uint8_t[NETWORK_KEY_BYTES]){ 1 }) == 0);
	contacts_parse(text, n, &ring, take, &view);
	assert(contacts_write(&other, &ring, &out) == 0);
	buffer_append(&out, text, n);
	parse_contacts(&view, &ring, &out);
	// What was understood, written down, is understood again; an id at two addresses is one
	// node.
	assert(contacts_write(&view, &ring, &again) == 0);
	assert(buffer_length(&again) <= CONTACTS_TEXT_MAX);
	parse_contacts(&other, &ring, &again);
	assert(other.count <= view.count && (other.count > 0) == (view.count > 0));
	view_fini(&view);
	view_fini(&other);
	keyring_fini(&ring);
	buffer_fini(&out);
	buffer_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct input in = { bytes, n };
	size_t what = input_below(&in, 6);
	const char *text = (const char *)in.at;

	if (what == 0) {
		check_keyring(text, in.left);
	} else if (what == 1) {
		check_lists(text, in.left);
	} else if (what == 2) {
		check_key(text, in.left);
	} else if (what == 3) {
		check_id(text, in.left);
		check_contacts(text, in.left);
	} else {
		struct id id = { { 0 } };
		for (int i = 0; i < ID_BYTES; i++)
			id.bytes[i] = (uint8_t)input_number(&in, 1);
		check_edit((const char *)in.at, in.left, &id, what == 4);
	}
	return 0;
}
