// SPDX-License-Identifier: MIT
// The virtual network. Everything that happens is a segment that arrives or a timer that is due.
#include "tests/unit/world.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/channel.h"

struct segment {
	struct segment *prev, *next;
	uint64_t at;
	size_t n;
	uint8_t bytes[];
};

// One direction's receiving end.
struct end {
	struct world_node *owner; // NULL: a stranger
	struct link *link;	  // NULL: closed here
	struct segment *arriving;
	size_t flight;
	bool sender_waits;
	uint64_t closed_at; // when the other end's close arrives, 0: it is open
};

struct world_connection {
	struct world_connection *prev, *next;
	struct end ends[2]; // 0: the dialler
	uint64_t connect_at;
	int connect_error;
	bool connected;
	bool dead;
	struct world_stranger *stranger; // its descriptor is kept by the test
};

struct world_stranger {
	struct world_connection *connection;
	int end; // its end of the connection
	uint8_t host;
	struct buffer wired; // all that it has put on the way
	struct buffer heard; // all that the node has sent; of a member, frames
	bool deaf;
	struct channel_settings *settings; // of a member, NULL: raw bytes
	struct channel channel;
	struct buffer said;
};

#define START_OF_TIME (1000 * SECOND)

static void random_bytes(struct world *w, uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)random_next(&w->random);
}

void world_init(struct world *w, uint64_t seed)
{
	const char *fixed = getenv("SMOKEFS_SEED");
	*w = (struct world){ .now = START_OF_TIME,
		.latency = 10 * MILLISECOND,
		.min_peers = MIN_PEERS_DEFAULT,
		.max_peers = MAX_PEERS_DEFAULT };
	w->seed = fixed ? strtoull(fixed, NULL, 10) : seed;
	w->random.state = w->seed;
	w->trace = getenv("SMOKEFS_TRACE") != NULL;
	uint8_t secret[SECRET_KEY_BYTES];
	random_bytes(w, secret, sizeof secret);
	assert(keyring_add(&w->keyring, secret) == 0);
	fprintf(stderr, "SMOKEFS_SEED=%llu\n", (unsigned long long)w->seed);
	for (int i = 0; i < WORLD_NODES; i++) {
		struct world_node *n = &w->nodes[i];
		n->world = w;
		n->index = i;
		n->address = (struct address){
			.family = 4, .bytes = { 127, 0, 0, 1 }, .port = (uint16_t)(10000 + i)
		};
		random_bytes(w, secret, sizeof secret);
		n->identity = identity_new(secret);
		assert(n->identity);
		n->id = n->identity->id;
		n->keyring = w->keyring;
	}
}

void world_double(struct world *w, int i, int of)
{
	identity_free(w->nodes[i].identity);
	w->nodes[i].identity = w->nodes[of].identity;
	w->nodes[i].id = w->nodes[of].id;
	w->nodes[i].doubles = true;
}

const struct identity *world_identity(struct world *w, uint8_t number)
{
	uint8_t secret[SECRET_KEY_BYTES] = { number };
	if (!w->identities[number])
		w->identities[number] = identity_new(secret);
	assert(w->identities[number]);
	return w->identities[number];
}

static struct world_node *by_address(struct world *w, const struct address *a)
{
	for (int i = 0; i < WORLD_NODES; i++)
		if (address_equal(&w->nodes[i].address, a))
			return &w->nodes[i];
	return NULL;
}

static uint64_t travel(struct world *w)
{
	return w->latency / 2 + random_below(&w->random, w->latency);
}

static struct world_stranger *stranger_new(struct world_connection *c, int end)
{
	struct world_stranger *s = calloc(1, sizeof *s);
	assert(s);
	s->connection = c;
	s->end = end;
	s->host = 9;
	return s;
}

static void stranger_free(struct world_stranger *s)
{
	buffer_fini(&s->heard);
	buffer_fini(&s->said);
	buffer_fini(&s->wired);
	if (s->settings)
		channel_fini(&s->channel);
	channel_settings_free(s->settings);
	free(s);
}

