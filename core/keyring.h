// SPDX-License-Identifier: MIT
// The network's keys: who holds one is a member. The first one proves and signs, all are
// accepted, so that a key can be changed without a day on which nobody understands anybody.
//
// As text: one key a line, 64 hexadecimal digits; empty lines and lines that begin with # do not
// count.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETWORK_KEY_BYTES  32
#define NETWORK_NAME_BYTES 8
#define KEYRING_MAX	   8	       // keys
#define KEYRING_TEXT_MAX   (16 * 1024) // bytes of a key file

// What names a key without telling it: the first bytes of the SHA-256 of a tag and the key.
struct network_name {
	uint8_t bytes[NETWORK_NAME_BYTES];
};

struct network_key {
	uint8_t secret[NETWORK_KEY_BYTES];
	struct network_name name;
};

struct keyring {
	struct network_key keys[KEYRING_MAX]; // the first is used
	size_t count;
	// Names of keys that were in here before: what was signed for this network under them is
	// still of this network. They open nothing.
	struct network_name retired[KEYRING_MAX];
	size_t retired_count;
};

// Adds a key at the end. 0; -EEXIST; -ENOSPC; -ENOMEM.
int keyring_add(struct keyring *ring, const uint8_t secret[NETWORK_KEY_BYTES]);
// Reads the text of a key file into an empty ring. 0; -EINVAL with *line set to the line at fault
// (1-based; 0: the text has no key at all or is too long); -EEXIST (twice the same), -ENOSPC with
// *line, too; -ENOMEM. On an error the ring is empty and cleansed.
int keyring_parse(struct keyring *ring, const char *text, size_t n, unsigned *line);
// Puts `fresh` in the place of what is in `ring`, whose keys become retired names (the oldest are
// forgotten first); cleanses `fresh`.
void keyring_replace(struct keyring *ring, struct keyring *fresh);
// The key of that name; NULL: none that opens.
const struct network_key *keyring_find(const struct keyring *ring, const struct network_name *name);
// The name as a number, most significant byte first, for people to compare.
uint64_t keyring_number(const struct network_name *name);
// Does the name belong to this network, now or earlier in this process's life?
bool keyring_knows(const struct keyring *ring, const struct network_name *name);
// Overwrites all of it.
void keyring_fini(struct keyring *ring);
