// SPDX-License-Identifier: MIT
// bench [--quick] [SMOKEFS]: two nodes and their floors, side by side, in one run.
//
// This process makes and clears the place and waits; a second one measures. SMOKEFS is the
// program, else $SMOKEFS, else the one beside bench.
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
	const char *smokefs;
	bool quick;
};

static int parse(struct arguments *a, int argc, char **argv)
{
	static char beside[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", beside, sizeof beside - sizeof "/smokefs");

	a->smokefs = getenv("SMOKEFS");
	if (!a->smokefs && n > 0) {
		dirname(beside);
		a->smokefs = strcat(beside, "/smokefs");
	}
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			a->quick = true;
		else if (argv[i][0] == '-')
			return -EINVAL;
		else
			a->smokefs = argv[i];
	}
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
		for (int i = 0; i < PLACE_NODES; i++)
			if (waitpid(place->nodes[i], NULL, WNOHANG) == place->nodes[i]) {
				fprintf(stderr, "bench: a node has ended\n");
				return CODE_ERROR;
			}
	}
}

static int run(const struct arguments *a)
{
	struct place place;
	sigset_t signals;

	block_signals(&signals);
	int r = place_make(&place, a->smokefs), code = CODE_ERROR;
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

	if (parse(&a, argc, argv) < 0 || !a.smokefs) {
		fprintf(stderr, "usage: bench [--quick] [SMOKEFS]\n");
		return CODE_USAGE;
	}
	if (access(a.smokefs, X_OK) < 0) {
		perror(a.smokefs);
		return CODE_ERROR;
	}
	if (access("/dev/fuse", R_OK | W_OK) < 0) {
		perror("/dev/fuse");
		return CODE_SKIP;
	}
	return run(&a);
}
