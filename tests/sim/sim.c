// SPDX-License-Identifier: MIT
// The engine: takes what happens next, hands it to its node, and puts on the way what that has to
// say.
#include "tests/sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/link.h"
#include "core/node_inner.h"
#include "tests/sim/fetch.h"
#include "tests/sim/memory.h"

struct sim_segment {
	struct sim_segment *prev, *next;
	uint32_t n;
	uint8_t bytes[];
};

// What is due at once, and is again when it was done, so often in a row never ends.
#define HURRIES_MAX 10000
// A retransmission of TCP, as RFC 6298 has it at least.
#define RETRANSMISSION (200 * MILLISECOND)

void sim_fail(struct sim *s, const char *format, ...)
{
	va_list arguments;
	if (s->wrong[0])
		return;
	va_start(arguments, format);
	vsnprintf(s->wrong, sizeof s->wrong, format, arguments);
	va_end(arguments);
}

// Identities.

// Keys are made up, and nobody signs: ids are their hashes, as ever.
static struct identity *make_identity(struct sim *s, uint32_t i)
{
	struct identity *identity = calloc(1, sizeof *identity);
	struct random r = { s->options.seed ^ (uint64_t)i << 20 ^ 0x5eed };
	assert(identity);
	for (size_t at = 0; at < PUBLIC_KEY_BYTES; at += 8) {
		uint64_t word = random_next(&r);
		memcpy(identity->public_key.bytes + at, &word, 8);
	}
	// So that a node is found by its key.
	memcpy(identity->public_key.bytes, &i, sizeof i);
	identity->id = identity_of(&identity->public_key);
	return identity;
}

struct address sim_address(uint32_t i)
{
	i += 1;
	return (struct address){ .family = 4,
		.bytes = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i },
		.port = SIM_PORT };
}

static struct sim_node *by_address(struct sim *s, const struct address *a)
{
	uint32_t i = (uint32_t)a->bytes[1] << 16 | (uint32_t)a->bytes[2] << 8 | a->bytes[3];
	bool ours = a->family == 4 && a->bytes[0] == 10 && i > 0 && i <= s->options.nodes;
	return ours ? &s->nodes[i - 1] : NULL;
}

struct sim_node *sim_find(struct sim *s, const struct id *id)
{
	for (uint32_t i = 0; i < s->options.nodes; i++)
		if (id_equal(&s->nodes[i].identity->id, id))
			return &s->nodes[i];
	return NULL;
}

// Connections.

// `side`: of a segment, the end that has said it.
static void put(struct sim_connection *c, uint64_t at, enum happening kind, int side)
{
	c->pending++;
	queue_put(&c->sim->queue, at, kind, c, (uint32_t)side);
}

static void free_connection(struct sim_connection *c)
{
	struct sim_segment *segment, *next;
	for (int e = 0; e < 2; e++)
		DL_FOREACH_SAFE (c->ends[e].said, segment, next)
			free(segment);
	free(c);
}

// After an event about it: nobody will hear of it again.
static void settle_connection(struct sim_connection *c)
{
	c->pending--;
	if (c->pending == 0 && !c->ends[0].link && !c->ends[1].link)
		free_connection(c);
}

// Half of the time that two nodes need for a round trip: the same whenever they meet.
static uint64_t latency(const struct sim *s, uint32_t a, uint32_t b)
{
	uint64_t low = a < b ? a : b, high = a < b ? b : a;
	struct random r = { s->options.seed ^ low << 32 ^ high };
	uint64_t span = s->options.latency_max - s->options.latency_min;
	random_next(&r);
	return s->options.latency_min + random_below(&r, span + 1);
}

static bool reachable(const struct sim_connection *c)
{
	const struct sim_node *a = c->ends[0].node, *b = c->ends[1].node;
	return a && b && a->side == b->side && !a->silent && !b->silent;
}

