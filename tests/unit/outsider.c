// SPDX-License-Identifier: MIT
// Those without the network key: whatever they send, nothing of it counts. One event says so, and
// what they took is given back.
#include <criterion/criterion.h>
#include <errno.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"
#include "tests/unit/forge.h"

// What a node had before somebody came.
struct standing {
	size_t links, up;
	unsigned sources, members, announcements;
	size_t contacts;
	uint64_t events; // where they end
	struct node_counters counters;
};

static size_t contacts(const struct node *node)
{
	const struct view_entry *e;
	size_t count = 0;
	VIEW_FOREACH (&node->view, e)
		count++;
	return count;
}

static struct standing standing(const struct world *w, int i)
{
	const struct node *node = w->nodes[i].node;
	return (struct standing){
		.links = node->link_count,
		.up = node->up_count,
		.sources = HASH_COUNT(node->broadcast.sources),
		.members = HASH_COUNT(node->members.table),
		.announcements = HASH_COUNT(node->announce.latest),
		.contacts = contacts(node),
		.events = node->events.head,
		.counters = node->counters,
	};
}

// Events since then that are refusals of somebody at an address, for this reason (empty: any).
static int refusals(const struct world *w, int i, const struct standing *before, const char *reason)
{
	const char *text = NULL;
	size_t n = event_log_read(&w->nodes[i].node->events, before->events, &text);
	char *copy = n ? strndup(text, n) : NULL, *rest = NULL, part[64];
	int count = 0;

	snprintf(part, sizeof part, " reason=%s", reason);
	for (char *line = copy ? strtok_r(copy, "\n", &rest) : NULL; line;
		line = strtok_r(NULL, "\n", &rest))
		count += strstr(line, " refused addr=127.0.0.") && strstr(line, part);
	free(copy);
	return count;
}

// Nothing has come of it but so many refusals for this reason.
static void check_nowhere(const struct world *w, int i, const struct standing *before, int events,
	const char *reason, const char *what)
{
	struct standing now = standing(w, i);

	cr_expect_eq(now.links, before->links, "%s: links", what);
	cr_expect_eq(now.up, before->up, "%s: up", what);
	cr_expect_eq(now.sources, before->sources, "%s: sources", what);
	cr_expect_eq(now.members, before->members, "%s: members", what);
	cr_expect_eq(now.announcements, before->announcements, "%s: announcements", what);
	cr_expect_eq(now.contacts, before->contacts, "%s: contacts", what);
	cr_expect_eq(refusals(w, i, before, ""), events, "%s: %d events", what,
		refusals(w, i, before, ""));
	cr_expect_eq(refusals(w, i, before, reason), events, "%s: not %s", what, reason);
	cr_expect_eq(now.counters.links_refused + now.counters.accepts_refused -
			     before->counters.links_refused - before->counters.accepts_refused,
		(uint64_t)events, "%s: counter", what);
	cr_expect_eq(now.counters.frames_unknown, before->counters.frames_unknown, "%s", what);
	cr_expect_eq(world_events(w, i, "stop"), 0, "%s", what);
}

// A node at rest, and another one that it is linked with.
static void start(struct world *w, uint64_t seed)
{
	world_init(w, seed);
	world_start(w, 0);
	world_start(w, 1);
	world_seed(w, 1, 0);
	world_run(w, 3 * SECOND);
	cr_assert(world_linked(w, 0, 1));
}

// What a TLS client that is not ours sends and takes.
struct client {
	SSL_CTX *settings;
	SSL *tls;
	BIO *in, *out; // of the SSL
	struct world_stranger *stranger;
	size_t taken;
};

enum oddity {
	ODD_VERSION,	 // TLS 1.2 at most
	ODD_NAKED,	 // no certificate
	ODD_PROTOCOL,	 // another ALPN
	ODD_NO_PROTOCOL, // none
	ODD_KIND,	 // a key that is not Ed25519
	ODD_COUNT,
};

