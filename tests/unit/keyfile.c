// SPDX-License-Identifier: MIT
#include "core/keyfile.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DIGITS	"00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define ANOTHER "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

static char directory[64], path[128];
static char why[KEYFILE_WHY];
static unsigned at; // the line at fault
static struct keyring ring;

static void make_place(void)
{
	snprintf(directory, sizeof directory, "/tmp/smokefs-keyfile-XXXXXX");
	cr_assert(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/network.key", directory);
}

static void remove_place(void)
{
	static const char *const files[] = { "network.key", "target", "a/b/network.key", "a/b", "a",
		"" };
	char name[256];

	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		snprintf(name, sizeof name, "%s/%s", directory, files[i]);
		remove(name);
	}
	keyring_fini(&ring);
}

static void put(const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
}

static int load(void)
{
	return keyfile_load(&ring, path, geteuid(), &at, why);
}

static void expect(int error, const char *part)
{
	int r = load();
	cr_assert_eq(r, error, "%d: %s", r, why);
	cr_assert(strstr(why, path), "%s", why);
	cr_assert(strstr(why, part), "'%s' is not in: %s", part, why);
	cr_assert_eq(ring.count, 0);
}

TestSuite(keyfile, .init = make_place, .fini = remove_place);

Test(keyfile, hexadecimal)
{
	uint8_t secret[NETWORK_KEY_BYTES];
	char text[KEY_TEXT + 1];

	cr_assert(keyfile_decode(secret, DIGITS, KEY_TEXT));
	cr_assert_eq(secret[0], 0);
	cr_assert_eq(secret[1], 0x11);
	cr_assert_eq(secret[31], 0xff);
	keyfile_encode(text, secret);
	cr_assert_eq(strcasecmp(text, DIGITS), 0);
	cr_assert_not(keyfile_decode(secret, DIGITS, KEY_TEXT - 1));
	cr_assert_not(keyfile_decode(secret, DIGITS "0", KEY_TEXT + 1));
	for (int c = 1; c < 256; c++) {
		memset(text, c, KEY_TEXT);
		cr_assert_eq(keyfile_decode(secret, text, KEY_TEXT),
			strchr("0123456789abcdefABCDEF", c) != NULL, "%d", c);
	}
}

Test(keyfile, loads)
{
	put("# two\n" DIGITS "\n" ANOTHER "\n", 0600);
	cr_assert_eq(load(), 0, "%s", why);
	cr_assert_eq(ring.count, 2);
	cr_assert_eq(ring.keys[0].secret[1], 0x11);
	cr_assert_eq(ring.keys[1].secret[1], 0xff);
	keyring_fini(&ring);
	put(DIGITS, 0400);
	cr_assert_eq(load(), 0, "%s", why);
	cr_assert_eq(ring.count, 1);
}

Test(keyfile, what_it_says_of_bad_text)
{
	expect(-ENOENT, "No such file");
	put("", 0600);
	expect(-EINVAL, "holds no key; one line of 64 hexadecimal digits is expected");
	put("#\n\n", 0600);
	expect(-EINVAL, "holds no key");
	cr_assert_eq(at, 0);
	put(DIGITS "\n# x\nsecret\n", 0600);
	expect(-EINVAL, "line 3: expected a key, which is 64 hexadecimal digits");
	cr_assert_eq(at, 3);
	put(DIGITS "\n" DIGITS "\n", 0600);
	expect(-EINVAL, "line 2: the same key again; remove it");
	put("", 0600);
	FILE *f = fopen(path, "w");
	for (int i = 0; i <= KEYRING_MAX; i++)
		fprintf(f, "%064x\n", i);
	fclose(f);
	expect(-EINVAL, "line 9: more than 8 keys; remove old ones");
	cr_assert_eq(truncate(path, KEYRING_TEXT_MAX + 1), 0);
	expect(-EFBIG, "is longer than 16384 bytes");
}

Test(keyfile, bounds_of_the_text)
{
	FILE *f;

	put("", 0600);
	f = fopen(path, "w");
	fprintf(f, "#%0*d\n" DIGITS "\n", KEYRING_TEXT_MAX - KEY_TEXT - 3, 0);
	cr_assert_eq(ftell(f), KEYRING_TEXT_MAX);
	fclose(f);
	cr_assert_eq(load(), 0, "%s", why);
}