static int on_dial(void *context, struct link *link, const struct address *to)
{
	struct sim_node *from = context;
	struct sim *s = from->sim;
	bool may = memory_may_fail(false);
	struct sim_connection *c = aligned_alloc(SIM_LINE, sizeof *c);

	assert(c);
	*c = (struct sim_connection){ .sim = s };
	c->ends[0] = (struct sim_end){ .node = from, .link = link };
	c->ends[1] = (struct sim_end){ .node = by_address(s, to) };
	link_set_socket(link, c);
	c->latency = latency(s, from->index, c->ends[1].node ? c->ends[1].node->index : 0);
	put(c, s->now + c->latency, HAPPEN_SYN, 0);
	memory_may_fail(may);
	return 0;
}

static void on_hangup(void *context, struct link *link)
{
	struct sim_node *n = context;
	struct sim_connection *c = link_socket(link);
	int i = c->ends[0].link == link ? 0 : 1;
	struct sim_end *own = &c->ends[i];
	uint64_t at = n->sim->now + c->latency;
	bool may = memory_may_fail(false);

	own->link = NULL;
	if (c->ends[1 - i].link && c->connected)
		put(c, at > own->last ? at : own->last, HAPPEN_CLOSE, 0);
	else if (c->pending == 0)
		free_connection(c);
	memory_may_fail(may);
}

static int on_resolve(void *context, uint64_t tag, const char *host, uint16_t port)
{
	return -ENOENT; // there are no names here
}

// The types of the frames in what leaves, which is always whole ones.
static void count_types(struct sim *s, const uint8_t *bytes, size_t n)
{
	uint8_t type = 0;
	int64_t length;

	while ((length = wire_next(bytes, n, FRAME_MAX, &type)) > 0) {
		s->bytes_by_type[type] += (uint64_t)length;
		bytes += length;
		n -= (size_t)length;
	}
}

// What is not signed: of that, a member may say what it likes.
static bool may_lie(uint8_t type)
{
	static const uint8_t types[] = { FRAME_PING, FRAME_PONG, FRAME_PEERS, FRAME_REWIRE,
		FRAME_FRONTIER, FRAME_PULL, FRAME_CREDIT, FRAME_STREAM, FRAME_STREAM_CREDIT,
		FRAME_PRUNE, FRAME_DIGEST, FRAME_TREE, FRAME_GOODBYE };
	return memchr(types, type, sizeof types);
}

// Turns one bit of one frame.
static void mutate(struct sim *s, uint8_t *bytes, size_t n, struct sim_node *to)
{
	uint8_t type = 0, *chosen = NULL;
	size_t length = 0;
	uint64_t seen = 0;
	int64_t size;

	while ((size = wire_next(bytes, n, FRAME_MAX, &type)) > 0) {
		if (may_lie(type) && size > FRAME_HEADER && random_below(&s->random, ++seen) == 0) {
			chosen = bytes;
			length = (size_t)size;
		}
		bytes += size;
		n -= (size_t)size;
	}
	if (!chosen)
		return;
	uint64_t bit = random_below(&s->random, 8 * (length - FRAME_HEADER));
	chosen[FRAME_HEADER + bit / 8] ^= (uint8_t)(1 << bit % 8);
	to->lied_to = true;
}

static void send_segment(struct sim_connection *c, int from, const uint8_t *bytes, size_t n)
{
	struct sim *s = c->sim;
	struct sim_end *own = &c->ends[from];
	struct sim_segment *segment = malloc(sizeof *segment + n);
	uint64_t at = s->now > own->free_at ? s->now : own->free_at;

	assert(segment);
	segment->n = (uint32_t)n;
	memcpy(segment->bytes, bytes, n);
	if (s->options.bandwidth)
		at += n * SECOND / s->options.bandwidth;
	own->free_at = at;
	at += c->latency;
	if (s->options.jitter)
		at += random_below(&s->random, s->options.jitter);
	if (s->options.loss && random_below(&s->random, 1000) < s->options.loss)
		at += RETRANSMISSION + c->latency;
	if (s->options.mutated && link_up(own->link) &&
		random_below(&s->random, 10000) < s->options.mutated)
		mutate(s, segment->bytes, n, c->ends[1 - from].node);
	own->last = at > own->last ? at : own->last;
	own->flight += n;
	s->bytes += n;
	if (s->count_types && n != PUBLIC_KEY_BYTES)
		count_types(s, bytes, n);
	DL_APPEND(own->said, segment);
	put(c, own->last, HAPPEN_SEGMENT, from);
}

