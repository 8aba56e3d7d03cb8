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
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_INTERNAL 4

void ready_prepare(bool foreground)
{
	struct rlimit files;
	int fd;

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

int ready_fork(void)
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

// sd_notify(3), the part that is needed: one datagram. A name that begins with @ is abstract.
void ready_notify(const char *message)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (n < 2 || n > sizeof to.sun_path || (*path != '/' && *path != '@'))
		return;
	memcpy(to.sun_path, path, n);
	if (*path == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, message, strlen(message), MSG_NOSIGNAL | MSG_DONTWAIT,
		(const struct sockaddr *)&to,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}
