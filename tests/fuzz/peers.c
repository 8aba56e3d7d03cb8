// SPDX-License-Identifier: MIT
// Frames as a member says them, or nearly so.
#include "tests/fuzz/peers.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/node_inner.h"
#include "tests/fuzz/clear.h"

// Sends what is in the buffer, and empties it.
static void say(struct world *w, struct end *e, struct buffer *b)
{
	assert(!buffer_failed(b));
	w->traffic += buffer_length(b);
	while (buffer_length(b) > 0 && e->link && !e->pending) {
		size_t n = buffer_length(b);
		n = w->piece && n > w->piece ? w->piece : n;
		node_receive(w->node, e->link, buffer_bytes(b), n);
		buffer_consume(b, n);
	}
	buffer_fini(b);
	*b = BUFFER_INIT;
}

const struct id *some_id(struct input *in)
{
	static const struct id zero;
	size_t who = input_below(in, FORGE_IDENTITIES + 1);
	return who < FORGE_IDENTITIES ? &forge_identity(who)->id : &zero;
}

static struct contact some_contact(struct input *in)
{
	struct contact c = { .id = *some_id(in) };
	size_t port = input_below(in, 16);
	if (port < 15)
		c.address = world_address(port);
	return c;
}

static uint64_t some_number(struct input *in)
{
	static const uint64_t numbers[] = { 0, 1, 2, 3, 4, 5, 10, INCARNATION - 1, INCARNATION,
		INCARNATION + 1, 1000, UINT32_MAX, INT64_MAX, UINT64_MAX - 1, UINT64_MAX };
	size_t i = input_below(in, 32);
	return i < 15 ? numbers[i] : i - 14;
}

static struct source_key some_source(struct input *in)
{
	struct source_key key = { *some_id(in), some_number(in) };
	return key;
}

void step_connect(struct world *w, struct end *e, struct input *in)
{
	size_t who = input_below(in, FORGE_IDENTITIES);
	struct address from = world_address(1000 + who);

	if (!e->link) {
		struct link *link = node_accept(w->node, &from);
		if (link)
			world_begin_end(e, link, false, who);
	} else if (e->pending) {
		struct link *link = e->link;
		e->pending = false;
		if (who == 0)
			link_set_socket(link, NULL), e->link = NULL;
		node_dialled(w->node, link, who == 0 ? -ECONNREFUSED : 0);
	}
}

static void secure(struct world *w, struct end *e)
{
	struct buffer b = BUFFER_INIT;
	buffer_append(&b, forge_identity(e->who)->public_key.bytes, PUBLIC_KEY_BYTES);
	say(w, e, &b);
}

// With what is wrong about it: the role, the key, its name, or else nothing.
static void prove(struct world *w, struct end *e, size_t wrong)
{
	struct network_key key = w->keyring.keys[0];
	enum role role = e->dialled != (wrong == 1) ? ROLE_ACCEPTOR : ROLE_DIALLER;
	struct session_binding binding;
	struct buffer b = BUFFER_INIT;
	struct frame_proof f;

	if (!e->link || !e->link->channel.open)
		return;
	assert(channel_binding(&e->link->channel, &forge_identity(0)->public_key, &binding) == 0);
	f.network = key.name;
	key.secret[0] ^= wrong == 2;
	f.network.bytes[0] ^= wrong == 3;
	assert(membership_prove(&key, role, &binding, f.proof) == 0);
	wire_put_proof(&b, &f);
	e->hearer.proven |= wrong == 0 || wrong > 3;
	say(w, e, &b);
}

// What lets somebody take the node's place on one of its links, if it can.
static void some_permit(struct world *w, struct input *in, uint8_t permit[DIGEST_BYTES])
{
	const struct end *other = &w->ends[input_below(in, ENDS)];
	if (other->link && other->link->channel.open)
		link_permit(other->link, permit);
}

void step_secure(struct world *w, struct end *e, struct input *in)
{
	secure(w, e);
}

void step_prove(struct world *w, struct end *e, struct input *in)
{
	prove(w, e, input_below(in, 16));
}

