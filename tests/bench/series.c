// SPDX-License-Identifier: MIT
// Medians and ratios.
#include "tests/bench/series.h"

#include <assert.h>
#include <stdlib.h>

void series_add(struct series *s, double value)
{
	assert(s->count < SERIES_MAX);
	s->values[s->count++] = value;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

struct spread series_spread(const struct series *s)
{
	struct series sorted = *s;

	if (s->count == 0)
		return (struct spread){ 0 };
	qsort(sorted.values, sorted.count, sizeof *sorted.values, compare);
	return (struct spread){
		.median = sorted.values[sorted.count / 2],
		.lowest = sorted.values[0],
		.highest = sorted.values[sorted.count - 1],
	};
}

struct series series_ratio(const struct series *a, const struct series *b, const struct series *c)
{
	struct series ratio = { 0 };

	for (size_t i = 0; i < a->count; i++)
		series_add(&ratio, a->values[i] / (b->values[i] + (c ? c->values[i] : 0)));
	return ratio;
}
