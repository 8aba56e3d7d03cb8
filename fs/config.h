// SPDX-License-Identifier: MIT
// The files of `config`: settings that are read, and written to change them at once.
#pragma once

#include <stddef.h>

#include "core/buffer.h"
#include "core/node.h"
#include "fs/options.h"

struct config {
	struct options *options;   // borrowed: the values of now
	enum log_level *log_level; // borrowed: of the journal
};

// `key` is the name of a file that there is. Appends its value and a newline: 0 or -ENOMEM.
int config_read(const struct config *config, const char *key, struct buffer *out);
// One value, with a newline or without. 0, and if it is another one an event; else nothing has
// changed: -EINVAL not one value, or not one that goes with the others; -ERANGE out of bounds.
int config_write(
	struct config *config, struct node *node, const char *key, const void *text, size_t n);
