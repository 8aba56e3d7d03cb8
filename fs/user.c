// SPDX-License-Identifier: MIT
// The daemon's user. What a process of that user may do at all is up to fs/harden.c.
#include "fs/user.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/state.h"

int user_find(struct user *u, const char *name)
{
	struct passwd *entry;

	if (geteuid() != 0)
		return -EPERM;
	errno = 0;
	entry = getpwnam(name);
	if (!entry)
		return errno && errno != ESRCH ? -errno : -ENOENT;
	if (entry->pw_uid == 0)
		return -EINVAL;
	*u = (struct user){ .name = name, .uid = entry->pw_uid, .gid = entry->pw_gid };
	return 0;
}

int user_enter(const struct user *u)
{
	if (!u->name)
		return 0;
	if (initgroups(u->name, u->gid) == 0 && setegid(u->gid) == 0 && seteuid(u->uid) == 0)
		return 0;
	int r = -errno;
	user_leave(u);
	return r;
}

int user_leave(const struct user *u)
{
	static const gid_t none = 0;

	if (!u->name)
		return 0;
	if (seteuid(0) < 0 || setegid(0) < 0 || setgroups(1, &none) < 0)
		return -errno;
	return 0;
}

// Nobody but root can put another file in the place of what root has there. `last`: nor put
// anything there.
static bool is_roots(const struct stat *st, bool last)
{
	return st->st_uid == 0 &&
	       (!(st->st_mode & (S_IWGRP | S_IWOTH)) || (!last && st->st_mode & S_ISVTX));
}

// Opens one directory below another, and makes it if it is missing and `mode` is not 0.
static int step(int parent, const char *name, mode_t mode, bool last)
{
	struct stat st;
	int fd, r;

	if (mode && mkdirat(parent, name, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP || errno == ENOTDIR ? -EACCES : -errno;
	r = fstat(fd, &st) < 0 ? -errno : is_roots(&st, last) ? 0 : -EACCES;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

// Opens a directory all of whose parents are root's alone, as it is itself, without following a
// link. `make`: what is missing is made, parents for everyone to pass, and it for its owner.
static int open_roots(const char *path, bool make)
{
	char copy[PATH_MAX], *save = NULL, *name, *next;
	int at, fd;

	if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
		return -ENAMETOOLONG;
	at = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	for (name = strtok_r(copy, "/", &save); name; name = next) {
		next = strtok_r(NULL, "/", &save);
		fd = step(at, name, !make ? 0 : next ? 0755 : 0700, !next);
		close(at);
		if (fd < 0)
			return fd;
		at = fd;
	}
	return at;
}

static int give_file(const struct user *u, int directory, const char *name, bool give)
{
	struct stat st;
	int r = 0;
	int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? -ENOTEMPTY : -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -ENOTEMPTY;
	else if (give && fchown(fd, u->uid, u->gid) < 0)
		r = -errno;
	close(fd);
	return r;
}

// `give`: else they are only looked at. -ENOTEMPTY: one of them is no file of a node's state.
static int give_entries(const struct user *u, int directory, bool give)
{
	int copy = fcntl(directory, F_DUPFD_CLOEXEC, 3), r = 0;
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	if (!entries) {
		r = -errno;
		if (copy >= 0)
			close(copy);
		return r;
	}
	rewinddir(entries);
	while (r == 0 && (entry = readdir(entries))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = state_has_name(entry->d_name) ? give_file(u, directory, entry->d_name, give)
						  : -ENOTEMPTY;
	}
	closedir(entries);
	return r;
}

static bool owns(const struct user *u, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == u->uid;
}

int user_give_state(const struct user *u, const char *path)
{
	int fd, r;

	if (!u->name || owns(u, path))
		return 0;
	fd = open_roots(path, true);
	if (fd < 0)
		return fd;
	r = give_entries(u, fd, false);
	if (r == 0)
		r = give_entries(u, fd, true);
	if (r == 0 && fchown(fd, u->uid, u->gid) < 0)
		r = -errno;
	close(fd);
	return r;
}

int user_make_file(const struct user *u, const char *path)
{
	const char *base = strrchr(path, '/');
	char parent[PATH_MAX];
	int directory, fd, r;

	memcpy(parent, path, (size_t)(base - path));
	parent[base - path] = '\0';
	directory = open_roots(parent, false);
	if (directory < 0)
		return directory;
	fd = openat(
		directory, base + 1, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = fd < 0 || fchown(fd, u->uid, u->gid) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	close(directory);
	return r;
}

int user_become(const struct user *u)
{
	uid_t real, effective, saved;
	gid_t groups[3];

	if (!u->name)
		return 0;
	if (initgroups(u->name, u->gid) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
		setresuid(u->uid, u->uid, u->uid) < 0)
		return -errno;
	if (getresuid(&real, &effective, &saved) < 0 ||
		getresgid(&groups[0], &groups[1], &groups[2]) < 0)
		return -errno;
	if (real != u->uid || effective != u->uid || saved != u->uid || groups[0] != u->gid ||
		groups[1] != u->gid || groups[2] != u->gid)
		return -EPERM;
	// It must not be possible any more, or it was for nothing.
	return setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0 ? -EPERM : 0;
}
