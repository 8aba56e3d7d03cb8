// SPDX-License-Identifier: MIT
// A node: puts its modules together, hands frames to them and tells the face what changed.
#include "core/node.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/handshake.h"
#include "core/node_inner.h"

// Links are not authenticated, so that nothing but this machine may be reached.
bool node_may_dial(const struct address *a)
{
	return a->port && address_is_loopback(a);
}

struct node *node_new(const struct node_config *config, const struct node_driver *driver)
{
	struct node *node = calloc(1, sizeof *node);
	if (!node)
		return NULL;
	node->config = *config;
	node->driver = *driver;
	node->random.state = config->seed;
	node->instance = random_next(&node->random);
	if (broadcast_init(node) < 0) {
		free(node);
		return NULL;
	}
	return node;
}

static void reap(struct node *node)
{
	struct link *link, *next;

	while (node->dead_links) {
		node->dead_links = false;
		DL_FOREACH_SAFE (node->links, link, next) {
			if (link->state != LINK_STATE_DEAD)
				continue;
			if (link->socket)
				node->driver.hangup(node->driver.context, link);
			link_free(link);
		}
	}
}

void node_free(struct node *node)
{
	struct link *link;
	struct connect *c, *next;

	if (!node)
		return;
	node->stopping = true;
	while (node->dials)
		dial_cancel(node, node->dials);
	DL_FOREACH (node->links, link)
		link_kill(link, GOODBYE_SHUTDOWN);
	reap(node);
	LL_FOREACH_SAFE (node->connects, c, next)
		free(c);
	broadcast_fini(node);
	announce_fini(&node->announce);
	members_fini(&node->members);
	view_fini(&node->view);
	event_log_fini(&node->events);
	free(node);
}

void node_stop(struct node *node)
{
	if (node->stopping)
		return;
	node->stopping = true;
	node->stop_deadline = node->now + FAREWELL_TIME;
	while (node->dials)
		dial_cancel(node, node->dials);
	announce_send(node, ANNOUNCE_LEAVE, NULL, 0);
	NODE_EVENT(node, "stop", "peers=%zu", node->up_count);
	reap(node);
}

bool node_stopped(const struct node *node)
{
	return node->stopping && !node->links;
}

// Stopping: a link goes when what was promised over it is on its way, or when time is up.
static void take_leave(struct node *node)
{
	struct link *link;
	DL_FOREACH (node->links, link) {
		bool busy = link_up(link) && (link->ready || buffer_length(&link->wire) ||
						     buffer_length(&link->stream->out));
		if (!busy || node->now >= node->stop_deadline)
			link_close(link, GOODBYE_SHUTDOWN);
	}
}

static void start(struct node *node)
{
	node->started = node->now;
	component_init(node);
	overlay_init(node);
	members_announce(node);
	NODE_EVENT(node, "listen", "addr=%s id=%s name=%s",
		address_format(&node->config.address).text, id_format(&node->config.id).text,
		node->config.name[0] ? event_escape(node->config.name).text : "-");
}

