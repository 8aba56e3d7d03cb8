// SPDX-License-Identifier: MIT
// Settings of a node that change while it runs, and what has to follow.
#pragma once

#include <stdint.h>

struct node;
struct node_config;

// Puts the defaults where nothing is set.
void retune_defaults(struct node_config *config);
// Goes on with giving up the peers above a max_peers that was lowered.
void retune_shrink(struct node *node);
// When that has something to do at the latest, unless a link goes before.
uint64_t retune_due(const struct node *node);