static void send_output(struct sim_node *n, struct link *link)
{
	struct sim_connection *c = link_socket(link);
	const uint8_t *bytes;
	size_t count;

	if (!c || !c->connected)
		return;
	int i = c->ends[0].link == link ? 0 : 1;
	// What it has to say may be its last.
	while (c->ends[i].link && c->ends[i].flight < SIM_FLIGHT &&
		(count = node_output(n->node, link, &bytes)) > 0) {
		c->pending++;
		bool may = memory_may_fail(false);
		send_segment(c, i, bytes, count);
		memory_may_fail(may);
		node_sent(n->node, link, count);
		bool closed = !c->ends[i].link;
		settle_connection(c);
		if (closed)
			return;
	}
	c->ends[i].waits = c->ends[i].flight >= SIM_FLIGHT;
}

// Nodes.

// From advance() to settle() memory may run out for the node.
static void advance(struct sim_node *n)
{
	uint64_t now = n->sim->now + n->skew;
	memory_may_fail(true);
	node_advance(n->node, now, 1700000000 * SECOND + now);
}

static void deliver(struct sim_node *n, const struct sim_message *m)
{
	struct sim *s = n->sim;

	if (m->source >= s->options.sources || m->number == 0 ||
		m->number > s->published[m->source]) {
		sim_fail(s, "node %u reads what nobody wrote", n->index);
		return;
	}
	struct sim_read *read = &n->reads[m->source];
	const struct sim_life *life = &s->lives[m->source];
	if (m->life == read->life && m->number <= read->last)
		sim_fail(s, "node %u reads %u of source %u after %u", n->index, m->number,
			m->source, read->last);
	if (m->life == read->life)
		n->skipped += m->number - read->last - 1;
	else if (m->life == s->nodes[s->source_nodes[m->source]].life && n->joined &&
		 n->joined + SECOND < life->written)
		n->skipped += m->number - life->first;
	if (m->life >= read->life)
		*read = (struct sim_read){ m->life, m->number };
	n->read++;
	struct sim_fate *fate = &s->fates[m->source][m->number];
	fate->arrived++;
	fate->late += s->now - fate->sent > SECOND;
	fate->last = s->now;
}

static void read_messages(struct sim_node *n)
{
	struct iovec iov[1];
	struct sim_message m;
	int count;
	size_t size;

	uint64_t now = n->sim->now + n->skew;
	while ((size = cursor_peek(&n->cursor, now, MESSAGE_MAX, true, iov, &count, 1))) {
		memcpy(&m, iov[0].iov_base, sizeof m);
		cursor_advance(&n->cursor, now, size, true);
		deliver(n, &m);
	}
}

// Nobody looks at them later.
static void take_events(struct sim_node *n)
{
	struct event_log *events = node_events(n->node);
	events->tail = events->head;
	buffer_fini(&events->text);
}

