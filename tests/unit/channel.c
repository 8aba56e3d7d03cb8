// SPDX-License-Identifier: MIT
#include "core/channel.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/random.h"

#define ALL SIZE_MAX

// One end: what it is, what it has said and not yet handed over, and what it has heard.
struct end {
	struct identity *identity;
	struct channel_settings *settings;
	struct channel channel;
	struct buffer wire, plain;
	struct buffer said; // all that ever was in `wire`
};

static struct end dialler, acceptor;

static void end_start(struct end *e, bool dials)
{
	cr_assert_eq(channel_init(&e->channel, e->settings, dials), 0);
	if (dials)
		cr_assert_eq(channel_begin(&e->channel, &e->wire), 0);
}

static void end_stop(struct end *e)
{
	channel_fini(&e->channel);
	buffer_fini(&e->wire);
	buffer_fini(&e->plain);
	buffer_fini(&e->said);
}

static void end_init(struct end *e, uint8_t fill, bool dials)
{
	uint8_t secret[SECRET_KEY_BYTES];

	memset(secret, fill, sizeof secret);
	cr_assert(e->identity = identity_new(secret));
	cr_assert(e->settings = channel_settings_new(e->identity));
	end_start(e, dials);
}

static void end_fini(struct end *e)
{
	end_stop(e);
	channel_settings_free(e->settings);
	identity_free(e->identity);
}

static void setup(void)
{
	end_init(&dialler, 1, true);
	end_init(&acceptor, 2, false);
}

static void finish(void)
{
	end_fini(&dialler);
	end_fini(&acceptor);
	cr_expect_eq(ERR_peek_error(), 0, "errors are not left to others");
}

TestSuite(channel, .init = setup, .fini = finish);

static void restart(void)
{
	end_stop(&dialler);
	end_stop(&acceptor);
	end_start(&dialler, true);
	end_start(&acceptor, false);
}

// The bytes in memory of their own size, so that a read beyond them is seen.
static int hear(struct end *e, const void *bytes, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);
	memcpy(exact, bytes, n);
	int r = channel_open(&e->channel, exact, n, &e->plain, &e->wire);
	free(exact);
	return r;
}

// Hands over up to `step` bytes. An error of the listener, or 0.
static int carry(struct end *from, struct end *to, size_t step)
{
	size_t n = buffer_length(&from->wire);
	if (n > step)
		n = step;
	if (n == 0)
		return 0;
	buffer_append(&from->said, buffer_bytes(&from->wire), n);
	int r = hear(to, buffer_bytes(&from->wire), n);
	buffer_consume(&from->wire, n);
	return r;
}

// To and fro, until both are silent.
static int talk(size_t step)
{
	while (buffer_length(&dialler.wire) || buffer_length(&acceptor.wire)) {
		int r = carry(&dialler, &acceptor, step);
		if (r == 0)
			r = carry(&acceptor, &dialler, step);
		if (r < 0)
			return r;
	}
	return 0;
}

static void open_both(void)
{
	cr_assert_eq(talk(ALL), 0);
	cr_assert(dialler.channel.open && acceptor.channel.open);
}

static int say(struct end *e, const void *bytes, size_t n)
{
	struct buffer plain = BUFFER_INIT;
	buffer_append(&plain, bytes, n);
	int r = channel_seal(&e->channel, &plain, &e->wire);
	if (r == 0)
		cr_expect_eq(buffer_length(&plain), 0, "what is sealed is taken");
	buffer_fini(&plain);
	return r;
}

static void expect_heard(struct end *e, const void *bytes, size_t n)
{
	cr_assert_eq(buffer_length(&e->plain), n, "%zu of %zu", buffer_length(&e->plain), n);
	cr_expect(memcmp(buffer_bytes(&e->plain), bytes, n) == 0);
	buffer_consume(&e->plain, n);
}

// It has failed, says so for good, and neither gives nor takes.
static void expect_dead(struct end *e)
{
	size_t heard = buffer_length(&e->plain), wire = buffer_length(&e->wire);

	cr_expect(e->channel.failed);
	cr_expect_eq(hear(e, "x", 1), -EPROTO);
	cr_expect_eq(say(e, "x", 1), -EPROTO);
	cr_expect_eq(buffer_length(&e->plain), heard);
	cr_expect_eq(buffer_length(&e->wire), wire);
	cr_expect_eq(ERR_peek_error(), 0, "errors are not left to others");
}

Test(channel, opens_in_any_split)
{
	static const size_t steps[] = { 1, 2, 5, 6, 21, 100, 1000, ALL };

	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		restart();
		cr_expect_not(dialler.channel.open);
		cr_assert_eq(talk(steps[i]), 0, "step %zu", steps[i]);
		cr_assert(dialler.channel.open && acceptor.channel.open, "step %zu", steps[i]);
		cr_assert_eq(say(&dialler, "hello", 5), 0);
		cr_assert_eq(say(&acceptor, "welcome", 7), 0);
		cr_assert_eq(talk(steps[i]), 0);
		expect_heard(&acceptor, "hello", 5);
		expect_heard(&dialler, "welcome", 7);
	}
}

