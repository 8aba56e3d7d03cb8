// SPDX-License-Identifier: MIT
// The file `metrics`, line by line. Whether others can read it is tests/mount/metrics.py's.
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/node_inner.h"
#include "fs/handle.h"
#include "fs/text.h"

static struct keyring ring;
static struct access lists;
static struct identity *self;
static struct node *node;
static struct handles handles;
static char text[64 * KIB];

static int on_dial(void *context, struct link *link, const struct address *to)
{
	return -EHOSTUNREACH;
}

static void on_hangup(void *context, struct link *link)
{
}

static int on_resolve(void *context, uint64_t tag, const char *host, uint16_t port)
{
	return -ENOENT;
}

static void start(void)
{
	static const struct node_driver driver = { NULL, on_dial, on_hangup, on_resolve };
	uint8_t secret[32];

	cr_assert_eq(keyring_add(&ring, memset(secret, 3, sizeof secret)), 0);
	self = identity_new(memset(secret, 1, sizeof secret));
	const struct node_config config = { .identity = self,
		.keyring = &ring,
		.access = &lists,
		.incarnation = 1,
		.seed = 42,
		// No name that a node may have: what cannot come must do no harm.
		.name = "a\"b\\c\nd",
		.address = { 4, { 10, 0, 0, 1 }, 8495 },
		.min_peers = 2,
		.ping_timeout = 1500 * MILLISECOND };
	node = node_new(&config, &driver);
	cr_assert(node);
	node_advance(node, SECOND, 1700000000 * SECOND);
}

static void finish(void)
{
	node_free(node);
	identity_free(self);
}

TestSuite(metrics, .init = start, .fini = finish);

static void render(void)
{
	const struct text_context context = { .node = node, .handles = &handles };
	struct buffer out = BUFFER_INIT;

	cr_assert_eq(text_metrics(&out, &context), 0);
	cr_assert_lt(buffer_length(&out), sizeof text);
	memcpy(text, buffer_bytes(&out), buffer_length(&out));
	text[buffer_length(&out)] = '\0';
	buffer_fini(&out);
}

#define HAS(line) cr_expect(strstr(text, "\n" line "\n"), "no line %s", line)

Test(metrics, units_and_labels)
{
	node_advance(node, SECOND + 90500 * MILLISECOND, 1700000090 * SECOND);
	handles.calls.bytes = 77;
	handles.calls.refused = UINT64_MAX;
	render();
	HAS("smokefs_uptime_seconds 90.500000");
	HAS("smokefs_ping_timeout_seconds 1.500000");
	HAS("smokefs_stall_timeout_seconds 3.000000");
	HAS("smokefs_min_rate_bytes_per_second 65536");
	HAS("smokefs_min_peers 2");
	HAS("smokefs_max_peers 0");
	HAS("smokefs_parked_bytes 77");
	HAS("smokefs_parked_refused_total 18446744073709551615");
	HAS("# TYPE smokefs_parked_refused_total counter");
	cr_expect(strstr(text, ",name=\"a\\\"b\\\\c\\nd\",version=\"" SMOKEFS_VERSION
			       "\",address=\"10.0.0.1:8495\"} 1\n"));
	// Without peers there are the heads of their metrics, and no more.
	HAS("# TYPE smokefs_peer_rtt_seconds gauge");
	cr_expect_null(strstr(text, "peer=\""));
}

// A counter that is added to core/node.h has to be described.
Test(metrics, every_counter_with_its_value_and_a_description)
{
	char value[32];
	uint64_t n = 1000000;

#define X(name) node_counters(node)->name = ++n;
	NODE_COUNTERS(X)
#undef X
	render();
	n = 1000000;
#define X(name)                                                     \
	snprintf(value, sizeof value, "_total %" PRIu64 "\n", ++n); \
	cr_expect(strstr(text, value), "%s has no line", #name);
	NODE_COUNTERS(X)
#undef X
	cr_expect_null(strstr(text, "See smokefs(1)"));
}
