// SPDX-License-Identifier: MIT
// The state directory of an earlier life, damaged or meddled with: it is understood or refused,
// and who a node is does not change because of it.
//
// The first byte says which files there are and which one is not as it should be, then come their
// texts, each behind its length.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/state.h"
#include "tests/fuzz/input.h"

#define WALL (1700000000 * SECOND)

static const char *const names[] = { "node.key", "incarnation", "authorized_peers", "denied_peers",
	"lock" };
#define NAMES (sizeof names / sizeof names[0])

static char directory[] = "/dev/shm/smokefs-fuzz-XXXXXX";
static int descriptor = -1;

static void clear(void)
{
	for (size_t i = 0; i < NAMES; i++)
		unlinkat(descriptor, names[i], 0);
}

static void clean_up(void)
{
	clear();
	rmdir(directory);
}

static void set_up(void)
{
	if (descriptor >= 0)
		return;
	if (!mkdtemp(directory)) {
		memcpy(directory, "/tmp/smokefs-fuzz-XXXXXX", sizeof "/tmp/smokefs-fuzz-XXXXXX");
		assert(mkdtemp(directory));
	}
	descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(descriptor >= 0 && atexit(clean_up) == 0);
}

static void put(const char *name, const uint8_t *text, size_t n, mode_t mode)
{
	int fd = openat(descriptor, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert(fd >= 0);
	assert(write(fd, text, n) == (ssize_t)n && fchmod(fd, mode) == 0);
	close(fd);
}

// Wrong about a file: nothing, mode, or kind.
static void put_file(const char *name, struct input *in, size_t wrong)
{
	static const mode_t modes[] = { 0600, 0644, 0666 };
	size_t n = input_number(in, 1);
	const uint8_t *text;

	if (n == 0xff)
		n = input_number(in, 2);
	text = input_bytes(in, &n);
	if (wrong == 3)
		assert(symlinkat("incarnation", descriptor, name) == 0);
	else
		put(name, text, n, modes[wrong]);
}

static void check_lists(struct state *s, char why[KEYFILE_WHY])
{
	struct access a = { 0 };
	struct id id = { { 7 } };

	if (state_read_access(s, &a, why) < 0) {
		assert(why[0] && !a.restricted && !a.authorized && !a.denied);
		return;
	}
	access_fini(&a);
	if (state_keep_access(s, &id, false, why) < 0)
		return;
	assert(state_read_access(s, &a, why) == 0 && access_denied(&a, &id));
	access_fini(&a);
}

// Opened again, it is the same node in a later life.
static void check_next_life(struct state *s, char why[KEYFILE_WHY])
{
	uint8_t secret[SECRET_KEY_BYTES];
	uint64_t incarnation = s->incarnation;

	memcpy(secret, s->secret, sizeof secret);
	state_close(s);
	int r = state_open(s, directory, geteuid(), WALL, why);
	// The highest of all has no successor.
	assert(r == 0 || incarnation == UINT64_MAX);
	if (r < 0)
		return;
	assert(memcmp(secret, s->secret, sizeof secret) == 0);
	assert(s->incarnation > incarnation);
	state_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct input in = { bytes, n };
	char why[KEYFILE_WHY] = "";
	struct state s;

	set_up();
	clear();
	size_t there = input_number(&in, 1), odd = input_number(&in, 1);
	for (size_t i = 0; i < NAMES; i++)
		if (there & 1u << i)
			put_file(names[i], &in, odd % 8 == i ? odd / 8 % 4 : 0);
	if (state_open(&s, directory, geteuid(), WALL, why) < 0) {
		assert(memchr(why, '\0', sizeof why) && why[0]);
		return 0;
	}
	assert(!s.ephemeral && s.incarnation >= WALL / MILLISECOND);
	check_lists(&s, why);
	check_next_life(&s, why);
	return 0;
}
