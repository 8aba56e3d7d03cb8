// SPDX-License-Identifier: MIT
#include "core/state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WALL 1700000000000000u // 1700000000000 milliseconds

static char directory[64], place[128];
static struct state s;
static char why[KEYFILE_WHY];

static void make_place(void)
{
	snprintf(directory, sizeof directory, "/tmp/smokefs-state-XXXXXX");
	cr_assert(mkdtemp(directory));
	snprintf(place, sizeof place, "%s/a/b", directory);
}

static void remove_place(void)
{
	static const char *const files[] = { "a/b/node.key", "a/b/node.key.new", "a/b/incarnation",
		"a/b/lock", "a/b/authorized_peers", "a/b/denied_peers", "a/b/names", "a/b", "a",
		"target", "" };
	char path[256];

	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", directory, files[i]);
		remove(path);
	}
}

static int open_state(uint64_t wall)
{
	return state_open(&s, place, geteuid(), wall, why);
}

static const char *path_of(const char *name)
{
	static char path[192];
	snprintf(path, sizeof path, "%s/%s", place, name);
	return path;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "w");
	cr_assert(f);
	cr_assert_eq(fchmod(fileno(f), 0600), 0);
	fputs(text, f);
	fclose(f);
}

static void get(const char *name, char text[256])
{
	FILE *f = fopen(path_of(name), "r");
	cr_assert(f);
	text[fread(text, 1, 255, f)] = '\0';
	fclose(f);
}

// As another user, so that modes hold us back.
static void be_ordinary(void)
{
	if (geteuid() != 0)
		return;
	cr_assert_eq(chown(directory, 65534, 65534), 0);
	cr_assert_eq(setresuid(65534, 65534, 65534), 0);
	// Taken away by the change, and needed by LeakSanitizer.
	prctl(PR_SET_DUMPABLE, 1);
}

TestSuite(state, .init = make_place, .fini = remove_place);

static bool same_secret(const uint8_t a[SECRET_KEY_BYTES], const uint8_t b[SECRET_KEY_BYTES])
{
	return memcmp(a, b, SECRET_KEY_BYTES) == 0;
}

Test(state, made_and_kept)
{
	static const uint8_t none[SECRET_KEY_BYTES];
	uint8_t first[SECRET_KEY_BYTES];
	char text[256], key[KEY_TEXT + 1];
	struct stat st;

	cr_assert_eq(open_state(WALL), 0);
	cr_assert_not(s.ephemeral);
	cr_assert_not(same_secret(s.secret, none));
	cr_assert_eq(s.incarnation, WALL / 1000);
	memcpy(first, s.secret, sizeof first);
	get("node.key", text);
	keyfile_encode(key, s.secret);
	cr_assert_eq(strlen(text), KEY_TEXT + 1);
	cr_assert_eq(strncmp(text, key, KEY_TEXT), 0);
	cr_assert_eq(text[KEY_TEXT], '\n');
	get("incarnation", text);
	cr_assert_str_eq(text, "1700000000000\n");
	get("lock", text);
	cr_assert_eq(atoi(text), getpid());
	stat(place, &st);
	cr_assert_eq(st.st_mode & 07777, 0700);
	stat(path_of("node.key"), &st);
	cr_assert_eq(st.st_mode & 07777, 0600);
	state_close(&s);
	cr_assert(same_secret(s.secret, none), "cleansed");

	cr_assert_eq(open_state(WALL + 5000000), 0);
	cr_assert(same_secret(s.secret, first));
	cr_assert_eq(s.incarnation, WALL / 1000 + 5000);
	state_close(&s);
}

Test(state, a_higher_incarnation_is_kept)
{
	char text[256];

	cr_assert_eq(open_state(WALL), 0);
	cr_assert_eq(state_keep_incarnation(&s, 1700000099000u), 0);
	cr_assert_eq(s.incarnation, 1700000099000u);
	get("incarnation", text);
	cr_assert_str_eq(text, "1700000099000\n");
	state_close(&s);
	cr_assert_eq(open_state(WALL), 0);
	cr_assert_eq(s.incarnation, 1700000099001u);
	state_close(&s);
}

Test(state, incarnation_rises_when_the_clock_falls)
{
	cr_assert_eq(open_state(WALL), 0);
	state_close(&s);
	cr_assert_eq(open_state(5000), 0);
	cr_assert_eq(s.incarnation, WALL / 1000 + 1);
	state_close(&s);
}

