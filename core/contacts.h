// SPDX-License-Identifier: MIT
// Whom a node could dial, as text that outlives it: so a restart needs no seed.
//
// The first line is `network N`, N the name of the network key in 16 hexadecimal digits; whom
// another network's nodes were is of no use. Then one contact a line: `ADDRESS ID`, and `-` for an
// id that is not known.
#pragma once

#include <stddef.h>

#include "core/buffer.h"
#include "core/keyring.h"
#include "core/view.h"

#define CONTACTS_TEXT_MAX ((VIEW_MAX + 1) * (size_t)(ADDRESS_TEXT + ID_TEXT + 2))

// Calls `each` for every contact that can be read; how many lines are damaged. Of a network that
// `ring` has no key of there is nothing to read.
size_t contacts_parse(const char *text, size_t n, const struct keyring *ring,
	void (*each)(void *context, const struct contact *c), void *context);
// Appends up to VIEW_MAX of those that have an address, those that have answered first. 0 or
// -ENOMEM.
int contacts_write(const struct view *view, const struct keyring *ring, struct buffer *out);
