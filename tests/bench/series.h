// SPDX-License-Identifier: MIT
// One figure, measured several times.
#pragma once

#include <stddef.h>

#define SERIES_MAX 32

struct series {
	double values[SERIES_MAX];
	size_t count;
};

struct spread {
	double median, lowest, highest;
};

void series_add(struct series *s, double value);
struct spread series_spread(const struct series *s);
// Value by value, as both were measured side by side; those of `b` are added up with those of `c`,
// which may be NULL.
struct series series_ratio(const struct series *a, const struct series *b, const struct series *c);