Test(state, one_at_a_time)
{
	struct state other;

	cr_assert_eq(open_state(WALL), 0);
	cr_assert_eq(state_open(&other, place, geteuid(), WALL, why), -EBUSY);
	char part[64];
	snprintf(part, sizeof part, "in use by process %d", (int)getpid());
	cr_assert(strstr(why, part), "%s", why);
	state_close(&s);
	cr_assert_eq(state_open(&other, place, geteuid(), WALL, why), 0);
	state_close(&other);
}

Test(state, the_lock_goes_with_a_fork)
{
	struct state other;
	int ends[2], status;
	char byte;

	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(open_state(WALL), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[1]);
		_exit((int)read(ends[0], &byte, 1));
	}
	state_close(&s);
	cr_assert_eq(state_open(&other, place, geteuid(), WALL, why), -EBUSY);
	close(ends[1]);
	waitpid(pid, &status, 0);
	cr_assert_eq(state_open(&other, place, geteuid(), WALL, why), 0);
	state_close(&other);
}

static void expect_refused(const char *name, const char *part)
{
	cr_assert_eq(open_state(WALL), -EINVAL, "%s", name);
	cr_assert(strstr(why, path_of(name)), "%s", why);
	cr_assert(strstr(why, part), "%s", why);
	cr_assert_eq(s.lock, -1);
}

// Writes nonsense into a file and expects it to be blamed.
static void expect_blame(const char *name, const char *text)
{
	put(name, text);
	expect_refused(name, "is damaged; restore it, or remove node.key and incarnation");
}

Test(state, nonsense)
{
	char key[KEY_TEXT + 1];

	cr_assert_eq(open_state(WALL), 0);
	keyfile_encode(key, s.secret);
	state_close(&s);
	expect_blame("node.key", "");
	expect_blame("node.key", "abc\n");
	expect_blame("node.key", key);
	char text[128];
	snprintf(text, sizeof text, "%.63s\n", key);
	expect_blame("node.key", text);
	snprintf(text, sizeof text, "%.63sg\n", key);
	expect_blame("node.key", text);
	snprintf(text, sizeof text, "%s\n%.20s\n", key, key);
	expect_blame("node.key", text);
	snprintf(text, sizeof text, "%s\n%s", key, "a text that is longer than it could be");
	expect_blame("node.key", text);
	snprintf(text, sizeof text, "%s\n", key);
	put("node.key", text);
	expect_blame("incarnation", "");
	expect_blame("incarnation", "12");
	expect_blame("incarnation", "12x\n");
	expect_blame("incarnation", "-1\n");
	expect_blame("incarnation", "18446744073709551615\n");
	expect_blame("incarnation", "99999999999999999999\n");
}

// What is advised then makes a new node of it, for which the lists hold.
Test(state, a_new_node_in_the_place_of_a_damaged_one)
{
	uint8_t first[SECRET_KEY_BYTES];

	cr_assert_eq(open_state(WALL), 0);
	memcpy(first, s.secret, sizeof first);
	state_close(&s);
	put("authorized_peers", "");
	expect_blame("node.key", "abc\n");
	cr_assert_eq(unlink(path_of("node.key")), 0);
	expect_blame("incarnation", "abc\n");
	cr_assert_eq(unlink(path_of("node.key")), 0);
	cr_assert_eq(unlink(path_of("incarnation")), 0);
	cr_assert_eq(open_state(WALL), 0, "%s", why);
	cr_assert_neq(memcmp(first, s.secret, sizeof first), 0);
	cr_assert_eq(access(path_of("authorized_peers"), F_OK), 0);
	state_close(&s);
}

Test(state, links_and_pipes_are_no_files)
{
	cr_assert_eq(open_state(WALL), 0);
	state_close(&s);
	cr_assert_eq(unlink(path_of("node.key")), 0);
	cr_assert_eq(symlink("/dev/zero", path_of("node.key")), 0);
	expect_refused("node.key", "is a symbolic link; put the file itself there");
	cr_assert_eq(unlink(path_of("node.key")), 0);
	cr_assert_eq(mkfifo(path_of("node.key"), 0600), 0);
	expect_refused("node.key", "is not a regular file");
	cr_assert_eq(unlink(path_of("lock")), 0);
	cr_assert_eq(mkfifo(path_of("lock"), 0600), 0);
	expect_refused("lock", "is not a regular file; remove it");
	cr_assert_eq(unlink(path_of("lock")), 0);
	cr_assert_eq(unlink(path_of("node.key")), 0);
	cr_assert_eq(open_state(WALL), 0, "%s", why);
	state_close(&s);
}