static int on_dial(void *context, struct link *link, const struct address *to)
{
	struct world_node *from = context;
	struct world *w = from->world;
	struct world_node *target = by_address(w, to);
	struct world_connection *c = calloc(1, sizeof *c);

	assert(c);
	c->ends[0].owner = from;
	c->ends[0].link = link;
	c->connect_at = w->now + travel(w);
	if (target && target->posed) {
		c->stranger = stranger_new(c, 1);
		target->visited = c->stranger;
	} else {
		c->ends[1].owner = target;
		if (!target || !target->node || target->shut)
			c->connect_error = -ECONNREFUSED;
	}
	DL_APPEND(w->connections, c);
	link_set_socket(link, c);
	return 0;
}

static void close_end(struct world *w, struct world_connection *c, int i)
{
	struct end *other = &c->ends[1 - i];
	c->ends[i].link = NULL;
	if (c->connected && other->closed_at == 0)
		other->closed_at = w->now + travel(w);
	if (!c->connected)
		c->dead = true;
}

static void on_hangup(void *context, struct link *link)
{
	struct world_node *n = context;
	struct world_connection *c = link_socket(link);
	for (int i = 0; i < 2; i++)
		if (c->ends[i].link == link)
			close_end(n->world, c, i);
}

static int on_resolve(void *context, uint64_t tag, const char *host, uint16_t port)
{
	return -ENOENT;
}

static int on_keep(void *context, uint64_t incarnation)
{
	struct world_node *n = context;
	n->kept_in_disorder += incarnation <= n->kept;
	n->kept = incarnation;
	n->keeps++;
	return 0;
}

static void mirror(void *context, const char *line)
{
	struct world_node *n = context;
	if (n->world->trace)
		fprintf(stderr, "%9.3f node %2d %s\n",
			(double)(n->world->now - START_OF_TIME) / SECOND, n->index, line);
}

static void advance(struct world *w, struct world_node *n)
{
	node_advance(n->node, w->now, 1700000000 * SECOND + w->now);
}

void world_start(struct world *w, int i)
{
	struct world_node *n = &w->nodes[i];
	struct node_config config = {
		.identity = n->identity,
		.keyring = &n->keyring,
		.access = &n->access,
		.keep_incarnation = on_keep,
		.keep_context = n,
		.incarnation = n->incarnation ? n->incarnation : n->life + 1,
		.seed = random_next(&w->random),
		.address = n->address,
		.min_peers = w->min_peers,
		.max_peers = w->max_peers,
		.ping_timeout = PING_TIMEOUT_DEFAULT,
		.history = w->history,
	};
	struct node_driver driver = { n, on_dial, on_hangup, on_resolve };

	assert(!n->node);
	n->life++;
	snprintf(config.name, sizeof config.name, "n%d", i);
	n->node = node_new(&config, &driver);
	assert(n->node);
	node_events(n->node)->mirror = mirror;
	node_events(n->node)->mirror_context = n;
	n->published = 0;
	n->paused = false;
	memset(n->last, 0, sizeof n->last);
	advance(w, n);
	cursor_open(&n->cursor, node_log(n->node), w->now);
	n->reading = true;
}

struct node *world_node(struct world *w, int i)
{
	advance(w, &w->nodes[i]);
	return w->nodes[i].node;
}

void world_seed(struct world *w, int i, int seed)
{
	node_add_seed(w->nodes[i].node, address_format_host(&w->nodes[seed].address).text,
		w->nodes[seed].address.port);
}

static void free_connection(struct world *w, struct world_connection *c)
{
	for (int i = 0; i < 2; i++) {
		struct segment *s, *next;
		DL_FOREACH_SAFE (c->ends[i].arriving, s, next)
			free(s);
		c->ends[i].arriving = NULL;
	}
	DL_DELETE(w->connections, c);
	if (c->stranger)
		stranger_free(c->stranger);
	free(c);
}

static void end_node(struct world *w, struct world_node *n)
{
	if (n->cursor.log)
		cursor_close(&n->cursor);
	node_free(n->node);
	n->node = NULL;
}

void world_crash(struct world *w, int i)
{
	end_node(w, &w->nodes[i]);
}

void world_vanish(struct world *w, int i)
{
	struct world_connection *c;
	end_node(w, &w->nodes[i]);
	// The closes that freeing has put on the way never arrive.
	DL_FOREACH (w->connections, c)
		for (int e = 0; e < 2; e++)
			if (c->ends[1 - e].owner == &w->nodes[i] && c->ends[e].closed_at)
				c->ends[e].closed_at = UINT64_MAX;
}

void world_pause(struct world *w, int i, bool paused)
{
	w->nodes[i].paused = paused;
}