Test(channel, knows_whose_key_it_was)
{
	open_both();
	cr_expect_arr_eq(
		dialler.channel.peer.bytes, acceptor.identity->public_key.bytes, PUBLIC_KEY_BYTES);
	cr_expect_arr_eq(
		acceptor.channel.peer.bytes, dialler.identity->public_key.bytes, PUBLIC_KEY_BYTES);
}

Test(channel, speaks_tls_1_3_with_what_it_names)
{
	const unsigned char *name;
	unsigned n;

	open_both();
	SSL *tls = acceptor.channel.tls;
	cr_expect_eq(SSL_version(tls), TLS1_3_VERSION);
	cr_expect_str_eq(SSL_get_cipher_name(tls), "TLS_AES_128_GCM_SHA256");
	cr_expect_eq(SSL_get_negotiated_group(tls), NID_X25519);
	SSL_get0_alpn_selected(tls, &name, &n);
	cr_expect_eq(n, strlen(CHANNEL_ALPN));
	cr_expect(memcmp(name, CHANNEL_ALPN, n) == 0);
}

Test(channel, carries_much_both_ways)
{
	enum { TOTAL = 3 << 20 };
	uint8_t *out = malloc(TOTAL);
	struct random r = { 3 };
	size_t said[2] = { 0 }, heard[2] = { 0 };
	struct end *ends[2] = { &dialler, &acceptor };

	for (size_t i = 0; i < TOTAL; i++)
		out[i] = (uint8_t)random_next(&r);
	open_both();
	while (heard[0] < TOTAL || heard[1] < TOTAL) {
		for (int i = 0; i < 2; i++) {
			struct end *to = ends[!i];
			size_t n = random_below(&r, random_below(&r, 4) ? 3000 : 200000);
			if (n > TOTAL - said[i])
				n = TOTAL - said[i];
			cr_assert_eq(say(ends[i], out + said[i], n), 0);
			said[i] += n;
			cr_assert_eq(carry(ends[i], to, random_below(&r, 150000) + 1), 0);
			n = buffer_length(&to->plain);
			cr_assert(memcmp(buffer_bytes(&to->plain), out + heard[!i], n) == 0);
			buffer_consume(&to->plain, n);
			heard[!i] += n;
		}
	}
	cr_expect_eq(dialler.channel.bytes_in, buffer_length(&acceptor.said));
	cr_expect_eq(dialler.channel.bytes_out,
		buffer_length(&dialler.said) + buffer_length(&dialler.wire));
	free(out);
}

Test(channel, takes_data_behind_the_handshake)
{
	static char data[60000];

	// The dialler's last words of the handshake and its first data come in one piece.
	memset(data, 'd', sizeof data);
	cr_assert_eq(carry(&dialler, &acceptor, ALL), 0);
	cr_assert_eq(carry(&acceptor, &dialler, ALL), 0);
	cr_assert(dialler.channel.open);
	cr_assert_eq(say(&dialler, data, sizeof data), 0);
	cr_assert_gt(buffer_length(&dialler.wire), CHANNEL_HANDSHAKE_MAX);
	cr_assert_eq(carry(&dialler, &acceptor, ALL), 0);
	cr_expect(acceptor.channel.open);
	expect_heard(&acceptor, data, sizeof data);
}

Test(channel, makes_no_more_room_than_it_needs)
{
	static uint8_t data[100000];

	open_both();
	cr_assert_eq(say(&dialler, data, 50), 0);
	cr_assert_eq(carry(&dialler, &acceptor, ALL), 0);
	cr_expect_leq(acceptor.plain.capacity, 256);
	cr_assert_eq(say(&dialler, data, sizeof data), 0);
	cr_expect_leq(dialler.wire.capacity, 2 * sizeof data);
	cr_assert_eq(carry(&dialler, &acceptor, ALL), 0);
	cr_expect_leq(acceptor.plain.capacity, 2 * sizeof data);
}

Test(channel, seals_nothing_before_it_is_open)
{
	cr_expect_eq(say(&dialler, "x", 1), -EPROTO);
	cr_expect_eq(say(&acceptor, "x", 1), -EPROTO);
	cr_expect_eq(buffer_length(&acceptor.wire), 0);
	cr_expect_not(dialler.channel.failed, "it was too early, no more");
	open_both();
	cr_expect_eq(say(&dialler, "x", 1), 0);
	size_t n = buffer_length(&dialler.wire);
	cr_expect_eq(say(&dialler, "", 0), 0);
	cr_expect_eq(buffer_length(&dialler.wire), n, "nothing is said for nothing");
	cr_expect_eq(hear(&acceptor, "", 0), 0);
}

Test(channel, shows_nothing_on_the_wire)
{
	static const char text[] = "attack at dawn, attack at dawn";
	struct end *ends[2] = { &dialler, &acceptor };

	open_both();
	cr_assert_eq(say(&dialler, text, sizeof text), 0);
	cr_assert_eq(say(&acceptor, text, sizeof text), 0);
	cr_assert_eq(talk(ALL), 0);
	for (int i = 0; i < 2; i++) {
		const uint8_t *said = buffer_bytes(&ends[i]->said);
		size_t n = buffer_length(&ends[i]->said);
		cr_expect_null(memmem(said, n, "attack", 6));
		for (int j = 0; j < 2; j++) {
			const struct identity *who = ends[j]->identity;
			cr_expect_null(memmem(said, n, id_format(&who->id).text, ID_TEXT));
			cr_expect_null(memmem(said, n, who->id.bytes, ID_BYTES));
			cr_expect_null(memmem(said, n, who->public_key.bytes, PUBLIC_KEY_BYTES));
		}
	}
}

