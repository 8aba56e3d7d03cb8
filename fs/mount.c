// SPDX-License-Identifier: MIT
// The mount point. The truth is /proc/self/mountinfo: mountpoint(1) and stat(2) fail on a dead
// mount and hang on one whose daemon is stopped.
#include "fs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/harden.h"
#include "fs/path.h"

#define TYPE_OURS	"fuse.smokefs"
#define LINKS_FOLLOWED	40   // as many as the kernel does
#define PROBE_TIMEOUT	2000 // milliseconds
#define UNMOUNT_TIMEOUT 5000 // milliseconds
#define HELPER_TIMEOUT	6000 // milliseconds, for it to unmount
#define STACK_MAX	16   // dead mounts on top of each other

struct entry {
	unsigned major, minor;
	bool ours;
};

// Undoes the octal escapes of mountinfo (space, tab, newline, backslash) in place.
static void unescape(char *text)
{
	char *to = text;
	for (const char *from = text; *from; to++) {
		unsigned value;
		if (from[0] == '\\' && sscanf(from + 1, "%3o", &value) == 1) {
			*to = (char)value;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

// ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAGS...] - TYPE SOURCE SUPER-OPTIONS
static bool parse_entry(char *line, const char *path, struct entry *e)
{
	char *separator = strstr(line, " - "), *save = NULL, *field;

	if (!separator || sscanf(line, "%*u %*u %u:%u", &e->major, &e->minor) != 2)
		return false;
	field = strtok_r(line, " ", &save);
	for (int i = 0; i < 4 && field; i++)
		field = strtok_r(NULL, " ", &save);
	if (!field)
		return false;
	unescape(field);
	if (strcmp(field, path) != 0)
		return false;
	separator += 3;
	e->ours = strncmp(separator, TYPE_OURS " ", sizeof TYPE_OURS) == 0;
	return true;
}

// What is mounted at `path`, the topmost. 1, 0: nothing, or -errno.
static int find_entry(const char *path, struct entry *found)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	struct entry e;
	int r = 0;

	if (!f)
		return -errno;
	while (getline(&line, &size, f) > 0) {
		if (!parse_entry(line, path, &e))
			continue;
		*found = e;
		r = 1;
	}
	free(line);
	fclose(f);
	return r;
}

static bool is_ours(const char *path)
{
	struct entry e;
	return find_entry(path, &e) == 1 && e.ours;
}

// The target of the symbolic link at `path`, as a path that can be resolved from here. Its
// length, or -errno: -EINVAL when it is no link.
static int read_link(char target[PATH_MAX], const char *path)
{
	char text[PATH_MAX];
	ssize_t n = readlink(path, text, sizeof text - 1);
	int length;

	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (*text == '/')
		length = snprintf(target, PATH_MAX, "%s", text);
	else
		length = snprintf(
			target, PATH_MAX, "%.*s/%s", (int)(strrchr(path, '/') - path), path, text);
	return length >= PATH_MAX ? -ENAMETOOLONG : length;
}

int mount_resolve(char path[PATH_MAX], const char *given)
{
	char next[PATH_MAX];
	int r = path_resolve_parent(path, given);

	for (int i = 0; r == 0 && i < LINKS_FOLLOWED; i++) {
		// Not even a readlink: the daemon of this mount may be dead or stopped.
		if (is_ours(path))
			return 0;
		r = read_link(next, path);
		if (r == -EINVAL)
			return 0;
		if (r >= 0)
			r = path_resolve_parent(path, next);
	}
	return r < 0 ? r : -ELOOP;
}

// Children.

// In a child of our own: nothing of the daemon's stays open, above all not its /dev/fuse, which
// would keep a mount alive whose daemon is gone.
static void leave_daemon(int keep)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	if (keep >= 0)
		keep = dup2(keep, 3);
	close_range(keep >= 0 ? 4 : 3, ~0u, 0);
}

// Waits for a child that must not hold us up: its exit code, or -ETIMEDOUT, and then it is killed.
// It is not waited for after that: in the middle of a request to a stopped daemon it cannot die.
static int await_child(pid_t pid, int pidfd, int timeout)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int status, n;

	do {
		n = poll(&p, 1, timeout);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		kill(pid, SIGKILL);
		return -ETIMEDOUT;
	}
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

static pid_t fork_watched(int *pidfd)
{
	pid_t pid = fork();

	*pidfd = -1;
	if (pid < 0)
		return -errno;
	if (pid == 0)
		return 0;
	*pidfd = pidfd_open(pid, 0);
	if (*pidfd >= 0)
		return pid;
	int r = -errno;
	kill(pid, SIGKILL);
	return r;
}

pid_t mount_probe(const char *path, int *pidfd)
{
	struct statx stx;
	pid_t pid = fork_watched(pidfd);

	if (pid != 0)
		return pid;
	leave_daemon(-1);
	// Asks the daemon even when the kernel has the attributes.
	if (statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx) < 0)
		_exit(errno < 255 ? errno : 255);
	_exit(0);
}

enum mount_state mount_look(const char *path)
{
	int pidfd, r;
	pid_t pid;