void node_advance(struct node *node, uint64_t now, uint64_t wall)
{
	uint64_t before = node->now;
	struct link *link;

	assert(now > 0 && now >= before);
	node->now = now;
	node->wall = wall;
	if (before == 0)
		start(node);
	else if (now - before > CLOCK_JUMP)
		DL_FOREACH (node->links, link)
			link_forgive(link);
	DL_FOREACH (node->links, link)
		link_tick(link);
	if (node->stopping)
		take_leave(node);
	overlay_tick(node);
	component_tick(node);
	members_tick(node);
	announce_tick(node);
	broadcast_tick(node);
	reap(node);
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

// Asking a link for its deadline must not run it.
static uint64_t link_deadline(const struct node *node, const struct link *link)
{
	if (!link_up(link))
		return link->deadline;
	if (!link->ping_sent)
		return link->ping_next;
	uint64_t alive = link->heard > link->ping_sent ? link->heard : link->ping_sent;
	return alive + node->config.ping_timeout;
}

uint64_t node_deadline(const struct node *node)
{
	const struct link *link;
	uint64_t due = lower(overlay_deadline(node), component_deadline(node));

	due = lower(due, broadcast_deadline(node));
	due = lower(due, lower(node->members.renew, node->members.sweep));
	due = lower(due, node->announce.sweep);
	if (node->stopping)
		due = lower(due, node->stop_deadline);
	DL_FOREACH (node->links, link)
		due = lower(due, link_deadline(node, link));
	return due;
}

static size_t unproven(const struct node *node)
{
	const struct link *link;
	size_t count = 0;
	DL_FOREACH (node->links, link)
		count += !link->outgoing &&
			 (link->state == LINK_STATE_GREETING || link->state == LINK_STATE_WAITING);
	return count;
}

struct link *node_accept(struct node *node, const struct address *from)
{
	struct link *link = NULL;
	if (!node->stopping && node->link_count < LINKS_MAX && unproven(node) < UNPROVEN_MAX)
		link = link_new(node, from, false);
	if (!link) {
		node->counters.accepts_refused++;
		NODE_EVENT(
			node, "refused", "addr=%s dir=in reason=busy", address_format(from).text);
	}
	return link;
}

void node_accept_failed(struct node *node, int error)
{
	const char *name = strerrorname_np(-error);
	node->counters.accepts_failed++;
	NODE_EVENT(node, "refused", "addr=- dir=in reason=%s", name ? name : "accept");
}

void node_dialled(struct node *node, struct link *link, int error)
{
	if (error == 0 && link->state == LINK_STATE_DIALLING) {
		handshake_begin(link);
	} else {
		struct dial *dial = link->dial;
		link->dial = NULL;
		link_kill(link, GOODBYE_LOST);
		if (dial)
			dial_failed(node, dial, error ? error : -ECONNREFUSED);
	}
	reap(node);
}

void node_resolved(
	struct node *node, uint64_t tag, int error, const struct address *addresses, size_t count)
{
	dial_resolved(node, tag, error, addresses, count);
	reap(node);
}

void node_receive(struct node *node, struct link *link, const uint8_t *bytes, size_t n)
{
	link_receive(link, bytes, n);
	reap(node);
}

void node_lost(struct node *node, struct link *link, int error)
{
	(void)error;
	if (!link->outgoing &&
		(link->state == LINK_STATE_GREETING || link->state == LINK_STATE_WAITING))
		NODE_EVENT(node, "refused", "addr=%s dir=in reason=%s",
			address_format(&link->remote).text, goodbye_name(GOODBYE_LOST));
	link_kill(link, GOODBYE_LOST);
	reap(node);
}

struct link *node_next_output(struct node *node)
{
	struct link *link = node->output;
	if (link) {
		DL_DELETE2(node->output, link, output_prev, output_next);
		link->output_queued = false;
	}
	return link;
}

size_t node_output(struct node *node, struct link *link, const uint8_t **bytes)
{
	// A link that dies here is reaped by the next call from outside.
	(void)node;
	return link_output(link, bytes);
}

void node_sent(struct node *node, struct link *link, size_t n)
{
	(void)node;
	link_sent(link, n);
}

void link_set_socket(struct link *link, void *socket)
{
	link->socket = socket;
}

void *link_socket(const struct link *link)
{
	return link->socket;
}

void node_add_seed(struct node *node, const char *host, uint16_t port)
{
	struct address literal;
	struct view_entry *e;

	view_add_seed(&node->view, host, port);
	// A list of seeds is often the same file everywhere, oneself in it.
	if (address_parse_host(&literal, host, port) == 0 &&
		address_equal(&literal, &node->config.address)) {
		e = view_find_address(&node->view, &literal);
		if (e)
			e->self = true;
	}
	node->overlay.next = 0;
}

struct link *node_link_by_id(struct node *node, const struct id *id)
{
	struct link *link;
	DL_FOREACH (node->links, link)
		if (link_up(link) && id_equal(&link->id, id))
			return link;
	return NULL;
}

struct link *node_link_by_serial(struct node *node, uint32_t serial)
{
	struct link *link;
	DL_FOREACH (node->links, link)
		if (link->serial == serial)
			return link;
	return NULL;
}

static void stream_writable(void *context)
{
	link_touch(context);
}

void node_dispatch_up(struct node *node, struct link *link)
{
	struct dial *dial = link->dial;
	struct id leave = dial ? dial->leave : (struct id){ { 0 } };

	link->stream = stream_new(link, stream_writable, &node->streams_changed);
	if (!link->stream) {
		link_kill(link, GOODBYE_MEMORY);
		return;
	}
	link->state = LINK_STATE_UP;
	link->deadline = 0;
	link->since = node->now;
	link->since_wall = node->wall;
	link->ping_next = node->now; // the first one measures
	if (++node->up_count == 1)
		NODE_EVENT(node, "connect", "id=%s addr=%s", id_format(&link->id).text,
			address_format(&link->address).text);
	NODE_EVENT(node, "add", "id=%s name=%s addr=%s dir=%s peers=%zu", id_format(&link->id).text,
		link->name[0] ? event_escape(link->name).text : "-",
		address_format(&link->address).text, link->outgoing ? "out" : "in", node->up_count);
	node->peers_changed = true;
	broadcast_link_up(node, link);
	announce_link_up(node, link);
	overlay_link_up(node, link);
	link->dial = NULL;
	if (dial)
		dial_succeeded(node, dial);
	struct link *left = id_is_zero(&leave) ? NULL : node_link_by_id(node, &leave);
	if (left && !link_in_use(left))
		link_close(left, GOODBYE_REPLACED);
	link_touch(link);
	link_check(link);
}

// Bytes that were on the way over the stream of a lost peer.
static void report_stream(struct node *node, const struct link *link)
{
	const struct stream *s = link->stream;
	uint64_t written = stream_unacknowledged(s), unread = s->handles ? 0 : stream_unread(s);
	if (written + unread == 0)
		return;
	node->counters.stream_bytes_lost += written + unread;
	NODE_EVENT(node, "lost", "id=%s stream_unacknowledged=%" PRIu64 " stream_unread=%" PRIu64,
		id_format(&link->id).text, written, unread);
}

void node_dispatch_down(struct node *node, struct link *link, enum goodbye reason)
{
	node->up_count--;
	report_stream(node, link);
	stream_end(link->stream);
	NODE_EVENT(node, "remove", "id=%s name=%s addr=%s reason=%s peers=%zu",
		id_format(&link->id).text, link->name[0] ? event_escape(link->name).text : "-",
		address_format(&link->address).text, goodbye_name(reason), node->up_count);
	node->peers_changed = true;
	broadcast_link_down(node, link);
	overlay_link_down(node, link, reason);
	if (node->up_count == 0)
		NODE_EVENT(node, "disconnect", "id=%s addr=%s", id_format(&link->id).text,
			address_format(&link->address).text);
}

static int goodbye(struct node *node, struct link *link, const uint8_t *p, size_t n)
{
	struct frame_goodbye f;
	int r = wire_get_goodbye(p, n, &f);
	if (r < 0)
		return r;
	overlay_peers(node, f.contacts, f.count);
	if (f.reason == GOODBYE_DROPPED)
		overlay_hold(node, link);
	if (f.reason == GOODBYE_VERSION || f.reason == GOODBYE_CLASH) {
		node->counters.links_refused++;
		NODE_EVENT(node, "refused", "addr=%s dir=%s reason=%s by=peer",
			address_format(&link->remote).text, link->outgoing ? "out" : "in",
			goodbye_name(f.reason));
	}
	link_kill(link, f.reason);
	return 0;
}

static int pong(struct node *node, struct link *link, const uint8_t *p, size_t n)
{
	uint64_t token;
	int r = wire_get_ping(p, n, &token);
	if (r < 0 || link->ping_sent == 0 || token != link->ping_sent)
		return r;
	uint64_t sample = node->now - token;
	sample = sample ? sample : 1;
	// RFC 6298's gain.
	link->rtt = link->rtt ? link->rtt - link->rtt / 8 + sample / 8 : sample;
	link->ping_sent = 0;
	return 0;
}

static int ping(struct link *link, const uint8_t *p, size_t n)
{
	uint64_t token;
	int r = wire_get_ping(p, n, &token);
	if (r < 0)
		return r;
	wire_put_ping(&link->control, FRAME_PONG, token);
	link_touch(link);
	return 0;
}

#define DECODE(kind)                       \
	struct frame_##kind f;             \
	int r = wire_get_##kind(p, n, &f); \
	if (r < 0)                         \
		return r;

static int on_peers(struct node *node, const uint8_t *p, size_t n)
{
	DECODE(peers)
	overlay_peers(node, f.contacts, f.count);
	return 0;
}

static int on_rewire(struct node *node, struct link *link, const uint8_t *p, size_t n)
{
	DECODE(rewire)
	overlay_rewire(node, link, &f);
	return 0;
}

static int on_frontier(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(frontier)
	return broadcast_frontier(link, &f);
}

static int on_position(struct link *link, uint8_t type, const uint8_t *p, size_t n)
{
	DECODE(position)
	return type == FRAME_PULL ? broadcast_pull(link, &f) : broadcast_trimmed(link, &f);
}

static int on_batch(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(batch)
	return broadcast_batch(link, &f);
}

static int on_chunk(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(chunk)
	return broadcast_chunk(link, &f);
}

static int on_credit(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(credit)
	return broadcast_credited(link, &f);
}

static int on_stream(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(stream)
	if (f.channel != 0)
		return -EPROTO;
	r = stream_receive(link->stream, f.data, f.bytes);
	if (r == -ENOMEM)
		link_kill(link, GOODBYE_MEMORY);
	return r == -EPROTO ? r : 0;
}

static int on_stream_credit(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(stream_credit)
	if (f.channel != 0)
		return -EPROTO;
	r = stream_granted(link->stream, f.offset);
	link_touch(link);
	return r;
}

static int on_announce(struct node *node, struct link *link, const uint8_t *p, size_t n)
{
	DECODE(announce)
	return announce_receive(node, link, &f);
}

static int frame_up(struct node *node, struct link *link, uint8_t type, const uint8_t *p, size_t n)
{
	switch (type) {
	case FRAME_PING:
		return ping(link, p, n);
	case FRAME_PONG:
		return pong(node, link, p, n);
	case FRAME_PEERS:
		return on_peers(node, p, n);
	case FRAME_REWIRE:
		return on_rewire(node, link, p, n);
	case FRAME_FRONTIER:
		return on_frontier(link, p, n);
	case FRAME_PULL:
	case FRAME_TRIMMED:
		return on_position(link, type, p, n);
	case FRAME_BATCH:
		return on_batch(link, p, n);
	case FRAME_CHUNK:
		return on_chunk(link, p, n);
	case FRAME_CREDIT:
		return on_credit(link, p, n);
	case FRAME_STREAM:
		return on_stream(link, p, n);
	case FRAME_STREAM_CREDIT:
		return on_stream_credit(link, p, n);
	case FRAME_ANNOUNCE:
		return on_announce(node, link, p, n);
	case FRAME_HELLO:
	case FRAME_ACCEPT:
		return -EPROTO;
	}
	node->counters.frames_unknown++; // of a newer version
	return 0;
}

static int on_hello(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(hello)
	return handshake_hello(link, &f);
}

static int dispatch(struct node *node, struct link *link, uint8_t type, const uint8_t *p, size_t n)
{
	if (type == FRAME_GOODBYE)
		return goodbye(node, link, p, n);
	if (link_up(link))
		return frame_up(node, link, type, p, n);
	if (link->state == LINK_STATE_GREETING && type == FRAME_HELLO)
		return on_hello(link, p, n);
	if (link->state != LINK_STATE_WAITING || type != FRAME_ACCEPT || n > 0)
		return -EPROTO;
	handshake_accepted(link);
	return 0;
}

int node_frame(struct node *node, struct link *link, uint8_t type, const uint8_t *p, size_t n)
{
	int r = dispatch(node, link, type, p, n);
	if (r == 0)
		link_check(link);
	return r;
}

unsigned node_take_changes(struct node *node)
{
	unsigned changes = 0;
	if (node->log_changed || node->log.fresh)
		changes |= NODE_CHANGED_LOG;
	if (node->streams_changed)
		changes |= NODE_CHANGED_STREAMS;
	if (node->events.fresh)
		changes |= NODE_CHANGED_EVENTS;
	if (node->peers_changed)
		changes |= NODE_CHANGED_PEERS;
	if (node->connects_changed)
		changes |= NODE_CHANGED_CONNECTS;
	node->log_changed = node->streams_changed = node->peers_changed = false;
	node->connects_changed = node->log.fresh = node->events.fresh = false;
	return changes;
}

int node_publish(struct node *node, const void *data, size_t n)
{
	return broadcast_publish(node, data, n);
}

bool node_has_room(const struct node *node, size_t n)
{
	return broadcast_has_room(node, n);
}

struct log *node_log(struct node *node)
{
	return &node->log;
}

struct event_log *node_events(struct node *node)
{
	return &node->events;
}

struct node_counters *node_counters(struct node *node)
{
	return &node->counters;
}

const struct node_config *node_config(const struct node *node)
{
	return &node->config;
}

uint64_t node_now(const struct node *node)
{
	return node->now;
}

uint64_t node_started(const struct node *node)
{
	return node->started;
}

size_t node_member_count(const struct node *node)
{
	return members_count(&node->members);
}

size_t node_peer_count(const struct node *node)
{
	return node->up_count;
}

static void describe(const struct link *link, struct peer *peer)
{
	*peer = (struct peer){
		.serial = link->serial,
		.id = link->id,
		.address = link->address,
		.remote = link->remote,
		.outgoing = link->outgoing,
		.since = link->since,
		.since_wall = link->since_wall,
		.rtt = link->rtt,
		.bytes_in = link->channel.bytes_in,
		.bytes_out = link->channel.bytes_out,
		.queued = buffer_length(&link->wire) + buffer_length(&link->control) +
			  buffer_length(&link->stream->out),
		.stream_credit = link->stream->out_granted - link->stream->out_sent,
		.stream = link->stream,
	};
	memcpy(peer->name, link->name, sizeof peer->name);
}

bool node_next_peer(const struct node *node, uint32_t after, struct peer *peer)
{
	// Links are listed in the order of their serial numbers.
	const struct link *link;
	DL_FOREACH (node->links, link) {
		if (link_up(link) && link->serial > after) {
			describe(link, peer);
			return true;
		}
	}
	return false;
}

bool node_find_peer(const struct node *node, uint32_t serial, struct peer *peer)
{
	return serial > 0 && node_next_peer(node, serial - 1, peer) && peer->serial == serial;
}

static int64_t connect_begin(struct node *node, struct dial *dial)
{
	struct connect *c = dial ? calloc(1, sizeof *c) : NULL;
	if (!c) {
		if (dial)
			dial_cancel(node, dial);
		return -ENOMEM;
	}
	c->token = dial->token = ++node->last_token;
	c->result = -EINPROGRESS;
	DL_APPEND(node->connects, c);
	dial_start(node, dial);
	reap(node);
	return c->token;
}

int64_t node_connect(struct node *node, const char *host, uint16_t port)
{
	struct address literal;
	struct link *link;

	if (node->stopping)
		return -ECANCELED;
	if (address_parse_host(&literal, host, port) == 0) {
		if (!node_may_dial(&literal)) {
			NODE_EVENT(node, "refused", "addr=%s dir=out reason=not-loopback",
				address_format(&literal).text);
			return -EINVAL;
		}
		if (address_equal(&literal, &node->config.address))
			return -EEXIST;
		DL_FOREACH (node->links, link)
			if (link_up(link) && (address_equal(&link->address, &literal)))
				return -EEXIST;
	}
	if (node->config.max_peers && overlay_count(node) >= node->config.max_peers)
		return -EUSERS;
	return connect_begin(node, dial_host(node, DIAL_COMMAND, host, port));
}

int64_t node_connect_id(struct node *node, const struct id *id)
{
	struct view_entry *e = view_find_id(&node->view, id);
	struct member *member = members_find(&node->members, id);
	const struct address *a = member ? &member->address : e ? &e->address : NULL;

	if (id_equal(id, &node->config.id) || node_link_by_id(node, id))
		return -EEXIST;
	if (!a || a->family == 0)
		return -ENOENT;
	return node_connect(node, address_format_host(a).text, a->port);
}

void node_connect_done(struct node *node, int64_t token, int result)
{
	struct connect *c;
	DL_SEARCH_SCALAR(node->connects, c, token, token);
	if (c)
		c->result = result;
	node->connects_changed = true;
}

int node_connect_result(struct node *node, int64_t token)
{
	struct connect *c;
	DL_SEARCH_SCALAR(node->connects, c, token, token);
	if (!c)
		return -ECANCELED;
	int result = c->result;
	if (result != -EINPROGRESS) {
		DL_DELETE(node->connects, c);
		free(c);
	}
	return result;
}

void node_connect_cancel(struct node *node, int64_t token)
{
	struct dial *dial;
	struct connect *c;

	DL_SEARCH_SCALAR(node->connects, c, token, token);
	if (!c)
		return;
	DL_DELETE(node->connects, c);
	free(c);
	DL_SEARCH_SCALAR(node->dials, dial, token, token);
	if (dial)
		dial_cancel(node, dial);
	reap(node);
}

int node_drop(struct node *node, const struct id *id)
{
	struct link *link = node_link_by_id(node, id);
	if (!link)
		return -ENOENT;
	overlay_hold(node, link);
	link_close(link, GOODBYE_DROPPED);
	reap(node);
	return 0;
}