Test(channel, says_as_much_whoever_it_is)
{
	open_both();
	size_t first = buffer_length(&dialler.said), second = buffer_length(&acceptor.said);
	for (uint8_t i = 10; i < 14; i++) {
		end_fini(&dialler);
		end_fini(&acceptor);
		end_init(&dialler, i, true);
		end_init(&acceptor, i + 100, false);
		open_both();
		cr_expect_eq(buffer_length(&dialler.said), first);
		cr_expect_eq(buffer_length(&acceptor.said), second);
	}
}

Test(channel, binds_both_ends_to_one_session)
{
	struct session_binding a, b, later;

	open_both();
	const struct public_key *d = &dialler.identity->public_key,
				*p = &acceptor.identity->public_key;
	cr_assert_eq(channel_binding(&dialler.channel, d, &a), 0);
	cr_assert_eq(channel_binding(&acceptor.channel, p, &b), 0);
	cr_expect_arr_eq((uint8_t *)&a, (uint8_t *)&b, sizeof a);
	cr_expect_arr_eq(a.dialler.bytes, d->bytes, PUBLIC_KEY_BYTES);
	cr_expect_arr_eq(a.acceptor.bytes, p->bytes, PUBLIC_KEY_BYTES);

	// A proof for this session is none for the next one between the same two.
	struct network_key key = { .secret = { 5 } };
	uint8_t proof[MEMBERSHIP_BYTES];
	cr_assert_eq(membership_prove(&key, ROLE_DIALLER, &a, proof), 0);
	cr_expect(membership_verify(&key, ROLE_DIALLER, &b, proof));
	cr_expect_not(membership_verify(&key, ROLE_ACCEPTOR, &b, proof));
	restart();
	open_both();
	cr_assert_eq(channel_binding(&acceptor.channel, p, &later), 0);
	cr_expect(memcmp(later.exporter, a.exporter, EXPORTER_BYTES) != 0);
	cr_expect_not(membership_verify(&key, ROLE_DIALLER, &later, proof));
}

Test(channel, refuses_what_is_not_tls)
{
	static const char *const texts[] = { "GET / HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
		"\n", "\x16\x02\x01\x02", "\x80\x2e\x01", "\x15\x03\x03\x01", "\x17\x03\x03\x01" };

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		for (size_t step = 1; step < 3; step++) {
			restart();
			size_t n = strlen(texts[i]), at = 0;
			int r = 0;
			for (; at < n && r == 0; at += step)
				r = hear(&acceptor, texts[i] + at, at + step > n ? n - at : step);
			cr_expect_eq(r, -EPROTO, "text %zu, step %zu", i, step);
			cr_expect_leq(at, 3, "it is seen at once");
			cr_expect_eq(buffer_length(&acceptor.wire), 0, "and not answered");
			expect_dead(&acceptor);
		}
		if (texts[i][0] == 0x15 || strlen(texts[i]) < 5)
			continue;
		restart();
		cr_expect_eq(hear(&dialler, texts[i], strlen(texts[i])), -EPROTO, "text %zu", i);
		expect_dead(&dialler);
	}
}

Test(channel, refuses_an_oversize_hello_at_its_header)
{
	static const struct {
		uint8_t first[9];
		int result;
	} cases[] = {
		{ { 0x16, 3, 1, 0x02, 0, 1, 0, CHANNEL_HELLO_MAX >> 8, 0 }, 0 },
		{ { 0x16, 3, 1, 0x02, 0, 1, 0, CHANNEL_HELLO_MAX >> 8, 1 }, -EPROTO },
		{ { 0x16, 3, 1, 0x02, 0, 1, 1, 0, 0 }, -EPROTO },
		{ { 0x16, 3, 1, 0x02, 0, 1, 0xff, 0xff, 0xff }, -EPROTO },
		{ { 0x16, 3, 1, 0x02, 0, 2, 0, 1, 0 }, -EPROTO }, // a ServerHello
		{ { 0x16, 3, 1, 0, 0, 0x16, 3, 1, 0 }, -EPROTO }, // an empty record
		{ { 0x16, 3, 1, 0, 3, 1, 0, 0 }, -EPROTO },	  // a cut header
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		for (size_t step = 1; step <= 9; step += 4) {
			restart();
			int r = 0;
			for (size_t at = 0; at < 9 && r == 0; at += step)
				r = hear(&acceptor, cases[i].first + at,
					at + step > 9 ? 9 - at : step);
			cr_expect_eq(r, cases[i].result, "case %zu, step %zu", i, step);
		}
	}
}