// After anything that has happened to it.
static void settle(struct sim_node *n)
{
	struct link *link;
	uint64_t due;

	memory_may_fail(true);
	unsigned changes = node_take_changes(n->node);
	if (!n->joined && n->node->up_count > 0)
		n->joined = n->sim->now;
	if (changes & NODE_CHANGED_LOG && n->reads)
		read_messages(n);
	if (changes & NODE_CHANGED_EVENTS)
		take_events(n);
	while ((link = node_next_output(n->node)))
		send_output(n, link);
	due = node_deadline(n->node);
	bool past = due <= n->sim->now + n->skew;
	n->hurries = past ? n->hurries + 1 : 0;
	if (n->hurries > HURRIES_MAX)
		sim_fail(n->sim, "node %u has a timer that is always due", n->index);
	due = past ? n->sim->now + 1 : due - n->skew;
	memory_may_fail(false);
	if (due < n->timer) {
		n->timer = due;
		queue_put(&n->sim->queue, due, HAPPEN_TIMER, n, n->life);
	}
}

struct node *sim_node(struct sim *s, uint32_t i)
{
	advance(&s->nodes[i]);
	return s->nodes[i].node;
}

void sim_start(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];
	struct node_config config = {
		.identity = n->identity,
		.keyring = &s->keyring,
		.access = &n->access,
		.incarnation = ++n->life,
		.seed = random_next(&s->random),
		.address = sim_address(i),
		.min_peers = s->options.min_peers,
		.max_peers = s->options.max_peers,
		.ping_timeout = PING_TIMEOUT_DEFAULT,
		.quiet = !s->options.members,
	};
	struct node_driver driver = { n, on_dial, on_hangup, on_resolve };

	assert(!n->node);
	n->node = node_new(&config, &driver);
	assert(n->node);
	n->timer = UINT64_MAX;
	n->silent = false;
	free(n->reads);
	n->reads = s->options.sources ? calloc(s->options.sources, sizeof *n->reads) : NULL;
	assert(n->reads || !s->options.sources);
	n->read = n->skipped = 0;
	n->lied_to = false;
	n->joined = 0;
	n->began = s->now;
	s->running++;
	advance(n);
	cursor_open(&n->cursor, node_log(n->node), s->now + n->skew);
	settle(n);
}

void sim_estrange(struct sim *s, uint32_t i)
{
	s->nodes[i].stranger = true;
	for (uint32_t k = 0; k < s->options.nodes; k++)
		if (k != i)
			assert(access_deny(&s->nodes[k].access, &s->nodes[i].identity->id) == 0);
}

void sim_seed(struct sim *s, uint32_t i, uint32_t seed)
{
	struct address a = sim_address(seed);
	node_add_seed(sim_node(s, i), address_format_host(&a).text, a.port);
	advance(&s->nodes[i]);
	settle(&s->nodes[i]);
}

void sim_crash(struct sim *s, uint32_t i)
{
	struct sim_node *n = &s->nodes[i];
	if (!n->node)
		return;
	cursor_close(&n->cursor);
	node_free(n->node);
	n->node = NULL;
	s->running--;
}

void sim_silence(struct sim *s, uint32_t i)
{
	if (s->nodes[i].node && !s->nodes[i].silent)
		s->running--;
	s->nodes[i].silent = true;
}

void sim_stop_for(struct sim *s, uint32_t i, uint64_t duration)
{
	struct sim_node *n = &s->nodes[i];
	if (!n->node || n->silent)
		return;
	n->stopped_until = s->now + duration;
	queue_put(&s->queue, n->stopped_until, HAPPEN_RESUME, n, n->life);
}

void sim_side(struct sim *s, uint32_t i, int side)
{
	s->nodes[i].side = side;
}

// A link of the node, any of those that are up; NULL: there is none.
static struct sim_connection *some_connection(struct sim *s, const struct sim_node *n)
{
	struct link *link, *chosen = NULL;
	uint64_t seen = 0;

	if (!n->node || n->silent)
		return NULL;
	DL_FOREACH (n->node->links, link)
		if (link_up(link) && random_below(&s->random, ++seen) == 0)
			chosen = link;
	return chosen ? link_socket(chosen) : NULL;
}