static void client_certificate(struct client *c, bool odd)
{
	EVP_PKEY *key = odd ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *certificate = X509_new();
	cr_assert(key && certificate);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	cr_assert(X509_sign(certificate, key, odd ? EVP_sha256() : NULL));
	cr_assert(SSL_CTX_use_certificate(c->settings, certificate) == 1);
	cr_assert(SSL_CTX_use_PrivateKey(c->settings, key) == 1);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static void client_init(struct client *c, enum oddity odd)
{
	static const unsigned char ours[] = "\x09smokefs/1", other[] = "\x02h2";

	*c = (struct client){ .settings = SSL_CTX_new(TLS_client_method()) };
	cr_assert(c->settings);
	if (odd == ODD_VERSION)
		SSL_CTX_set_max_proto_version(c->settings, TLS1_2_VERSION);
	if (odd != ODD_NAKED)
		client_certificate(c, odd == ODD_KIND);
	if (odd == ODD_PROTOCOL)
		SSL_CTX_set_alpn_protos(c->settings, other, sizeof other - 1);
	else if (odd != ODD_NO_PROTOCOL)
		SSL_CTX_set_alpn_protos(c->settings, ours, sizeof ours - 1);
	c->tls = SSL_new(c->settings);
	c->in = BIO_new(BIO_s_mem());
	c->out = BIO_new(BIO_s_mem());
	cr_assert(c->tls && c->in && c->out);
	SSL_set_bio(c->tls, c->in, c->out); // takes them
	SSL_set_connect_state(c->tls);
}

static void client_fini(struct client *c)
{
	SSL_free(c->tls);
	SSL_CTX_free(c->settings);
}

static void client_run(struct world *w, struct client *c)
{
	for (int turn = 0; turn < 20; turn++) {
		char *bytes;
		size_t n;
		SSL_do_handshake(c->tls);
		long pending = BIO_get_mem_data(c->out, &bytes);
		if (pending > 0 && !world_closed(c->stranger))
			world_say(w, c->stranger, bytes, (size_t)pending);
		(void)BIO_reset(c->out);
		world_run(w, 20 * MILLISECOND);
		const uint8_t *heard = world_heard_bytes(c->stranger, &n);
		if (n > c->taken)
			BIO_write(c->in, heard + c->taken, (int)(n - c->taken));
		c->taken = n;
	}
}

Test(outsider, plain_connections)
{
	static uint8_t zeros[4096], noise[4096];
	struct buffer clear = BUFFER_INIT;
	struct world w;

	start(&w, 1);
	for (size_t i = 0; i < sizeof noise; i++)
		noise[i] = (uint8_t)random_next(&w.random);
	wire_put_hello(&clear, &(struct frame_hello){ .version_min = 1, .version_max = 1 });
	wire_put_accept(&clear);
	struct {
		const char *name;
		const void *bytes;
		size_t n;
	} cases[] = {
		{ "HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27 },
		{ "SSH", "SSH-2.0-OpenSSH_9.2\r\n", 21 },
		{ "one byte", "x", 1 },
		{ "zeros", zeros, sizeof zeros },
		{ "noise", noise, sizeof noise },
		{ "frames in the clear", buffer_bytes(&clear), buffer_length(&clear) },
		{ "record of 64 KiB", "\x16\x03\x01\xff\xff\x01\x00\x01\x00", 9 },
		{ "record of nothing", "\x16\x03\x01\x00\x00\x16\x03\x01\x00\x00", 10 },
		{ "ClientHello of 16 MiB", "\x16\x03\x01\x02\x00\x01\xff\xff\xff", 9 },
		{ "ServerHello", "\x16\x03\x03\x00\x7a\x02\x00\x00\x76", 9 },
		{ "alert", "\x15\x03\x03\x00\x02\x02\x28", 7 },
		{ "application data", "\x17\x03\x03\x00\x10", 5 },
		{ "SSLv2", "\x80\x2e\x01\x00\x02\x00\x15", 7 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct standing before = standing(&w, 0);
		struct world_stranger *s = world_connect(&w, 0);
		world_say(&w, s, cases[i].bytes, cases[i].n);
		world_run(&w, SECOND);
		cr_expect(world_closed(s), "%s", cases[i].name);
		world_leave(&w, s);
		world_run(&w, SECOND / 10);
		check_nowhere(&w, 0, &before, 1, "tls", cases[i].name);
	}
	buffer_fini(&clear);
	world_fini(&w);
}

// An end of the connection, before anything or in the middle of it, is one event, too.
Test(outsider, gone_again)
{
	struct world w;
	start(&w, 2);
	for (size_t n = 0; n < 9; n++) {
		struct standing before = standing(&w, 0);
		struct world_stranger *s = world_connect(&w, 0);
		if (n)
			world_say(&w, s, "\x16\x03\x01\x01\x00\x01\x00\x00", n);
		cr_expect_not(world_closed(s));
		world_leave(&w, s);
		world_run(&w, SECOND / 10);
		check_nowhere(&w, 0, &before, 1, "connection-lost", "gone again");
	}
	world_fini(&w);
}

Test(outsider, tls_that_is_not_ours)
{
	struct world w;
	start(&w, 3);
	for (enum oddity odd = 0; odd < ODD_COUNT; odd++) {
		struct standing before = standing(&w, 0);
		struct client c;
		char what[32];
		snprintf(what, sizeof what, "oddity %d", (int)odd);
		client_init(&c, odd);
		c.stranger = world_connect(&w, 0);
		client_run(&w, &c);
		cr_expect(world_closed(c.stranger), "%s", what);
		world_leave(&w, c.stranger);
		world_run(&w, SECOND / 10);
		check_nowhere(&w, 0, &before, 1, "tls", what);
		client_fini(&c);
	}
	world_fini(&w);
}

// TLS is done, and membership is not.
static struct world_stranger *secured(struct world *w, int i, uint8_t identity)
{
	struct world_stranger *s = world_connect(w, i);
	cr_assert(world_secure(w, s, world_identity(w, identity)));
	world_run(w, SECOND / 10);
	cr_assert_not(world_closed(s));
	return s;
}

static void check_refused(struct world *w, struct world_stranger *s, const struct standing *before,
	const char *reason, const char *what)
{
	world_run(w, SECOND);
	cr_expect(world_closed(s), "%s: closed", what);
	cr_expect_eq(world_heard(s, FRAME_PROOF), 0, "%s: proof", what);
	cr_expect_eq(world_heard(s, FRAME_HELLO), 0, "%s: hello", what);
	cr_expect_leq(world_heard(s, FRAME_GOODBYE), 1, "%s: goodbye", what);
	world_leave(w, s);
	world_run(w, SECOND / 10);
	check_nowhere(w, 0, before, 1, reason, what);
}

Test(outsider, frames_before_the_proof)
{
	struct world w;
	start(&w, 4);
	struct forger f = { .world = &w, .identity = world_identity(&w, 1) };
	struct author author = forge_author(&w, 1, 1);
	struct frame_hello hello = forge_hello(&f);
	for (uint8_t type = 0; type < 20; type++) {
		struct standing before = standing(&w, 0);
		char what[32];
		if (type == FRAME_GOODBYE || type == FRAME_PROOF)
			continue;
		snprintf(what, sizeof what, "type %u", type);
		f.stranger = secured(&w, 0, 1);
		if (type == FRAME_HELLO)
			wire_put_hello(&f.out, &hello);
		else if (type == FRAME_ANNOUNCE)
			forge_lease(&f, &author, 1, 4000);
		else if (type == FRAME_BATCH)
			forge_messages(&f, &author, 1, 1, 100);
		else
			wire_put_sealed(&f.out, type, (const uint8_t *)"\0\0\0\0\0\0\0\1", 8);
		forge_say(&f);
		check_refused(&w, f.stranger, &before, "protocol-error", what);
	}
	world_fini(&w);
}

Test(outsider, a_goodbye_moves_nothing)
{
	struct world w;
	start(&w, 5);
	struct forger f = { .world = &w, .identity = world_identity(&w, 1) };
	for (unsigned reason = 0; reason < 24; reason++) {
		struct standing before = standing(&w, 0);
		struct frame_goodbye goodbye = { .reason = (uint8_t)reason, .count = 2 };
		goodbye.contacts[0] = (struct contact){ { { 1 } }, { 4, { 127, 0, 0, 1 }, 4000 } };
		goodbye.contacts[1] = (struct contact){ w.nodes[1].id, w.nodes[7].address };
		f.stranger = secured(&w, 0, 1);
		wire_put_goodbye(&f.out, &goodbye);
		forge_say(&f);
		check_refused(&w, f.stranger, &before, goodbye_name(reason), "goodbye");
		cr_expect_eq(w.nodes[0].keeps, 0, "it has taken another incarnation");
	}
	cr_expect(world_linked(&w, 0, 1));
	world_fini(&w);
}

static void say_proof(struct world *w, struct world_stranger *s, const struct frame_proof *f)
{
	struct buffer b = BUFFER_INIT;
	wire_put_proof(&b, f);
	world_say(w, s, buffer_bytes(&b), buffer_length(&b));
	buffer_fini(&b);
}

Test(outsider, proofs_that_are_none)
{
	struct world w;
	start(&w, 6);
	const struct network_key *key = &w.keyring.keys[0];
	for (int i = 0; i < 6; i++) {
		static const char *const what[] = { "made-up name", "zero MAC", "one bit",
			"other role", "another's key", "ends swapped" };
		struct standing before = standing(&w, 0);
		struct frame_proof f = { .network = key->name };
		struct session_binding binding;
		struct world_stranger *s = secured(&w, 0, 1);
		world_binding(s, world_identity(&w, 1), &binding);
		if (i == 4)
			binding.dialler = world_identity(&w, 2)->public_key;
		if (i == 5) {
			struct public_key swap = binding.dialler;
			binding.dialler = binding.acceptor;
			binding.acceptor = swap;
		}
		if (i != 1)
			cr_assert_eq(membership_prove(key, i == 3 ? ROLE_ACCEPTOR : ROLE_DIALLER,
					     &binding, f.proof),
				0);
		if (i == 0)
			f.network.bytes[0] ^= 1;
		if (i == 2)
			f.proof[31] ^= 1;
		say_proof(&w, s, &f);
		check_refused(&w, s, &before, "network-key", what[i]);
	}
	world_fini(&w);
}

// The first frame of that type, whole.
static size_t heard_frame(
	const struct world_stranger *s, enum frame_type type, const uint8_t **frame)
{
	size_t n;
	const uint8_t *bytes = world_heard_bytes(s, &n);
	uint8_t found = 0;
	for (int64_t length; (length = wire_next(bytes, n, FRAME_MAX, &found)) > 0;
		bytes += length, n -= (size_t)length)
		if (found == type) {
			*frame = bytes;
			return (size_t)length;
		}
	return 0;
}

// Node 0 dials who poses as node 5, which has no key and an identity of its own.
static struct world_stranger *lure(struct world *w, int64_t *token)
{
	w->nodes[5].posed = true;
	*token = node_connect(world_node(w, 0), "127.0.0.1", w->nodes[5].address.port);
	cr_assert_gt(*token, 0);
	struct world_stranger *s = world_visitor(w, 5);
	cr_assert(s);
	cr_assert(world_secure(w, s, world_identity(w, 3)));
	world_run(w, SECOND / 10);
	return s;
}

static void check_no_lure(struct world *w, int64_t token, int error, const struct standing *before,
	const char *reason, const char *what)
{
	world_run(w, SECOND);
	cr_expect_eq(node_connect_result(w->nodes[0].node, token), error, "%s", what);
	check_nowhere(w, 0, before, 1, reason, what);
}

// Who is dialled and has no key answers with what it can: nothing of it makes a link.
Test(outsider, answers_without_a_key)
{
	struct world w;
	int64_t token;
	const uint8_t *frame = NULL;
	start(&w, 7);
	for (int i = 0; i < 4; i++) {
		static const char *const what[] = { "reflected", "hello", "goodbye", "zero" };
		struct standing before = standing(&w, 0);
		struct world_stranger *s = lure(&w, &token);
		struct forger f = { .world = &w, .stranger = s, .identity = world_identity(&w, 3) };
		struct frame_hello hello = forge_hello(&f);
		struct frame_goodbye goodbye = { .reason = GOODBYE_MEMBERSHIP, .count = 1 };
		goodbye.contacts[0] = (struct contact){ { { 1 } }, { 4, { 127, 0, 0, 1 }, 4000 } };
		size_t n = heard_frame(s, FRAME_PROOF, &frame);
		cr_assert_gt(n, 0, "the dialler proves first");
		if (i == 0)
			world_say(&w, s, frame, n);
		else if (i == 1)
			wire_put_hello(&f.out, &hello);
		else if (i == 2)
			wire_put_goodbye(&f.out, &goodbye);
		else
			wire_put_proof(
				&f.out, &(struct frame_proof){ .network = w.keyring.keys[0].name });
		if (buffer_length(&f.out))
			forge_say(&f);
		check_no_lure(&w, token, -EACCES, &before,
			i == 1 ? "protocol-error" : "network-key", what[i]);
		world_leave(&w, s);
		world_run(&w, SECOND);
	}
	world_fini(&w);
}

// What a member has proven to somebody is proof of nothing to others.
Test(outsider, a_proof_of_another_session)
{
	struct world w;
	int64_t token;
	const uint8_t *frame = NULL;
	start(&w, 8);
	struct world_stranger *lured = lure(&w, &token);
	size_t n = heard_frame(lured, FRAME_PROOF, &frame);
	cr_assert_gt(n, 0);
	// To the other node, which the lured one knows, under the same identity.
	struct standing before = standing(&w, 1);
	struct world_stranger *s = secured(&w, 1, 3);
	world_say(&w, s, frame, n);
	world_run(&w, SECOND);
	cr_expect(world_closed(s));
	cr_expect_eq(world_heard(s, FRAME_PROOF), 0);
	check_nowhere(&w, 1, &before, 1, "network-key", "another session");
	world_fini(&w);
}

// A recorded link of a member, byte for byte.
Test(outsider, a_recorded_handshake)
{
	struct world w;
	size_t n;
	start(&w, 9);
	struct forger member = forge_link(&w, 0, 1, NULL, 0);
	cr_assert_eq(world_peers(&w, 0), 2);
	const uint8_t *bytes = world_wired(member.stranger, &n);
	uint8_t *record = malloc(n);
	cr_assert(record);
	memcpy(record, bytes, n);
	forge_goodbye(&member, GOODBYE_SHUTDOWN);
	world_run(&w, SECOND);
	struct standing before = standing(&w, 0);
	struct world_stranger *s = world_connect(&w, 0);
	world_say(&w, s, record, n);
	world_run(&w, SECOND);
	cr_expect(world_closed(s));
	check_nowhere(&w, 0, &before, 1, "tls", "recorded");
	free(record);
	world_fini(&w);
}

static void pass_on(
	struct world *w, struct world_stranger *from, struct world_stranger *to, size_t *passed)
{
	size_t n;
	const uint8_t *bytes = world_heard_bytes(from, &n);
	if (n > *passed && !world_closed(to))
		world_say(w, to, bytes + *passed, n - *passed);
	*passed = n;
}

// It ends TLS on both sides and passes every frame: the proofs are bound to what it cannot have.
Test(outsider, in_the_middle)
{
	struct world w;
	int64_t token;
	size_t there = 0, back = 0;
	start(&w, 10);
	world_start(&w, 2);
	struct standing before = standing(&w, 0), behind = standing(&w, 2);
	struct world_stranger *near = lure(&w, &token);
	struct world_stranger *far = world_connect(&w, 2);
	cr_assert(world_secure(&w, far, world_identity(&w, 4)));
	for (int turn = 0; turn < 50; turn++) {
		pass_on(&w, near, far, &there);
		pass_on(&w, far, near, &back);
		world_run(&w, 10 * MILLISECOND);
	}
	check_no_lure(&w, token, -EACCES, &before, "network-key", "near");
	check_nowhere(&w, 2, &behind, 1, "network-key", "far");
	cr_expect(world_closed(near) && world_closed(far));
	world_fini(&w);
}

static void give_keys(struct world *w, int i, const uint8_t *keys, int count)
{
	struct keyring *ring = &w->nodes[i].keyring;
	keyring_fini(ring);
	for (int k = 0; k < count; k++) {
		uint8_t secret[NETWORK_KEY_BYTES] = { keys[k] };
		cr_assert_eq(keyring_add(ring, secret), 0);
	}
}

// The outcome of a connect from node 0 to node 1.
static int meeting(const uint8_t *keys0, int count0, const uint8_t *keys1, int count1)
{
	struct world w;
	world_init(&w, 11);
	give_keys(&w, 0, keys0, count0);
	give_keys(&w, 1, keys1, count1);
	world_start(&w, 0);
	world_start(&w, 1);
	world_run(&w, SECOND);
	struct standing before[] = { standing(&w, 0), standing(&w, 1) };
	int64_t token = node_connect(world_node(&w, 0), "127.0.0.1", w.nodes[1].address.port);
	cr_assert_gt(token, 0);
	world_run(&w, 2 * SECOND);
	int result = node_connect_result(w.nodes[0].node, token);
	if (result == 0) {
		cr_expect(world_linked(&w, 0, 1));
		// Who signs under a key that the other has not got is told of.
		for (int i = 0; i < 2; i++)
			cr_expect_eq(world_events(&w, i, "refused"),
				world_events_with(&w, i, "refused", "by=signature"));
		cr_expect(world_publish(&w, 0, 100) && world_publish(&w, 1, 100));
		world_run(&w, SECOND);
	} else {
		for (int i = 0; i < 2; i++)
			check_nowhere(&w, i, &before[i], 1, "network-key", "other key");
	}
	world_fini(&w);
	return result;
}

Test(outsider, keys_that_match_and_do_not)
{
	static const uint8_t a[] = { 1 }, b[] = { 2 }, ab[] = { 1, 2 }, ba[] = { 2, 1 },
			     cd[] = { 3, 4 };
	cr_expect_eq(meeting(a, 1, a, 1), 0);
	cr_expect_eq(meeting(a, 1, b, 1), -EACCES);
	cr_expect_eq(meeting(b, 1, a, 1), -EACCES);
	cr_expect_eq(meeting(ab, 2, cd, 2), -EACCES);
	// The first is shown, all are accepted.
	cr_expect_eq(meeting(b, 1, ab, 2), 0);
	cr_expect_eq(meeting(ba, 2, ab, 2), 0);
	cr_expect_eq(meeting(ba, 2, b, 1), 0);
	cr_expect_eq(meeting(ab, 2, b, 1), -EACCES);
}

// A seed of another network is not asked again and again.
Test(outsider, a_seed_of_another_network)
{
	static const uint8_t other[] = { 9 };
	struct world w;
	world_init(&w, 12);
	give_keys(&w, 1, other, 1);
	world_start(&w, 0);
	world_start(&w, 1);
	world_seed(&w, 0, 1);
	world_run(&w, 20 * SECOND);
	cr_expect_eq(world_events(&w, 0, "refused"), 1);
	cr_expect_eq(world_events(&w, 1, "refused"), 1);
	world_run(&w, 5 * 60 * SECOND);
	cr_expect_leq(world_events(&w, 1, "refused"), 12);
	cr_expect_eq(world_events(&w, 0, "refused"), world_events(&w, 1, "refused"));
	world_fini(&w);
}

Test(outsider, the_slow_have_ten_seconds)
{
	struct world w;
	start(&w, 13);
	const struct identity *identity = world_identity(&w, 1);
	struct channel_settings *settings = channel_settings_new(identity);
	struct channel channel;
	struct buffer hello = BUFFER_INIT;
	cr_assert_eq(channel_init(&channel, settings, true), 0);
	cr_assert_eq(channel_begin(&channel, &hello), 0);

	struct standing before = standing(&w, 0);
	uint64_t began = w.now;
	struct world_stranger *silent = world_connect(&w, 0);
	struct world_stranger *bytewise = world_connect(&w, 0);
	struct world_stranger *unproven = secured(&w, 0, 2);
	for (size_t i = 0; w.now - began < HANDSHAKE_TIMEOUT - SECOND / 2; i++) {
		if (i < buffer_length(&hello) - 1)
			world_say(&w, bytewise, buffer_bytes(&hello) + i, 1);
		world_run(&w, SECOND / 20);
	}
	cr_expect_not(world_closed(silent) || world_closed(bytewise) || world_closed(unproven));
	world_run(&w, 2 * SECOND);
	cr_expect(world_closed(silent) && world_closed(bytewise) && world_closed(unproven));
	world_run(&w, 20 * SECOND);
	check_nowhere(&w, 0, &before, 3, "timeout", "slow");
	buffer_fini(&hello);
	channel_fini(&channel);
	channel_settings_free(settings);
	world_fini(&w);
}

// Strangers fill their room; a member comes in all the same.
Test(outsider, a_crowd_at_the_door)
{
	struct world w;
	start(&w, 14);
	struct standing before = standing(&w, 0);
	for (int i = 0; i < 200; i++)
		world_connect_from(&w, 0, (uint8_t)(20 + i / 20));
	cr_expect_leq(w.nodes[0].node->link_count, before.links + UNPROVEN_MAX);
	// 16 of 20 from each host, and of the 64 nobody has been there for a second.
	cr_expect_eq(w.nodes[0].node->link_count, before.links + UNPROVEN_MAX);
	cr_expect_eq(node_counters(w.nodes[0].node)->accepts_refused, 200 - UNPROVEN_MAX);
	cr_expect_eq(world_events_with(&w, 0, "refused", "reason=busy"), 200 - UNPROVEN_MAX);
	world_start(&w, 2);
	world_seed(&w, 2, 0);
	world_run(&w, 4 * SECOND);
	cr_expect(world_linked(&w, 2, 0));
	cr_expect_leq(w.nodes[0].node->link_count, before.links + UNPROVEN_MAX + 1);
	world_run(&w, 20 * SECOND);
	cr_expect_eq(world_peers(&w, 0), 2);
	cr_expect_eq(w.nodes[0].node->link_count, 2);
	// One for each of them, those of the member that were too early among them.
	const struct node_counters *counters = node_counters(w.nodes[0].node);
	cr_expect_eq(counters->links_refused, UNPROVEN_MAX);
	cr_expect_eq(refusals(&w, 0, &before, ""),
		(int)(counters->links_refused + counters->accepts_refused));
	world_fini(&w);
}

// Those of one's own host are no exception: somebody else's programs may run there.
Test(outsider, a_crowd_of_the_same_host)
{
	struct world w;
	start(&w, 15);
	for (int i = 0; i < 40; i++)
		world_connect_from(&w, 0, 1);
	cr_expect_eq(node_counters(w.nodes[0].node)->accepts_refused, 40 - UNPROVEN_HOST_MAX);
	world_start(&w, 2);
	world_seed(&w, 2, 0);
	world_run(&w, 4 * SECOND);
	cr_expect(world_linked(&w, 2, 0));
	world_fini(&w);
}

Test(outsider, a_thousand_in_a_row)
{
	struct world w;
	start(&w, 16);
	struct standing before = standing(&w, 0);
	size_t held = 0;
	for (int i = 0; i < 1000; i++) {
		struct world_stranger *s = world_connect_from(&w, 0, (uint8_t)(20 + i % 8));
		if (i % 3 == 0)
			world_say(&w, s, "GET /", 5);
		else if (i % 3 == 1)
			cr_assert(world_secure(&w, s, world_identity(&w, 1)));
		world_leave(&w, s);
		world_run(&w, SECOND / 20);
		if (i == 99)
			held = mallinfo2().uordblks;
	}
	world_run(&w, SECOND);
	cr_expect_lt(mallinfo2().uordblks, held + 1 * MIB); // the log of events is part of it
	check_nowhere(&w, 0, &before, 1000, "", "a thousand");
	cr_expect(world_linked(&w, 0, 1));
	world_fini(&w);
}

// Some thousand are told of one by one, and then how many more there were.
Test(outsider, more_than_anybody_wants_to_read_of)
{
	struct world w;
	start(&w, 44);
	for (int i = 0; i < STRANGER_EVENTS + 50; i++) {
		struct world_stranger *s = world_connect(&w, 0);
		world_say(&w, s, "GET /", 5);
		world_leave(&w, s);
	}
	world_run(&w, 2 * SECOND);
	int told = world_events(&w, 0, "refused"),
	    more = world_events_with(&w, 0, "refused", "more");
	cr_expect_geq(more, 1);
	cr_expect_leq(told, STRANGER_EVENTS + 20);
	cr_expect_eq(node_counters(w.nodes[0].node)->links_refused, STRANGER_EVENTS + 50);
	world_fini(&w);
}