	if (!is_ours(path))
		return MOUNT_NONE;
	pid = mount_probe(path, &pidfd);
	if (pid < 0)
		return MOUNT_UNKNOWN;
	r = await_child(pid, pidfd, PROBE_TIMEOUT);
	close(pidfd);
	if (r == ENOTCONN || r == ECONNABORTED)
		return MOUNT_DEAD;
	// The mount of another user, into which the kernel does not let us look.
	if (r == EACCES)
		return MOUNT_LIVE;
	return r == 0 ? MOUNT_LIVE : MOUNT_UNKNOWN;
}

static int unmount_as_user(const char *path)
{
	int pidfd, r;
	pid_t pid = fork_watched(&pidfd);

	if (pid < 0)
		return (int)pid;
	if (pid == 0) {
		leave_daemon(-1);
		execlp("fusermount3", "fusermount3", "-u", "-q", "-z", "--", path, NULL);
		_exit(127);
	}
	r = await_child(pid, pidfd, UNMOUNT_TIMEOUT);
	close(pidfd);
	return r > 0 ? -EPERM : r;
}

static int unmount_lazily(const char *path)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return 0;
	return errno == EPERM ? unmount_as_user(path) : -errno;
}

static int clean(const char *path, bool unanswered)
{
	int r = 0;

	for (int i = 0; r == 0 && i < STACK_MAX; i++) {
		enum mount_state state = mount_look(path);
		if (state != MOUNT_DEAD && !(unanswered && state == MOUNT_UNKNOWN))
			break;
		r = unmount_lazily(path);
	}
	return r;
}

int mount_clean(const char *path)
{
	return clean(path, false);
}

int mount_clear(const char *path)
{
	return clean(path, true);
}

bool mount_has_request_limit(void)
{
	char text[16] = "";
	int fd = open(MOUNT_REQUEST_LIMIT, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	return n > 0 && strtol(text, NULL, 10) > 0;
}

// The helper.

// One packet of the pipe: no larger, or it would be split.
struct watched {
	uint32_t major, minor;
	char path[PIPE_BUF - 8];
};

// Reads what the daemon says until it ends. True: there is a mount to take care of.
static bool helper_listen(int pipe, struct watched *w)
{
	bool watching = false;
	ssize_t n;

	// The pipe is in packet mode: one read is one write, and an empty path means to let go.
	while ((n = read(pipe, w, sizeof *w)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		watching = w->path[0] != '\0';
	}
	return watching;
}

__attribute__((noreturn)) static void helper_main(int pipe)
{
	struct watched w = { 0 };
	struct entry e;

	setsid();
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NAME, "smokefs-umount");
	leave_daemon(pipe);
	harden_unmounter();
	if (chdir("/") < 0 || !helper_listen(3, &w))
		_exit(0);
	// Killed between mounting and saying so: what is there and dead was going to be ours.
	if (w.major == 0 && w.minor == 0)
		mount_clean(w.path);
	// By the device number: another daemon may have mounted the same place since.
	else if (find_entry(w.path, &e) == 1 && e.ours && e.major == w.major && e.minor == w.minor)
		unmount_lazily(w.path);
	_exit(0);
}

int mount_helper_start(struct mount_helper *h)
{
	int ends[2], r;

	h->pipe = -1;
	if (pipe2(ends, O_CLOEXEC | O_DIRECT) < 0)
		return -errno;
	h->pid = fork_watched(&h->pidfd);
	if (h->pid == 0)
		helper_main(ends[0]);
	r = h->pid < 0 ? (int)h->pid : 0;
	close(ends[0]);
	if (r < 0)
		close(ends[1]);
	else
		h->pipe = ends[1];
	return r;
}

// A packet goes whole or not at all.
static int helper_tell(struct mount_helper *h, const struct watched *w)
{
	return write(h->pipe, w, sizeof *w) < 0 ? -errno : 0;
}

static int helper_tell_path(struct mount_helper *h, const char *path, const struct entry *e)
{
	struct watched w = { .major = e->major, .minor = e->minor };

	if (h->pipe < 0)
		return 0;
	if (strlen(path) >= sizeof w.path)
		return -ENAMETOOLONG;
	snprintf(w.path, sizeof w.path, "%s", path);
	return helper_tell(h, &w);
}

int mount_helper_expect(struct mount_helper *h, const char *path)
{
	return helper_tell_path(h, path, &(struct entry){ 0 });
}

int mount_helper_watch(struct mount_helper *h, const char *path)
{
	struct entry e;
	int r = find_entry(path, &e);

	if (r <= 0 || !e.ours)
		return r < 0 ? r : -ENOENT;
	h->major = e.major;
	h->minor = e.minor;
	return helper_tell_path(h, path, &e);
}

void mount_helper_stop(struct mount_helper *h, const char *path)
{
	static const struct watched nothing;
	struct entry e;

	if (h->pipe < 0)
		return;
	// Told while it is certain: the next mount of this place may get the same number.
	if (find_entry(path, &e) != 1 || !e.ours || e.major != h->major || e.minor != h->minor)
		helper_tell(h, &nothing);
	close(h->pipe);
	h->pipe = -1;
	await_child(h->pid, h->pidfd, HELPER_TIMEOUT);
	close(h->pidfd);
}