void world_side(struct world *w, int i, int side)
{
	w->nodes[i].side = side;
}

static bool reachable(const struct world_connection *c)
{
	const struct world_node *a = c->ends[0].owner, *b = c->ends[1].owner;
	return !a || !b || a->side == b->side;
}

static void send_output(struct world *w, struct world_node *n, struct link *link)
{
	struct world_connection *c = link_socket(link);
	const uint8_t *bytes;
	size_t count;

	if (!c || !c->connected)
		return;
	struct end *own = &c->ends[c->ends[0].link == link ? 0 : 1];
	struct end *to = &c->ends[own == &c->ends[0] ? 1 : 0];
	// What it has to say may be its last.
	while (own->link && to->flight < WORLD_FLIGHT &&
		(count = node_output(n->node, link, &bytes)) > 0) {
		struct segment *s = malloc(sizeof *s + count);
		assert(s);
		s->at = w->now + w->latency;
		s->n = count;
		memcpy(s->bytes, bytes, count);
		DL_APPEND(to->arriving, s);
		to->flight += count;
		w->bytes += count;
		node_sent(n->node, link, count);
	}
	to->sender_waits = to->flight >= WORLD_FLIGHT;
}

static void read_messages(struct world_node *n)
{
	struct iovec iov[1];
	struct world_message m;
	int count;
	size_t size;

	while (n->reading && (size = cursor_peek(&n->cursor, n->world->now, MESSAGE_MAX, true, iov,
				      &count, 1)) > 0) {
		assert(size >= sizeof m);
		memcpy(&m, iov[0].iov_base, sizeof m);
		if (n->last_life[m.source] != m.life) {
			n->last_life[m.source] = m.life;
			n->last[m.source] = 0;
		}
		n->disorder += m.number <= n->last[m.source];
		n->last[m.source] = m.number;
		n->read[m.source]++;
		cursor_advance(&n->cursor, n->world->now, size, true);
	}
}

static void settle(struct world *w, struct world_node *n)
{
	struct link *link;
	read_messages(n);
	while ((link = node_next_output(n->node)))
		send_output(w, n, link);
}

void world_stop(struct world *w, int i)
{
	struct world_node *n = &w->nodes[i];
	node_stop(n->node);
	settle(w, n);
	for (int turn = 0; turn < 200 && !node_stopped(n->node); turn++)
		world_run(w, 5 * MILLISECOND);
	assert(node_stopped(n->node));
	end_node(w, n);
}

static uint64_t end_due(const struct world_connection *c, const struct end *e)
{
	uint64_t due = UINT64_MAX;
	if (!c->connected || !reachable(c) || (e->owner && e->owner->paused) ||
		(!e->owner && c->stranger && c->stranger->deaf))
		return due;
	if (e->arriving)
		due = e->arriving->at;
	else if (e->closed_at)
		due = e->closed_at;
	return due;
}

static uint64_t next_due(const struct world *w)
{
	const struct world_connection *c;
	uint64_t due = UINT64_MAX;

	DL_FOREACH (w->connections, c) {
		if (!c->connected && !c->dead && reachable(c) && c->connect_at < due)
			due = c->connect_at;
		for (int i = 0; i < 2; i++)
			if (end_due(c, &c->ends[i]) < due)
				due = end_due(c, &c->ends[i]);
	}
	for (int i = 0; i < WORLD_NODES; i++) {
		const struct world_node *n = &w->nodes[i];
		if (n->node && !n->paused && node_deadline(n->node) < due)
			due = node_deadline(n->node);
	}
	return due;
}

static void finish_connect(struct world *w, struct world_connection *c)
{
	struct world_node *from = c->ends[0].owner, *to = c->ends[1].owner;
	struct link *link = c->ends[0].link;

	// A stopped process still has a kernel that answers.
	c->connected = true;
	if (c->stranger && c->stranger->end == 1) {
		node_dialled(from->node, link, 0);
		settle(w, from);
		return;
	}
	if (c->connect_error || !to || !to->node) {
		c->dead = true;
		c->ends[0].link = NULL;
		if (link) {
			link_set_socket(link, NULL);
			node_dialled(from->node, link, -ECONNREFUSED);
			settle(w, from);
		}
		return;
	}
	struct address remote = { 4, { 127, 0, 0, c->stranger ? c->stranger->host : 0 }, 9 };
	if (from)
		remote = from->address;
	remote.port = (uint16_t)(remote.port + 20000);
	c->ends[1].link = node_accept(to->node, &remote);
	if (c->ends[1].link)
		link_set_socket(c->ends[1].link, c);
	else
		c->ends[0].closed_at = w->now + travel(w);
	if (link) {
		node_dialled(from->node, link, 0);
		settle(w, from);
	}
}

