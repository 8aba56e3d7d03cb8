// SPDX-License-Identifier: MIT
// Experiments: what is done to a network, what is measured, and what it has to come to.
#pragma once

#include "tests/sim/plot.h"
#include "tests/sim/sim.h"

struct setup {
	struct sim_options options;
	uint64_t time;	  // of the part that is measured, 0: the experiment's own
	uint32_t percent; // of the nodes that something happens to
	uint32_t seeds;	  // nodes that all others know, 0: the experiment's own
	uint32_t runs;
	uint32_t messages; // of each source, where an experiment counts them; 0: its own
};

struct experiment {
	const char *name;
	const char *about;
	// Changes what was not asked for on the command line.
	void (*prepare)(struct setup *setup);
	// Prints `key value` lines. False: a number is beyond its target.
	bool (*run)(struct sim *s, const struct setup *setup);
};

// Samples are taken for it while an experiment runs; NULL: for nobody.
void experiment_watch(struct plot *plot);

extern const struct experiment experiments[];
extern const size_t experiment_count;