Test(state, a_key_that_others_can_read)
{
	char part[256];

	cr_assert_eq(open_state(WALL), 0);
	state_close(&s);
	cr_assert_eq(chmod(path_of("node.key"), 0640), 0);
	snprintf(part, sizeof part, "(mode 0640); run: chmod 600 %s", path_of("node.key"));
	expect_refused("node.key", part);
	cr_assert_eq(chmod(path_of("node.key"), 0400), 0);
	cr_assert_eq(open_state(WALL), 0);
	state_close(&s);
}

Test(state, a_directory_that_others_can_write)
{
	char part[256];

	cr_assert_eq(open_state(WALL), 0);
	state_close(&s);
	cr_assert_eq(chmod(place, 0720), 0);
	cr_assert_eq(open_state(WALL), -EINVAL);
	snprintf(part, sizeof part, "run: chmod 700 %s", place);
	cr_assert(strstr(why, part), "%s", why);
	cr_assert_eq(chmod(place, 0755), 0);
	cr_assert_eq(open_state(WALL), 0);
	state_close(&s);
}

Test(state, what_belongs_to_others)
{
	if (geteuid() != 0) {
		remove_place();
		cr_skip_test("needs root");
	}
	cr_assert_eq(open_state(WALL), 0);
	state_close(&s);
	cr_assert_eq(chown(path_of("node.key"), 1234, 0), 0);
	expect_refused("node.key", "belongs to user 1234; run: chown 0 ");
	cr_assert_eq(state_open(&s, place, 1234, WALL, why), 0, "%s", why);
	state_close(&s);
	cr_assert_eq(chown(path_of("node.key"), 0, 0), 0);
	cr_assert_eq(chown(place, 1234, 0), 0);
	cr_assert_eq(open_state(WALL), -EINVAL);
	cr_assert(strstr(why, "belongs to user 1234; run: chown 0 "), "%s", why);
}

Test(state, a_directory_that_cannot_be_read)
{
	be_ordinary();
	cr_assert_eq(open_state(WALL), 0);
	state_close(&s);
	cr_assert_eq(chmod(place, 0), 0);
	cr_assert_eq(open_state(WALL), -EINVAL, "lists in it would be ignored");
	cr_assert(strstr(why, "Permission denied"), "%s", why);
	cr_assert_eq(chmod(place, 0700), 0);
}

// The lists.

static const struct id one = { { 1 } }, two = { { 2 } };
static struct access lists;

Test(state, lists_are_empty_at_first)
{
	cr_assert_eq(open_state(WALL), 0);
	cr_assert_eq(state_read_access(&s, &lists, why), 0);
	cr_assert_not(lists.restricted);
	cr_assert(access_permits(&lists, &one));
	state_close(&s);
}

Test(state, lists_are_kept)
{
	char text[256], want[256], before[128];
	struct stat st;

	cr_assert_eq(open_state(WALL), 0);
	cr_assert_eq(state_keep_access(&s, &one, true, why), 0);
	cr_assert_neq(access(path_of("authorized_peers"), F_OK), 0, "allow makes no list");
	cr_assert_neq(access(path_of("denied_peers"), F_OK), 0);
	cr_assert_eq(state_keep_access(&s, &two, false, why), 0);
	snprintf(want, sizeof want, "%s\n", id_format(&two).text);
	get("denied_peers", text);
	cr_assert_str_eq(text, want);
	stat(path_of("denied_peers"), &st);
	cr_assert_eq(st.st_mode & 07777, 0600);

	snprintf(before, sizeof before, "# friends\n%s # two\n", id_format(&two).text);
	put("authorized_peers", before);
	cr_assert_eq(state_keep_access(&s, &one, true, why), 0);
	snprintf(want, sizeof want, "%s%s\n", before, id_format(&one).text);
	get("authorized_peers", text);
	cr_assert_str_eq(text, want);
	cr_assert_eq(state_read_access(&s, &lists, why), 0);
	cr_assert(lists.restricted);
	cr_assert(access_permits(&lists, &one));
	cr_assert_not(access_permits(&lists, &two));
	access_fini(&lists);

	cr_assert_eq(state_keep_access(&s, &one, false, why), 0);
	cr_assert_eq(state_keep_access(&s, &two, true, why), 0);
	cr_assert_eq(state_read_access(&s, &lists, why), 0);
	cr_assert_not(access_permits(&lists, &one));
	cr_assert(access_permits(&lists, &two));
	access_fini(&lists);
	get("authorized_peers", text);
	cr_assert_str_eq(text, want, "a denial leaves it alone");
	state_close(&s);
}

