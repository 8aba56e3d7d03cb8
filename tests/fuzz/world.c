// SPDX-License-Identifier: MIT
// The driver of the node, and what comes out of it: messages in the order of each source, frames
// to the hearer of each end.
#include "tests/fuzz/world.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/node_inner.h"

#define START_OF_TIME (1000 * SECOND)
#define START_OF_WALL (1700000000 * SECOND)

struct address world_address(size_t who)
{
	return (struct address){
		.family = 4, .bytes = { 127, 0, 0, 1 }, .port = (uint16_t)(FIRST_PORT + who)
	};
}

static struct end *free_end(struct world *w)
{
	for (int i = 0; i < ENDS; i++)
		if (!w->ends[i].link)
			return &w->ends[i];
	return NULL;
}

void world_begin_end(struct end *e, struct link *link, bool dialled, size_t who)
{
	hearer_fini(&e->hearer);
	*e = (struct end){ .link = link, .dialled = dialled, .pending = dialled, .who = who };
	link_set_socket(link, e);
}

// The driver.

static int on_dial(void *context, struct link *link, const struct address *to)
{
	struct end *e = free_end(context);
	if (!e)
		return -EHOSTUNREACH;
	world_begin_end(e, link, true, (size_t)(to->port - FIRST_PORT) % FORGE_IDENTITIES);
	return 0;
}

static void on_hangup(void *context, struct link *link)
{
	struct end *e = link_socket(link);
	assert(e->link == link);
	e->link = NULL;
}

static int on_resolve(void *context, uint64_t tag, const char *host, uint16_t port)
{
	struct world *w = context;
	if (strcmp(host, "nowhere") == 0)
		return -ENOENT;
	w->resolving = tag;
	return 0;
}

// What the node does.

static void check_order(struct world *w, const struct cursor *c, const struct forged_message *m)
{
	size_t which = c == &w->topic;
	uint64_t *last = NULL;

	for (size_t i = 0; i < 8 && !last; i++) {
		if (w->read[which][m->origin][i].incarnation == 0)
			w->read[which][m->origin][i].incarnation = m->incarnation + 1;
		if (w->read[which][m->origin][i].incarnation == m->incarnation + 1)
			last = &w->read[which][m->origin][i].last;
	}
	if (!last)
		return;
	assert(m->sequence > *last);
	*last = m->sequence;
}

static void read_from(struct world *w, struct cursor *c)
{
	struct forged_message m;
	struct iovec iov[1];
	int count;
	size_t n;

	while ((n = cursor_peek(c, w->now, MESSAGE_MAX, true, iov, &count, 1)) > 0) {
		if (forge_read(iov[0].iov_base, n, &m))
			check_order(w, c, &m);
		cursor_advance(c, w->now, n, true);
	}
}

void world_hear(struct world *w, struct end *e)
{
	const uint8_t *bytes;
	size_t n;

	while (e->link && !e->pending && !e->deaf &&
		(n = node_output(w->node, e->link, &bytes)) > 0) {
		w->traffic += n;
		hearer_hear(&e->hearer, bytes, n);
		node_sent(w->node, e->link, n);
	}
}

void world_settle(struct world *w)
{
	struct link *link;

	if (w->reading) {
		read_from(w, &w->cursor);
		read_from(w, &w->topic);
	}
	while ((link = node_next_output(w->node)))
		if (link_socket(link))
			world_hear(w, link_socket(link));
	node_take_changes(w->node);
}

void world_advance(struct world *w, uint64_t by)
{
	int turns = 0;

	w->now += by;
	do {
		node_advance(w->node, w->now, START_OF_WALL + w->now);
		world_settle(w);
		assert(++turns < 100); // it waits for something, or it is busy for ever
	} while (node_deadline(w->node) <= w->now);
}

void world_start(struct world *w, struct input *in)
{
	struct node_driver driver = { w, on_dial, on_hangup, on_resolve };
	struct node_config config = {
		.identity = forge_identity(0),
		.keyring = &w->keyring,
		.access = &w->access,
		.incarnation = INCARNATION,
		.seed = 1,
		.name = "node",
		.address = world_address(0),
		.min_peers = (uint32_t)input_below(in, 4),
		.max_peers = (uint32_t)input_below(in, 4),
		.ping_timeout = PING_TIMEOUT_DEFAULT,
		.history = WORLD_HISTORY,
	};
	static const size_t pieces[] = { 0, 0, 1000, 17 };

	if (config.max_peers && config.min_peers > config.max_peers)
		config.min_peers = config.max_peers;
	w->piece = pieces[input_below(in, 4)];
	w->keyring = *forge_keyring();
	w->now = START_OF_TIME;
	w->node = node_new(&config, &driver);
	assert(w->node);
	world_advance(w, 0);
	int r = node_topic_join(w->node, FORGE_TOPIC);
	assert(r == 0);
	cursor_open(&w->cursor, node_log(w->node), w->now);
	cursor_open(&w->topic, node_log(w->node), w->now);
	w->topic.topic = node_next_topic(w->node, NULL)->number;
	w->reading = true;
}

void world_stop_reading_stream(struct world *w)
{
	if (!w->reader.stream)
		return;
	w->reader.stream->handles--;
	stream_reader_close(&w->reader);
}

void world_finish(struct world *w)
{
	cursor_close(&w->cursor);
	cursor_close(&w->topic);
	world_stop_reading_stream(w);
	node_free(w->node);
	for (int i = 0; i < ENDS; i++) {
		assert(!w->ends[i].link);
		hearer_fini(&w->ends[i].hearer);
	}
	access_fini(&w->access);
}
