// SPDX-License-Identifier: MIT
// What is written to `ctl`: the input is the text of one write, for a node that nobody answers.
#include "fs/ctl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/link.h"
#include "tests/fuzz/input.h"

#define TURNS_MAX 200
#define START	  (1000 * SECOND)

// Every dial fails when the node is told so, not before.
static struct link *dialling[DIALS_MAX_ALONE];
static size_t dialling_count;

static int on_dial(void *context, struct link *link, const struct address *to)
{
	if (dialling_count == DIALS_MAX_ALONE)
		return -EHOSTUNREACH;
	dialling[dialling_count++] = link;
	link_set_socket(link, dialling);
	return 0;
}

static void on_hangup(void *context, struct link *link)
{
	for (size_t i = 0; i < dialling_count; i++)
		if (dialling[i] == link)
			dialling[i--] = dialling[--dialling_count];
}

static int on_resolve(void *context, uint64_t tag, const char *host, uint16_t port)
{
	return -ENOENT;
}

static int on_keep(void *context, const struct id *id, bool allowed)
{
	const struct access *access = context;
	assert(access_denied(access, id) != allowed);
	return 0;
}

static struct node *start(struct access *access)
{
	static const uint8_t secret[SECRET_KEY_BYTES] = { 1 };
	static struct identity *identity;
	static struct keyring keyring;
	struct node_driver driver = { NULL, on_dial, on_hangup, on_resolve };

	if (!identity) {
		identity = identity_new(secret);
		assert(identity && keyring_add(&keyring, secret) == 0);
	}
	struct node_config config = { .identity = identity,
		.keyring = &keyring,
		.access = access,
		.incarnation = 1,
		.seed = 1,
		.address = { .family = 4, .bytes = { 127, 0, 0, 1 }, .port = 9000 },
		.min_peers = 1,
		.max_peers = 3,
		.ping_timeout = PING_TIMEOUT_DEFAULT };
	struct node *node = node_new(&config, &driver);
	assert(node);
	node_advance(node, START, START);
	return node;
}

// The lines before `end`, each whole.
static bool ends_a_line(const uint8_t *text, size_t n, size_t end)
{
	return end == n || end == 0 || text[end - 1] == '\n';
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct access access = { 0 };
	struct ctl_keeper keeper = { &access, on_keep };
	struct ctl ctl = { .text = bytes, .length = n, .keeper = &keeper };
	struct node *node = start(&access);
	uint64_t now = START;
	ssize_t r = ctl_run(&ctl, node);

	for (int turn = 0; turn < TURNS_MAX && r == -EINPROGRESS; turn++) {
		assert(ctl.token > 0 && ends_a_line(bytes, n, ctl.at));
		if (dialling_count)
			node_dialled(node, dialling[0], -ECONNREFUSED);
		now += SECOND;
		node_advance(node, now, now);
		r = ctl_run(&ctl, node);
	}
	if (r == -EINPROGRESS)
		ctl_cancel(&ctl, node);
	assert(r <= (ssize_t)n && ctl.at <= n);
	assert(r < 0 || ends_a_line(bytes, n, (size_t)r));
	node_free(node);
	assert(dialling_count == 0);
	access_fini(&access);
	return 0;
}
