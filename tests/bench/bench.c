// SPDX-License-Identifier: MIT
// bench [--quick] [SMOKEFS [PLAIN]]: two nodes and five, the same without cryptography, others that
// do such work and the floors of it, side by side, in one run.
//
// This process makes and clears the place and waits; a second one measures. SMOKEFS is the
// program, else $SMOKEFS, else the one beside bench; PLAIN is bench-plain beside bench, or another.
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/figures.h"
#include "tests/bench/place.h"

#define CODE_USAGE 1
#define CODE_ERROR 2
#define CODE_SKIP  77 // as meson counts it

struct arguments {
	const char *daemons[BUILDS];
	bool quick;
};

// A program beside this one.
static void set_beside(char path[PATH_MAX], const char *name)
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	path[n > 0 ? n : 0] = '\0';
	dirname(path);
	strncat(path, name, PATH_MAX - 1 - strlen(path));
}

static int parse(struct arguments *a, int argc, char **argv)
{
	static const char *const names[BUILDS] = {
		[BUILD_REAL] = "/smokefs",
		[BUILD_UNSIGNED] = "/bench-unsigned",
		[BUILD_PLAIN] = "/bench-plain",
		[BUILD_FIVE] = "/smokefs",
	};
	static char beside[BUILDS][PATH_MAX];
	static const enum build given[] = { BUILD_REAL, BUILD_PLAIN };
	size_t count = 0;

	for (int i = 0; i < BUILDS; i++) {
		set_beside(beside[i], names[i]);
		a->daemons[i] = beside[i];
	}
	if (getenv("SMOKEFS"))
		a->daemons[BUILD_REAL] = getenv("SMOKEFS");
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			a->quick = true;
		else if (argv[i][0] == '-' || count == sizeof given / sizeof *given)
			return -EINVAL;
		else
			a->daemons[given[count++]] = argv[i];
	}
	a->daemons[BUILD_FIVE] = a->daemons[BUILD_REAL];
	return 0;
}

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGCHLD);
	sigprocmask(SIG_BLOCK, set, NULL);
}

// In a group of its own, with what it starts, so that all of them end together.
static pid_t start_measuring(struct place *place, bool quick, const sigset_t *blocked)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigprocmask(SIG_UNBLOCK, blocked, NULL);
	_exit(figures_run(place, quick) < 0 ? CODE_ERROR : EXIT_SUCCESS);
}

// Until it ends, or somebody wants us to. The exit code. It is left to be waited for, so that its
// number stays its own.
static int await(pid_t measuring, const struct place *place, const sigset_t *signals)
{
	siginfo_t info;

	for (;;) {
		if (sigwaitinfo(signals, &info) < 0)
			continue;
		if (info.si_signo != SIGCHLD)
			return 128 + info.si_signo;
		info.si_pid = 0;
		waitid(P_PID, (id_t)measuring, &info, WEXITED | WNOHANG | WNOWAIT);
		if (info.si_pid == measuring)
			return info.si_code == CLD_EXITED ? info.si_status : CODE_ERROR;
		for (int i = 0; i < BUILDS * PLACE_NODES; i++) {
			pid_t node = place->networks[i / PLACE_NODES].nodes[i % PLACE_NODES];
			if (node > 0 && waitpid(node, NULL, WNOHANG) == node) {
				fprintf(stderr, "bench: a node has ended\n");
				return CODE_ERROR;
			}
		}
	}
}

static int run(const struct arguments *a)
{
	struct place place;
	sigset_t signals;

	block_signals(&signals);
	int r = place_make(&place, a->daemons), code = CODE_ERROR;
	pid_t pid = r < 0 ? 0 : start_measuring(&place, a->quick, &signals);
	if (pid > 0) {
		code = await(pid, &place, &signals);
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL); // it may not lead its group yet
	} else {
		fprintf(stderr, "bench: %s\n", strerror(r < 0 ? -r : errno));
	}
	if (!place_clear(&place)) {
		fprintf(stderr, "bench: cannot clear %s\n", place.directory);
		code = code ? code : CODE_ERROR;
	}
	return code;
}

int main(int argc, char **argv)
{
	struct arguments a = { 0 };

	if (parse(&a, argc, argv) < 0) {
		fprintf(stderr, "usage: bench [--quick] [SMOKEFS [PLAIN]]\n");
		return CODE_USAGE;
	}
	for (int i = 0; i < BUILDS; i++)
		if (access(a.daemons[i], X_OK) < 0) {
			perror(a.daemons[i]);
			return CODE_ERROR;
		}
	if (access("/dev/fuse", R_OK | W_OK) < 0) {
		perror("/dev/fuse");
		return CODE_SKIP;
	}
	return run(&a);
}
