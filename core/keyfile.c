// SPDX-License-Identifier: MIT
// Key files: what is checked before one is believed, and how one is made. What their text means is
// core/keyring.c's.
#include "core/keyfile.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

// Leaves a sentence; returns `error`.
__attribute__((format(printf, 3, 4))) static int complain(
	char why[KEYFILE_WHY], int error, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(why, KEYFILE_WHY, format, arguments);
	va_end(arguments);
	return error;
}

struct word {
	char text[PATH_MAX + 64];
};

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       strchr("/._-+,:@%", c);
}

// A path as a word for a shell.
static struct word quote(const char *path)
{
	struct word out = { "" };
	size_t n = 0;
	bool plain = true;

	for (const char *p = path; *p; p++)
		plain = plain && is_plain(*p);
	if (plain) {
		snprintf(out.text, sizeof out.text, "%s", path);
		return out;
	}
	out.text[n++] = '\'';
	for (; *path && n + 6 < sizeof out.text; path++) {
		if (*path == '\'') {
			memcpy(out.text + n, "'\\'", 3);
			n += 3;
		}
		out.text[n++] = *path;
	}
	out.text[n++] = '\'';
	return out;
}

// Reading.

static int complain_open(const struct keyfile *f, int error, char why[KEYFILE_WHY])
{
	struct stat st;

	if (error == ELOOP)
		return complain(
			why, -error, "%s: is a symbolic link; put the file itself there", f->path);
	if (error == ENXIO)
		return complain(why, -error, "%s: is not a regular file", f->path);
	if (error == EACCES && fstatat(f->directory, f->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return complain(why, -error, "%s: %s; let user %u into the directories above it",
			f->path, strerror(error), (unsigned)f->owner);
	if (error == EACCES && st.st_uid == f->owner)
		return complain(why, -error, "%s: %s (mode %04o); run: chmod 600 %s", f->path,
			strerror(error), st.st_mode & 07777, quote(f->path).text);
	if (error == EACCES)
		return complain(why, -error, "%s: %s; let user %u read it: chown %u %s", f->path,
			strerror(error), (unsigned)f->owner, (unsigned)f->owner,
			quote(f->path).text);
	return complain(why, -error, "%s: %s", f->path, strerror(error));
}

#define ACL_ENTRIES 16 // more than any list that lets one user in

// The mode of a file with an access list shows, in the place of the group, the most that the list
// gives to anybody. A service manager keeps a credential as root's file with an entry for the user
// of the service: that lets nobody in but the owner that we expect.
static bool only_owner_reads(int fd, uid_t owner)
{
	struct {
		struct posix_acl_xattr_header header;
		struct posix_acl_xattr_entry entries[ACL_ENTRIES];
	} list;
	ssize_t n = fgetxattr(fd, "system.posix_acl_access", &list, sizeof list);

	if (n < (ssize_t)sizeof list.header ||
		le32toh(list.header.a_version) != POSIX_ACL_XATTR_VERSION)
		return false;
	n = (n - (ssize_t)sizeof list.header) / (ssize_t)sizeof *list.entries;
	for (ssize_t i = 0; i < n; i++) {
		unsigned tag = le16toh(list.entries[i].e_tag);
		uid_t id = le32toh(list.entries[i].e_id);
		if (tag == ACL_USER_OBJ || tag == ACL_MASK || !list.entries[i].e_perm)
			continue;
		if (tag != ACL_USER || (id != owner && id != 0))
			return false;
	}
	return true;
}

static int check(const struct keyfile *f, int fd, const struct stat *st, char why[KEYFILE_WHY])
{
	if (!S_ISREG(st->st_mode))
		return complain(why, -EPERM, "%s: is not a regular file", f->path);
	if (st->st_uid != f->owner && st->st_uid != 0)
		return complain(why, -EPERM, "%s: belongs to user %u; run: chown %u %s", f->path,
			(unsigned)st->st_uid, (unsigned)f->owner, quote(f->path).text);
	switch (f->kind) {
	case KEYFILE_SECRET:
		if (st->st_mode & 077 && !only_owner_reads(fd, f->owner))
			return complain(why, -EPERM,
				"%s: others may read it (mode %04o); run: chmod 600 %s", f->path,
				st->st_mode & 07777, quote(f->path).text);
		break;
	case KEYFILE_LIST:
		if (st->st_mode & 022)
			return complain(why, -EPERM,
				"%s: others may write it (mode %04o); run: chmod go-w %s", f->path,
				st->st_mode & 07777, quote(f->path).text);
		break;
	}
	return 0;
}

static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t n = 0;

	while (n < size) {
		ssize_t got = read(fd, text + n, size - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return (ssize_t)n;
		n += (size_t)got;
	}
	return -EFBIG;
}

ssize_t keyfile_read(const struct keyfile *f, char *text, size_t size, char why[KEYFILE_WHY])
{
	struct stat st;
	ssize_t r;
	int fd = openat(
		f->directory, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return complain_open(f, errno, why);
	r = fstat(fd, &st) < 0 ? complain_open(f, errno, why) : check(f, fd, &st, why);
	if (r < 0)
		goto out;
	r = read_all(fd, text, size);
	if (r == -EFBIG)
		complain(why, -EFBIG, "%s: is longer than %zu bytes", f->path, size - 1);
	else if (r < 0)
		complain_open(f, (int)-r, why);
out:
	close(fd);
	return r;
}

int keyfile_check_directory(int fd, const char *path, uid_t owner, char why[KEYFILE_WHY])
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return complain(why, -EPERM, "%s: %s", path, strerror(errno));
	if (st.st_uid != owner && st.st_uid != 0)
		return complain(why, -EPERM, "%s: belongs to user %u; run: chown %u %s", path,
			(unsigned)st.st_uid, (unsigned)owner, quote(path).text);
	if (st.st_mode & 022)
		return complain(why, -EPERM,
			"%s: others may write to it (mode %04o); run: chmod 700 %s", path,
			st.st_mode & 07777, quote(path).text);
	return 0;
}

int keyfile_open_directory(const char *path)
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

// A key as text.

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool keyfile_decode(uint8_t secret[NETWORK_KEY_BYTES], const char *text, size_t n)
{
	if (n != KEY_TEXT)
		return false;
	for (size_t i = 0; i < NETWORK_KEY_BYTES; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		secret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void keyfile_encode(char text[KEY_TEXT + 1], const uint8_t secret[NETWORK_KEY_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < NETWORK_KEY_BYTES; i++) {
		text[2 * i] = digits[secret[i] >> 4];
		text[2 * i + 1] = digits[secret[i] & 15];
	}
	text[KEY_TEXT] = '\0';
}

// The network's key.

int keyfile_default_path(char *path, size_t size)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int n;

	if (geteuid() == 0)
		n = snprintf(path, size, "/etc/smokefs/network.key");
	else if (xdg && *xdg == '/')
		n = snprintf(path, size, "%s/smokefs/network.key", xdg);
	else if (home && *home == '/')
		n = snprintf(path, size, "%s/.config/smokefs/network.key", home);
	else
		return -ENOENT;
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int complain_ring(int error, const char *path, unsigned line, char why[KEYFILE_WHY])
{
	if (error == -EEXIST)
		return complain(
			why, -EINVAL, "%s: line %u: the same key again; remove it", path, line);
	if (error == -ENOSPC)
		return complain(why, -EINVAL, "%s: line %u: more than %d keys; remove old ones",
			path, line, KEYRING_MAX);
	if (error != -EINVAL)
		return complain(why, error, "%s: %s", path, strerror(-error));
	if (line == 0)
		return complain(why, error,
			"%s: holds no key; one line of %d hexadecimal digits is expected", path,
			KEY_TEXT);
	return complain(why, error,
		"%s: line %u: expected a key, which is %d hexadecimal digits, or a comment, which "
		"begins with #",
		path, line, KEY_TEXT);
}

int keyfile_load(
	struct keyring *ring, const char *path, uid_t owner, unsigned *line, char why[KEYFILE_WHY])
{
	const struct keyfile f = { AT_FDCWD, path, path, KEYFILE_SECRET, owner };
	char text[KEYRING_TEXT_MAX + 1];
	ssize_t n = keyfile_read(&f, text, sizeof text, why);

	*line = 0;
	int r = n < 0 ? (int)n : keyring_parse(ring, text, (size_t)n, line);
	explicit_bzero(text, sizeof text);
	if (r == -ELOOP)
		return complain(why, r,
			"%s: is a symbolic link; name the file itself with --key, or put a copy "
			"there",
			path);
	return n < 0 || r == 0 ? r : complain_ring(r, path, *line, why);
}

#define KEY_COMMENT "# The key of a smokefs network: whoever holds it is a member.\n"

static int write_key(int fd)
{
	uint8_t secret[NETWORK_KEY_BYTES];
	char text[sizeof KEY_COMMENT + KEY_TEXT + 1];
	size_t n = sizeof text - 1; // comment, digits, newline
	int r = -EIO;

	if (getrandom(secret, sizeof secret, 0) != sizeof secret)
		goto out;
	memcpy(text, KEY_COMMENT, sizeof KEY_COMMENT - 1);
	keyfile_encode(text + sizeof KEY_COMMENT - 1, secret);
	text[n - 1] = '\n';
	ssize_t written = write(fd, text, n);
	r = written < 0 ? -errno : (size_t)written == n ? 0 : -ENOSPC;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
out:
	explicit_bzero(secret, sizeof secret);
	explicit_bzero(text, sizeof text);
	return r;
}

// Written aside and linked: a link fails where there is a file, which a rename would replace.
static int create_in(int directory, const char *name)
{
	char aside[32];
	uint64_t random;
	int fd, r;

	if (getrandom(&random, sizeof random, 0) != sizeof random)
		return -EIO;
	snprintf(aside, sizeof aside, ".key.%016llx", (unsigned long long)random);
	fd = openat(directory, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_key(fd);
	close(fd);
	if (r == 0 && linkat(directory, aside, directory, name, 0) < 0)
		r = -errno;
	unlinkat(directory, aside, 0);
	if (r == 0 && fsync(directory) < 0)
		r = -errno;
	return r;
}

int keyfile_create(const char *path, char why[KEYFILE_WHY])
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];
	int directory, r;

	if (!slash || slash[1] == '\0' || (size_t)(slash - path) >= sizeof parent - 1)
		return complain(why, -EINVAL, "%s: is not the absolute path of a file", path);
	snprintf(parent, sizeof parent, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	directory = keyfile_open_directory(parent);
	if (directory < 0)
		return complain(why, directory, "%s: %s", parent, strerror(-directory));
	r = create_in(directory, slash + 1);
	close(directory);
	if (r == 0)
		return 0;
	return complain(why, r, "%s: cannot be created: %s", path, strerror(-r));
}
