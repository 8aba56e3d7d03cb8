// SPDX-License-Identifier: MIT
// How often something may happen: `burst` times at once, and once every `interval` after that (the
// generic cell rate algorithm of ITU-T I.371). All zero, nothing of it is used.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct allowance {
	// Microseconds; 0: never used. On a machine that has just started, before its clock began.
	int64_t used_until;
};

static inline bool allowance_take(
	struct allowance *a, uint64_t now, uint64_t interval, uint64_t burst)
{
	int64_t full = (int64_t)now - (int64_t)(interval * burst);
	if (a->used_until == 0 || a->used_until < full)
		a->used_until = full;
	if (a->used_until + (int64_t)interval > (int64_t)now)
		return false;
	a->used_until += (int64_t)interval;
	return true;
}