void step_hello(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	size_t intent = input_below(in, 8), odd = input_below(in, 8);
	struct frame_hello f = {
		.version_min = odd == 7 ? 2 : 1,
		.version_max = odd == 7 ? 3 : 1,
		.intent = intent >= INTENT_REPLACE && intent <= INTENT_FILL ? (uint8_t)intent
									    : INTENT_JOIN,
		.incarnation = some_number(in),
		.instance = some_number(in),
		.peers = (uint16_t)input_below(in, 4),
		.room = (uint16_t)input_below(in, 4),
		.replaced = *some_id(in),
		.offer = some_contact(in),
		.component = { *some_id(in), some_number(in), (uint32_t)input_number(in, 2) },
		.name = "peer",
		.address_count = odd != 6,
		.addresses = { world_address(e->who) },
	};
	some_permit(w, in, f.permit);
	wire_put_hello(&b, &f);
	say(w, e, &b);
}

// As many sources as a node has room for, that nobody has ever heard of.
static void put_made_up(struct buffer *b)
{
	for (size_t i = 0; i < SOURCES_MAX;) {
		size_t at = wire_begin_frontier(b, false, FRONTIER_ENTRIES);
		for (size_t end = i + FRONTIER_ENTRIES; i < end; i++) {
			struct frame_position p = {
				{ { { 0xff, (uint8_t)(i >> 8), (uint8_t)i } }, 1 }, 5
			};
			wire_put_frontier_entry(b, &p);
		}
		wire_end(b, at);
	}
}

static void put_frontier(struct world *w, struct buffer *b, struct input *in)
{
	size_t shape = input_number(in, 1), count = shape % 8;
	if (shape == 0xff) {
		w->traffic += TRAFFIC_MAX / 3; // takes long
		put_made_up(b);
		return;
	}
	size_t at = wire_begin_frontier(b, shape < 0xc0, (uint16_t)count);
	for (; count > 0; count--) {
		struct frame_position p = { some_source(in), some_number(in) };
		wire_put_frontier_entry(b, &p);
	}
	wire_end(b, at);
}

void step_accept(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	if (!e->dialled)
		wire_put_accept(&b);
	put_frontier(w, &b, in);
	say(w, e, &b);
}

void step_join(struct world *w, struct end *e, struct input *in)
{
	struct input plain = { 0 }; // the defaults
	struct buffer b = BUFFER_INIT;
	struct frame_hello f = { .version_min = 1, .version_max = 1, .intent = INTENT_JOIN };

	if (e->link && !e->pending)
		return;
	size_t who = 1 + input_below(in, FORGE_IDENTITIES - 1);
	plain.at = (const uint8_t[]){ (uint8_t)who };
	plain.left = 1;
	step_connect(w, e, &plain);
	secure(w, e);
	prove(w, e, 0);
	f.incarnation = some_number(in);
	f.room = (uint16_t)input_below(in, 4);
	f.address_count = 1;
	f.addresses[0] = world_address(e->who);
	wire_put_hello(&b, &f);
	say(w, e, &b);
	step_accept(w, e, in);
}

void step_frontier(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	put_frontier(w, &b, in);
	say(w, e, &b);
}

void step_header(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT, frame = BUFFER_INIT;
	size_t odd = input_number(in, 1);
	struct forged_batch f = {
		.origin = input_below(in, FORGE_IDENTITIES),
		.incarnation = some_number(in),
		.first = some_number(in),
		.shape = input_below(in, FORGE_SHAPES),
	};

	// The last sequence numbers are left to raw frames.
	if (f.first == 0 || f.first > INT64_MAX)
		f.first = e->batch.first + forge_count(e->batch.shape);
	if (odd >= 0xf0)
		f.damage = (enum forge_damage)(odd % FORGE_DAMAGES);
	if (odd >= 0xe0 && odd < 0xf0)
		f.network = (enum forge_network)(odd % FORGE_NETWORKS);
	f.variant = odd == 0xdf;
	forge_header(&b, &f);
	wire_put_sealed(&frame, FRAME_BATCH, buffer_bytes(&b), buffer_length(&b));
	struct source_key key = forge_source(&f);
	struct hearing *s = hearer_source(&e->hearer, &key);
	if (s)
		s->said += (uint64_t)forge_count(f.shape) * MESSAGE_CHARGE;
	e->batch = f;
	e->at = 0;
	buffer_fini(&b);
	say(w, e, &frame);
}

