// SPDX-License-Identifier: MIT
// The tables of the results.
#pragma once

#include "tests/bench/figures.h"

// As docs/performance.md shows them, on stdout. 0 or -errno.
int report_print(const struct figures *figures, const struct place *place);
