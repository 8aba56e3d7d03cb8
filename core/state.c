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

#define FILE_MAX   96 // bytes of the longest file but the lists, and room to see it is too long
#define STATE_PATH (PATH_MAX + 32)
#define NODE_KEY   "node.key"
#define LOCK	   "lock"
#define COUNT	   "incarnation"
#define ASIDE	   ".new" // a file that is being written

static const char *const list_names[] = {
	[STATE_AUTHORIZED] = "authorized_peers",
	[STATE_DENIED] = "denied_peers",
};

bool state_has_name(const char *name)
{
	const char *const names[] = { LOCK, NODE_KEY, COUNT, list_names[STATE_AUTHORIZED],
		list_names[STATE_DENIED], STATE_NAMES, STATE_PEERS };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		size_t n = strlen(names[i]);
		if (strncmp(name, names[i], n) == 0 &&
			(name[n] == '\0' || strcmp(name + n, ASIDE) == 0))
			return true;
	}
	return false;
}

static bool is_read_only(int error)
{
	return error == -EROFS || error == -EACCES || error == -EPERM;
}

// Leaves a sentence about a file; returns `error`.
static int complain(const struct state *s, const char *name, int error, char why[KEYFILE_WHY])
{
	if (error == -EINVAL)
		snprintf(why, KEYFILE_WHY,
			"%s/%s: is damaged; restore it, or remove node.key and incarnation to "
			"become a new node",
			s->path, name);
	else
		snprintf(why, KEYFILE_WHY, "%s/%s: %s", s->path, name, strerror(-error));
	return error;
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

static int write_all(int fd, const void *text, size_t n)
{
	ssize_t written = write(fd, text, n);
	if (written < 0)
		return -errno;
	return (size_t)written == n ? 0 : -ENOSPC;
}

static int write_file(int directory, const char *name, const void *text, size_t n, bool sync)
{
	char aside[32];
	int r;

	snprintf(aside, sizeof aside, "%s" ASIDE, name);
	// Left over from a crash: ours, because we hold the lock.
	if (unlinkat(directory, aside, 0) < 0 && errno != ENOENT)
		return -errno;
	int fd = openat(
		directory, aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, n);
	if (r == 0 && sync && fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (r == 0 && renameat(directory, aside, directory, name) < 0)
		r = -errno;
	if (r == 0 && sync && fsync(directory) < 0)
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
static int take_lock(struct state *s, char why[KEYFILE_WHY])
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;

	s->lock = openat(
		s->directory, LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (s->lock < 0)
		return errno == ELOOP ? -EINVAL : -errno;
	if (fstat(s->lock, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	if (fcntl(s->lock, F_OFD_SETLK, &whole) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return -errno;
	snprintf(why, KEYFILE_WHY,
		"%s: in use by process %d; stop it, or choose another directory with --state",
		s->path, (int)read_holder(s->lock));
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

_Static_assert(SECRET_KEY_BYTES == NETWORK_KEY_BYTES, "both kinds of key are written alike");

static int make_key(struct state *s)
{
	return getrandom(s->secret, sizeof s->secret, 0) == sizeof s->secret ? 0 : -EIO;
}

static int store_key(const struct state *s)
{
	char text[KEY_TEXT + 1];
	int r;

	keyfile_encode(text, s->secret);
	text[KEY_TEXT] = '\n';
	r = write_file(s->directory, NODE_KEY, text, sizeof text, true);
	explicit_bzero(text, sizeof text);
	return r;
}

static struct keyfile file_of(
	const struct state *s, const char *name, enum keyfile_kind kind, char path[STATE_PATH])
{
	snprintf(path, STATE_PATH, "%s/%s", s->path, name);
	return (struct keyfile){ s->directory, name, path, kind, s->owner };
}

static int load_key(struct state *s, char why[KEYFILE_WHY])
{
	char text[FILE_MAX], path[STATE_PATH];
	struct keyfile f = file_of(s, NODE_KEY, KEYFILE_SECRET, path);
	ssize_t n = keyfile_read(&f, text, sizeof text, why);
	int r = 0;

	if (n == -ENOENT) {
		r = make_key(s);
		return r < 0 ? r : store_key(s);
	}
	// Whatever is wrong with a key that is there, no other takes its place.
	if (n < 0 && n != -EFBIG)
		r = -EINVAL;
	else if (n != KEY_TEXT + 1 || text[KEY_TEXT] != '\n' ||
		 !keyfile_decode(s->secret, text, KEY_TEXT))
		r = complain(s, NODE_KEY, -EINVAL, why);
	explicit_bzero(text, sizeof text);
	return r;
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

static int store_incarnation(struct state *s, uint64_t incarnation)
{
	char text[FILE_MAX];
	int n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)incarnation);

	return write_file(s->directory, COUNT, text, (size_t)n, true);
}

static int advance_incarnation(struct state *s, uint64_t wall)
{
	char text[FILE_MAX];
	uint64_t stored = 0;
	int r = read_file(s->directory, COUNT, text);

	if (r >= 0)
		r = parse_incarnation(text, &stored);
	if (r < 0 && r != -ENOENT)
		return r;
	s->incarnation = wall / MILLISECOND;
	if (s->incarnation < stored + 1)
		s->incarnation = stored + 1;
	return store_incarnation(s, s->incarnation);
}

int state_keep_incarnation(struct state *s, uint64_t incarnation)
{
	int r = s->ephemeral ? 0 : store_incarnation(s, incarnation);
	if (r == 0)
		s->incarnation = incarnation;
	return r;
}

// Text.

ssize_t state_read_text(const struct state *s, const char *name, size_t max, char **text)
{
	struct stat st;
	ssize_t r;
	int fd;

	*text = NULL;
	if (s->directory < 0)
		return -ENOENT;
	fd = openat(s->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ELOOP ? -EINVAL : -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -EINVAL;
	else if (st.st_size > (off_t)max)
		r = -EFBIG;
	else if (!(*text = malloc((size_t)st.st_size + 1)))
		r = -ENOMEM;
	else if ((r = read(fd, *text, (size_t)st.st_size)) < 0)
		r = -errno;
	close(fd);
	return r;
}

int state_write_text(struct state *s, const char *name, const void *text, size_t n)
{
	return s->ephemeral ? 0 : write_file(s->directory, name, text, n, false);
}

// The whole.

// A directory that is there and cannot be opened may have lists in it: that is no reason to go on
// without them.
static int open_directory(struct state *s, char why[KEYFILE_WHY])
{
	int fd = keyfile_open_directory(s->path);

	if (fd < 0) {
		snprintf(why, KEYFILE_WHY, "%s: %s", s->path, strerror(-fd));
		return is_read_only(fd) && (access(s->path, F_OK) == 0 || errno != ENOENT) ? -EINVAL
											   : fd;
	}
	s->directory = fd;
	return keyfile_check_directory(fd, s->path, s->owner, why) < 0 ? -EINVAL : 0;
}

static int open_kept(struct state *s, uint64_t wall, char why[KEYFILE_WHY])
{
	int r = open_directory(s, why);

	if (r < 0)
		return r;
	r = take_lock(s, why);
	if (r == 0)
		r = write_holder(s);
	if (r == -EINVAL)
		snprintf(why, KEYFILE_WHY, "%s/lock: is not a regular file; remove it", s->path);
	else if (r < 0 && r != -EBUSY)
		complain(s, LOCK, r, why);
	if (r < 0)
		return r;
	*why = '\0';
	r = load_key(s, why);
	if (r < 0)
		return *why ? r : complain(s, NODE_KEY, r, why);
	r = advance_incarnation(s, wall);
	return r < 0 ? complain(s, COUNT, r, why) : 0;
}

int state_open(struct state *s, const char *path, uid_t owner, uint64_t wall, char why[KEYFILE_WHY])
{
	*s = (struct state){ .directory = -1, .lock = -1, .path = path, .owner = owner };
	int r = open_kept(s, wall, why);
	if (r == 0)
		return 0;
	if (!is_read_only(r)) {
		state_close(s);
		return r;
	}
	if (s->lock >= 0)
		close(s->lock);
	s->lock = -1;
	s->ephemeral = true;
	s->incarnation = wall / MILLISECOND;
	r = make_key(s);
	if (r < 0) {
		snprintf(why, KEYFILE_WHY, "no randomness for a key: %s", strerror(-r));
		state_close(s);
	}
	return r;
}

void state_close(struct state *s)
{
	if (s->lock >= 0)
		close(s->lock);
	if (s->directory >= 0)
		close(s->directory);
	s->lock = s->directory = -1;
	explicit_bzero(s->secret, sizeof s->secret);
}

// The lists.

// Its length, -ENOENT when there is none, or -errno with a sentence. `*text` is the caller's to
// free, in any case.
static ssize_t load_list(
	const struct state *s, enum state_list list, char **text, char why[KEYFILE_WHY])
{
	char path[STATE_PATH];
	struct keyfile f = file_of(s, list_names[list], KEYFILE_LIST, path);

	*text = malloc(ACCESS_TEXT_MAX + 1);
	if (!*text)
		return complain(s, list_names[list], -ENOMEM, why);
	return keyfile_read(&f, *text, ACCESS_TEXT_MAX + 1, why);
}

static int parse_list(
	enum state_list list, struct access *access, const char *text, size_t n, unsigned *line)
{
	switch (list) {
	case STATE_AUTHORIZED:
		return access_parse_authorized(access, text, n, line);
	case STATE_DENIED:
		return access_parse_denied(access, text, n, line);
	}
	return -EINVAL;
}

// Lines that say something, of a text that has been understood.
static ssize_t count_ids(const char *text, size_t n)
{
	ssize_t count = 0;
	bool begins = true;

	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\n') {
			begins = true;
		} else if (begins && !strchr(" \t\r", text[i])) {
			begins = false;
			count += text[i] != '#';
		}
	}
	return count;
}

const char *state_list_name(enum state_list list)
{
	return list_names[list];
}

ssize_t state_read_list(const struct state *s, enum state_list list, struct access *access,
	unsigned *line, char why[KEYFILE_WHY])
{
	char *text = NULL;
	ssize_t n = s->directory < 0 ? -ENOENT : load_list(s, list, &text, why);
	int r = 0;

	*line = 0;
	if (n >= 0)
		r = parse_list(list, access, text, (size_t)n, line);
	if (r == 0 && n >= 0)
		n = count_ids(text, (size_t)n);
	free(text);
	if (r == -EINVAL)
		snprintf(why, KEYFILE_WHY,
			"%s/%s: line %u: expected an id of %d characters, or a comment, which begins with #",
			s->path, list_names[list], *line, ID_TEXT);
	else if (r == -ENOSPC)
		snprintf(why, KEYFILE_WHY, "%s/%s: line %u: more than %d ids", s->path,
			list_names[list], *line, ACCESS_MAX);
	else if (r < 0)
		complain(s, list_names[list], r, why);
	return r < 0 ? r : n;
}

int state_read_access(const struct state *s, struct access *access, char why[KEYFILE_WHY])
{
	unsigned line;
	ssize_t r = state_read_list(s, STATE_AUTHORIZED, access, &line, why);

	if (r >= 0 || r == -ENOENT)
		r = state_read_list(s, STATE_DENIED, access, &line, why);
	if (r >= 0 || r == -ENOENT)
		return 0;
	access_fini(access);
	return (int)r;
}

// Puts an id on a list or takes it off. A list that does not exist is only made when `make`.
static int edit_list(struct state *s, enum state_list list, const struct id *id, bool listed,
	bool make, char why[KEYFILE_WHY])
{
	struct buffer out = BUFFER_INIT;
	char *text;
	ssize_t n = load_list(s, list, &text, why);
	bool exists = n != -ENOENT;
	int r = exists && n < 0 ? (int)n : 0;

	if (r < 0 || (!exists && !make))
		goto out;
	n = exists ? n : 0;
	r = access_edit(&out, text, (size_t)n, id, listed);
	if (r == 0 && buffer_length(&out) > ACCESS_TEXT_MAX)
		r = -ENOSPC;
	if (r == 0 && (!exists || buffer_length(&out) != (size_t)n))
		r = write_file(s->directory, list_names[list], buffer_bytes(&out),
			buffer_length(&out), true);
	if (r < 0)
		complain(s, list_names[list], r, why);
out:
	buffer_fini(&out);
	free(text);
	return r;
}

int state_keep_access(struct state *s, const struct id *id, bool allowed, char why[KEYFILE_WHY])
{
	int r = 0;

	if (s->ephemeral)
		return complain(
			s, list_names[allowed ? STATE_AUTHORIZED : STATE_DENIED], -EROFS, why);
	if (allowed)
		r = edit_list(s, STATE_AUTHORIZED, id, true, false, why);
	if (r == 0)
		r = edit_list(s, STATE_DENIED, id, !allowed, !allowed, why);
	return r;
}