void sim_cut(struct sim *s, uint32_t i)
{
	struct sim_connection *c = some_connection(s, &s->nodes[i]);

	if (!c)
		return;
	c->pending++;
	for (int e = 0; e < 2; e++) {
		struct sim_end *end = &c->ends[e];
		if (!end->link || !end->node->node)
			continue;
		advance(end->node);
		if (end->link)
			node_lost(end->node->node, end->link, -ECONNRESET);
		settle(end->node);
	}
	settle_connection(c);
}

void sim_hold(struct sim *s, uint32_t i, uint64_t duration, bool both)
{
	struct sim_connection *c = some_connection(s, &s->nodes[i]);
	for (int e = 0; c && e < 2; e++)
		if (both || c->ends[e].node == &s->nodes[i])
			c->ends[e].held = s->now + duration;
}

void sim_jump(struct sim *s, uint32_t i, uint64_t duration)
{
	struct sim_node *n = &s->nodes[i];
	if (!n->node || n->silent || n->stopped_until > s->now)
		return;
	n->skew += duration;
	advance(n);
	settle(n);
}

bool sim_publish(struct sim *s, uint32_t source, size_t size)
{
	struct sim_node *n = &s->nodes[s->source_nodes[source]];
	struct sim_message m = { source, n->life, s->published[source] + 1 };
	static uint8_t data[MESSAGE_MAX];

	assert(size >= sizeof m && size <= sizeof data);
	if (!n->node || n->silent || n->stopped_until > s->now)
		return false;
	memcpy(data, &m, sizeof m);
	advance(n);
	if (node_publish(n->node, data, size) < 0) {
		settle(n);
		return false;
	}
	// What is noted here is none of the node's memory.
	memory_may_fail(false);
	uint32_t number = ++s->published[source];
	if (n->began > s->lives[source].written || number == 1)
		s->lives[source] = (struct sim_life){ number, s->now };
	if ((number & (number - 1)) == 0) {
		s->fates[source] =
			realloc(s->fates[source], 2 * (size_t)number * sizeof **s->fates);
		assert(s->fates[source]);
	}
	s->fates[source][number] = (struct sim_fate){ .sent = s->now, .last = s->now };
	settle(n);
	return true;
}

// What happens.

// As a kernel does: it answers for its process, which learns of the connection when the dialler has
// answered in turn.
static void on_syn(struct sim *s, struct sim_connection *c)
{
	const struct sim_node *to = c->ends[1].node;

	// Nobody answers: the dialler's own time runs out.
	if (!c->ends[0].link || (to && !reachable(c)))
		return;
	c->refused = !to || !to->node;
	c->life = to ? to->life : 0;
	put(c, s->now + c->latency, HAPPEN_DIALLED, 0);
}

static void on_dialled(struct sim *s, struct sim_connection *c)
{
	struct sim_node *from = c->ends[0].node;
	struct link *link = c->ends[0].link;

	if (!link)
		return;
	advance(from);
	if (!c->ends[0].link)
		return;
	if (c->refused) {
		c->ends[0].link = NULL;
		link_set_socket(link, NULL);
	} else {
		c->connected = true;
		bool may = memory_may_fail(false);
		put(c, s->now + c->latency, HAPPEN_ACCEPT, 0);
		memory_may_fail(may);
	}
	node_dialled(from->node, link, c->refused ? -ECONNREFUSED : 0);
	settle(from);
}

static void on_accept(struct sim *s, struct sim_connection *c)
{
	struct sim_node *from = c->ends[0].node, *to = c->ends[1].node;
	struct address remote = sim_address(from->index);

	c->accepted = true;
	if (!c->ends[0].link)
		return;
	remote.port = (uint16_t)(20000 + from->index % 20000);
	if (to->node && to->life == c->life) {
		advance(to);
		c->ends[1].link = node_accept(to->node, &remote);
		if (c->ends[1].link)
			link_set_socket(c->ends[1].link, c);
		settle(to);
	}
	if (!c->ends[1].link)
		put(c, s->now + c->latency, HAPPEN_CLOSE, 0);
}