Test(channel, hears_a_stranger_out_to_a_bound)
{
	uint8_t hello[5 + 4 + 16] = { 0x16, 3, 1, 0, 20, 1, 0, CHANNEL_HELLO_MAX >> 8, 0 };
	static const uint8_t change[] = { 0x14, 3, 3, 0, 1, 1 };
	size_t sent = 0;
	int r = 0;

	// To the acceptor a hello without an end, in pieces; to the dialler messages that TLS lets
	// pass, as far as it does.
	while (r == 0 && sent <= CHANNEL_HANDSHAKE_MAX) {
		r = hear(&acceptor, hello, sizeof hello);
		sent += sizeof hello;
	}
	cr_expect_eq(r, -EPROTO);
	expect_dead(&acceptor);
	for (r = 0, sent = 0; r == 0 && sent <= CHANNEL_HANDSHAKE_MAX; sent += sizeof change)
		r = hear(&dialler, change, sizeof change);
	cr_expect_eq(r, -EPROTO);
	expect_dead(&dialler);

	// A message that is longer than all that is allowed, record by record.
	restart();
	uint8_t record[5 + 1024] = { 0x16, 3, 3, 4, 0, 2, 0, 0x4e, 0x20 };
	for (r = 0, sent = 0; r == 0 && sent < 2 * CHANNEL_HANDSHAKE_MAX; sent += sizeof record) {
		r = hear(&dialler, record, sizeof record);
		memset(record + 5, 0, 4);
	}
	cr_expect_eq(r, -EPROTO);
	cr_expect_leq(sent, CHANNEL_HANDSHAKE_MAX + sizeof record);
	expect_dead(&dialler);
}

Test(channel, gets_nowhere_with_a_replay)
{
	open_both();
	cr_assert_eq(say(&dialler, "pay", 3), 0);
	cr_assert_eq(talk(ALL), 0);
	struct buffer replay = dialler.said;
	dialler.said = BUFFER_INIT;
	restart();
	cr_expect_eq(hear(&acceptor, buffer_bytes(&replay), buffer_length(&replay)), -EPROTO);
	cr_expect_not(acceptor.channel.open);
	cr_expect_eq(buffer_length(&acceptor.plain), 0);
	expect_dead(&acceptor);
	buffer_fini(&replay);
}

Test(channel, refuses_a_handshake_that_was_touched)
{
	open_both();
	size_t lengths[2] = { buffer_length(&dialler.said), buffer_length(&acceptor.said) };
	struct end *ends[2] = { &dialler, &acceptor };

	for (int who = 0; who < 2; who++) {
		for (size_t at = 0; at < lengths[who]; at += 3) {
			restart();
			size_t before = 0;
			int r = 0;
			while (r == 0 &&
				(buffer_length(&dialler.wire) || buffer_length(&acceptor.wire))) {
				size_t n = buffer_length(&ends[who]->wire);
				if (at >= before && at < before + n)
					buffer_bytes(&ends[who]->wire)[at - before] ^= 0x10;
				before += n;
				r = carry(ends[who], ends[!who], ALL);
				if (r == 0)
					r = carry(ends[!who], ends[who], ALL);
			}
			// Where the bit made a length longer, the rest is waited for.
			cr_expect_not(dialler.channel.open && acceptor.channel.open,
				"end %d, byte %zu", who, at);
			cr_expect_eq(ERR_peek_error(), 0);
		}
	}
}

Test(channel, refuses_a_record_that_was_touched)
{
	static const char text[] = "some text", more[300];
	size_t n = sizeof text + 22;

	for (size_t at = 0; at < n; at++) {
		restart();
		open_both();
		cr_assert_eq(say(&dialler, text, sizeof text), 0);
		cr_assert_eq(buffer_length(&dialler.wire), n);
		buffer_bytes(&dialler.wire)[at] ^= 1;
		// A longer record than there is: what follows it is no help.
		cr_assert_eq(say(&dialler, more, sizeof more), 0);
		cr_expect_eq(carry(&dialler, &acceptor, ALL), -EPROTO, "byte %zu", at);
		cr_expect_eq(buffer_length(&acceptor.plain), 0);
		cr_expect_gt(buffer_length(&acceptor.wire), 0, "an alert says so");
		expect_dead(&acceptor);
		cr_expect_eq(carry(&acceptor, &dialler, ALL), -EPROTO, "which ends the other, too");
		expect_dead(&dialler);
	}
}

Test(channel, refuses_records_out_of_order)
{
	for (int kind = 0; kind < 3; kind++) {
		restart();
		open_both();
		cr_assert_eq(say(&dialler, "one", 3), 0);
		struct buffer one = dialler.wire;
		dialler.wire = BUFFER_INIT;
		cr_assert_eq(say(&dialler, "two", 3), 0);
		if (kind == 1) // twice the same
			cr_assert_eq(hear(&acceptor, buffer_bytes(&one), buffer_length(&one)), 0);
		if (kind == 2) { // to the one that said it
			cr_expect_eq(
				hear(&dialler, buffer_bytes(&one), buffer_length(&one)), -EPROTO);
			expect_dead(&dialler);
		} else if (kind == 1) {
			cr_expect_eq(
				hear(&acceptor, buffer_bytes(&one), buffer_length(&one)), -EPROTO);
			expect_heard(&acceptor, "one", 3);
			expect_dead(&acceptor);
		} else { // one is left out
			cr_expect_eq(carry(&dialler, &acceptor, ALL), -EPROTO);
			cr_expect_eq(buffer_length(&acceptor.plain), 0);
			expect_dead(&acceptor);
		}
		buffer_fini(&one);
	}
}

