// SPDX-License-Identifier: MIT
// Memory that runs out now and then for nodes, and never for the simulator: the linker puts these
// in the place of malloc(3) and its like (--wrap).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/random.h"

// From here on `rate` of 10,000 allocations fail; 0: none.
void memory_fail(uint32_t rate, struct random *random);
// Whether it may fail now; returns what held before.
bool memory_may_fail(bool may);
uint64_t memory_failed(void); // so far