static void on_segment(struct sim *s, struct sim_connection *c, uint32_t side)
{
	struct sim_end *from = &c->ends[side], *to = &c->ends[1 - side];
	struct sim_segment *segment = from->said;

	DL_DELETE(from->said, segment);
	from->flight -= segment->n;
	if (to->link) {
		advance(to->node);
		if (to->link)
			node_receive(to->node->node, to->link, segment->bytes, segment->n);
		settle(to->node);
	}
	free(segment);
	if (from->waits && from->link && from->flight < SIM_FLIGHT && !from->node->silent &&
		from->node->stopped_until <= s->now) {
		advance(from->node);
		if (from->link)
			send_output(from->node, from->link);
		settle(from->node);
	}
}

static void on_close(struct sim_connection *c)
{
	for (int i = 0; i < 2; i++) {
		struct sim_end *end = &c->ends[i];
		if (!end->link || c->ends[1 - i].link)
			continue;
		advance(end->node);
		if (end->link)
			node_lost(end->node->node, end->link, 0);
		settle(end->node);
	}
}

static void on_timer(struct sim *s, struct sim_node *n, const struct event *e)
{
	// It was to be woken sooner, and has been.
	if (e->kind == HAPPEN_TIMER && e->at != n->timer)
		return;
	if (n->life != e->life || !n->node || n->silent)
		return;
	if (e->at == n->timer)
		n->timer = UINT64_MAX;
	if (n->stopped_until > s->now)
		return; // it looks at the clock again when it goes on
	advance(n);
	settle(n);
}

// The end that waits for what happens, and the one that has said or done it. A dialler hears of its
// dial from the other end's host.
static void who(
	const struct event *e, struct sim_connection *c, struct sim_end **from, struct sim_end **to)
{
	bool by_acceptor = e->kind == HAPPEN_DIALLED;

	if (e->kind == HAPPEN_SEGMENT)
		by_acceptor = e->life == 1;
	else if (e->kind == HAPPEN_CLOSE)
		by_acceptor = c->ends[0].link;
	*from = &c->ends[by_acceptor];
	*to = &c->ends[!by_acceptor];
}

// When can it happen? Whoever is stopped or cut off hears of it later, and everything in order.
static uint64_t in_time(const struct sim *s, const struct event *e, struct sim_connection *c)
{
	struct sim_end *from, *to;

	if (e->kind == HAPPEN_SYN || !c->ends[1].node)
		return s->now;
	who(e, c, &from, &to);
	if (to->node->stopped_until > s->now)
		return to->node->stopped_until;
	if (from->held > s->now)
		return from->held;
	if (!reachable(c))
		return s->now + RETRANSMISSION; // sent again until it gets through
	bool early = e->kind == HAPPEN_SEGMENT && to == &c->ends[1] && !c->accepted;
	bool before_data = e->kind == HAPPEN_CLOSE && from->said;
	return s->now + (early || before_data ? MILLISECOND : 0);
}

static void happen_to_connection(struct sim *s, const struct event *e)
{
	struct sim_connection *c = e->what;
	bool lost = c->ends[0].node->silent || (c->ends[1].node && c->ends[1].node->silent);
	uint64_t at = lost ? s->now : in_time(s, e, c);

	if (at > s->now) {
		queue_put(&s->queue, at, e->kind, e->what, e->life);
		return;
	}
	if (e->kind == HAPPEN_SEGMENT && !lost)
		on_segment(s, c, e->life);
	else if (e->kind == HAPPEN_ACCEPT && !lost)
		on_accept(s, c);
	else if (e->kind == HAPPEN_SYN && !lost)
		on_syn(s, c);
	else if (e->kind == HAPPEN_DIALLED && !lost)
		on_dialled(s, c);
	else if (e->kind == HAPPEN_CLOSE && !lost)
		on_close(c);
	settle_connection(c);
}