Test(channel, waits_for_the_whole_record)
{
	open_both();
	cr_assert_eq(say(&dialler, "some text", 9), 0);
	cr_assert_eq(carry(&dialler, &acceptor, buffer_length(&dialler.wire) - 1), 0);
	cr_expect_eq(buffer_length(&acceptor.plain), 0, "unverified bytes are not handed on");
	cr_assert_eq(carry(&dialler, &acceptor, ALL), 0);
	expect_heard(&acceptor, "some text", 9);
}

Test(channel, ends_when_the_peer_ends)
{
	open_both();
	cr_assert_eq(say(&acceptor, "bye", 3), 0);
	acceptor.channel.sink = &acceptor.wire;
	SSL_shutdown(acceptor.channel.tls); // writes close_notify
	acceptor.channel.sink = NULL;
	cr_expect_eq(carry(&acceptor, &dialler, ALL), -EPROTO);
	expect_heard(&dialler, "bye", 3);
	expect_dead(&dialler);
}

// Has an end change its key, as the standard lets it at any time.
static void change_key(struct end *e, int kind)
{
	e->channel.sink = &e->wire;
	cr_assert(SSL_key_update(e->channel.tls, kind));
	cr_assert_eq(SSL_do_handshake(e->channel.tls), 1);
	e->channel.sink = NULL;
}

Test(channel, follows_a_change_of_keys)
{
	static uint8_t data[CHANNEL_REKEY_MIN];
	static const int kinds[] = { SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED };

	open_both();
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(say(&dialler, data, sizeof data), 0);
		change_key(&dialler, kinds[i]);
		cr_assert_eq(say(&dialler, "new", 3), 0);
		cr_assert_eq(say(&acceptor, data, sizeof data), 0);
		cr_assert_eq(talk(20000), 0);
		buffer_consume(&acceptor.plain, sizeof data);
		expect_heard(&acceptor, "new", 3);
		expect_heard(&dialler, data, sizeof data);
		cr_assert_eq(say(&acceptor, "reply", 5), 0);
		cr_assert_eq(talk(ALL), 0);
		expect_heard(&dialler, "reply", 5);
	}
}

Test(channel, refuses_a_change_of_keys_too_soon)
{
	open_both();
	for (int i = 0; i < 1000; i++)
		change_key(&dialler, SSL_KEY_UPDATE_REQUESTED);
	cr_assert_eq(say(&dialler, "data", 4), 0);
	cr_expect_eq(carry(&dialler, &acceptor, ALL), -EPROTO);
	cr_expect_eq(buffer_length(&acceptor.plain), 0);
	cr_expect_lt(buffer_length(&acceptor.wire), 100, "it is not answered a thousand times");
	expect_dead(&acceptor);
}

Test(channel, changes_its_own_key_in_time)
{
	static uint8_t data[CHANNEL_REKEY_MIN];

	open_both();
	cr_assert_eq(say(&dialler, data, sizeof data), 0);
	cr_assert_eq(say(&dialler, "x", 1), 0);
	size_t before = buffer_length(&dialler.wire);
	dialler.channel.keyed_out = CHANNEL_REKEY_BYTES;
	cr_assert_eq(say(&dialler, "y", 1), 0);
	cr_expect_eq(buffer_length(&dialler.wire) - before, 23 + 27, "data and a KeyUpdate");
	cr_expect_lt(dialler.channel.keyed_out, 100);
	cr_assert_eq(talk(ALL), 0);
	buffer_consume(&acceptor.plain, sizeof data);
	expect_heard(&acceptor, "xy", 2);
	cr_expect_lt(acceptor.channel.keyed_in, 100);
}

Test(channel, reports_memory_that_is_out)
{
	acceptor.wire.failed = true;
	cr_expect_eq(carry(&dialler, &acceptor, ALL), -ENOMEM);
	acceptor.wire.failed = false;
	expect_dead(&acceptor);

	restart();
	open_both();
	cr_assert_eq(say(&dialler, "x", 1), 0);
	acceptor.plain.failed = true;
	cr_expect_eq(carry(&dialler, &acceptor, ALL), -ENOMEM);
	acceptor.plain.failed = false;
	expect_dead(&acceptor);
	dialler.wire.failed = true;
	cr_expect_eq(say(&dialler, "x", 1), -ENOMEM);
	dialler.wire.failed = false;
}

// Ends that are not ours, put together from OpenSSL as they like.

struct stranger {
	SSL_CTX *settings;
	SSL *tls;
	BIO *in, *out;
	int tickets;
};

static int certify(SSL_CTX *to, EVP_PKEY *key, const EVP_MD *md)
{
	X509 *x = X509_new();
	int ok = x && X509_set_version(x, X509_VERSION_3) &&
		 ASN1_INTEGER_set(X509_get_serialNumber(x), 7) &&
		 X509_gmtime_adj(X509_getm_notBefore(x), -7200) &&
		 X509_gmtime_adj(X509_getm_notAfter(x), -3600) && X509_set_pubkey(x, key) &&
		 X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
			 (const unsigned char *)"a stranger", -1, -1, 0) &&
		 X509_sign(x, key, md) && SSL_CTX_use_certificate(to, x) &&
		 SSL_CTX_use_PrivateKey(to, key);
	X509_free(x);
	return ok;
}

