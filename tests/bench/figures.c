// SPDX-License-Identifier: MIT
// A repetition goes through all figures once, so that what disturbs the machine for a while
// disturbs smokefs and what it is compared with alike.
#include "tests/bench/figures.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/measure.h"
#include "tests/bench/report.h"

#define KIB 1024
#define MIB (1024 * KIB)

struct effort {
	size_t repetitions;
	double seconds; // of a flow
	unsigned samples;
	unsigned idle; // seconds, before memory is looked at
};

static const struct effort efforts[] = {
	{ .repetitions = 5, .seconds = 0.5, .samples = 2000, .idle = 3 },
	{ .repetitions = 1, .seconds = 0.1, .samples = 300, .idle = 1 },
};

#define LATENCY(kind, build)                              \
	{                                                 \
		TABLE_LATENCY, kind, build, LATENCY_BYTES \
	}
#define FIRST(kind)                              \
	{                                        \
		TABLE_FIRST, kind, BUILD_REAL, 1 \
	}
#define RATE(kind, build)                   \
	{                                   \
		TABLE_RATE, kind, build, 64 \
	}
// A direct stream is not signed.
#define VOLUMES(size)                                                   \
	{ TABLE_VOLUME, DUCT_BROADCAST, BUILD_REAL, size },             \
		{ TABLE_VOLUME, DUCT_BROADCAST, BUILD_UNSIGNED, size }, \
		{ TABLE_VOLUME, DUCT_BROADCAST, BUILD_PLAIN, size },    \
		{ TABLE_VOLUME, DUCT_BROADCAST, BUILD_FIVE, size },     \
		{ TABLE_VOLUME, DUCT_STREAM, BUILD_REAL, size },        \
		{ TABLE_VOLUME, DUCT_STREAM, BUILD_PLAIN, size },       \
		{ TABLE_VOLUME, DUCT_CHANNEL, BUILD_REAL, size },       \
		{ TABLE_VOLUME, DUCT_SOCAT, BUILD_REAL, size },         \
		{ TABLE_VOLUME, DUCT_SSH, BUILD_REAL, size },           \
		{ TABLE_VOLUME, DUCT_NOOP, BUILD_REAL, size },          \
		{ TABLE_VOLUME, DUCT_TCP, BUILD_REAL, size },           \
	{                                                               \
		TABLE_VOLUME, DUCT_PIPE, BUILD_REAL, size               \
	}

// What is compared follows each other.
static struct figure list[] = {
	LATENCY(DUCT_BROADCAST, BUILD_REAL),
	LATENCY(DUCT_BROADCAST, BUILD_PLAIN),
	LATENCY(DUCT_WAKE, BUILD_REAL),
	LATENCY(DUCT_TCP, BUILD_REAL),
	LATENCY(DUCT_STREAM, BUILD_REAL),
	LATENCY(DUCT_STREAM, BUILD_PLAIN),
	LATENCY(DUCT_UNIX, BUILD_REAL),
	LATENCY(DUCT_PIPE, BUILD_REAL),
	FIRST(DUCT_CHANNEL),
	FIRST(DUCT_FIFO),
	RATE(DUCT_BROADCAST, BUILD_REAL),
	RATE(DUCT_BROADCAST, BUILD_UNSIGNED),
	RATE(DUCT_BROADCAST, BUILD_PLAIN),
	RATE(DUCT_BROADCAST, BUILD_FIVE),
	RATE(DUCT_NOOP, BUILD_REAL),
	RATE(DUCT_STREAM, BUILD_REAL),
	RATE(DUCT_STREAM, BUILD_PLAIN),
	VOLUMES(64 * KIB),
	VOLUMES(1 * MIB),
};

static void add_latency(struct figure *f, const struct latency *latency)
{
	series_add(&f->first, latency->p50 * 1e6);
	series_add(&f->second, latency->p99 * 1e6);
}

static int take_latency(struct figure *f, const struct duct *duct, const struct effort *effort)
{
	struct latency latency;
	int r = measure_latency(&latency, duct, effort->samples);

	if (r == 0)
		add_latency(f, &latency);
	return r;
}

// There is no duct before both have opened it.
static int take_first(struct figure *f, const struct place *place, const struct effort *effort)
{
	char from[PATH_MAX], to[PATH_MAX];
	struct latency latency;
	int r = duct_name_ends(from, to, f->kind, place);

	if (r == 0)
		r = measure_first(&latency, from, to, effort->samples / 2);
	if (r == 0)
		add_latency(f, &latency);
	unlink(to);
	return r;
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

static bool is_here(const struct figure *f)
{
	return !(f->kind == DUCT_SOCAT && rival_socat_lacks()) &&
	       !(f->kind == DUCT_SSH && rival_ssh_lacks());
}

static int take(struct figure *f, const struct place *place, const struct effort *effort)
{
	struct duct duct;

	if (!is_here(f))
		return 0;
	if (f->table == TABLE_FIRST)
		return take_first(f, place, effort);
	int r = duct_open(&duct, f->kind, f->build, place);
	if (r == 0)
		r = f->table == TABLE_LATENCY ? take_latency(f, &duct, effort)
					      : take_flow(f, &duct, effort);
	if (r < 0)
		fprintf(stderr, "bench: %s, %s, %zu bytes: %s\n", duct_name(f->kind),
			build_name(f->build), f->block, strerror(-r));
	duct_close(&duct);
	return r;
}

const struct figure *figures_find(const struct figures *figures, enum table table,
	enum duct_kind kind, enum build build, size_t block)
{
	for (size_t i = 0; i < figures->count; i++) {
		const struct figure *f = &figures->list[i];
		if (f->table == table && f->kind == kind && f->build == build && f->block == block)
			return f;
	}
	return NULL;
}

int figures_run(struct place *place, bool quick)
{
	const struct effort *effort = &efforts[quick];
	struct figures figures = {
		.repetitions = effort->repetitions,
		.list = list,
		.count = sizeof list / sizeof *list,
	};
	int r = place_await(place);

	if (r < 0)
		return r;
	sleep(effort->idle);
	series_add(&figures.idle, (double)place_resident(place) / 1e6);
	for (size_t i = 0; i < effort->repetitions; i++)
		for (size_t k = 0; k < figures.count; k++) {
			r = take(&list[k], place, effort);
			if (r < 0)
				return r;
		}
	series_add(&figures.used, (double)place_resident(place) / 1e6);
	return report_print(&figures, place);
}