static ssize_t count(enum state_list list)
{
	unsigned line = 7;
	ssize_t n = state_read_list(&s, list, &lists, &line, why);

	access_fini(&lists);
	return n;
}

Test(state, lists_are_counted)
{
	char text[256];

	cr_assert_eq(open_state(WALL), 0);
	cr_assert_eq(count(STATE_AUTHORIZED), -ENOENT);
	put(state_list_name(STATE_AUTHORIZED), "");
	cr_assert_eq(count(STATE_AUTHORIZED), 0);
	snprintf(text, sizeof text, "# friends\n\n \t%s # one\r\n  # none\n \r\n%s",
		id_format(&one).text, id_format(&two).text);
	put(state_list_name(STATE_AUTHORIZED), text);
	put(state_list_name(STATE_DENIED), text);
	cr_assert_eq(count(STATE_AUTHORIZED), 2);
	cr_assert_eq(count(STATE_DENIED), 2);
	state_close(&s);
}

static void expect_bad_line(enum state_list list, unsigned want)
{
	unsigned line = 7;
	cr_assert_lt(state_read_list(&s, list, &lists, &line, why), -1);
	cr_assert_eq(line, want, "%u: %s", line, why);
	access_fini(&lists);
}

static void expect_bad_list(const char *name, const char *part)
{
	cr_assert_lt(state_read_access(&s, &lists, why), 0, "%s", name);
	cr_assert(strstr(why, path_of(name)), "%s", why);
	cr_assert(strstr(why, part), "%s", why);
	cr_assert(access_permits(&lists, &one), "empty again");
}

Test(state, bad_lists)
{
	cr_assert_eq(open_state(WALL), 0);
	put("authorized_peers", "#\n\nAAAAAAAAAAAAAAAAAAAAAAAAAA\n");
	expect_bad_list("authorized_peers", "line 3: expected an id of 26 characters");
	expect_bad_line(STATE_AUTHORIZED, 3);
	put("authorized_peers", "");
	put("denied_peers", "x");
	expect_bad_list("denied_peers", "line 1");
	cr_assert_eq(chmod(path_of("denied_peers"), 0620), 0);
	expect_bad_list("denied_peers", "run: chmod go-w ");
	cr_assert_eq(state_keep_access(&s, &one, false, why), -EPERM);
	cr_assert(strstr(why, "run: chmod go-w "), "%s", why);
	cr_assert_eq(chmod(path_of("denied_peers"), 0644), 0);
	put("denied_peers", "");
	cr_assert_eq(state_read_access(&s, &lists, why), 0);
	cr_assert_not(access_permits(&lists, &one), "there is a list and nobody on it");
	access_fini(&lists);
	cr_assert_eq(truncate(path_of("denied_peers"), ACCESS_TEXT_MAX + 1), 0);
	expect_bad_list("denied_peers", "is longer than 1048576 bytes");
	expect_bad_line(STATE_DENIED, 0);
	cr_assert_eq(unlink(path_of("denied_peers")), 0);
	cr_assert_eq(symlink("authorized_peers", path_of("denied_peers")), 0);
	expect_bad_list("denied_peers", "symbolic link");
	state_close(&s);
}

Test(state, rests_of_a_crash)
{
	cr_assert_eq(open_state(WALL), 0);
	state_close(&s);
	cr_assert_eq(unlink(path_of("node.key")), 0);
	put("node.key.new", "half");
	cr_assert_eq(open_state(WALL), 0);
	cr_assert_neq(access(path_of("node.key.new"), F_OK), 0);
	state_close(&s);
}

Test(state, read_only_means_ephemeral)
{
	uint8_t first[SECRET_KEY_BYTES];

	be_ordinary();
	cr_assert_eq(chmod(directory, 0500), 0);
	cr_assert_eq(open_state(WALL), 0, "%s", why);
	cr_assert(s.ephemeral);
	cr_assert_eq(s.directory, -1);
	cr_assert_eq(s.incarnation, WALL / 1000);
	memcpy(first, s.secret, sizeof first);
	cr_assert_eq(state_keep_incarnation(&s, 7), 0);
	cr_assert_eq(state_keep_access(&s, &one, false, why), -EROFS);
	cr_assert_eq(state_read_access(&s, &lists, why), 0);
	state_close(&s);
	cr_assert_eq(open_state(WALL), 0);
	cr_assert_not(same_secret(s.secret, first));
	state_close(&s);
	chmod(directory, 0700);
}