static void mix(struct sim *s, const struct event *e)
{
	uint64_t x = e->at ^ s->events << 20 ^ (uint64_t)e->kind << 60;
	if (e->kind == HAPPEN_SEGMENT)
		x ^= (uint64_t)((struct sim_connection *)e->what)->ends[e->life].flight << 40;
	s->trace = (s->trace ^ x) * 0x9e3779b97f4a7c15;
	s->trace ^= s->trace >> 29;
}

static void happen(struct sim *s, const struct event *e)
{
	s->events++;
	mix(s, e);
	switch (e->kind) {
	case HAPPEN_TIMER:
	case HAPPEN_RESUME:
		on_timer(s, e->what, e);
		return;
	case HAPPEN_SEGMENT:
	case HAPPEN_CLOSE:
	case HAPPEN_SYN:
	case HAPPEN_ACCEPT:
	case HAPPEN_DIALLED:
		happen_to_connection(s, e);
		return;
	case HAPPEN_RESOLVED:
		return;
	}
}

bool sim_run(struct sim *s, uint64_t duration, uint64_t step, bool (*done)(struct sim *s))
{
	uint64_t end = s->now + duration, look = s->now + step;

	while (!s->wrong[0]) {
		bool empty = s->queue.count == 0;
		uint64_t next = empty ? end : queue_next(&s->queue);
		while (done && look <= next && look <= end) {
			s->now = look;
			look += step;
			if (done(s))
				return true;
		}
		if (empty || next > end)
			break;
		struct event e = queue_take(&s->queue);
		s->now = e.at > s->now ? e.at : s->now;
		happen(s, &e);
	}
	s->now = end > s->now ? end : s->now;
	return done ? done(s) : true;
}

void sim_init(struct sim *s, const struct sim_options *options)
{
	uint8_t secret[SECRET_KEY_BYTES] = { 1 };

	*s = (struct sim){ .options = *options, .now = SIM_START };
	if (s->options.sources > s->options.nodes)
		s->options.sources = s->options.nodes;
	options = &s->options;
	s->random.state = options->seed;
	s->queue.soon = fetch_soon;
	assert(keyring_add(&s->keyring, secret) == 0);
	s->nodes = calloc(options->nodes, sizeof *s->nodes);
	s->fates = calloc(options->sources + 1, sizeof *s->fates);
	s->published = calloc(options->sources + 1, sizeof *s->published);
	s->source_nodes = calloc(options->sources + 1, sizeof *s->source_nodes);
	s->lives = calloc(options->sources + 1, sizeof *s->lives);
	assert(s->nodes && s->fates && s->published && s->source_nodes && s->lives);
	for (uint32_t i = 0; i < options->nodes; i++) {
		s->nodes[i] = (struct sim_node){ .sim = s, .index = i };
		s->nodes[i].identity = make_identity(s, i);
	}
	// Spread over the network, and not its seed.
	for (uint32_t k = 0; k < options->sources; k++)
		s->source_nodes[k] = options->sources == options->nodes
					     ? k
					     : (1 + k * options->nodes / (options->sources + 1)) %
						       options->nodes;
}

void sim_fini(struct sim *s)
{
	for (uint32_t i = 0; i < s->options.nodes; i++) {
		sim_crash(s, i);
		free(s->nodes[i].reads);
	}
	while (s->queue.count) {
		struct event e = queue_take(&s->queue);
		if (e.kind != HAPPEN_TIMER && e.kind != HAPPEN_RESUME)
			settle_connection(e.what);
	}
	for (uint32_t i = 0; i < s->options.nodes; i++) {
		access_fini(&s->nodes[i].access);
		free(s->nodes[i].identity);
	}
	for (uint32_t k = 0; k < s->options.sources; k++)
		free(s->fates[k]);
	free(s->fates);
	free(s->published);
	free(s->source_nodes);
	free(s->lives);
	free(s->nodes);
	queue_fini(&s->queue);
	keyring_fini(&s->keyring);
}
