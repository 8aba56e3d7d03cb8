// SPDX-License-Identifier: MIT
// Planted bugs, to see whether the invariants would catch such a one. See core/mutant.h.
#pragma once

#include <stdbool.h>

// False: there is none of that name.
bool mutant_choose(const char *name);
int mutant_list(void);
