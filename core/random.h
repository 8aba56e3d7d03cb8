// SPDX-License-Identifier: MIT
// A seeded generator for jitter and choice (splitmix64; Steele, Lea and Flood 2014). Never for
// secrets: the same seed gives the same run, which is its point.
#pragma once

#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

// Uniform in [0, n), n > 0. The bias of the remainder is below 2^-32 for every n used here.
static inline uint64_t random_below(struct random *r, uint64_t n)
{
	return random_next(r) % n;
}

// `value`, moved by up to a quarter either way.
static inline uint64_t random_jitter(struct random *r, uint64_t value)
{
	return value - value / 4 + random_below(r, value / 2 + 1);
}
