// SPDX-License-Identifier: MIT
// smokefs-sim: experiments with networks of thousands of nodes in virtual time.
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/experiment.h"
#include "tests/sim/mutants.h"

#define NODES_MAX 1000000

static const char usage[] =
	"usage: smokefs-sim EXPERIMENT [--nodes N] [--seed S] [--degree MIN:MAX]\n"
	"           [--latency MIN:MAX (ms)] [--jitter MS] [--percent P] [--time SECONDS]\n"
	"           [--seeds N] [--messages N] [--runs N] [--plot FILE.svg] [--mutant NAME]\n"
	"       smokefs-sim --list | --list-mutants\n";

static int complain(const char *what, const char *value)
{
	fprintf(stderr, "smokefs-sim: %s: %s\n%s", value, what, usage);
	return 1;
}

static bool number(const char *text, uint64_t least, uint64_t most, uint64_t *value)
{
	char *end;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *text != '-' && *value >= least &&
	       *value <= most;
}

static bool pair(const char *text, uint64_t most, uint64_t *low, uint64_t *high)
{
	char copy[64];
	snprintf(copy, sizeof copy, "%s", text);
	char *colon = strchr(copy, ':');
	if (!colon)
		return false;
	*colon = '\0';
	return number(copy, 0, most, low) && number(colon + 1, 0, most, high);
}

enum choice {
	OPTION_NODES = 256,
	OPTION_SEED,
	OPTION_DEGREE,
	OPTION_LATENCY,
	OPTION_JITTER,
	OPTION_PERCENT,
	OPTION_TIME,
	OPTION_SEEDS,
	OPTION_MESSAGES,
	OPTION_RUNS,
	OPTION_PLOT,
	OPTION_MUTANT,
	OPTION_LIST,
	OPTION_LIST_MUTANTS,
};

static const struct option options[] = {
	{ "nodes", required_argument, NULL, OPTION_NODES },
	{ "seed", required_argument, NULL, OPTION_SEED },
	{ "degree", required_argument, NULL, OPTION_DEGREE },
	{ "latency", required_argument, NULL, OPTION_LATENCY },
	{ "jitter", required_argument, NULL, OPTION_JITTER },
	{ "percent", required_argument, NULL, OPTION_PERCENT },
	{ "time", required_argument, NULL, OPTION_TIME },
	{ "seeds", required_argument, NULL, OPTION_SEEDS },
	{ "messages", required_argument, NULL, OPTION_MESSAGES },
	{ "runs", required_argument, NULL, OPTION_RUNS },
	{ "plot", required_argument, NULL, OPTION_PLOT },
	{ "mutant", required_argument, NULL, OPTION_MUTANT },
	{ "list", no_argument, NULL, OPTION_LIST },
	{ "list-mutants", no_argument, NULL, OPTION_LIST_MUTANTS },
	{ 0 },
};

static int list(void)
{
	for (size_t i = 0; i < experiment_count; i++)
		printf("%-13s %s\n", experiments[i].name, experiments[i].about);
	return 0;
}

static int take(struct setup *setup, int option, const char *value, struct plot *plot)
{
	struct sim_options *o = &setup->options;
	uint64_t a, b;

	switch (option) {
	case OPTION_NODES:
		if (!number(value, 2, NODES_MAX, &a))
			return complain("a number of nodes from 2 to 1000000", value);
		o->nodes = (uint32_t)a;
		return 0;
	case OPTION_SEED:
		if (!number(value, 0, UINT64_MAX, &o->seed))
			return complain("a seed is a number", value);
		return 0;
	case OPTION_DEGREE:
		if (!pair(value, PEERS_BOUND, &a, &b) || (b && b < a))
			return complain("MIN:MAX peers, as 3:5 (MAX 0: no limit)", value);
		o->min_peers = (uint32_t)a;
		o->max_peers = (uint32_t)b;
		return 0;
	case OPTION_LATENCY:
		if (!pair(value, 10000, &a, &b) || b < a)
			return complain("MIN:MAX milliseconds, as 10:50", value);
		o->latency_min = a * MILLISECOND;
		o->latency_max = b * MILLISECOND;
		return 0;
	case OPTION_JITTER:
		if (!number(value, 0, 10000, &a))
			return complain("milliseconds, up to 10000", value);
		o->jitter = a * MILLISECOND;
		return 0;
	case OPTION_PERCENT:
		if (!number(value, 0, 99, &a))
			return complain("a percentage from 0 to 99", value);
		setup->percent = (uint32_t)a;
		return 0;
	case OPTION_TIME:
		if (!number(value, 1, 10000000, &a))
			return complain("seconds, at least 1", value);
		setup->time = a * SECOND;
		return 0;
	case OPTION_SEEDS:
		if (!number(value, 1, NODES_MAX, &a))
			return complain("a number of nodes that the others know", value);
		setup->seeds = (uint32_t)a;
		return 0;
	case OPTION_MESSAGES:
		if (!number(value, 1, 1000000, &a))
			return complain("a number of messages, of each source", value);
		setup->messages = (uint32_t)a;
		return 0;
	case OPTION_RUNS:
		if (!number(value, 1, 1000000, &a))
			return complain("a number of runs, each with the next seed", value);
		setup->runs = (uint32_t)a;
		return 0;
	case OPTION_PLOT:
		plot->file = value;
		return 0;
	case OPTION_MUTANT:
		return mutant_choose(value) ? 0
					    : complain("no such mutant, see --list-mutants", value);
	default:
		fputs(usage, stderr);
		return 1;
	}
}

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// The command of this run: the last seed that is given counts.
static void say_repeat(const struct setup *setup, int argc, char **argv)
{
	printf("repeat");
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "--runs") == 0 || strcmp(argv[i], "--seed") == 0)
			i++;
		else
			printf(" %s", argv[i]);
	printf(" --seed %llu\n", (unsigned long long)setup->options.seed);
}

