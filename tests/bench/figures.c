// SPDX-License-Identifier: MIT
// A repetition goes through all figures once, so that what disturbs the machine for a while
// disturbs smokefs and its floors alike.
#include "tests/bench/figures.h"

#include <fuse_lowlevel.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tests/bench/measure.h"
#include "tests/bench/place.h"
#include "tests/bench/series.h"

#define KIB 1024
#define MIB (1024 * KIB)

#define LATENCY_TARGET 1.5 // at most
#define RATE_TARGET    0.7 // at least
#define MEMORY_TARGET  8.0 // MB, less than

enum table { TABLE_LATENCY, TABLE_RATE, TABLE_VOLUME };

struct figure {
	enum table table;
	enum duct_kind kind;
	size_t block;
	struct series first;  // p50 in µs, messages/s or GB/s
	struct series second; // p99 in µs
};

struct effort {
	size_t repetitions;
	double seconds; // of a flow
	unsigned samples;
	unsigned idle; // seconds, before memory is looked at
};

static const struct effort efforts[] = {
	{ .repetitions = 5, .seconds = 0.6, .samples = 3000, .idle = 3 },
	{ .repetitions = 1, .seconds = 0.1, .samples = 300, .idle = 1 },
};

// A floor follows what it is the floor of.
static struct figure figures[] = {
	{ TABLE_LATENCY, DUCT_BROADCAST, LATENCY_BYTES },
	{ TABLE_LATENCY, DUCT_WAKE, LATENCY_BYTES },
	{ TABLE_LATENCY, DUCT_TCP, LATENCY_BYTES },
	{ TABLE_LATENCY, DUCT_STREAM, LATENCY_BYTES },
	{ TABLE_LATENCY, DUCT_UNIX, LATENCY_BYTES },
	{ TABLE_LATENCY, DUCT_PIPE, LATENCY_BYTES },
	{ TABLE_RATE, DUCT_BROADCAST, 64 },
	{ TABLE_RATE, DUCT_NOOP, 64 },
	{ TABLE_RATE, DUCT_STREAM, 64 },
	{ TABLE_VOLUME, DUCT_BROADCAST, 64 * KIB },
	{ TABLE_VOLUME, DUCT_STREAM, 64 * KIB },
	{ TABLE_VOLUME, DUCT_NOOP, 64 * KIB },
	{ TABLE_VOLUME, DUCT_TCP, 64 * KIB },
	{ TABLE_VOLUME, DUCT_PIPE, 64 * KIB },
	{ TABLE_VOLUME, DUCT_BROADCAST, 1 * MIB },
	{ TABLE_VOLUME, DUCT_STREAM, 1 * MIB },
	{ TABLE_VOLUME, DUCT_NOOP, 1 * MIB },
	{ TABLE_VOLUME, DUCT_TCP, 1 * MIB },
	{ TABLE_VOLUME, DUCT_PIPE, 1 * MIB },
};
#define FIGURES (sizeof figures / sizeof *figures)

// Measuring.

static int take_latency(struct figure *f, const struct duct *duct, const struct effort *effort)
{
	struct latency latency;
	int r = measure_latency(&latency, duct, effort->samples);

	if (r < 0)
		return r;
	series_add(&f->first, latency.p50 * 1e6);
	series_add(&f->second, latency.p99 * 1e6);
	return 0;
}

static int take_flow(struct figure *f, const struct duct *duct, const struct effort *effort)
{
	double blocks;
	int r = measure_flow(&blocks, duct, f->block, effort->seconds);

	if (r < 0)
		return r;
	series_add(&f->first, f->table == TABLE_RATE ? blocks : blocks * (double)f->block / 1e9);
	return 0;
}

static int take(struct figure *f, const struct place *place, const struct effort *effort)
{
	struct duct duct;
	int r = duct_open(&duct, f->kind, place);

	if (r == 0)
		r = f->table == TABLE_LATENCY ? take_latency(f, &duct, effort)
					      : take_flow(f, &duct, effort);
	if (r < 0)
		fprintf(stderr, "bench: %s, %zu bytes: %s\n", duct_name(f->kind), f->block,
			strerror(-r));
	duct_close(&duct);
	return r;
}

static const struct figure *find(enum table table, enum duct_kind kind)
{
	for (size_t i = 0; i < FIGURES; i++)
		if (figures[i].table == table && figures[i].kind == kind)
			return &figures[i];
	return NULL;
}

// Printing.

