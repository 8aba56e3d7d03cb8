// SPDX-License-Identifier: MIT
// What was measured, as tables, and what should have been reached.
#include "tests/bench/report.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define KIB 1024
#define MIB (1024 * KIB)

#define MEMORY_TARGET 8.0 // MB, less than

// One of the figures.
struct reference {
	enum table table;
	enum duct_kind kind;
	enum build build;
	size_t block; // 0: none
};

// A ratio, or a figure where nothing is below it, and its bound.
struct target {
	const char *name;
	struct reference above, below, and_below;
	double bound;
	bool at_most; // the bound; else at least
};

#define BROADCAST(table, build, size)              \
	{                                          \
		table, DUCT_BROADCAST, build, size \
	}
#define STREAM(table, build, size)              \
	{                                       \
		table, DUCT_STREAM, build, size \
	}
#define RIVAL(kind, size)                            \
	{                                            \
		TABLE_VOLUME, kind, BUILD_REAL, size \
	}
#define VOLUME_TARGETS(text, size)                                                          \
	{ "broadcast GB/s at " text ", encrypted / unencrypted",                            \
		BROADCAST(TABLE_VOLUME, BUILD_REAL, size),                                  \
		BROADCAST(TABLE_VOLUME, BUILD_PLAIN, size), { 0 }, 0.6, false },            \
		{ "stream GB/s at " text ", encrypted / unencrypted",                       \
			STREAM(TABLE_VOLUME, BUILD_REAL, size),                             \
			STREAM(TABLE_VOLUME, BUILD_PLAIN, size), { 0 }, 0.6, false },       \
		{ "broadcast GB/s at " text ", signed / unsigned",                          \
			BROADCAST(TABLE_VOLUME, BUILD_REAL, size),                          \
			BROADCAST(TABLE_VOLUME, BUILD_UNSIGNED, size), { 0 }, 0.8, false }, \
		{ "broadcast / socat at " text, BROADCAST(TABLE_VOLUME, BUILD_REAL, size),  \
			RIVAL(DUCT_SOCAT, size), { 0 }, 1.0, false },                       \
		{ "broadcast / ssh at " text, BROADCAST(TABLE_VOLUME, BUILD_REAL, size),    \
			RIVAL(DUCT_SSH, size), { 0 }, 1.0, false },                         \
		{ "stream / socat at " text, STREAM(TABLE_VOLUME, BUILD_REAL, size),        \
			RIVAL(DUCT_SOCAT, size), { 0 }, 1.0, false },                       \
	{                                                                                   \
		"stream / ssh at " text, STREAM(TABLE_VOLUME, BUILD_REAL, size),            \
			RIVAL(DUCT_SSH, size), { 0 }, 1.0, false                            \
	}

static const struct target targets[] = {
	{ "broadcast messages/s, encrypted / unencrypted", BROADCAST(TABLE_RATE, BUILD_REAL, 64),
		BROADCAST(TABLE_RATE, BUILD_PLAIN, 64), { 0 }, 0.8, false },
	{ "stream messages/s, encrypted / unencrypted", STREAM(TABLE_RATE, BUILD_REAL, 64),
		STREAM(TABLE_RATE, BUILD_PLAIN, 64), { 0 }, 0.8, false },
	{ "broadcast messages/s, signed / unsigned", BROADCAST(TABLE_RATE, BUILD_REAL, 64),
		BROADCAST(TABLE_RATE, BUILD_UNSIGNED, 64), { 0 }, 0.8, false },
	VOLUME_TARGETS("64 KiB", 64 * KIB),
	VOLUME_TARGETS("1 MiB", 1 * MIB),
	{ "pipe / socat at 64 KiB", { TABLE_VOLUME, DUCT_CHANNEL, BUILD_REAL, 64 * KIB },
		RIVAL(DUCT_SOCAT, 64 * KIB), { 0 }, 1.0, false },
	{ "pipe / socat at 1 MiB", { TABLE_VOLUME, DUCT_CHANNEL, BUILD_REAL, 1 * MIB },
		RIVAL(DUCT_SOCAT, 1 * MIB), { 0 }, 1.0, false },
	{ "five nodes, messages/s of 64 B at the slowest", BROADCAST(TABLE_RATE, BUILD_FIVE, 64),
		{ 0 }, { 0 }, 26000, false },
	{ "five nodes, GB/s at 64 KiB at the slowest",
		BROADCAST(TABLE_VOLUME, BUILD_FIVE, 64 * KIB), { 0 }, { 0 }, 0.3, false },
	{ "two nodes, broadcast GB/s at 64 KiB", BROADCAST(TABLE_VOLUME, BUILD_REAL, 64 * KIB),
		{ 0 }, { 0 }, 1.0, false },
	{ "two nodes, stream GB/s at 64 KiB", STREAM(TABLE_VOLUME, BUILD_REAL, 64 * KIB), { 0 },
		{ 0 }, 1.0, false },
	{ "broadcast p50 / (FUSE wake + TCP on loopback)", BROADCAST(TABLE_LATENCY, BUILD_REAL, 64),
		{ TABLE_LATENCY, DUCT_WAKE, BUILD_REAL, 64 },
		{ TABLE_LATENCY, DUCT_TCP, BUILD_REAL, 64 }, 1.5, true },
	{ "broadcast messages/s / no-op FUSE writes/s", BROADCAST(TABLE_RATE, BUILD_REAL, 64),
		{ TABLE_RATE, DUCT_NOOP, BUILD_REAL, 64 }, { 0 }, 0.7, false },
};

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

