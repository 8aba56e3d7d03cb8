// SPDX-License-Identifier: MIT
#include "core/state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WALL 1700000000000000u // 1700000000000 milliseconds

static char directory[64], place[128];
static struct state s;
static pid_t holder;
static const char *culprit;

static void make_place(void)
{
	snprintf(directory, sizeof directory, "/tmp/smokefs-state-XXXXXX");
	cr_assert(mkdtemp(directory));
	snprintf(place, sizeof place, "%s/a/b", directory);
}

static void remove_place(void)
{
	static const char *const files[] = { "a/b/id", "a/b/id.new", "a/b/incarnation", "a/b/lock",
		"a/b", "a", "target", "" };
	char path[256];

	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", directory, files[i]);
		remove(path);
	}
}

static int open_state(uint64_t wall)
{
	return state_open(&s, place, wall, &holder, &culprit);
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
	fputs(text, f);
	fclose(f);
}

static void get(const char *name, char text[64])
{
	FILE *f = fopen(path_of(name), "r");
	cr_assert(f);
	text[fread(text, 1, 63, f)] = '\0';
	fclose(f);
}

TestSuite(state, .init = make_place, .fini = remove_place);

Test(state, made_and_kept)
{
	char text[64];
	struct stat st;
	struct id first;

	cr_assert_eq(open_state(WALL), 0);
	cr_assert_not(s.ephemeral);
	cr_assert_not(id_is_zero(&s.id));
	cr_assert_eq(s.incarnation, WALL / 1000);
	first = s.id;
	get("id", text);
	cr_assert_eq(strlen(text), ID_TEXT + 1);
	cr_assert_eq(strncmp(text, id_format(&first).text, ID_TEXT), 0);
	get("incarnation", text);
	cr_assert_str_eq(text, "1700000000000\n");
	get("lock", text);
	cr_assert_eq(atoi(text), getpid());
	stat(place, &st);
	cr_assert_eq(st.st_mode & 07777, 0700);
	stat(path_of("id"), &st);
	cr_assert_eq(st.st_mode & 07777, 0600);
	state_close(&s);

	cr_assert_eq(open_state(WALL + 5000000), 0);
	cr_assert(id_equal(&s.id, &first));
	cr_assert_eq(s.incarnation, WALL / 1000 + 5000);
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
	cr_assert_eq(state_open(&other, place, WALL, &holder, &culprit), -EBUSY);
	cr_assert_eq(holder, getpid());
	state_close(&s);
	cr_assert_eq(state_open(&other, place, WALL, &holder, &culprit), 0);
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
	cr_assert_eq(state_open(&other, place, WALL, &holder, &culprit), -EBUSY);
	close(ends[1]);
	waitpid(pid, &status, 0);
	cr_assert_eq(state_open(&other, place, WALL, &holder, &culprit), 0);
	state_close(&other);
}

// Writes nonsense into a file and expects it to be blamed.
static void expect_blame(const char *name, const char *text)
{
	put(name, text);
	cr_assert_eq(open_state(WALL), -EINVAL, "%s: %s", name, text);
	cr_assert_str_eq(culprit, name);
	cr_assert_eq(s.lock, -1);
}

Test(state, nonsense)
{
	cr_assert_eq(open_state(WALL), 0);
	state_close(&s);
	expect_blame("incarnation", "");
	expect_blame("incarnation", "12");
	expect_blame("incarnation", "12x\n");
	expect_blame("incarnation", "-1\n");
	expect_blame("incarnation", "18446744073709551615\n");
	expect_blame("incarnation", "99999999999999999999\n");
	expect_blame("id", "");
	expect_blame("id", "abc\n");
	expect_blame("id", "aaaaaaaaaaaaaaaaaaaaaaaaab\n");
	expect_blame("id", "aaaaaaaaaaaaaaaaaaaaaaaaaa");
	expect_blame(
		"id", "aaaaaaaaaaaaaaaaaaaaaaaaaa\nmore of it than any file of ours has, by far\n");
}

Test(state, links_and_pipes_are_no_files)
{
	cr_assert_eq(open_state(WALL), 0);
	state_close(&s);
	cr_assert_eq(unlink(path_of("id")), 0);
	cr_assert_eq(symlink("/dev/zero", path_of("id")), 0);
	cr_assert_eq(open_state(WALL), -EINVAL);
	cr_assert_str_eq(culprit, "id");
	cr_assert_eq(unlink(path_of("id")), 0);
	cr_assert_eq(mkfifo(path_of("id"), 0600), 0);
	cr_assert_eq(open_state(WALL), -EINVAL);
	cr_assert_eq(unlink(path_of("lock")), 0);
	cr_assert_eq(mkfifo(path_of("lock"), 0600), 0);
	cr_assert_eq(open_state(WALL), -EINVAL);
	cr_assert_str_eq(culprit, "lock");
}

Test(state, rests_of_a_crash)
{
	cr_assert_eq(open_state(WALL), 0);
	state_close(&s);
	cr_assert_eq(unlink(path_of("id")), 0);
	put("id.new", "half");
	cr_assert_eq(open_state(WALL), 0);
	cr_assert_neq(access(path_of("id.new"), F_OK), 0);
	state_close(&s);
}

Test(state, read_only_means_ephemeral)
{
	struct id first;

	if (geteuid() == 0)
		snprintf(place, sizeof place, "/proc/smokefs"); // root may write anywhere else
	else
		chmod(directory, 0500);
	int r = open_state(WALL);
	if (geteuid() == 0 && r == -ENOENT)
		cr_skip_test("needs an ordinary user");
	cr_assert_eq(r, 0);
	cr_assert(s.ephemeral);
	cr_assert_eq(s.directory, -1);
	cr_assert_eq(s.incarnation, WALL / 1000);
	first = s.id;
	state_close(&s);
	cr_assert_eq(open_state(WALL), 0);
	cr_assert_not(id_equal(&s.id, &first));
	state_close(&s);
	chmod(directory, 0700);
}

Test(state, not_a_directory)
{
	char target[128];

	snprintf(target, sizeof target, "%s/target", directory);
	int fd = open(target, O_CREAT | O_WRONLY, 0600);
	close(fd);
	snprintf(place, sizeof place, "%s/target/x", directory);
	cr_assert_eq(open_state(WALL), -ENOTDIR);
	cr_assert_null(culprit);
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
