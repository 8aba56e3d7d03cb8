// SPDX-License-Identifier: MIT
// Confines itself as the daemon does and then makes one call. Exit code 0: it was let through, 1:
// it failed, 2: wrong usage, 3: no filter; or killed by SIGSYS.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/harden.h"

#define PAGE 4096

// Refused.

static long do_execve(void)
{
	char *words[] = { "true", NULL };

	return execve("/bin/true", words, NULL);
}

static long do_fork(void)
{
	return syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static long do_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long do_packet(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0);
}

static long do_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long do_map_code(void)
{
	return mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? -1
		       : 0;
}

static long do_make_code(void)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(page, PAGE, PROT_READ | PROT_EXEC);
}

static long do_mount(void)
{
	return syscall(SYS_mount, "none", "/nowhere", "tmpfs", 0, NULL);
}

static long do_setuid(void)
{
	return setuid(getuid());
}

static long do_terminal(void)
{
	return ioctl(STDIN_FILENO, TIOCSTI, "x");
}

static long do_kill(void)
{
	return kill(getppid(), 0);
}

static long do_limit(void)
{
	static const struct rlimit none = { 0, 0 };

	return setrlimit(RLIMIT_NOFILE, &none);
}

static long do_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

// Needed.

static long do_sockets(void)
{
	return socket(AF_UNIX, SOCK_DGRAM, 0) < 0 || socket(AF_INET, SOCK_STREAM, 0) < 0 ||
			       (socket(AF_INET6, SOCK_STREAM, 0) < 0 && errno != EAFNOSUPPORT)
		       ? -1
		       : 0;
}

static long do_memory(void)
{
	char *small = malloc(64 * PAGE), *large = small ? realloc(small, 4096 * PAGE) : NULL;

	if (!large)
		return -1;
	memset(large, 1, 4096 * PAGE);
	free(large);
	return 0;
}

static long do_abort(void)
{
	signal(SIGABRT, SIG_IGN);
	return raise(SIGABRT);
}

static const struct {
	const char *name;
	long (*call)(void);
} offences[] = {
	{ "execve", do_execve },
	{ "fork", do_fork },
	{ "ptrace", do_ptrace },
	{ "packet", do_packet },
	{ "netlink", do_netlink },
	{ "map-code", do_map_code },
	{ "make-code", do_make_code },
	{ "mount", do_mount },
	{ "setuid", do_setuid },
	{ "terminal", do_terminal },
	{ "kill", do_kill },
	{ "limit", do_limit },
	{ "dumpable", do_dumpable },
	{ "sockets", do_sockets },
	{ "memory", do_memory },
	{ "abort", do_abort },
};
#define OFFENCES (sizeof offences / sizeof *offences)

int main(int argc, char **argv)
{
	enum seccomp_mode mode = SECCOMP_ENFORCE;
	size_t i = 0;

	if (argc == 3 && strcmp(argv[2], "log") == 0)
		mode = SECCOMP_LOG;
	else if (argc != 2)
		return 2;
	while (i < OFFENCES && strcmp(argv[1], offences[i].name) != 0)
		i++;
	if (i == OFFENCES)
		return 2;
	harden_start();
	if (harden_drop_capabilities() < 0 || harden_confine(mode, 0) < 0)
		return 3;
	return offences[i].call() < 0 ? 1 : 0;
}