// Onto the way to the node.
static void put_on_the_way(struct world *w, struct world_stranger *s, const void *bytes, size_t n)
{
	struct segment *segment = malloc(sizeof *segment + n);
	assert(segment);
	segment->at = w->now;
	segment->n = n;
	memcpy(segment->bytes, bytes, n);
	DL_APPEND(s->connection->ends[1 - s->end].arriving, segment);
	s->connection->ends[1 - s->end].flight += n;
	buffer_append(&s->wired, bytes, n);
}

static void put_said(struct world *w, struct world_stranger *s)
{
	size_t n = buffer_length(&s->said);
	if (n)
		put_on_the_way(w, s, buffer_bytes(&s->said), n);
	buffer_consume(&s->said, n);
}

static void hear(struct world *w, struct world_stranger *s, const uint8_t *bytes, size_t n)
{
	if (!s->settings) {
		buffer_append(&s->heard, bytes, n);
		return;
	}
	channel_open(&s->channel, bytes, n, &s->heard, &s->said);
	put_said(w, s);
}

static void arrive(struct world *w, struct world_connection *c, int i)
{
	struct end *e = &c->ends[i];
	struct segment *s = e->arriving;

	if (s && s->at <= w->now) {
		DL_DELETE(e->arriving, s);
		e->flight -= s->n;
		if (e->link)
			node_receive(e->owner->node, e->link, s->bytes, s->n);
		else if (!e->owner && c->stranger)
			hear(w, c->stranger, s->bytes, s->n);
		free(s);
	} else if (!s && e->closed_at && e->closed_at <= w->now) {
		struct link *link = e->link;
		e->closed_at = 0;
		c->dead = true;
		if (link)
			node_lost(e->owner->node, link, 0);
	} else {
		return;
	}
	if (e->owner && e->owner->node)
		settle(w, e->owner);
	struct end *sender = &c->ends[1 - i];
	if (e->sender_waits && sender->link && sender->owner && sender->owner->node &&
		!sender->owner->paused)
		send_output(w, sender->owner, sender->link);
}

static void step(struct world *w)
{
	struct world_connection *c, *next;

	for (int i = 0; i < WORLD_NODES; i++) {
		struct world_node *n = &w->nodes[i];
		if (n->node && !n->paused && node_deadline(n->node) <= w->now) {
			advance(w, n);
			settle(w, n);
		}
	}
	DL_FOREACH_SAFE (w->connections, c, next) {
		for (int i = 0; i < 2; i++) {
			struct world_node *n = c->ends[i].owner;
			if (n && n->node && !n->paused && end_due(c, &c->ends[i]) <= w->now)
				advance(w, n);
		}
		if (!c->connected && !c->dead && reachable(c) && c->connect_at <= w->now) {
			struct world_node *to = c->ends[1].owner;
			if (c->ends[0].owner && c->ends[0].owner->node)
				advance(w, c->ends[0].owner);
			if (to && to->node && !to->paused)
				advance(w, to);
			if (!c->dead)
				finish_connect(w, c);
		}
		for (int i = 0; i < 2; i++)
			while (end_due(c, &c->ends[i]) <= w->now)
				arrive(w, c, i);
	}
	DL_FOREACH_SAFE (w->connections, c, next)
		if (c->dead && !c->ends[0].link && !c->ends[1].link && !c->stranger)
			free_connection(w, c);
}

void world_run(struct world *w, uint64_t duration)
{
	uint64_t until = w->now + duration;
	for (;;) {
		uint64_t due = next_due(w);
		if (due > until)
			break;
		w->now = due > w->now ? due : w->now;
		step(w);
		// Time passes even where nothing takes any, or a fault would never end.
		w->now++;
	}
	w->now = until > w->now ? until : w->now;
}

bool world_until(struct world *w, uint64_t limit, bool (*done)(struct world *w))
{
	uint64_t until = w->now + limit;
	while (!done(w)) {
		if (w->now >= until)
			return false;
		world_run(w, 20 * MILLISECOND);
	}
	return true;
}

