// SPDX-License-Identifier: MIT
// The figures: what is measured, in which order, and the table of the results.
#pragma once

#include <stdbool.h>

struct place;

// Measures everything, smokefs and floors in turn, and prints the table. 0 or -errno.
int figures_run(struct place *place, bool quick);
