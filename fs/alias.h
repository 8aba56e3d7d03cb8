// SPDX-License-Identifier: MIT
// Other names of everybody in the network: by-name/ and by-address/, directories of symbolic links
// to what can be found in peers/.
//
// A name or an address leads to one node. Where several go by one, the others have their id added:
// name~k3f7q2ma. A name is whose it was first (core/names), that of this node is its own; an
// address is that of the peer that was linked first, or of the member that was heard of first.
#pragma once

#include <limits.h>
#include <stdint.h>

#include "core/node.h"

// Before the id in what a link holds.
#define ALIAS_TARGET "../peers/"
#define ALIAS_MARK   '~'
#define ALIAS_ID     8 // characters of an id

enum alias_kind { ALIAS_NAME, ALIAS_ADDRESS };

struct alias {
	char text[NAME_MAX_LENGTH + 1 + ALIAS_ID + 1];
	uint32_t serial; // of the peer
};
_Static_assert(ADDRESS_TEXT <= NAME_MAX_LENGTH + 1, "addresses fit, too");

// The serial number of the peer that goes by this; 0: nobody does.
uint32_t alias_find(const struct node *node, enum alias_kind kind, const char *text);
// Calls back for each, until that gives something other than 0, and returns that. -ENOMEM.
int alias_each(const struct node *node, enum alias_kind kind,
	int (*each)(void *context, const struct alias *alias), void *context);
