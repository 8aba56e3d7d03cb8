// SPDX-License-Identifier: MIT
// Which members this node links to: those on the list of the authorized, when there is one, and
// never the denied.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/buffer.h"
#include "core/id.h"

#define ACCESS_MAX	16384	      // ids on either list
#define ACCESS_TEXT_MAX (1024 * 1024) // bytes of a list as text

struct access_entry;

struct access {
	bool restricted; // there is a list of the authorized
	struct access_entry *authorized, *denied;
};

void access_fini(struct access *a);
bool access_permits(const struct access *a, const struct id *id);
bool access_denied(const struct access *a, const struct id *id);
// Off the denied, and onto the authorized when there are any. 0, -ENOSPC, -ENOMEM.
int access_allow(struct access *a, const struct id *id);
// Onto the denied, off the authorized. 0, -ENOSPC, -ENOMEM.
int access_deny(struct access *a, const struct id *id);
// A list as text: one id a line; empty lines and what follows a # do not count. Adds to the
// authorized (and makes the node restricted) or to the denied. 0; -EINVAL with *line set to the
// line at fault (1-based), -ENOSPC, -ENOMEM.
int access_parse_authorized(struct access *a, const char *text, size_t n, unsigned *line);
int access_parse_denied(struct access *a, const char *text, size_t n, unsigned *line);
// Appends to `out` the text of a list with the id on it or off it. All other lines, comments too,
// stay as they are. 0 or -ENOMEM.
int access_edit(struct buffer *out, const char *text, size_t n, const struct id *id, bool listed);