Test(keyfile, modes)
{
	static const mode_t bad[] = { 0640, 0604, 0620, 0602, 0610, 0601, 0444, 0666, 0777 };
	char part[192];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		put(DIGITS, bad[i]);
		snprintf(part, sizeof part, "(mode 0%o); run: chmod 600 %s", bad[i], path);
		expect(-EPERM, part);
	}
	// A list is only spoilt by those who can write to it.
	struct keyfile list = { AT_FDCWD, path, path, KEYFILE_LIST, geteuid() };
	char text[128];
	put("abc", 0644);
	cr_assert_eq(keyfile_read(&list, text, sizeof text, why), 3);
	put("abc", 0662);
	cr_assert_eq(keyfile_read(&list, text, sizeof text, why), -EPERM);
	cr_assert(strstr(why, "run: chmod go-w "), "%s", why);
}

Test(keyfile, owners)
{
	if (geteuid() != 0) {
		remove_place();
		cr_skip_test("needs root");
	}
	put(DIGITS, 0600);
	cr_assert_eq(chown(path, 1234, 1234), 0);
	expect(-EPERM, "belongs to user 1234; run: chown 0 ");
	cr_assert_eq(keyfile_load(&ring, path, 1234, &at, why), 0, "%s", why);
	keyring_fini(&ring);
	cr_assert_eq(chown(path, 0, 0), 0);
	cr_assert_eq(keyfile_load(&ring, path, 1234, &at, why), 0, "root's is as good");
	keyring_fini(&ring);
	cr_assert_eq(chmod(directory, 0755), 0);
	cr_assert_eq(seteuid(1234), 0);
	expect(-EACCES, "let user 1234 read it: chown 1234 ");
	cr_assert_eq(seteuid(0), 0);
	// One's own is a matter of its mode.
	cr_assert_eq(chown(path, 1234, 1234), 0);
	cr_assert_eq(chmod(path, 0), 0);
	cr_assert_eq(seteuid(1234), 0);
	expect(-EACCES, "Permission denied (mode 0000); run: chmod 600 ");
	cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(chmod(directory, 0700), 0);
	cr_assert_eq(seteuid(1234), 0);
	expect(-EACCES, "let user 1234 into the directories above it");
	cr_assert_eq(seteuid(0), 0);
	prctl(PR_SET_DUMPABLE, 1);
}

// The command has to be right for any path.
Test(keyfile, commands_are_quoted)
{
	snprintf(path, sizeof path, "%s/it's a", directory);
	put(DIGITS, 0644);
	char part[256];
	snprintf(part, sizeof part, "run: chmod 600 '%s/it'\\''s a'", directory);
	expect(-EPERM, part);
	snprintf(part, sizeof part, "sh -c \"%s\"", strstr(why, "chmod"));
	cr_assert_eq(system(part), 0);
	cr_assert_eq(load(), 0);
	unlink(path);
}

Test(keyfile, only_regular_files)
{
	char target[128];

	snprintf(target, sizeof target, "%s/target", directory);
	put(DIGITS, 0600);
	cr_assert_eq(rename(path, target), 0);
	cr_assert_eq(symlink(target, path), 0);
	expect(-ELOOP, "is a symbolic link; name the file itself with --key, or put a copy there");
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkfifo(path, 0600), 0);
	expect(-EPERM, "is not a regular file");
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkdir(path, 0700), 0);
	expect(-EPERM, "is not a regular file");
	cr_assert_eq(rmdir(path), 0);
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	snprintf(name.sun_path, sizeof name.sun_path, "%.100s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
	expect(-ENXIO, "is not a regular file");
	close(fd);
}

Test(keyfile, is_created)
{
	char text[256] = "";
	struct stat st;

	snprintf(path, sizeof path, "%s/a/b/network.key", directory);
	umask(0);
	cr_assert_eq(keyfile_create(path, why), 0, "%s", why);
	cr_assert_eq(load(), 0, "%s", why);
	cr_assert_eq(ring.count, 1);
	stat(path, &st);
	cr_assert_eq(st.st_mode & 07777, 0600);
	cr_assert_eq(st.st_nlink, 1, "nothing is left aside");
	FILE *f = fopen(path, "r");
	cr_assert_eq(text[0], '\0');
	size_t n = fread(text, 1, sizeof text, f);
	fclose(f);
	cr_assert_eq(text[0], '#');
	const char *newline = memchr(text, '\n', n);
	cr_assert_eq(newline + 1 + KEY_TEXT + 1, text + n);
	struct keyring first = ring;
	cr_assert_eq(keyfile_create(path, why), -EEXIST);
	keyring_fini(&ring);
	cr_assert_eq(load(), 0);
	cr_assert_eq(memcmp(&first.keys[0], &ring.keys[0], sizeof first.keys[0]), 0);
	snprintf(path, sizeof path, "%s/a/b", directory);
	stat(path, &st);
	cr_assert_eq(st.st_mode & 07777, 0700);
}

