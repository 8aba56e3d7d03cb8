// SPDX-License-Identifier: MIT
// Starting and ending daemons and mounts.
#include "tests/bench/place.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/noop.h"

#define START_TIME 10000 // milliseconds
#define STOP_TIME  5000	 // milliseconds

#define FLOOR "floor"

static const char *const names[PLACE_NODES] = { "a", "b", "c", "d", "e" };

const char *build_name(enum build build)
{
	static const char *const build_names[BUILDS] = {
		[BUILD_REAL] = "real",
		[BUILD_UNSIGNED] = "unsigned",
		[BUILD_PLAIN] = "plain",
		[BUILD_FIVE] = "five",
	};
	return build_names[build];
}

int place_nodes(enum build build)
{
	return build == BUILD_FIVE ? PLACE_NODES : 2;
}

// Below the directory, of a node.
static void set_path(char path[PATH_MAX], const struct place *place, enum build build, int node,
	const char *suffix)
{
	snprintf(path, PATH_MAX, "%s/%s-%s%s", place->directory, build_name(build), names[node],
		suffix);
}

static void set_key_path(char path[PATH_MAX], const struct place *place, enum build build)
{
	snprintf(path, PATH_MAX, "%s/%s.key", place->directory, build_name(build));
}

static void pause_for(unsigned milliseconds)
{
	usleep(milliseconds * 1000);
}

int place_free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r = -1;

	if (fd >= 0 && bind(fd, (void *)&a, size) == 0)
		r = getsockname(fd, (void *)&a, &size);
	if (r < 0)
		r = -errno;
	close(fd);
	return r < 0 ? r : ntohs(a.sin_port);
}

// A child that ends with its parent, with the signals that the parent waits for let through.
static pid_t fork_daemon(void)
{
	pid_t pid = fork();
	sigset_t none;

	if (pid != 0)
		return pid;
	setpgid(0, 0); // a ^C is for the parent, which ends us in its order
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return 0;
}

static pid_t start_node(const struct place *place, enum build build, const char *daemon, int node,
	int port, const char *seed)
{
	char ports[16], state[PATH_MAX], mountpoint[PATH_MAX], key[PATH_MAX];

	snprintf(ports, sizeof ports, "%d", port);
	set_path(state, place, build, node, ".state");
	set_path(mountpoint, place, build, node, "");
	set_key_path(key, place, build);
	pid_t pid = fork_daemon();
	if (pid != 0)
		return pid;
	execl(daemon, "smokefs", "-f", "--no-discovery", "--address", "127.0.0.1", "--port", ports,
		"--state", state, "--key", key, "--log-level", "error", "--name", names[node], seed,
		mountpoint, NULL);
	perror(daemon);
	_exit(127);
}

static pid_t start_floor(const struct place *place)
{
	char mountpoint[PATH_MAX];

	snprintf(mountpoint, sizeof mountpoint, "%s/" FLOOR, place->directory);
	pid_t pid = fork_daemon();
	if (pid == 0)
		_exit(noop_serve(mountpoint));
	return pid;
}

static bool await_file(const char *path)
{
	for (unsigned waited = 0; waited < START_TIME; waited += 10) {
		if (access(path, F_OK) == 0)
			return true;
		pause_for(10);
	}
	fprintf(stderr, "bench: %s does not appear\n", path);
	return false;
}

// The first node makes the network's key, which the others need.
static int start_network(struct place *place, enum build build, const char *daemon)
{
	struct network *network = &place->networks[build];
	char seed[32], path[PATH_MAX];
	int port = place_free_port();

	for (int i = 0; i < place_nodes(build); i++) {
		set_path(path, place, build, i, "");
		if (mkdir(path, 0700) < 0)
			return -errno;
	}
	if (port < 0)
		return port;
	snprintf(seed, sizeof seed, "127.0.0.1:%d", port);
	network->nodes[0] = start_node(place, build, daemon, 0, port, "none");
	set_key_path(path, place, build);
	if (network->nodes[0] < 0 || !await_file(path))
		return -ETIMEDOUT;
	for (int i = 1; i < place_nodes(build); i++) {
		port = place_free_port();
		network->nodes[i] =
			port < 0 ? port : start_node(place, build, daemon, i, port, seed);
		if (network->nodes[i] < 0)
			return -EAGAIN;
	}
	return 0;
}

