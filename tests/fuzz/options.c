// SPDX-License-Identifier: MIT
// The command line: the input is its words, each ended by a zero byte.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/wire.h"
#include "fs/options.h"
#include "tests/fuzz/input.h"

#define WORDS_MAX 64

static void check(const struct options *o, int r)
{
	assert(memchr(o->error, '\0', sizeof o->error));
	assert(memchr(o->mount_options, '\0', sizeof o->mount_options));
	if (r < 0) {
		assert(r == -EINVAL && o->error[0]);
		return;
	}
	assert(o->error[0] == '\0');
	if (r != OPTIONS_RUN)
		return;
	assert(o->mountpoint && o->mountpoint[0]);
	assert(name_valid(o->name));
	assert(o->max_peers == 0 || o->min_peers <= o->max_peers);
	assert(o->min_peers <= PEERS_BOUND && o->max_peers <= PEERS_BOUND);
	assert(o->ping_timeout >= PING_TIMEOUT_MIN && o->ping_timeout <= PING_TIMEOUT_MAX);
	assert(o->stall_timeout >= STALL_TIMEOUT_MIN && o->stall_timeout <= STALL_TIMEOUT_MAX);
	assert(o->min_rate > 0 && o->min_rate <= STALL_RATE_MAX);
	assert(o->seed_count <= SEEDS_MAX && o->wait_time <= WAIT_SECONDS_MAX * SECOND);
	assert(!o->key || o->key[0]);
	assert(!o->state || o->state[0]);
	for (size_t i = 0; i < o->seed_count; i++)
		assert(o->seeds[i].port && o->seeds[i].host[0] &&
			memchr(o->seeds[i].host, '\0', sizeof o->seeds[i].host));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = malloc(n + 1), *argv[WORDS_MAX + 2] = { "smokefs" };
	struct options o;
	int argc = 1;

	assert(text);
	if (n)
		memcpy(text, bytes, n);
	text[n] = '\0';
	for (size_t at = 0; at < n && argc <= WORDS_MAX; at += strlen(text + at) + 1)
		argv[argc++] = text + at;
	check(&o, options_parse(&o, argc, argv));
	options_fini(&o);
	free(text);
	return 0;
}