static void print_load(void)
{
	double load[3] = { 0 };
	if (getloadavg(load, 3) == 3)
		printf("- load at the end: %.2f over 1 minute, %.2f over 5\n", load[0], load[1]);
}

static void print_head(const struct figures *figures, const struct place *place)
{
	struct utsname system;
	const char *lacks;

	uname(&system);
	printf("- machine: %s\n", system.nodename);
	print_processor();
	printf("- kernel: %s %s %s\n", system.sysname, system.release, system.machine);
	printf("- smokefs %s, libfuse %s\n", place->version, fuse_pkgversion());
	print_load();
	printf("- each figure: the median of %zu, and the lowest and highest of them\n",
		figures->repetitions);
	if ((lacks = rival_socat_lacks()))
		printf("- socat: skipped, %s\n", lacks);
	if ((lacks = rival_ssh_lacks()))
		printf("- ssh: skipped, %s\n", lacks);
}

static void print_spread(const struct series *s, int decimals)
{
	struct spread p = series_spread(s);
	if (s->count == 0)
		printf(" skipped | |");
	else
		printf(" %.*f | %.*f..%.*f |", decimals, p.median, decimals, p.lowest, decimals,
			p.highest);
}

static const struct series *look_up(const struct figures *figures, const struct reference *r)
{
	const struct figure *f =
		r->block ? figures_find(figures, r->table, r->kind, r->build, r->block) : NULL;
	return f ? &f->first : NULL;
}

static void print_target(const struct figures *figures, const struct target *t)
{
	const struct series *above = look_up(figures, &t->above);
	const struct series *below = look_up(figures, &t->below);
	struct series ratio = { 0 };

	if (!below)
		ratio = *above;
	else if (below->count)
		ratio = series_ratio(above, below, look_up(figures, &t->and_below));
	double median = series_spread(&ratio).median;
	bool reached = t->at_most ? median <= t->bound : median >= t->bound;
	int decimals = t->bound < 100 ? 2 : 0;
	printf("| %s |", t->name);
	print_spread(&ratio, decimals);
	printf(" at %s %.*f | %s |\n", t->at_most ? "most" : "least", decimals / 2, t->bound,
		!ratio.count ? ""
		: reached    ? "yes"
			     : "NO");
}

static void print_targets(const struct figures *figures)
{
	printf("\n| target | median | spread | to reach | reached |\n|---|---:|---:|---|---|\n");
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
		print_target(figures, &targets[i]);
	printf("| resident memory of an idle node, MB |");
	print_spread(&figures->idle, 2);
	printf(" below %.0f | %s |\n", MEMORY_TARGET,
		series_spread(&figures->idle).median < MEMORY_TARGET ? "yes" : "NO");
	printf("| the same after all of the traffic below, MB |");
	print_spread(&figures->used, 2);
	printf(" | |\n");
}

static void print_name(const struct figure *f)
{
	static const char *const notes[BUILDS] = {
		[BUILD_REAL] = "",
		[BUILD_UNSIGNED] = ", unsigned",
		[BUILD_PLAIN] = ", unencrypted",
		[BUILD_FIVE] = " to four others, at the slowest",
	};
	printf("| %s%s |", duct_name(f->kind), notes[f->build]);
}

static void print_table(const struct figures *figures, enum table table)
{
	static const char *const heads[] = {
		[TABLE_LATENCY] = "| 64 B, write to blocked read | p50 us | spread | p99 us | "
				  "spread |\n|---|---:|---:|---:|---:|",
		[TABLE_FIRST] = "| opened by both, to the first byte | p50 us | spread | p99 us | "
				"spread |\n|---|---:|---:|---:|---:|",
		[TABLE_RATE] = "| 64 B, one writer | messages/s | spread |\n|---|---:|---:|",
		[TABLE_VOLUME] = "| one writer | write | GB/s | spread |\n|---|---:|---:|---:|",
	};

	printf("\n%s\n", heads[table]);
	for (size_t i = 0; i < figures->count; i++) {
		const struct figure *f = &figures->list[i];
		if (f->table != table)
			continue;
		print_name(f);
		if (table == TABLE_VOLUME)
			printf(" %zu KiB |", f->block / KIB);
		print_spread(&f->first, table == TABLE_RATE ? 0 : table == TABLE_VOLUME ? 2 : 1);
		if (table == TABLE_LATENCY || table == TABLE_FIRST)
			print_spread(&f->second, 1);
		printf("\n");
	}
}

int report_print(const struct figures *figures, const struct place *place)
{
	print_head(figures, place);
	print_targets(figures);
	print_table(figures, TABLE_LATENCY);
	print_table(figures, TABLE_FIRST);
	print_table(figures, TABLE_RATE);
	print_table(figures, TABLE_VOLUME);
	return fflush(stdout) == 0 ? 0 : -EIO;
}