Test(state, read_only_lists_hold)
{
	be_ordinary();
	cr_assert_eq(open_state(WALL), 0, "%s", why);
	state_close(&s);
	put("authorized_peers", "");
	cr_assert_eq(chmod(place, 0500), 0);
	cr_assert_eq(open_state(WALL), 0, "%s", why);
	cr_assert(s.ephemeral);
	cr_assert_eq(state_read_access(&s, &lists, why), 0);
	cr_assert_not(access_permits(&lists, &one));
	cr_assert_eq(state_keep_access(&s, &one, true, why), -EROFS);
	state_close(&s);
	cr_assert_eq(chmod(place, 0700), 0);
	access_fini(&lists);
}

Test(state, not_a_directory)
{
	char target[128];

	snprintf(target, sizeof target, "%s/target", directory);
	int fd = open(target, O_CREAT | O_WRONLY, 0600);
	close(fd);
	snprintf(place, sizeof place, "%s/target/x", directory);
	cr_assert_eq(open_state(WALL), -ENOTDIR);
	cr_assert(strstr(why, "Not a directory"), "%s", why);
}

Test(state, default_path)
{
	char path[4096], name[512] = "/";

	setenv("XDG_STATE_HOME", "/x", 1);
	setenv("HOME", "/h", 1);
	const char *root = geteuid() == 0 ? "/var/lib" : "/x";
	char want[256];
	cr_assert_eq(state_default_path(path, sizeof path, "/home/u/net"), 0);
	snprintf(want, sizeof want, "%s/smokefs/home-u-net", root);
	cr_assert_str_eq(path, want);
	cr_assert_eq(state_default_path(path, sizeof path, "/home/u-net/a b%"), 0);
	snprintf(want, sizeof want, "%s/smokefs/home-u%%2Dnet-a%%20b%%25", root);
	cr_assert_str_eq(path, want);
	cr_assert_eq(state_default_path(path, 10, "/home"), -ENAMETOOLONG);
	memset(name + 1, 'a', 300);
	cr_assert_eq(state_default_path(path, sizeof path, name), -ENAMETOOLONG);
	if (geteuid() == 0)
		return;
	setenv("XDG_STATE_HOME", "relative", 1);
	cr_assert_eq(state_default_path(path, sizeof path, "/n"), 0);
	cr_assert_str_eq(path, "/h/.local/state/smokefs/n");
	unsetenv("HOME");
	cr_assert_eq(state_default_path(path, sizeof path, "/n"), -ENOENT);
}

// Text that is worth keeping and can be done without.
Test(state, text_comes_back)
{
	struct stat st;
	char *text;

	cr_assert_eq(open_state(WALL), 0, "%s", why);
	cr_assert(state_has_name(STATE_NAMES) && state_has_name(STATE_NAMES ".new"));
	cr_assert_eq(state_read_text(&s, STATE_NAMES, 100, &text), -ENOENT);
	cr_assert_null(text);
	cr_assert_eq(state_write_text(&s, STATE_NAMES, "one\ntwo\n", 8), 0);
	cr_assert_eq(state_read_text(&s, STATE_NAMES, 8, &text), 8);
	cr_assert_eq(memcmp(text, "one\ntwo\n", 8), 0);
	free(text);
	cr_assert_eq(state_read_text(&s, STATE_NAMES, 7, &text), -EFBIG);
	cr_assert_null(text);
	cr_assert_eq(state_write_text(&s, STATE_NAMES, "", 0), 0);
	cr_assert_eq(state_read_text(&s, STATE_NAMES, 8, &text), 0);
	free(text);
	cr_assert_eq(stat(path_of(STATE_NAMES), &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	// No link is followed out of the directory.
	cr_assert_eq(unlink(path_of(STATE_NAMES)), 0);
	cr_assert_eq(symlink("/etc/passwd", path_of(STATE_NAMES)), 0);
	cr_assert_eq(state_read_text(&s, STATE_NAMES, 100000, &text), -EINVAL);
	cr_assert_eq(state_write_text(&s, STATE_NAMES, "x", 1), 0);
	cr_assert_eq(lstat(path_of(STATE_NAMES), &st), 0);
	cr_assert(S_ISREG(st.st_mode));
	state_close(&s);
}
