// SPDX-License-Identifier: MIT
// Becoming a daemon. Errors before that need no protocol: the daemon keeps the terminal's stderr
// until it is ready, and its exit code is passed on.
#include "fs/ready.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_INTERNAL 4
#define LISTEN_FIRST  3 // the first descriptor that a service manager hands over

void ready_prepare(bool foreground)
{
	struct rlimit files;
	int fd;

	// Whatever mount(8) has called the program: pkill -x finds it by its own name.
	prctl(PR_SET_NAME, "smokefs");
	signal(SIGPIPE, SIG_IGN);
	// A standard descriptor that is closed would be taken by something else.
	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= 2)
		;
	if (fd >= 0)
		close(fd);
	// A daemon holds no lock or pipe of the script that started it.
	if (!foreground)
		close_range(3, ~0u, 0);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

// The exit code that the daemon ended with before it was ready.
static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_INTERNAL;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "smokefs: the daemon was ended by signal %d (%s) before it was ready\n",
		WTERMSIG(status), strsignal(WTERMSIG(status)));
	return EXIT_INTERNAL;
}

// Ends as a process does that does not catch the signal, which shells tell from a mere exit.
__attribute__((noreturn)) static void die_of(int number, const sigset_t *mask)
{
	signal(number, SIG_DFL);
	raise(number);
	sigprocmask(SIG_SETMASK, mask, NULL);
	_exit(128 + number);
}

__attribute__((noreturn)) static void parent_main(
	pid_t daemon, int pipe, int signals, const sigset_t *mask)
{
	struct pollfd p[] = {
		{ .fd = pipe, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};
	struct signalfd_siginfo info;
	int caught = 0;
	char byte;

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			_exit(EXIT_INTERNAL);
		if (p[1].revents && read(signals, &info, sizeof info) == sizeof info) {
			caught = (int)info.ssi_signo;
			kill(daemon, SIGTERM);
		}
		if (!p[0].revents)
			continue;
		if (read(pipe, &byte, 1) == 1 && !caught)
			_exit(0);
		int code = reap(daemon);
		if (caught)
			die_of(caught, mask);
		_exit(code);
	}
}

int ready_fork(bool grouped)
{
	int ends[2], signals, r;
	sigset_t ending, before;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	// Blocked before there is a daemon, so that none of them is lost on it.
	sigprocmask(SIG_BLOCK, &ending, &before);
	signals = signalfd(-1, &ending, SFD_CLOEXEC);
	pid = signals < 0 ? -1 : fork();
	r = pid < 0 ? -errno : 0;
	if (pid > 0) {
		close(ends[1]);
		parent_main(pid, ends[0], signals, &before);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(ends[0]);
	if (signals >= 0)
		close(signals);
	if (r < 0) {
		close(ends[1]);
		return r;
	}
	if (!grouped)
		setsid();
	return ends[1];
}

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

void ready_announce(int fd)
{
	char message[64];

	if (fd >= 0) {
		leave_terminal();
		if (write(fd, "r", 1) < 0) {
			// The parent was killed: nobody waits, and we are as ready.
		}
		close(fd);
	}
	snprintf(message, sizeof message, "MAINPID=%d\nREADY=1", (int)getpid());
	ready_notify(message);
}

// sd_notify(3), the part that is needed: one datagram, with a descriptor or without (-1). A name
// that begins with @ is abstract.
static int notify(const char *message, int passed, int flags)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof passed)];
	} control = { 0 };
	struct iovec text = { (char *)message, strlen(message) };
	struct msghdr m = { .msg_name = &to,
		.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n),
		.msg_iov = &text,
		.msg_iovlen = 1 };
	int fd, r;

	if (n < 2 || n > sizeof to.sun_path || (*path != '/' && *path != '@'))
		return -ENOENT;
	memcpy(to.sun_path, path, n);
	if (*path == '@')
		to.sun_path[0] = '\0';
	if (passed >= 0) {
		control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof passed) };
		memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
		m.msg_control = &control;
		m.msg_controllen = sizeof control;
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = sendmsg(fd, &m, MSG_NOSIGNAL | flags) < 0 ? -errno : 0;
	close(fd);
	return r;
}

void ready_notify(const char *message)
{
	notify(message, -1, MSG_DONTWAIT);
}

// sd_notify(3): the time tells the manager which of its requests this answers.
void ready_reloading(void)
{
	char message[64];
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(message, sizeof message, "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
	ready_notify(message);
}

// sd_watchdog_enabled(3): the number of a process that is not this one means that one alone.
double ready_watchdog(void)
{
	const char *pid = getenv("WATCHDOG_PID"), *limit = getenv("WATCHDOG_USEC");
	char *end;

	if (!limit || *limit < '0' || *limit > '9' || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	errno = 0;
	unsigned long long n = strtoull(limit, &end, 10);
	return errno || *end ? 0 : (double)n / 1e6;
}

int ready_store(int fd, const char *name)
{
	char message[64];

	snprintf(message, sizeof message, "FDSTORE=1\nFDNAME=%s", name);
	return notify(message, fd, 0);
}

// The place of a name in a list with colons, or -1.
static int find_name(const char *list, const char *name)
{
	size_t n = strlen(name), length;

	for (int i = 0;; i++, list += length + 1) {
		length = strcspn(list, ":");
		if (length == n && memcmp(list, name, n) == 0)
			return i;
		if (!list[length])
			return -1;
	}
}

// sd_listen_fds(3): descriptors from 3 on, for the process that LISTEN_PID names.
int ready_take(const char *name)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS"),
		   *names = getenv("LISTEN_FDNAMES");
	char message[64];
	int fd;

	if (!pid || !count || !names || strtol(pid, NULL, 10) != getpid())
		return -1;
	fd = find_name(names, name);
	if (fd < 0 || fd >= strtol(count, NULL, 10))
		return -1;
	fd += LISTEN_FIRST;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -1;
	snprintf(message, sizeof message, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	ready_notify(message);
	return fd;
}