// The next data of the last batch: at most so many chunks of so many bytes.
static void say_data(struct world *w, struct end *e, uint32_t chunk, uint32_t chunks)
{
	struct buffer b = BUFFER_INIT, data = BUFFER_INIT;
	uint32_t left = forge_bytes(e->batch.shape) - e->at;
	struct source_key key = forge_source(&e->batch);
	struct hearing *s = hearer_source(&e->hearer, &key);

	if (e->batch.first == 0)
		return;
	for (; left > 0 && chunks > 0; chunks--) {
		uint32_t n = left < chunk ? left : chunk;
		forge_data(&data, &e->batch, e->at, n);
		wire_put_chunk(&b, &key, buffer_bytes(&data), n);
		buffer_consume(&data, n);
		e->at += n;
		left -= n;
		if (s)
			s->said += n;
	}
	buffer_fini(&data);
	say(w, e, &b);
}

void step_data(struct world *w, struct end *e, struct input *in)
{
	static const uint32_t sizes[] = { CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES - 1, 24, 1 };
	uint32_t size = sizes[input_below(in, 5)];
	say_data(w, e, size, 1 + (uint32_t)input_below(in, 8));
}

void step_batch(struct world *w, struct end *e, struct input *in)
{
	step_header(w, e, in);
	say_data(w, e, CHUNK_BYTES, UINT32_MAX);
}

void step_pull(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	struct frame_position f = { some_source(in), some_number(in) };
	e->hearer.pulls++;
	wire_put_pull(&b, &f);
	say(w, e, &b);
}

void step_prune(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	struct frame_prune f = { some_source(in),
		(uint8_t)(PRUNE_STOP + input_below(in, PRUNE_STOPPED)) };
	e->hearer.pulls++; // what is broken off is not gone on with
	wire_put_prune(&b, &f);
	say(w, e, &b);
}

void step_digest(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	uint16_t count = (uint16_t)(1 + input_below(in, 4));
	size_t at = wire_begin_digest(&b, count);

	for (uint16_t i = 0; i < count; i++) {
		struct digest_entry entry = { { some_source(in), some_number(in) },
			(uint16_t)input_number(in, 2) };
		if (entry.position.next == 0)
			entry.position.next = 1;
		wire_put_digest_entry(&b, &entry);
	}
	wire_end(&b, at);
	say(w, e, &b);
}

void step_tree(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	wire_put_tree(&b, input_below(in, 2));
	say(w, e, &b);
}

void step_stall(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	struct frame_stall f = { some_source(in), (uint8_t)input_below(in, STALL_DEPTH_MAX + 2) };
	wire_put_stall(&b, &f);
	say(w, e, &b);
}

void step_trimmed(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT, header = BUFFER_INIT;
	struct forged_batch f = { .origin = input_below(in, FORGE_IDENTITIES),
		.incarnation = some_number(in),
		.first = 1 + input_below(in, 64) };
	forge_header(&header, &f);
	wire_put_trimmed(
		&b, f.first + input_below(in, 2), buffer_bytes(&header), buffer_length(&header));
	buffer_fini(&header);
	say(w, e, &b);
}

void step_credit(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	struct frame_credit f = { some_source(in), 1 };
	struct hearing *s = hearer_source(&e->hearer, &f.source);
	size_t exact = input_below(in, 4);

	// All that was heard, a part of it, or what it was not.
	if (s && exact < 3 && s->charge > s->granted)
		f.bytes = (uint32_t)((s->charge - s->granted) >> exact);
	else
		f.bytes = (uint32_t)some_number(in);
	if (f.bytes == 0)
		return;
	if (s)
		s->granted += f.bytes;
	wire_put_credit(&b, &f);
	say(w, e, &b);
}

void step_stream(struct world *w, struct end *e, struct input *in)
{
	static const uint8_t zeros[CHUNK_BYTES];
	struct buffer b = BUFFER_INIT;
	size_t n = 1 + input_number(in, 2) % CHUNK_BYTES;

	for (size_t times = 1 + input_below(in, 20); times > 0; times--)
		wire_put_stream(&b, 0, zeros, n);
	say(w, e, &b);
}