bool world_publish(struct world *w, int i, size_t size)
{
	struct world_node *n = &w->nodes[i];
	uint8_t *bytes = calloc(1, size);
	struct world_message m = { (uint32_t)i, n->life, n->published + 1 };

	assert(bytes && size >= sizeof m);
	memcpy(bytes, &m, sizeof m);
	advance(w, n);
	int r = node_publish(n->node, bytes, size);
	free(bytes);
	assert(r == 0 || r == -EAGAIN);
	n->published += r == 0;
	n->published_refused += r != 0;
	settle(w, n);
	return r == 0;
}

struct world_stranger *world_connect(struct world *w, int i)
{
	return world_connect_from(w, i, 9);
}

struct world_stranger *world_connect_from(struct world *w, int i, uint8_t host)
{
	struct world_connection *c = calloc(1, sizeof *c);
	assert(c);
	c->ends[1].owner = &w->nodes[i];
	c->connect_at = w->now;
	c->stranger = stranger_new(c, 0);
	c->stranger->host = host;
	DL_APPEND(w->connections, c);
	world_run(w, MILLISECOND);
	return c->stranger;
}

struct world_stranger *world_visitor(struct world *w, int i)
{
	for (int turn = 0; turn < 100 && !w->nodes[i].visited; turn++)
		world_run(w, 5 * MILLISECOND);
	struct world_stranger *s = w->nodes[i].visited;
	w->nodes[i].visited = NULL;
	return s;
}

void world_leave(struct world *w, struct world_stranger *s)
{
	close_end(w, s->connection, s->end);
	s->connection->stranger = NULL;
	stranger_free(s);
}

const uint8_t *world_wired(const struct world_stranger *s, size_t *n)
{
	*n = buffer_length(&s->wired);
	return buffer_bytes(&s->wired);
}

const uint8_t *world_heard_bytes(const struct world_stranger *s, size_t *n)
{
	*n = buffer_length(&s->heard);
	return buffer_bytes(&s->heard);
}

void world_say(struct world *w, struct world_stranger *s, const void *bytes, size_t n)
{
	if (s->settings) {
		struct buffer plain = BUFFER_INIT;
		buffer_append(&plain, bytes, n);
		channel_seal(&s->channel, &plain, &s->said);
		buffer_fini(&plain);
		put_said(w, s);
	} else {
		put_on_the_way(w, s, bytes, n);
	}
	world_run(w, MILLISECOND);
}

bool world_secure(struct world *w, struct world_stranger *s, const struct identity *identity)
{
	struct buffer early = s->heard;

	s->heard = (struct buffer)BUFFER_INIT;
	s->settings = channel_settings_new(identity);
	assert(s->settings && channel_init(&s->channel, s->settings, s->end == 0) == 0);
	if (s->end == 0)
		assert(channel_begin(&s->channel, &s->said) == 0);
	put_said(w, s);
	if (buffer_length(&early))
		hear(w, s, buffer_bytes(&early), buffer_length(&early));
	buffer_fini(&early);
	for (int turn = 0; turn < 100 && !s->channel.open; turn++)
		world_run(w, 5 * MILLISECOND);
	return s->channel.open;
}

void world_binding(
	struct world_stranger *s, const struct identity *identity, struct session_binding *binding)
{
	int r = channel_binding(&s->channel, &identity->public_key, binding);
	assert(r == 0);
}

void world_prove(struct world *w, struct world_stranger *s, const struct identity *identity,
	const struct network_key *key)
{
	struct frame_proof f = { .network = key->name };
	struct session_binding binding;
	struct buffer b = BUFFER_INIT;

	world_binding(s, identity, &binding);
	int r = membership_prove(key, s->end ? ROLE_ACCEPTOR : ROLE_DIALLER, &binding, f.proof);
	assert(r == 0);
	wire_put_proof(&b, &f);
	world_say(w, s, buffer_bytes(&b), buffer_length(&b));
	buffer_fini(&b);
}

struct world_stranger *world_join(struct world *w, int i, const struct identity *identity)
{
	struct world_stranger *s = world_connect(w, i);