static void on_stranger_message(
	int sent, int version, int type, const void *bytes, size_t n, SSL *tls, void *argument)
{
	struct stranger *s = argument;
	if (!sent && type == SSL3_RT_HANDSHAKE && n &&
		((const uint8_t *)bytes)[0] == SSL3_MT_NEWSESSION_TICKET)
		s->tickets++;
}

static int any_certificate(X509_STORE_CTX *context, void *unused)
{
	return 1;
}

// A stranger that is all right, and that a case spoils before it starts.
static void stranger_init(struct stranger *s)
{
	static const unsigned char protocols[] = "\x09" CHANNEL_ALPN;
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	*s = (struct stranger){ .settings = SSL_CTX_new(TLS_method()) };
	cr_assert(s->settings && key && certify(s->settings, key, NULL));
	EVP_PKEY_free(key);
	SSL_CTX_set_verify(s->settings, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(s->settings, any_certificate, NULL);
	cr_assert_eq(SSL_CTX_set_alpn_protos(s->settings, protocols, sizeof protocols - 1), 0);
}

static int select_ours(SSL *tls, const unsigned char **out, unsigned char *length,
	const unsigned char *in, unsigned n, void *unused)
{
	*out = in + 1;
	*length = in[0];
	return SSL_TLSEXT_ERR_OK;
}

static void stranger_start(struct stranger *s, bool dials)
{
	s->tls = SSL_new(s->settings);
	s->in = BIO_new(BIO_s_mem());
	s->out = BIO_new(BIO_s_mem());
	cr_assert(s->tls && s->in && s->out);
	BIO_set_mem_eof_return(s->in, -1);
	SSL_set_bio(s->tls, s->in, s->out);
	SSL_set_msg_callback(s->tls, on_stranger_message);
	SSL_set_msg_callback_arg(s->tls, s);
	if (dials)
		SSL_set_connect_state(s->tls);
	else
		SSL_set_accept_state(s->tls);
}

static void stranger_fini(struct stranger *s)
{
	SSL_free(s->tls);
	SSL_CTX_free(s->settings);
	ERR_clear_error();
}

// The stranger and one of ours, until both are silent: what ours says of it.
static int meet(struct stranger *s, struct end *ours)
{
	uint8_t byte;
	for (int turn = 0; turn < 10; turn++) {
		if (SSL_is_init_finished(s->tls))
			SSL_read(s->tls, &byte, 1);
		else
			SSL_do_handshake(s->tls);
		ERR_clear_error(); // the stranger's
		char *bytes;
		long n = BIO_get_mem_data(s->out, &bytes);
		int r = n > 0 ? hear(ours, bytes, (size_t)n) : 0;
		(void)BIO_reset(s->out);
		size_t length = buffer_length(&ours->wire);
		if (length)
			BIO_write(s->in, buffer_bytes(&ours->wire), (int)length);
		buffer_consume(&ours->wire, length);
		if (r < 0) {
			SSL_do_handshake(s->tls); // to hear the alert
			return r;
		}
		if (n <= 0 && length == 0)
			return 0;
	}
	return -ELOOP;
}

static void spoil_version(SSL_CTX *s)
{
	SSL_CTX_set_max_proto_version(s, TLS1_2_VERSION);
}

static void spoil_protocol(SSL_CTX *s)
{
	SSL_CTX_set_alpn_protos(s, (const unsigned char *)"\x02h2", 3);
}

// Longer, and with ours as its start.
static void spoil_protocol_end(SSL_CTX *s)
{
	SSL_CTX_set_alpn_protos(s, (const unsigned char *)"\x0asmokefs/11", 11);
}

static void spoil_all_protocols(SSL_CTX *s)
{
	SSL_CTX_set_alpn_protos(s, NULL, 0);
}

static void spoil_group(SSL_CTX *s)
{
	cr_assert(SSL_CTX_set1_groups_list(s, "P-256"));
}

static void spoil_chain(SSL_CTX *s)
{
	cr_assert(SSL_CTX_add1_chain_cert(s, SSL_CTX_get0_certificate(s)));
}

// All that is wanted of a certificate, and more than we read.
static void spoil_size(SSL_CTX *s)
{
	X509 *x = X509_dup(SSL_CTX_get0_certificate(s));
	for (size_t i = 0; i < CHANNEL_CERTIFICATE_MAX; i += 64)
		cr_assert(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
			(const unsigned char
					*)"a name that is as long as a name may be, and that is many times",
			-1, -1, 0));
	cr_assert(X509_sign(x, SSL_CTX_get0_privatekey(s), NULL));
	cr_assert(SSL_CTX_use_certificate(s, x));
	X509_free(x);
}

// Many names: more than we read.
static void spoil_hello(SSL_CTX *s)
{
	static unsigned char names[5000];
	memset(names, 9, sizeof names); // names of nine bytes, 9 times nine
	SSL_CTX_set_alpn_protos(s, names, sizeof names);
}

