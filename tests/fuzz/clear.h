// SPDX-License-Identifier: MIT
// The channel of tests/fuzz/clear.c.
#pragma once

#include <stdbool.h>

// What arrives next, on any link, was damaged on the way.
extern bool clear_damage;