	if (!world_secure(w, s, identity))
		return NULL;
	world_prove(w, s, identity, &w->keyring.keys[0]);
	for (int turn = 0; turn < 100 && !world_heard(s, FRAME_PROOF); turn++)
		world_run(w, 5 * MILLISECOND);
	return world_heard(s, FRAME_PROOF) ? s : NULL;
}

bool world_closed(const struct world_stranger *s)
{
	return !s->connection->ends[1 - s->end].link;
}

void world_deaf(struct world_stranger *s, bool deaf)
{
	s->deaf = deaf;
}

int world_heard(const struct world_stranger *s, enum frame_type type)
{
	const uint8_t *bytes = buffer_bytes(&s->heard);
	size_t n = buffer_length(&s->heard);
	uint8_t found = 0;
	int count = 0;
	for (int64_t length; (length = wire_next(bytes, n, FRAME_MAX, &found)) > 0;) {
		count += found == type;
		bytes += length;
		n -= (size_t)length;
	}
	return count;
}

void world_fini(struct world *w)
{
	for (int i = 0; i < WORLD_NODES; i++)
		if (w->nodes[i].node)
			end_node(w, &w->nodes[i]);
	while (w->connections)
		free_connection(w, w->connections);
	for (int i = 0; i < WORLD_NODES; i++) {
		access_fini(&w->nodes[i].access);
		if (!w->nodes[i].doubles)
			identity_free(w->nodes[i].identity);
	}
	for (int i = 0; i < 256; i++)
		identity_free(w->identities[i]);
}

int world_count(const struct world *w)
{
	int count = 0;
	for (int i = 0; i < WORLD_NODES; i++)
		count += w->nodes[i].node != NULL;
	return count;
}

static int index_of(const struct world *w, const struct id *id)
{
	for (int i = 0; i < WORLD_NODES; i++)
		if (w->nodes[i].node && id_equal(&w->nodes[i].id, id))
			return i;
	return -1;
}

// How many links a has to b.
static int links(const struct world *w, int a, int b)
{
	struct peer peer = { 0 };
	int count = 0;
	if (!w->nodes[a].node || !w->nodes[b].node)
		return 0;
	while (node_next_peer(w->nodes[a].node, peer.serial, &peer))
		count += id_equal(&peer.id, &w->nodes[b].id);
	return count;
}

bool world_linked(const struct world *w, int a, int b)
{
	return links(w, a, b) > 0 && links(w, b, a) > 0;
}

size_t world_peers(const struct world *w, int i)
{
	return node_peer_count(w->nodes[i].node);
}

static void visit(const struct world *w, int i, bool *seen)
{
	struct peer peer = { 0 };
	seen[i] = true;
	while (node_next_peer(w->nodes[i].node, peer.serial, &peer)) {
		int to = index_of(w, &peer.id);
		if (to >= 0 && !peer.direct && !seen[to] && w->nodes[to].side == w->nodes[i].side)
			visit(w, to, seen);
	}
}

int world_components(const struct world *w)
{
	bool seen[WORLD_NODES] = { false };
	int count = 0;
	for (int i = 0; i < WORLD_NODES; i++) {
		if (!w->nodes[i].node || seen[i])
			continue;
		count++;
		visit(w, i, seen);
	}
	return count;
}

bool world_consistent(const struct world *w)
{
	for (int a = 0; a < WORLD_NODES; a++) {
		if (!w->nodes[a].node)
			continue;
		if (w->max_peers && world_peers(w, a) > w->max_peers)
			return false;
		for (int b = 0; b < WORLD_NODES; b++)
			if (links(w, a, b) > 1 || links(w, a, b) != links(w, b, a))
				return false;
	}
	return true;
}

int world_events(const struct world *w, int i, const char *name)
{
	return world_events_with(w, i, name, "");
}

int world_events_with(const struct world *w, int i, const char *name, const char *part)
{
	struct event_log *log = node_events(w->nodes[i].node);
	const char *text = NULL;
	size_t n = event_log_read(log, log->tail, &text);
	char word[64];
	int count = 0;

	snprintf(word, sizeof word, "Z %s ", name);
	for (size_t at = 0; at < n;) {
		const char *end = memchr(text + at, '\n', n - at);
		size_t length = end ? (size_t)(end - text) - at : n - at;
		count += memmem(text + at, length, word, strlen(word)) &&
			 memmem(text + at, length, part, strlen(part));
		at += length + 1;
	}
	return count;
}
