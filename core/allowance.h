// SPDX-License-Identifier: MIT
// How often something may happen: `burst` times at once, and once every `interval` after that (the
// generic cell rate algorithm of ITU-T I.371). All zero, nothing of it is used.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct allowance {
	uint64_t used_until; // microseconds after ALLOWANCE_EPOCH
};

// Long before any clock begins: what was never used is whole on a machine that has just started.
#define ALLOWANCE_EPOCH (UINT64_C(1) << 62)

static inline bool allowance_take(
	struct allowance *a, uint64_t now, uint64_t interval, uint64_t burst)
{
	uint64_t full = ALLOWANCE_EPOCH + now - interval * burst;
	if (a->used_until < full)
		a->used_until = full;
	if (a->used_until + interval > ALLOWANCE_EPOCH + now)
		return false;
	a->used_until += interval;
	return true;
}
