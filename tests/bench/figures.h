// SPDX-License-Identifier: MIT
// The figures: what is measured, and in which order.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "tests/bench/duct.h"
#include "tests/bench/series.h"

enum table { TABLE_LATENCY, TABLE_FIRST, TABLE_RATE, TABLE_VOLUME };

struct figure {
	enum table table;
	enum duct_kind kind;
	enum build build;     // of the nodes; BUILD_REAL where there are none
	size_t block;	      // bytes of a write
	struct series first;  // p50 in µs, messages/s or GB/s; empty: skipped
	struct series second; // p99 in µs
};

struct figures {
	size_t repetitions;
	struct figure *list;
	size_t count;
	struct series idle, used; // memory of a node, MB
};

// Measures everything, smokefs and what it is compared with in turn, and prints the tables. 0 or
// -errno.
int figures_run(struct place *place, bool quick);
// NULL: there is no such figure.
const struct figure *figures_find(const struct figures *figures, enum table table,
	enum duct_kind kind, enum build build, size_t block);
