// SPDX-License-Identifier: MIT
// The channel against a stranger, and against somebody in the middle.
//
// The first byte says which. A stranger: the rest are bytes for an acceptor or a dialler, cut into
// pieces. In the middle: the rest are changes to what two honest ends say to each other.
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/channel.h"
#include "tests/fuzz/input.h"

#define ENDS	   2
#define TURNS_MAX  64
#define ANSWER_MAX (16 * 1024) // bytes that a stranger can make us say
#define SAID_BYTES 5000	       // in one go, once the channel is open

static struct identity *identities[ENDS];
static struct channel_settings *settings[ENDS];

static void set_up(void)
{
	for (int i = 0; i < ENDS && !identities[i]; i++) {
		uint8_t secret[SECRET_KEY_BYTES] = { (uint8_t)(i + 1) };
		identities[i] = identity_new(secret);
		assert(identities[i]);
		settings[i] = channel_settings_new(identities[i]);
		assert(settings[i]);
	}
}

static void stranger(struct input *in, bool dialler)
{
	struct buffer plain = BUFFER_INIT, wire = BUFFER_INIT;
	struct channel c;
	int r = 0;

	assert(channel_init(&c, settings[0], dialler) == 0);
	if (dialler)
		assert(channel_begin(&c, &wire) == 0);
	while (in->left > 0) {
		size_t n = 1 + input_number(in, 2) % 4096;
		const uint8_t *bytes = input_bytes(in, &n);
		int before = r;
		r = channel_open(&c, bytes, n, &plain, &wire);
		assert(r == 0 || r == -EPROTO);
		assert(before == 0 || r < 0 || n == 0); // an error is for good
	}
	// Nobody can show a key without having it.
	assert(!c.open && buffer_length(&plain) == 0);
	assert(buffer_length(&wire) <= ANSWER_MAX);
	assert(channel_seal(&c, &plain, &wire) == -EPROTO);
	channel_fini(&c);
	buffer_fini(&plain);
	buffer_fini(&wire);
}

// Two ends, 0 the dialler, and what each has said and heard.
struct conversation {
	struct channel channels[ENDS];
	struct buffer wires[ENDS];  // from that end
	struct buffer plains[ENDS]; // to that end
	size_t said[ENDS];
};

// One thing done to what is on its way from an end.
static void interfere(struct conversation *c, int from, struct input *in)
{
	struct buffer *wire = &c->wires[from], *other = &c->wires[1 - from];
	size_t what = input_below(in, 8), at = input_number(in, 2), n = input_number(in, 1);
	size_t length = buffer_length(wire);
	uint8_t *bytes = buffer_bytes(wire);

	if (length == 0)
		return;
	at %= length;
	n = n < length - at ? n : length - at;
	if (what == 0) {
		bytes[at] ^= (uint8_t)(n | 1);
	} else if (what == 1) {
		memmove(bytes + at, bytes + at + n, length - at - n);
		wire->end -= n;
	} else if (what == 2) { // said again
		uint8_t again[256];
		memcpy(again, bytes + at, n);
		buffer_append(wire, again, n);
	} else if (what == 3) { // and back
		buffer_append(other, bytes + at, n);
	}
}

static void deliver(struct conversation *c, int from)
{
	int to = 1 - from;
	struct buffer arriving = c->wires[from];

	c->wires[from] = BUFFER_INIT;
	channel_open(&c->channels[to], buffer_bytes(&arriving), buffer_length(&arriving),
		&c->plains[to], &c->wires[to]);
	buffer_fini(&arriving);
}

static uint8_t letter(int from, size_t at)
{
	return (uint8_t)(from * 128 + at * 31 + at / 256);
}

static void say(struct conversation *c, int from)
{
	struct buffer plain = BUFFER_INIT;

	for (size_t i = 0; i < SAID_BYTES; i++) {
		uint8_t byte = letter(from, c->said[from]++);
		buffer_append(&plain, &byte, 1);
	}
	assert(channel_seal(&c->channels[from], &plain, &c->wires[from]) == 0);
	buffer_fini(&plain);
}

// What an end believes is true: the other end is who it is, and has said that, in that order.
static void check(const struct conversation *c, int end)
{
	const struct channel *channel = &c->channels[end];
	size_t n = buffer_length(&c->plains[end]);

	assert(!channel->open || memcmp(&channel->peer, &identities[1 - end]->public_key,
					 sizeof channel->peer) == 0);
	assert(n <= c->said[1 - end]);
	for (size_t i = 0; i < n; i++)
		assert(buffer_bytes(&c->plains[end])[i] == letter(1 - end, i));
}

static void in_the_middle(struct input *in)
{
	struct conversation c = { 0 };
	struct session_binding bindings[ENDS];

	for (int i = 0; i < ENDS; i++)
		assert(channel_init(&c.channels[i], settings[i], i == 0) == 0);
	assert(channel_begin(&c.channels[0], &c.wires[0]) == 0);
	for (int turn = 0; turn < TURNS_MAX; turn++) {
		int from = turn % ENDS;
		if (c.channels[from].open && !c.channels[from].failed && in->left > 0)
			say(&c, from);
		if (in->left > 0)
			interfere(&c, from, in);
		deliver(&c, from);
		check(&c, 1 - from);
		if (in->left == 0 && !buffer_length(&c.wires[0]) && !buffer_length(&c.wires[1]))
			break;
	}
	// Whoever is in the middle cannot make two sessions look like one.
	if (c.channels[0].open && c.channels[1].open) {
		for (int i = 0; i < ENDS; i++)
			assert(channel_binding(&c.channels[i], &identities[i]->public_key,
				       &bindings[i]) == 0);
		assert(memcmp(&bindings[0], &bindings[1], sizeof bindings[0]) == 0);
	}
	for (int i = 0; i < ENDS; i++) {
		channel_fini(&c.channels[i]);
		buffer_fini(&c.wires[i]);
		buffer_fini(&c.plains[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct input in = { bytes, n };

	set_up();
	size_t mode = input_below(&in, 3);
	if (mode == 2)
		in_the_middle(&in);
	else
		stranger(&in, mode == 1);
	return 0;
}