static void print_processor(void)
{
	char line[256];
	FILE *f = fopen("/proc/cpuinfo", "re");
	const char *name = "unknown";

	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
			name = strchr(line, ':') + 2;
			break;
		}
	line[strcspn(line, "\n")] = '\0';
	printf("- processor: %s, %ld online\n", name, sysconf(_SC_NPROCESSORS_ONLN));
	if (f)
		fclose(f);
}

static void print_head(const struct place *place, const struct effort *effort)
{
	struct utsname system;

	uname(&system);
	printf("- machine: %s\n", system.nodename);
	print_processor();
	printf("- kernel: %s %s %s\n", system.sysname, system.release, system.machine);
	printf("- smokefs %s, libfuse %s\n", place->version, fuse_pkgversion());
	printf("- each figure: the median of %zu, and the lowest and highest of them\n",
		effort->repetitions);
}

static void print_spread(const struct series *s, int digits)
{
	struct spread spread = series_spread(s);
	printf(" %.*f | %.*f..%.*f |", digits, spread.median, digits, spread.lowest, digits,
		spread.highest);
}

static void print_latencies(void)
{
	printf("\n| 64 B, write to blocked read | p50 us | spread | p99 us | spread |\n"
	       "|---|---:|---:|---:|---:|\n");
	for (size_t i = 0; i < FIGURES; i++) {
		if (figures[i].table != TABLE_LATENCY)
			continue;
		printf("| %s |", duct_name(figures[i].kind));
		print_spread(&figures[i].first, 1);
		print_spread(&figures[i].second, 1);
		printf("\n");
	}
}

static void print_rates(void)
{
	printf("\n| 64 B, one writer | messages/s | spread |\n|---|---:|---:|\n");
	for (size_t i = 0; i < FIGURES; i++) {
		if (figures[i].table != TABLE_RATE)
			continue;
		printf("| %s |", duct_name(figures[i].kind));
		print_spread(&figures[i].first, 0);
		printf("\n");
	}
}

static void print_volumes(void)
{
	printf("\n| one writer | write | GB/s | spread |\n|---|---:|---:|---:|\n");
	for (size_t i = 0; i < FIGURES; i++) {
		if (figures[i].table != TABLE_VOLUME)
			continue;
		printf("| %s | %zu KiB |", duct_name(figures[i].kind), figures[i].block / KIB);
		print_spread(&figures[i].first, 2);
		printf("\n");
	}
}

static void print_target(const char *name, const struct series *s, const char *target, bool met)
{
	printf("| %s |", name);
	print_spread(s, 2);
	printf(" %s | %s |\n", target, met ? "yes" : "NO");
}

static void print_targets(const struct series *idle, const struct series *used)
{
	struct series latency = series_ratio(&find(TABLE_LATENCY, DUCT_BROADCAST)->first,
		&find(TABLE_LATENCY, DUCT_WAKE)->first, &find(TABLE_LATENCY, DUCT_TCP)->first);
	struct series rate = series_ratio(&find(TABLE_RATE, DUCT_BROADCAST)->first,
		&find(TABLE_RATE, DUCT_NOOP)->first, NULL);

	printf("\n| target | median | spread | to reach | reached |\n|---|---:|---:|---|---|\n");
	print_target("broadcast p50 / (FUSE wake + TCP on loopback)", &latency, "at most 1.5",
		series_spread(&latency).median <= LATENCY_TARGET);
	print_target("broadcast messages/s / no-op FUSE writes/s", &rate, "at least 0.7",
		series_spread(&rate).median >= RATE_TARGET);
	print_target("resident memory of an idle node, MB", idle, "below 8",
		series_spread(idle).median < MEMORY_TARGET);
	printf("| the same after all of the traffic above, MB |");
	print_spread(used, 2);
	printf(" | |\n");
}

int figures_run(struct place *place, bool quick)
{
	const struct effort *effort = &efforts[quick];
	struct series idle = { 0 }, used = { 0 };
	int r = place_await(place);

	if (r < 0)
		return r;
	sleep(effort->idle);
	series_add(&idle, (double)place_resident(place) / 1e6);
	for (size_t i = 0; i < effort->repetitions; i++)
		for (size_t k = 0; k < FIGURES; k++) {
			r = take(&figures[k], place, effort);
			if (r < 0)
				return r;
		}
	series_add(&used, (double)place_resident(place) / 1e6);
	print_head(place, effort);
	print_targets(&idle, &used);
	print_latencies();
	print_rates();
	print_volumes();
	return fflush(stdout) == 0 ? 0 : -1;
}
