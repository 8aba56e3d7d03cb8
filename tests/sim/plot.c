// SPDX-License-Identifier: MIT
#include "tests/sim/plot.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/check.h"

void plot_sample(struct plot *p, struct sim *s)
{
	struct census c = check_census(s);
	uint64_t wanted = 0, arrived = 0;

	if (p->count == p->capacity) {
		p->capacity = p->capacity ? 2 * p->capacity : 256;
		p->samples = realloc(p->samples, p->capacity * sizeof *p->samples);
		assert(p->samples);
	}
	for (uint32_t k = 0; k < s->options.sources; k++)
		for (uint32_t i = 1; i <= s->published[k]; i++) {
			wanted += c.nodes - 1;
			arrived += s->fates[k][i].arrived;
		}
	p->samples[p->count++] = (struct sample){
		.seconds = (double)(s->now - SIM_START) / SECOND,
		.delivered = wanted ? (double)arrived / (double)wanted : 1,
		.degree = c.nodes ? 2.0 * (double)c.links / c.nodes : 0,
		.components = c.components,
	};
}

int plot_draw(const struct plot *p, const char *title)
{
	FILE *gnuplot = popen("gnuplot -", "w");
	if (!gnuplot)
		return -errno;
	fprintf(gnuplot,
		"set terminal svg size 800,480 background '#ffffff'\n"
		"set output '%s'\nset title '%s'\nset xlabel 'seconds'\nset grid\n"
		"set key outside bottom center horizontal\n"
		"set ylabel 'delivered (share), degree (mean)'\nset yrange [0:*]\n"
		"set y2label 'components'\nset logscale y2\nset y2tics\n$data << EOD\n",
		p->file, title);
	for (size_t i = 0; i < p->count; i++)
		fprintf(gnuplot, "%.3f %.6f %.3f %.0f\n", p->samples[i].seconds,
			p->samples[i].delivered, p->samples[i].degree, p->samples[i].components);
	fprintf(gnuplot, "EOD\n"
			 "plot $data using 1:2 with lines lw 2 title 'delivered', "
			 "$data using 1:3 with lines lw 2 title 'degree', "
			 "$data using 1:4 axes x1y2 with lines lw 2 title 'components'\n");
	int status = pclose(gnuplot);
	return status == 0 ? 0 : status == 127 << 8 ? -ENOENT : -EIO;
}

void plot_fini(struct plot *p)
{
	free(p->samples);
	*p = (struct plot){ 0 };
}