Test(channel, opens_to_any_ed25519_certificate)
{
	struct stranger s;

	// Names, dates (it is out of date) and who signed it do not matter.
	stranger_init(&s);
	stranger_start(&s, true);
	cr_expect_eq(meet(&s, &acceptor), 0);
	cr_expect(acceptor.channel.open);
	uint8_t expected[PUBLIC_KEY_BYTES];
	size_t n = sizeof expected;
	cr_assert(EVP_PKEY_get_raw_public_key(SSL_get_privatekey(s.tls), expected, &n));
	cr_expect_arr_eq(acceptor.channel.peer.bytes, expected, PUBLIC_KEY_BYTES);
	cr_expect_eq(s.tickets, 0, "no resumption is offered");
	cr_expect_not(SSL_SESSION_is_resumable(SSL_get_session(s.tls)));
	stranger_fini(&s);
}

Test(channel, refuses_a_dialler_of_another_kind)
{
	static const struct {
		const char *name;
		void (*spoil)(SSL_CTX *s);
	} cases[] = {
		{ "TLS 1.2", spoil_version },
		{ "another ALPN", spoil_protocol },
		{ "a longer ALPN", spoil_protocol_end },
		{ "no ALPN", spoil_all_protocols },
		{ "another group", spoil_group },
		{ "a chain", spoil_chain },
		{ "a large certificate", spoil_size },
		{ "a long hello", spoil_hello },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct stranger s;
		restart();
		stranger_init(&s);
		cases[i].spoil(s.settings);
		stranger_start(&s, true);
		cr_expect_eq(meet(&s, &acceptor), -EPROTO, "%s", cases[i].name);
		cr_expect_not(acceptor.channel.open, "%s", cases[i].name);
		stranger_fini(&s);
		expect_dead(&acceptor);
	}
}

Test(channel, names_the_reason_in_an_alert)
{
	void (*const cases[])(SSL_CTX *) = { spoil_protocol, spoil_all_protocols };
	for (size_t i = 0; i < 2; i++) {
		struct stranger s;
		restart();
		stranger_init(&s);
		cases[i](s.settings);
		stranger_start(&s, true);
		SSL_do_handshake(s.tls);
		char *bytes;
		long n = BIO_get_mem_data(s.out, &bytes);
		cr_expect_eq(hear(&acceptor, bytes, (size_t)n), -EPROTO);
		cr_assert_eq(buffer_length(&acceptor.wire), 7);
		cr_expect_eq(buffer_bytes(&acceptor.wire)[0], SSL3_RT_ALERT);
		cr_expect_eq(buffer_bytes(&acceptor.wire)[6], SSL_AD_NO_APPLICATION_PROTOCOL);
		stranger_fini(&s);
	}
}

// A dialler or acceptor with one certificate of this kind, or none.
static void meet_kind(const char *kind, const char *curve, bool dials)
{
	struct stranger s;
	struct end *ours = dials ? &acceptor : &dialler;
	EVP_PKEY *key = !kind	? NULL
			: curve ? EVP_PKEY_Q_keygen(NULL, NULL, kind, curve)
			: strcmp(kind, "RSA") == 0
				? EVP_PKEY_Q_keygen(NULL, NULL, kind, (size_t)2048)
				: EVP_PKEY_Q_keygen(NULL, NULL, kind);

	restart();
	stranger_init(&s);
	SSL_CTX_free(s.settings);
	s.settings = SSL_CTX_new(TLS_method());
	SSL_CTX_set_cert_verify_callback(s.settings, any_certificate, NULL);
	SSL_CTX_set_alpn_protos(s.settings, (const unsigned char *)"\x09" CHANNEL_ALPN, 10);
	SSL_CTX_set_alpn_select_cb(s.settings, select_ours, NULL);
	if (key)
		cr_assert(
			certify(s.settings, key, strcmp(kind, "ED448") == 0 ? NULL : EVP_sha256()));
	EVP_PKEY_free(key);
	stranger_start(&s, dials);
	if (!dials) {
		BIO_write(s.in, buffer_bytes(&ours->wire), (int)buffer_length(&ours->wire));
		buffer_consume(&ours->wire, buffer_length(&ours->wire));
	}
	cr_expect_eq(meet(&s, ours), -EPROTO, "%s", kind ? kind : "none");
	cr_expect_not(ours->channel.open);
	stranger_fini(&s);
	expect_dead(ours);
}

Test(channel, refuses_other_certificates)
{
	for (int dials = 0; dials < 2; dials++) {
		meet_kind(NULL, NULL, dials);
		meet_kind("RSA", NULL, dials);
		meet_kind("EC", "P-256", dials);
		meet_kind("ED448", NULL, dials);
	}
}

static int select_none(SSL *tls, const unsigned char **out, unsigned char *length,
	const unsigned char *in, unsigned n, void *unused)
{
	return SSL_TLSEXT_ERR_NOACK;
}

// Ours dials an acceptor, which a case spoils.
static int dial_stranger(struct stranger *s)
{
	restart();
	stranger_start(s, false);
	BIO_write(s->in, buffer_bytes(&dialler.wire), (int)buffer_length(&dialler.wire));
	buffer_consume(&dialler.wire, buffer_length(&dialler.wire));
	return meet(s, &dialler);
}

