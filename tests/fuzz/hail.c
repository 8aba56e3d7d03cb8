// SPDX-License-Identifier: MIT
// What comes to a node's group on the local network: bytes of anybody, and what members and those
// who forge could say, between the node's own hails and its timers.
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/node_inner.h"
#include "tests/fuzz/input.h"

#define STEPS 4096

enum signer { SIGNER_FIRST, SIGNER_SECOND, SIGNER_STRANGER, SIGNER_FORGER, SIGNERS };

static struct keyring ring, signers[SIGNERS];
static struct access lists;
static struct identity *self;
static struct node *node;
static uint64_t now, sent, began;

static int on_dial(void *context, struct link *link, const struct address *to)
{
	(void)context;
	(void)link;
	assert(address_dialable(to));
	return -EHOSTUNREACH;
}

static void on_hangup(void *context, struct link *link)
{
	(void)context;
	(void)link;
}

static int on_resolve(void *context, uint64_t tag, const char *host, uint16_t port)
{
	(void)context;
	(void)tag;
	(void)host;
	(void)port;
	return -ENOENT;
}

static void make_keys(void)
{
	uint8_t secret[NETWORK_KEY_BYTES];

	if (self)
		return;
	self = identity_new(memset(secret, 1, sizeof secret));
	assert(self);
	for (uint8_t i = 0; i < 3; i++)
		assert(keyring_add(&signers[i], memset(secret, 3 + i, sizeof secret)) == 0);
	assert(keyring_add(&ring, memset(secret, 3, sizeof secret)) == 0);
	assert(keyring_add(&ring, memset(secret, 4, sizeof secret)) == 0);
	// Who has heard the name of a key, and does not have it.
	signers[SIGNER_FORGER] = signers[SIGNER_STRANGER];
	signers[SIGNER_FORGER].keys[0].name = ring.keys[0].name;
}

static void check_bounds(void)
{
	const char *text;
	size_t n = event_log_read(&node->events, node->events.tail, &text);
	const char *said = n ? memmem(text, n, " by=hail", 8) : NULL;

	assert(node->view.count <= VIEW_MAX);
	assert(node->lan->answered <= HAIL_ANSWERS);
	assert(!node->lan->answer || node->lan->answer <= node->now + HAIL_ANSWER_DELAY);
	if (said)
		assert(!memmem(said + 1, n - (size_t)(said + 1 - text), " by=hail", 8));
	assert((said != NULL) == (node->counters.hails_refused > 0));
	// Its start, the steady ones, and an answer a second.
	uint64_t seconds = (now - began) / SECOND + 1;
	assert(sent <= HAIL_BURST + seconds / 7 + HAIL_ANSWERS + seconds + 1);
	assert(node->counters.hails_heard <=
		HAIL_NEWS_BURST + (now - began) / HAIL_NEWS_INTERVAL + 1);
}

static uint64_t counted(void)
{
	const struct node_counters *c = &node->counters;
	return c->hails_heard + c->hails_foreign + c->hails_refused + c->hails_dropped;
}

static void hear(const uint8_t *datagram, size_t n, const struct address *from)
{
	uint64_t before = counted(), heard = node->counters.hails_heard;
	uint8_t again[HAIL_BYTES];
	struct hail hail;
	int r = hail_decode(&hail, &ring, datagram, n);

	node_hailed(node, from, datagram, n);
	bool own =
		r == 0 && id_equal(&hail.id, &node->id) && address_same_host(from, &hail.address);
	assert(counted() == before + !own);
	assert(node->counters.hails_heard == heard || r == 0);
	if (r < 0)
		return;
	// What was understood has one form.
	struct keyring by = { .keys = { ring.keys[0] }, .count = 1 };
	if (memcmp(datagram + 16, ring.keys[0].name.bytes, NETWORK_NAME_BYTES) != 0)
		by.keys[0] = ring.keys[1];
	assert(hail_encode(&hail, &by, again) == 0);
	assert(memcmp(again, datagram, HAIL_BYTES) == 0);
}

static struct address read_address(struct input *in)
{
	struct address a = { .family = (uint8_t)input_below(in, 8) };
	size_t n = a.family == 6 ? 16 : 4;
	const uint8_t *host = input_bytes(in, &n);

	memcpy(a.bytes, host, n);
	a.port = (uint16_t)input_number(in, 2);
	return a;
}

static void hear_raw(struct input *in)
{
	size_t n = input_below(in, HAIL_BYTES + 3);
	const uint8_t *bytes = input_bytes(in, &n);
	struct address from = read_address(in);
	hear(bytes, n, &from);
}

// Made as it should be, by one of those who might; with the first bytes, a bit may be wrong.
static void hear_made(struct input *in)
{
	enum signer signer = (enum signer)input_below(in, SIGNERS);
	size_t wrong = (size_t)input_number(in, 2);
	uint8_t who = (uint8_t)input_number(in, 1);
	struct hail hail = { .asks = who & 1,
		.id = { { who } },
		.incarnation = input_number(in, 1),
		.counter = input_number(in, 1),
		.address = read_address(in) };
	struct address from = who & 2 ? read_address(in) : hail.address;
	uint8_t datagram[HAIL_BYTES];
	uint64_t heard = node->counters.hails_heard;

	if (who == 255)
		hail.id = node->id;
	assert(hail_encode(&hail, &signers[signer], datagram) == 0);
	bool damaged = wrong > 0 && wrong <= 8 * HAIL_BYTES;
	if (damaged)
		datagram[(wrong - 1) / 8] ^= (uint8_t)(1 << (wrong - 1) % 8);
	hear(datagram, sizeof datagram, &from);
	if (damaged || signer == SIGNER_STRANGER || signer == SIGNER_FORGER ||
		!address_same_host(&from, &hail.address))
		assert(node->counters.hails_heard == heard);
}

static void hail_if_due(void)
{
	uint8_t datagram[HAIL_BYTES];
	struct hail hail;

	if (!node_hail_begin(node))
		return;
	assert(!node_hail_begin(node));
	assert(node_hail(node, &node->config.address, datagram) == 0);
	assert(hail_decode(&hail, &ring, datagram, sizeof datagram) == 0);
	assert(id_equal(&hail.id, &node->id));
	sent++;
}

static void start(bool seeks)
{
	static const struct node_driver driver = { NULL, on_dial, on_hangup, on_resolve };
	const struct node_config config = { .identity = self,
		.keyring = &ring,
		.access = &lists,
		.incarnation = 5,
		.seed = 42,
		.address = { 4, { 10, 0, 0, 1 }, 8495 },
		.min_peers = seeks ? 3 : 0,
		.max_peers = 5,
		.ping_timeout = PING_TIMEOUT_DEFAULT,
		.discovery = true };

	node = node_new(&config, &driver);
	assert(node);
	now = began = SECOND;
	sent = 0;
	node_advance(node, now, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct input in = { bytes, n };

	make_keys();
	start(input_number(&in, 1) & 1);
	for (int i = 0; i < STEPS && in.left; i++) {
		switch (input_below(&in, 4)) {
		case 0:
			hear_raw(&in);
			break;
		case 1:
		case 2:
			hear_made(&in);
			break;
		default:
			now += 1 + input_number(&in, 2) * MILLISECOND;
			node_advance(node, now, now);
		}
		hail_if_due();
		check_bounds();
	}
	node_free(node);
	return 0;
}
