// SPDX-License-Identifier: MIT
// What holds of a node between any two calls.
#pragma once

struct node;

// Asserts that its counts are right and its memory within limits.
void bounds_check(const struct node *node);