Test(channel, refuses_an_acceptor_of_another_kind)
{
	struct stranger s;

	stranger_init(&s);
	SSL_CTX_set_alpn_select_cb(s.settings, select_none, NULL);
	SSL_CTX_set_num_tickets(s.settings, 0);
	cr_expect_eq(dial_stranger(&s), -EPROTO, "no ALPN");
	stranger_fini(&s);
	expect_dead(&dialler);

	stranger_init(&s);
	SSL_CTX_set_alpn_select_cb(s.settings, select_ours, NULL);
	SSL_CTX_set_num_tickets(s.settings, 0);
	spoil_chain(s.settings);
	cr_expect_eq(dial_stranger(&s), -EPROTO, "a chain");
	stranger_fini(&s);
	expect_dead(&dialler);

	stranger_init(&s);
	SSL_CTX_set_alpn_select_cb(s.settings, select_ours, NULL);
	SSL_CTX_set_num_tickets(s.settings, 0);
	spoil_version(s.settings);
	cr_expect_eq(dial_stranger(&s), -EPROTO, "TLS 1.2");
	stranger_fini(&s);
	expect_dead(&dialler);

	stranger_init(&s);
	SSL_CTX_set_alpn_select_cb(s.settings, select_ours, NULL);
	SSL_CTX_set_num_tickets(s.settings, 2);
	cr_expect_eq(dial_stranger(&s), -EPROTO, "tickets");
	stranger_fini(&s);
	expect_dead(&dialler);

	stranger_init(&s);
	SSL_CTX_set_alpn_select_cb(s.settings, select_ours, NULL);
	SSL_CTX_set_num_tickets(s.settings, 0);
	cr_expect_eq(dial_stranger(&s), 0, "nothing is wrong with this one");
	cr_expect(dialler.channel.open);
	stranger_fini(&s);
}

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

// Bytes that the process has allocated; the allocator of a sanitizer counts by itself.
static size_t allocated(void)
{
	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

Test(channel, costs_little)
{
	static uint8_t data[1 << 20];

	open_both(); // whatever is made at first use is there now
	end_stop(&dialler);
	end_stop(&acceptor);
	size_t before = allocated();
	end_start(&acceptor, false);
	cr_expect_leq(
		allocated() - before, 12 * KIB, "not heard yet: %zu bytes", allocated() - before);
	cr_expect_eq(hear(&acceptor, "\x16\x03\x01\x02\x00\x01\xff\xff\xff", 9), -EPROTO);
	cr_expect_leq(allocated() - before, 12 * KIB, "nothing is made on its word");
	channel_fini(&acceptor.channel);
	cr_expect_eq(allocated(), before);

	end_start(&acceptor, false);
	static const uint8_t hello[] = { 0x16, 3, 1, 2, 0, 1, 0, CHANNEL_HELLO_MAX >> 8, 0, 3, 3 };
	cr_expect_eq(hear(&acceptor, hello, sizeof hello), 0);
	cr_expect_leq(allocated() - before, 96 * KIB, "in the handshake: %zu bytes",
		allocated() - before);
	end_stop(&acceptor);

	end_start(&dialler, true);
	end_start(&acceptor, false);
	open_both();
	cr_assert_eq(say(&dialler, data, sizeof data), 0);
	cr_assert_eq(say(&acceptor, data, sizeof data), 0);
	cr_assert_eq(talk(ALL), 0);
	struct end *ends[2] = { &dialler, &acceptor };
	for (int i = 0; i < 2; i++) {
		buffer_fini(&ends[i]->wire);
		buffer_fini(&ends[i]->plain);
		buffer_fini(&ends[i]->said);
	}
	cr_expect_leq(allocated() - before, 2 * 24 * KIB, "two idle channels: %zu bytes",
		allocated() - before);
}

static char settings_path[] = "/tmp/smokefs-test-XXXXXX";

static void setup_settings(void)
{
	static const char text[] = "openssl_conf = start\n"
				   "[start]\nssl_conf = modules\n"
				   "[modules]\nsystem_default = limits\n"
				   "[limits]\nMaxProtocol = TLSv1.2\n"
				   "Ciphersuites = TLS_AES_256_GCM_SHA384\n";
	int fd = mkstemp(settings_path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, sizeof text - 1), sizeof text - 1);
	close(fd);
	setenv("OPENSSL_CONF", settings_path, 1);
	setup();
}

static void finish_settings(void)
{
	finish();
	unlink(settings_path);
}

TestSuite(channel_settings, .init = setup_settings, .fini = finish_settings);

// What a system's administrator may have set for all programs is not for us.
Test(channel_settings, are_not_changed_by_a_file)
{
	open_both();
	cr_expect_str_eq(SSL_get_cipher_name(dialler.channel.tls), "TLS_AES_128_GCM_SHA256");
	// A context that we have not set up shows that the file was not read at all.
	SSL_CTX *tls = SSL_CTX_new(TLS_method());
	cr_assert(tls);
	cr_expect_neq(SSL_CTX_get_max_proto_version(tls), TLS1_2_VERSION);
	SSL_CTX_free(tls);
}
