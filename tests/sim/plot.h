// SPDX-License-Identifier: MIT
// Curves over time, drawn by gnuplot.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tests/sim/sim.h"

struct sample {
	double seconds;
	double delivered; // of all that was written so far, as a share
	double degree;	  // mean
	double components;
};

struct plot {
	const char *file;
	struct sample *samples;
	size_t count, capacity;
};

void plot_sample(struct plot *p, struct sim *s);
// 0, or -errno: -ENOENT is a gnuplot that is not installed.
int plot_draw(const struct plot *p, const char *title);
void plot_fini(struct plot *p);
