// SPDX-License-Identifier: MIT
// Files that grow: `events` and `messages`. Lines of text at absolute offsets that never change,
// trimmed at the front.
#pragma once

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/handle.h"

struct logs_extent {
	uint64_t begin, end; // offsets: of what is there
	uint64_t changed;    // wall clock of the latest line, 0: none
};

// Of a TREE_LOG.
struct logs_extent logs_measure(struct node *node, enum tree_type type);
// Answers the request.
void logs_read(struct handle *h, fuse_req_t req, size_t size, uint64_t offset);
// Is there more than the handle has read?
bool logs_grown(const struct handle *h);
