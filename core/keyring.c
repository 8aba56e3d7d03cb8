// SPDX-License-Identifier: MIT
// The network's keys, from text and to names. Reads no files.
#include "core/keyring.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "core/identity.h"

static const char tag[] = "smokefs/1 network key name";

static bool same(const struct network_name *a, const struct network_name *b)
{
	return memcmp(a->bytes, b->bytes, NETWORK_NAME_BYTES) == 0;
}

static int name_of(const uint8_t secret[NETWORK_KEY_BYTES], struct network_name *name)
{
	uint8_t text[sizeof tag + NETWORK_KEY_BYTES];
	uint8_t hash[DIGEST_BYTES];

	memcpy(text, tag, sizeof tag);
	memcpy(text + sizeof tag, secret, NETWORK_KEY_BYTES);
	int r = digest(text, sizeof text, hash);
	OPENSSL_cleanse(text, sizeof text);
	if (r == 0)
		memcpy(name->bytes, hash, NETWORK_NAME_BYTES);
	return r;
}

int keyring_add(struct keyring *ring, const uint8_t secret[NETWORK_KEY_BYTES])
{
	struct network_name name;
	int r = name_of(secret, &name);
	if (r < 0)
		return r;
	if (keyring_find(ring, &name))
		return -EEXIST;
	if (ring->count == KEYRING_MAX)
		return -ENOSPC;
	struct network_key *key = &ring->keys[ring->count++];
	memcpy(key->secret, secret, NETWORK_KEY_BYTES);
	key->name = name;
	return 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static int add_line(struct keyring *ring, const char *text, size_t n)
{
	uint8_t secret[NETWORK_KEY_BYTES];
	int r = -EINVAL;

	while (n && blank(text[0]))
		text++, n--;
	while (n && blank(text[n - 1]))
		n--;
	if (n == 0 || text[0] == '#')
		return 0;
	if (n != 2 * NETWORK_KEY_BYTES)
		return -EINVAL;
	for (size_t i = 0; i < NETWORK_KEY_BYTES; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			goto out;
		secret[i] = (uint8_t)(high << 4 | low);
	}
	r = keyring_add(ring, secret);
out:
	OPENSSL_cleanse(secret, sizeof secret);
	return r;
}

int keyring_parse(struct keyring *ring, const char *text, size_t n, unsigned *line)
{
	int r = -EINVAL;

	*line = 0;
	if (n > KEYRING_TEXT_MAX)
		goto fail;
	while (n) {
		const char *end = memchr(text, '\n', n);
		size_t length = end ? (size_t)(end - text) : n;
		++*line;
		// A comment may say what it likes, but text it must be.
		r = memchr(text, '\0', length) ? -EINVAL : add_line(ring, text, length);
		if (r < 0)
			goto fail;
		length += end ? 1 : 0;
		text += length;
		n -= length;
	}
	*line = 0;
	if (ring->count)
		return 0;
	r = -EINVAL;
fail:
	keyring_fini(ring);
	return r;
}

// The latest at the end, each once.
static void retire(struct keyring *ring, const struct network_name *name)
{
	size_t at = 0;
	while (at < ring->retired_count && !same(&ring->retired[at], name))
		at++;
	if (at == KEYRING_MAX)
		at = 0;
	else if (at == ring->retired_count)
		ring->retired_count++;
	struct network_name kept = *name;
	memmove(&ring->retired[at], &ring->retired[at + 1],
		(ring->retired_count - at - 1) * sizeof ring->retired[0]);
	ring->retired[ring->retired_count - 1] = kept;
}

void keyring_replace(struct keyring *ring, struct keyring *fresh)
{
	for (size_t i = ring->count; i-- > 0;)
		if (!keyring_find(fresh, &ring->keys[i].name))
			retire(ring, &ring->keys[i].name);
	OPENSSL_cleanse(ring->keys, sizeof ring->keys);
	memcpy(ring->keys, fresh->keys, sizeof ring->keys);
	ring->count = fresh->count;
	keyring_fini(fresh);
}

const struct network_key *keyring_find(const struct keyring *ring, const struct network_name *name)
{
	for (size_t i = 0; i < ring->count; i++)
		if (same(&ring->keys[i].name, name))
			return &ring->keys[i];
	return NULL;
}

uint64_t keyring_number(const struct network_name *name)
{
	uint64_t number = 0;
	for (size_t i = 0; i < NETWORK_NAME_BYTES; i++)
		number = number << 8 | name->bytes[i];
	return number;
}

bool keyring_knows(const struct keyring *ring, const struct network_name *name)
{
	for (size_t i = 0; i < ring->retired_count; i++)
		if (same(&ring->retired[i], name))
			return true;
	return keyring_find(ring, name) != NULL;
}

void keyring_fini(struct keyring *ring)
{
	OPENSSL_cleanse(ring, sizeof *ring);
}