static int conduct(const struct experiment *e, const struct setup *setup, int argc, char **argv)
{
	static struct sim s;
	size_t before = mallinfo2().uordblks;
	double begun = cpu_seconds();

	sim_init(&s, &setup->options);
	bool good = e->run(&s, setup);
	double took = cpu_seconds() - begun;
	size_t used = mallinfo2().uordblks - before;
	printf("virtual_seconds %.1f\ncpu_seconds %.1f\nevents %llu\nevents_per_second %.0f\n",
		(double)(s.now - SIM_START) / SECOND, took, (unsigned long long)s.events,
		(double)s.events / took);
	printf("bytes_per_node %.0f\ntrace_hash %016llx\n", (double)used / setup->options.nodes,
		(unsigned long long)s.trace);
	if (s.wrong[0])
		printf("wrong %s\n", s.wrong);
	good &= s.wrong[0] == '\0';
	printf("result %s\n", good ? "pass" : "fail");
	if (!good)
		say_repeat(setup, argc, argv);
	sim_fini(&s);
	return good ? 0 : 1;
}

// glibc's allocator takes its settings from the environment alone: large pages, because a network
// lies in more small ones than a processor remembers.
static void use_large_pages(char **argv)
{
	static const char name[] = "GLIBC_TUNABLES";
	if (getenv(name))
		return;
	setenv(name, "glibc.malloc.hugetlb=1", 1);
	execv("/proc/self/exe", argv);
	// No harm done: it is slower.
}

int main(int argc, char **argv)
{
	struct setup setup = {
		.options = { .nodes = 1000,
			.seed = 1,
			.min_peers = MIN_PEERS_DEFAULT,
			.max_peers = MAX_PEERS_DEFAULT,
			.latency_min = 10 * MILLISECOND,
			.latency_max = 50 * MILLISECOND,
			.sources = 1 },
		.runs = 1,
	};
	struct plot plot = { 0 };
	const struct experiment *chosen = NULL;
	int option;

	use_large_pages(argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && strcmp(argv[1], "--list") == 0)
		return list();
	if (argc > 1 && strcmp(argv[1], "--list-mutants") == 0)
		return mutant_list();
	for (size_t i = 0; argc > 1 && i < experiment_count; i++)
		if (strcmp(argv[1], experiments[i].name) == 0)
			chosen = &experiments[i];
	if (!chosen)
		return complain("no such experiment, see --list", argc > 1 ? argv[1] : "-");
	if (chosen->prepare)
		chosen->prepare(&setup);
	optind = 2;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (take(&setup, option, optarg, &plot))
			return 1;
	if (optind < argc)
		return complain("one experiment at a time", argv[optind]);
	if (setup.percent == 0)
		setup.percent = strcmp(chosen->name, "crash") == 0 ? 80 : 10;
	experiment_watch(plot.file ? &plot : NULL);
	uint32_t failed = 0;
	for (uint32_t i = 0; i < setup.runs; i++, setup.options.seed++)
		failed += conduct(chosen, &setup, argc, argv) != 0;
	if (setup.runs > 1)
		printf("runs %u\nruns_failed %u\n", setup.runs, failed);
	int result = failed > 0;
	int drawn = plot.file ? plot_draw(&plot, chosen->name) : 0;
	if (drawn < 0) {
		fprintf(stderr, "smokefs-sim: %s could not be drawn: %s\n", plot.file,
			drawn == -ENOENT ? "gnuplot is missing: apt-get install gnuplot-nox"
					 : strerror(-drawn));
		result = 1;
	}
	plot_fini(&plot);
	return result;
}