Test(keyfile, cannot_be_created)
{
	put("", 0600);
	snprintf(path, sizeof path, "%s/network.key/x", directory);
	cr_assert_eq(keyfile_create(path, why), -ENOTDIR);
	cr_assert(strstr(why, "Not a directory"), "%s", why);
	cr_assert_eq(keyfile_create("relative", why), -EINVAL);
	cr_assert_eq(keyfile_create("/", why), -EINVAL);
}

// Of many at once one makes it, and all find the same key, whole.
Test(keyfile, created_once)
{
	enum { RACERS = 16 };
	int gate[2], results[2];
	struct network_name names[RACERS];
	int made = 0;

	cr_assert_eq(pipe(gate), 0);
	cr_assert_eq(pipe(results), 0);
	for (int i = 0; i < RACERS; i++) {
		if (fork() != 0)
			continue;
		char byte;
		close(gate[1]);
		(void)!read(gate[0], &byte, 1);
		int r = keyfile_create(path, why);
		bool good = (r == 0 || r == -EEXIST) && load() == 0;
		(void)!write(results[1], ring.keys[0].name.bytes, NETWORK_NAME_BYTES);
		_exit(good ? r == 0 : 2);
	}
	close(gate[1]);
	for (int i = 0; i < RACERS; i++) {
		int status;
		cr_assert_gt(wait(&status), 0);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2);
		made += WEXITSTATUS(status);
		cr_assert_eq(read(results[0], &names[i], sizeof names[i]), sizeof names[i]);
		cr_assert_eq(memcmp(&names[i], &names[0], sizeof names[0]), 0);
	}
	cr_assert_eq(made, 1);
}

Test(keyfile, default_path)
{
	char text[PATH_MAX];
	bool root = geteuid() == 0;

	setenv("XDG_CONFIG_HOME", "/x", 1);
	setenv("HOME", "/h", 1);
	cr_assert_eq(keyfile_default_path(text, sizeof text), 0);
	cr_assert_str_eq(text, root ? "/etc/smokefs/network.key" : "/x/smokefs/network.key");
	cr_assert_eq(keyfile_default_path(text, 8), -ENAMETOOLONG);
	if (root)
		cr_assert_eq(seteuid(65534), 0);
	setenv("XDG_CONFIG_HOME", "relative", 1);
	cr_assert_eq(keyfile_default_path(text, sizeof text), 0);
	cr_assert_str_eq(text, "/h/.config/smokefs/network.key");
	unsetenv("HOME");
	cr_assert_eq(keyfile_default_path(text, sizeof text), -ENOENT);
	if (root)
		cr_assert_eq(seteuid(0), 0);
	prctl(PR_SET_DUMPABLE, 1);
}

// An access list: what the owner, one user, the group and others may.
static void set_list(uid_t user, unsigned user_may, unsigned group_may, unsigned others_may)
{
	struct {
		struct posix_acl_xattr_header header;
		struct posix_acl_xattr_entry entries[5];
	} list = { { htole32(POSIX_ACL_XATTR_VERSION) },
		{
			{ htole16(ACL_USER_OBJ), htole16(ACL_READ), htole32(ACL_UNDEFINED_ID) },
			{ htole16(ACL_USER), htole16((uint16_t)user_may), htole32(user) },
			{ htole16(ACL_GROUP_OBJ), htole16((uint16_t)group_may),
				htole32(ACL_UNDEFINED_ID) },
			{ htole16(ACL_MASK), htole16(ACL_READ), htole32(ACL_UNDEFINED_ID) },
			{ htole16(ACL_OTHER), htole16((uint16_t)others_may),
				htole32(ACL_UNDEFINED_ID) },
		} };

	put(DIGITS "\n", 0600);
	if (setxattr(path, "system.posix_acl_access", &list, sizeof list, 0) == 0)
		return;
	if (errno == EOPNOTSUPP)
		cr_skip_test("no access lists on this file system");
	cr_assert_fail("setxattr: %s", strerror(errno));
}

// A service manager's credentials: the mode shows a group that is none.
Test(keyfile, access_lists)
{
	struct stat st;

	set_list(geteuid(), ACL_READ, 0, 0);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0440);
	cr_assert_eq(load(), 0, "%s", why);
	keyring_fini(&ring);
	set_list(12345, ACL_READ, 0, 0);
	expect(-EPERM, "others may read it");
	set_list(12345, 0, 0, 0);
	cr_assert_eq(load(), 0, "%s", why);
	keyring_fini(&ring);
	set_list(geteuid(), ACL_READ, ACL_READ, 0);
	expect(-EPERM, "others may read it");
	set_list(geteuid(), ACL_READ, 0, ACL_READ);
	expect(-EPERM, "others may read it");
}
