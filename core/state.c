// SPDX-License-Identifier: MIT
// The state directory. Files are replaced whole (written aside, synced, renamed), so that a crash
// leaves the old one or the new one.
#include "core/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/limits.h"

#define FILE_MAX 64 // bytes of the longest file here, and room to see that one is too long

static bool is_read_only(int error)
{
	return error == -EROFS || error == -EACCES || error == -EPERM;
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_';
}

// One name that no other mount point has: / becomes -, all that is not plain becomes %XX.
static int escape_path(char *out, size_t size, const char *path)
{
	size_t n = 0;

	path += *path == '/';
	if (*path == '\0')
		path = "/";
	for (; *path; path++) {
		if (n + 4 > size || n + 3 > NAME_MAX)
			return -ENAMETOOLONG;
		if (*path == '/' || is_plain(*path))
			out[n++] = *path == '/' ? '-' : *path;
		else
			n += (size_t)snprintf(out + n, size - n, "%%%02X", (unsigned char)*path);
	}
	out[n] = '\0';
	return 0;
}

int state_default_path(char *path, size_t size, const char *mountpoint)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char name[NAME_MAX + 1];
	int n;

	if (escape_path(name, sizeof name, mountpoint) < 0)
		return -ENAMETOOLONG;
	if (geteuid() == 0)
		n = snprintf(path, size, "/var/lib/smokefs/%s", name);
	else if (xdg && *xdg == '/')
		n = snprintf(path, size, "%s/smokefs/%s", xdg, name);
	else if (home && *home == '/')
		n = snprintf(path, size, "%s/.local/state/smokefs/%s", home, name);
	else
		return -ENOENT;
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int open_directory(const char *path)
{
	char copy[PATH_MAX];
	size_t n = strnlen(path, sizeof copy);

	if (n == 0)
		return -ENOENT;
	if (n == sizeof copy)
		return -ENAMETOOLONG;
	memcpy(copy, path, n + 1);
	for (char *p = copy + 1; p <= copy + n; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char kept = *p;
		*p = '\0';
		// What exists already is judged by the open below.
		int error = mkdir(copy, 0700) < 0 && errno != EEXIST ? errno : 0;
		if (error && access(copy, F_OK) < 0)
			return -error;
		*p = kept;
	}
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

// The content without its newline: its length, -ENOENT, -EINVAL when it is no file of ours.
static int read_file(int directory, const char *name, char text[FILE_MAX])
{
	struct stat st;
	ssize_t n = -1;
	int r = -EINVAL;
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return errno == ELOOP ? -EINVAL : -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		goto out;
	n = read(fd, text, FILE_MAX);
	if (n < 0)
		r = -errno;
	if (n < 1 || n == FILE_MAX || text[n - 1] != '\n' || memchr(text, '\0', (size_t)n))
		goto out;
	text[n - 1] = '\0';
	r = (int)n - 1;
out:
	close(fd);
	return r;
}

static int write_all(int fd, const char *text, size_t n)
{
	ssize_t written = write(fd, text, n);
	if (written < 0)
		return -errno;
	return (size_t)written == n ? 0 : -ENOSPC;
}

static int write_file(int directory, const char *name, const char *text)
{
	char aside[32];
	int r;

	snprintf(aside, sizeof aside, "%s.new", name);
	// Left over from a crash: ours, because we hold the lock.
	if (unlinkat(directory, aside, 0) < 0 && errno != ENOENT)
		return -errno;
	int fd = openat(
		directory, aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (r == 0 && renameat(directory, aside, directory, name) < 0)
		r = -errno;
	if (r == 0 && fsync(directory) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(directory, aside, 0);
	return r;
}

static pid_t read_holder(int fd)
{
	char text[FILE_MAX];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	long pid = strtol(text, NULL, 10);
	return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

// An open file description lock: it goes with the daemon that inherits it over a fork, and no
// other close in the process drops it.
static int take_lock(struct state *s, pid_t *holder)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;

	s->lock = openat(
		s->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (s->lock < 0)
		return errno == ELOOP ? -EINVAL : -errno;
	if (fstat(s->lock, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	if (fcntl(s->lock, F_OFD_SETLK, &whole) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return -errno;
	*holder = read_holder(s->lock);
	return -EBUSY;
}

static int write_holder(struct state *s)
{
	char text[FILE_MAX];

	if (s->lock < 0)
		return 0;
	int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
	if (ftruncate(s->lock, 0) < 0 || pwrite(s->lock, text, (size_t)n, 0) != n)
		return errno ? -errno : -EIO;
	return 0;
}

static int make_id(struct id *id)
{
	return getrandom(id->bytes, sizeof id->bytes, 0) == sizeof id->bytes ? 0 : -EIO;
}

static int load_id(struct state *s)
{
	char text[FILE_MAX];
	int r = read_file(s->directory, "id", text);

	if (r >= 0)
		return id_parse(&s->id, text);
	if (r != -ENOENT)
		return r;
	r = make_id(&s->id);
	if (r < 0)
		return r;
	snprintf(text, sizeof text, "%s\n", id_format(&s->id).text);
	return write_file(s->directory, "id", text);
}

static int parse_incarnation(const char *text, uint64_t *value)
{
	char *end;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	// The highest value has no successor.
	if (*end || errno || v == UINT64_MAX)
		return -EINVAL;
	*value = v;
	return 0;
}

static int advance_incarnation(struct state *s, uint64_t wall)
{
	char text[FILE_MAX];
	uint64_t stored = 0;
	int r = read_file(s->directory, "incarnation", text);

	if (r >= 0)
		r = parse_incarnation(text, &stored);
	if (r < 0 && r != -ENOENT)
		return r;
	s->incarnation = wall / MILLISECOND;
	if (s->incarnation < stored + 1)
		s->incarnation = stored + 1;
	snprintf(text, sizeof text, "%llu\n", (unsigned long long)s->incarnation);
	return write_file(s->directory, "incarnation", text);
}

static int open_kept(
	struct state *s, const char *path, uint64_t wall, pid_t *holder, const char **culprit)
{
	int r;

	s->directory = open_directory(path);
	if (s->directory < 0)
		return s->directory;
	*culprit = "lock";
	r = take_lock(s, holder);
	if (r == 0)
		r = write_holder(s);
	if (r < 0)
		return r;
	*culprit = "id";
	r = load_id(s);
	if (r < 0)
		return r;
	*culprit = "incarnation";
	r = advance_incarnation(s, wall);
	if (r == 0)
		*culprit = NULL;
	return r;
}

int state_open(
	struct state *s, const char *path, uint64_t wall, pid_t *holder, const char **culprit)
{
	*s = (struct state){ .directory = -1, .lock = -1 };
	*holder = 0;
	*culprit = NULL;
	int r = open_kept(s, path, wall, holder, culprit);
	if (r == 0)
		return 0;
	state_close(s);
	if (!is_read_only(r))
		return r;
	*culprit = NULL;
	s->ephemeral = true;
	s->incarnation = wall / MILLISECOND;
	return make_id(&s->id);
}

void state_close(struct state *s)
{
	if (s->lock >= 0)
		close(s->lock);
	if (s->directory >= 0)
		close(s->directory);
	s->lock = s->directory = -1;
}
