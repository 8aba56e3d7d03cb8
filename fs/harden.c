// SPDX-License-Identifier: MIT
// What the kernel keeps from the process. Which user it is, is up to fs/user.c.
#include "fs/harden.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// A sanitizer's leak checker attaches to the process as a debugger does, from a thread of its own,
// and makes calls that we never make: such a build has neither of the two below.
#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

void harden_start(void)
{
	static const struct rlimit none = { 0, 0 };

	// Neither can fail: the one only lowers a limit, the other has no condition. A change of
	// the user clears it, too, and the leak checker needs it.
	if (!IS_SANITIZED)
		setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, IS_SANITIZED, 0, 0, 0);
}

void harden_bound_capabilities(void)
{
	// The first number that the kernel does not know is EINVAL.
	for (unsigned long i = 0; prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0; i++)
		;
}

int harden_drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	static const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
	struct __user_cap_data_struct held[_LINUX_CAPABILITY_U32S_3];

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	// EINVAL: a kernel without ambient capabilities.
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	// A service manager that has taken them may have taken this call as well.
	if (syscall(SYS_capget, &header, held) < 0)
		return -errno;
	if (memcmp(held, none, sizeof none) != 0 && syscall(SYS_capset, &header, none) < 0)
		return -errno;
	// A change of the user has set this anew.
	harden_start();
	return 0;
}

void harden_unmounter(void)
{
	// Root without the second does not pass the private directories of others.
	static const uint32_t kept = CAP_TO_MASK(CAP_SYS_ADMIN) | CAP_TO_MASK(CAP_DAC_READ_SEARCH);
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct held[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, held) < 0 ||
		!(held[0].effective & CAP_TO_MASK(CAP_SYS_ADMIN)))
		return;
	harden_bound_capabilities();
	// What is only ever made less is never refused.
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	memset(held + 1, 0, sizeof held - sizeof *held);
	held[0].permitted &= kept;
	held[0].effective &= kept;
	held[0].inheritable = 0;
	syscall(SYS_capset, &header, held);
	harden_start();
}

// The allow-list, by what needs it. Names that this architecture or libseccomp does not have are
// passed over: both the old and the new call stand here wherever libc may choose either.
static const char *const allowed[] = {
	// the loop: libev, whose backend the user can choose by LIBEV_FLAGS
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
	"epoll_pwait2", "epoll_wait", "eventfd2", "poll", "ppoll", "ppoll_time64", "select",
	"_newselect", "pselect6", "pselect6_time64", "timerfd_create", "timerfd_settime",
	"timerfd_settime64", "pipe2",
	// descriptors: the mount, the links, the log, the state directory, files of the resolver
	"read", "readv", "write", "writev", "pread64", "pwrite64", "close", "lseek", "_llseek",
	"dup", "dup2", "dup3", "fcntl", "fcntl64", "open", "openat", "openat2", "stat", "stat64",
	"lstat", "lstat64", "fstat", "fstat64", "newfstatat", "fstatat64", "statx", "access",
	"faccessat", "faccessat2", "fgetxattr", "readlink", "readlinkat", "getcwd", "chdir",
	"getdents", "getdents64", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "link",
	"linkat", "unlink", "unlinkat", "ftruncate", "ftruncate64", "fsync", "fdatasync", "fchmod",
	"umask",
	// the network, the log of the system, the service manager
	"bind", "connect", "listen", "accept", "accept4", "getsockname", "getpeername",
	"getsockopt", "setsockopt", "shutdown", "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom",
	"recvmsg", "recvmmsg", "recvmmsg_time64", "send",
	// memory and locks: malloc, OpenSSL
	"brk", "munmap", "mremap", "madvise", "futex", "futex_time64", "futex_waitv", "membarrier",
	"sched_yield", "getrandom",
	// time and what one may know of oneself: libc, c-ares
	"clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64",
	"clock_nanosleep", "clock_nanosleep_time64", "nanosleep", "gettimeofday", "time", "times",
	"getpid", "getppid", "gettid", "getuid", "getuid32", "geteuid", "geteuid32", "getgid",
	"getgid32", "getegid", "getegid32", "getrusage", "getrlimit", "ugetrlimit",
	"sched_getaffinity", "sysinfo", "uname",
	// signals, the end, and waiting for the helper
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "restart_syscall", "wait4",
	"waitid", "waitpid", "exit", "exit_group",
	// libc at its own discretion
	"rseq", "set_robust_list"
};

struct rule {
	const char *name;
	struct scmp_arg_cmp argument;
};

static int add_rule(scmp_filter_ctx filter, const struct rule *rule)
{
	int number = seccomp_syscall_resolve_name(rule->name);

	if (number == __NR_SCMP_ERROR)
		return 0;
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, &rule->argument);
}

// What is allowed with certain arguments only.
static int add_limited(scmp_filter_ctx filter, pid_t child)
{
	const struct rule rules[] = {
		// Not to raw packets, nor to the tables of the kernel.
		{ "socket", SCMP_A0(SCMP_CMP_EQ, AF_UNIX) },
		{ "socket", SCMP_A0(SCMP_CMP_EQ, AF_INET) },
		{ "socket", SCMP_A0(SCMP_CMP_EQ, AF_INET6) },
		// What is written into memory is never run.
		{ "mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
		{ "mmap2", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
		{ "mprotect", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
		// stdio asks whether something is a terminal.
		{ "ioctl", SCMP_A1(SCMP_CMP_EQ, TCGETS) },
		{ "ioctl", SCMP_A1(SCMP_CMP_EQ, FIONBIO) },
		{ "ioctl", SCMP_A1(SCMP_CMP_EQ, FIONREAD) },
		// The addresses of the interfaces, for discovery.
		{ "ioctl", SCMP_A1(SCMP_CMP_EQ, SIOCGIFCONF) },
		{ "ioctl", SCMP_A1(SCMP_CMP_EQ, SIOCGIFFLAGS) },
		{ "ioctl", SCMP_A1(SCMP_CMP_EQ, SIOCGIFINDEX) },
		// abort(3) sends a signal to us, and the helper may have to be ended.
		{ "tgkill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()) },
		{ "kill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)(child > 0 ? child : getpid())) },
		// Limits are asked for, not set.
		{ "prlimit64", SCMP_A2(SCMP_CMP_EQ, 0) },
#ifdef PR_SET_VMA
		// malloc names its memory.
		{ "prctl", SCMP_A0(SCMP_CMP_EQ, PR_SET_VMA) },
#endif
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof rules / sizeof *rules; i++)
		r = add_rule(filter, &rules[i]);
	return r;
}

static int add_allowed(scmp_filter_ctx filter)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof allowed / sizeof *allowed; i++) {
		int number = seccomp_syscall_resolve_name(allowed[i]);
		if (number != __NR_SCMP_ERROR)
			r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
	}
	return r;
}

int harden_confine(enum seccomp_mode mode, pid_t child)
{
	scmp_filter_ctx filter;
	int r;

	if (IS_SANITIZED || mode == SECCOMP_OFF)
		return 0;
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0 && errno == EINVAL)
		return -ENOSYS;
	filter = seccomp_init(mode == SECCOMP_LOG ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return -ENOMEM;
	// The kernel's own errno, and a search instead of a walk at every call.
	r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = add_allowed(filter);
	if (r == 0)
		r = add_limited(filter, child);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}
