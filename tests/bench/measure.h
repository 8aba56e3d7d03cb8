// SPDX-License-Identifier: MIT
// What is measured on a duct, by processes: one writes, one reads, or several do.
#pragma once

#include <stddef.h>

#include "tests/bench/duct.h"

#define LATENCY_BYTES	64
#define LATENCY_SAMPLES 5000 // at most

struct latency {
	double p50, p99; // seconds
};

// From before the write until a read that waits for it has returned, one message at a time.
// 0, or -errno, the reason being on stderr.
int measure_latency(struct latency *result, const struct duct *duct, unsigned samples);
// From before both ends are opened, by two processes at once, until the reader has the first byte.
int measure_first(struct latency *result, const char *from, const char *to, unsigned samples);
// Blocks of a size for a time, until the last of the readers has the last byte. Every block is
// numbered, and the reader checks. Gives blocks per second. Without a reader, until the last write
// returned.
int measure_flow(double *result, const struct duct *duct, size_t block, double seconds);
