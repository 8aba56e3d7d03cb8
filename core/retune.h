// SPDX-License-Identifier: MIT
// Settings of a node that change while it runs, and what has to follow.
#pragma once

struct node;
struct node_config;

// Puts the defaults where nothing is set.
void retune_defaults(struct node_config *config);
// Goes on with giving up the peers above a max_peers that was lowered.
void retune_shrink(struct node *node);