static int make_directory(struct place *place)
{
	const char *base = getenv("TMPDIR");
	char path[PATH_MAX];

	snprintf(place->directory, sizeof place->directory, "%s/smokefs-bench.XXXXXX",
		base && strlen(base) < 32 ? base : "/tmp");
	if (!mkdtemp(place->directory)) {
		place->directory[0] = '\0';
		return -errno;
	}
	snprintf(path, sizeof path, "%s/" FLOOR, place->directory);
	return mkdir(path, 0700) < 0 ? -errno : 0;
}

int place_make(struct place *place, const char *const daemons[BUILDS])
{
	*place = (struct place){ 0 };
	int r = make_directory(place);
	if (r < 0)
		return r;
	place->floor = start_floor(place);
	if (place->floor < 0)
		return -EAGAIN;
	for (int i = 0; r == 0 && i < BUILDS; i++)
		r = start_network(place, i, daemons[i]);
	return r;
}

// Waits for a child of ours, and kills it when it takes too long.
static void end_daemon(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGTERM);
	for (unsigned waited = 0; waited < STOP_TIME; waited += 10) {
		pid_t r = waitpid(pid, NULL, WNOHANG);
		if (r == pid || (r < 0 && errno == ECHILD))
			return;
		pause_for(10);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

// What a daemon left that was killed. There is nothing to do when it did not.
static void unmount(const char *path)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno != EPERM)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		execlp("fusermount3", "fusermount3", "-u", "-q", "-z", "--", path, NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	remove(path);
	return 0;
}

bool place_clear(struct place *place)
{
	char path[PATH_MAX];

	for (int i = 0; i < BUILDS * PLACE_NODES; i++)
		end_daemon(place->networks[i / PLACE_NODES].nodes[i % PLACE_NODES]);
	end_daemon(place->floor);
	if (!place->directory[0])
		return true;
	for (int i = 0; i < BUILDS * PLACE_NODES; i++) {
		set_path(path, place, i / PLACE_NODES, i % PLACE_NODES, "");
		unmount(path);
	}
	snprintf(path, sizeof path, "%s/" FLOOR, place->directory);
	unmount(path);
	nftw(place->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	return access(place->directory, F_OK) < 0;
}

// The first line of a file of the mount, without its newline. False: not (yet) there.
static bool read_line(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, line, size - 1);
	close(fd);
	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return n > 0;
}

// Everyone is linked to the first one, and that to the second one.
static int await_network(struct place *place, enum build build)
{
	struct network *network = &place->networks[build];
	char path[PATH_MAX], ids[PLACE_NODES][64], suffix[160];

	for (int i = 0; i < place_nodes(build); i++) {
		set_path(path, place, build, i, "/id");
		if (!await_file(path) || !read_line(path, ids[i], sizeof ids[i]))
			return -ETIMEDOUT;
		set_path(network->broadcast[i], place, build, i, "/broadcast");
	}
	for (int i = 0; i < place_nodes(build); i++) {
		snprintf(suffix, sizeof suffix, "/peers/%.63s/stream", ids[!i]);
		set_path(path, place, build, i, suffix);
		if (!await_file(path))
			return -ETIMEDOUT;
	}
	for (int i = 0; i < 2; i++) {
		snprintf(suffix, sizeof suffix, "/peers/%.63s/stream", ids[!i]);
		set_path(network->stream[i], place, build, i, suffix);
		snprintf(suffix, sizeof suffix, "/peers/%.63s/pipes", ids[!i]);
		set_path(network->pipes[i], place, build, i, suffix);
	}
	return 0;
}

int place_await(struct place *place)
{
	char path[PATH_MAX];
	int r = 0;

	for (int i = 0; r == 0 && i < BUILDS; i++)
		r = await_network(place, i);
	snprintf(place->wake, PATH_MAX, "%s/" FLOOR "/wake", place->directory);
	snprintf(place->noop, PATH_MAX, "%s/" FLOOR "/noop", place->directory);
	set_path(path, place, BUILD_REAL, 0, "/version");
	read_line(path, place->version, sizeof place->version);
	return r == 0 && !await_file(place->wake) ? -ETIMEDOUT : r;
}

static size_t resident(pid_t pid)
{
	char path[64], line[256];
	unsigned long kib = 0;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	while (kib == 0 && fgets(line, sizeof line, f))
		if (strncmp(line, "VmRSS:", 6) == 0)
			kib = strtoul(line + 6, NULL, 10);
	fclose(f);
	return kib * 1024;
}

size_t place_resident(const struct place *place)
{
	size_t most = 0;
	for (int i = 0; i < place_nodes(BUILD_REAL); i++) {
		size_t n = resident(place->networks[BUILD_REAL].nodes[i]);
		most = n > most ? n : most;
	}
	return most;
}