void step_stream_credit(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	uint64_t offset = STREAM_WINDOW + input_number(in, 3);

	if (offset - STREAM_WINDOW > e->hearer.stream_granted)
		e->hearer.stream_granted = offset - STREAM_WINDOW;
	wire_put_stream_credit(&b, 0, offset);
	say(w, e, &b);
}

void step_announce(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT, frame = BUFFER_INIT, payload = BUFFER_INIT;
	size_t odd = input_number(in, 1), origin = input_below(in, FORGE_IDENTITIES);
	struct frame_announce f = { .stamp.incarnation = some_number(in),
		.counter = some_number(in),
		.type = (uint8_t)(1 + input_below(in, 8)) };
	struct announce_member m = {
		.name = "member", .address = world_address(origin), .topics = "ops,build"
	};

	if (origin % 2)
		m.topics[0] = '\0';
	if (f.type == ANNOUNCE_BEACON)
		wire_put_beacon(&payload, some_number(in));
	else if (f.type == ANNOUNCE_MEMBER)
		wire_put_member(&payload, &m);
	else if (f.type != ANNOUNCE_LEAVE)
		buffer_append(&payload, some_id(in), ID_BYTES);
	f.payload = buffer_bytes(&payload);
	f.bytes = (uint16_t)(buffer_length(&payload) - (odd == 0xef && f.type != ANNOUNCE_LEAVE));
	forge_announce(&b, &f, origin,
		odd >= 0xe0 && odd < 0xe8 ? (enum forge_network)(odd % FORGE_NETWORKS) : FORGE_NOW,
		odd >= 0xf0 ? (enum forge_damage)(odd % FORGE_DAMAGES) : FORGE_WHOLE);
	wire_put_sealed(&frame, FRAME_ANNOUNCE, buffer_bytes(&b), buffer_length(&b));
	buffer_fini(&payload);
	buffer_fini(&b);
	say(w, e, &frame);
}

void step_ping(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	if (input_below(in, 2))
		wire_put_ping(&b, FRAME_PING, some_number(in));
	else
		wire_put_ping(&b, FRAME_PONG, e->hearer.ping);
	say(w, e, &b);
}

void step_goodbye(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	struct frame_goodbye f = { .reason = (uint8_t)input_below(in, 32),
		.count = (uint8_t)input_below(in, 3) };
	for (int i = 0; i < f.count; i++)
		f.contacts[i] = some_contact(in);
	wire_put_goodbye(&b, &f);
	say(w, e, &b);
}

void step_peers(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	struct frame_peers f = { .count = (uint8_t)input_below(in, PEERS_ADDRESSES + 1) };
	f.ask = f.count % 2;
	for (int i = 0; i < f.count; i++)
		f.contacts[i] = some_contact(in);
	wire_put_peers(&b, &f);
	say(w, e, &b);
}

void step_rewire(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	struct frame_rewire f = { .target = some_contact(in), .replaced = *some_id(in) };
	f.leave = input_below(in, 2);
	some_permit(w, in, f.permit);
	wire_put_rewire(&b, &f);
	say(w, e, &b);
}

void step_raw(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	uint8_t type = (uint8_t)input_number(in, 1);
	size_t n = input_number(in, 1);
	const uint8_t *bytes = input_bytes(in, &n);

	e->hearer.careless = true;
	e->hearer.pulls += FRAME_MAX;
	if (type)
		wire_put_sealed(&b, (enum frame_type)type, bytes, n);
	else
		buffer_append(&b, bytes, n);
	say(w, e, &b);
}

void step_damage(struct world *w, struct end *e, struct input *in)
{
	struct buffer b = BUFFER_INIT;
	buffer_append(&b, "", 1);
	clear_damage = true;
	say(w, e, &b);
	clear_damage = false;
}

void step_lost(struct world *w, struct end *e, struct input *in)
{
	if (e->link && !e->pending)
		node_lost(w->node, e->link, 0);
}

void step_deaf(struct world *w, struct end *e, struct input *in)
{
	e->deaf = !e->deaf;
	world_hear(w, e);
}
