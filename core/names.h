// SPDX-License-Identifier: MIT
// Names and whose they are. A name is nobody's by right: it belongs to the node that was first seen
// to use it, for as long as that is remembered, so that whoever comes later cannot take it over.
//
// As text: one claim a line, `ID NAME`, the one that was seen longest ago first.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <uthash.h>

#include "core/buffer.h"
#include "core/id.h"
#include "core/limits.h"

#define NAMES_TEXT_MAX (NAMES_MAX * (size_t)(ID_TEXT + NAME_MAX_LENGTH + 2))

struct name_claim {
	UT_hash_handle hh;
	struct id id;
	char name[NAME_MAX_LENGTH + 1];
};

struct names {
	struct name_claim *table; // by name, in the order in which they were last seen
	bool changed;		  // set by every new claim; whoever stores them clears it
};

void names_fini(struct names *names);
// Seen with this name: whether it is this node's. Above NAMES_MAX the claim that was seen longest
// ago is forgotten. False, too, for what is no name (see core/wire.h), or when memory is out.
bool names_seen(struct names *names, const char *name, const struct id *id);
// Whose it is; NULL: nobody's.
const struct id *names_holder(const struct names *names, const char *name);
// Adds claims from text; how many lines were none, and passed over.
size_t names_parse(struct names *names, const char *text, size_t n);
// Appends the text. 0 or -ENOMEM.
int names_write(const struct names *names, struct buffer *out);
