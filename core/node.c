// SPDX-License-Identifier: MIT
// A node: puts its modules together, hands frames to them and tells the face what changed.
#include "core/node.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/contacts.h"
#include "core/handshake.h"
#include "core/mutant.h"
#include "core/node_inner.h"
#include "core/retune.h"

bool node_may_dial(const struct address *a)
{
	return address_dialable(a);
}

bool node_is_own(const struct node *node, const struct address *a)
{
	for (int i = 0; i < node->config.other_count; i++)
		if (address_equal(a, &node->config.others[i]))
			return true;
	return address_equal(a, &node->config.address);
}

struct node *node_new(const struct node_config *config, const struct node_driver *driver)
{
	struct node *node = calloc(1, sizeof *node);
	if (!node)
		return NULL;
	node->config = *config;
	retune_defaults(&node->config);
	node->driver = *driver;
	node->random.state = config->seed;
	node->instance = random_next(&node->random);
	node->id = config->identity->id;
	node->history.limit = config->history;
	plumtree_init(&node->plumtree);
	node->channels = channel_settings_new(config->identity);
	node->lan = config->discovery ? lan_new() : NULL;
	if (!node->channels || (config->discovery && !node->lan) || broadcast_init(node) < 0) {
		free(node->lan);
		channel_settings_free(node->channels);
		free(node);
		return NULL;
	}
	return node;
}

void node_reap(struct node *node)
{
	struct link *link, *next;

	while (node->dead_links) {
		node->dead_links = false;
		for (link = link_first(node); link; link = next) {
			next = link_after(link);
			if (link->state != LINK_STATE_DEAD)
				continue;
			if (link->socket)
				node->driver.hangup(node->driver.context, link);
			link_free(link);
		}
		dial_unhold(node);
	}
}

void node_free(struct node *node)
{
	struct link *link;
	struct connect *c, *next;

	if (!node)
		return;
	node->stopping = true;
	publisher_end(node);
	while (node->dials)
		dial_cancel(node, node->dials);
	LINK_FOREACH(node, link)
	link_kill(link, GOODBYE_SHUTDOWN);
	node_reap(node);
	reach_fini(node);
	pipes_fini(node);
	LL_FOREACH_SAFE (node->connects, c, next)
		free(c);
	broadcast_fini(node);
	plumtree_fini(&node->plumtree);
	announce_fini(&node->announce);
	members_fini(&node->members);
	history_fini(&node->history);
	topics_fini(&node->topics);
	view_fini(&node->view);
	free(node->lan);
	event_log_fini(&node->events);
	channel_settings_free(node->channels);
	free(node);
}

// Stopping: a link goes when what was promised over it is on its way, or when time is up.
static void take_leave(struct node *node)
{
	struct link *link;
	LINK_FOREACH(node, link)
	{
		bool busy = link_up(link) &&
			    (link->ready || buffer_length(&link->wire) ||
				    buffer_length(&link->stream->out) || pipes_unsent(link));
		if (!busy || node->now >= node->stop_deadline)
			link_close(link, GOODBYE_SHUTDOWN);
	}
}

void node_stop(struct node *node)
{
	if (node->stopping)
		return;
	node->stopping = true;
	node->stop_deadline = node->now + FAREWELL_TIME;
	while (node->dials)
		dial_cancel(node, node->dials);
	publisher_flush(node);
	announce_send(node, ANNOUNCE_LEAVE, NULL, 0);
	if (node->up_count == 0)
		publisher_end(node);
	NODE_EVENT(node, "stop", "peers=%zu", node->up_count);
	take_leave(node);
	node_reap(node);
}

bool node_stopped(const struct node *node)
{
	return node->stopping && !node->links && !node->directs;
}

static void start(struct node *node)
{
	node->started = node->now;
	component_init(node);
	overlay_init(node);
	members_announce(node);
	NODE_EVENT(node, "listen", "addr=%s id=%s name=%s",
		address_format(&node->config.address).text, id_format(&node->id).text,
		node->config.name[0] ? event_escape(node->config.name).text : "-");
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void tick_links(struct node *node)
{
	struct link *link;

	node->links_due = UINT64_MAX; // a tick may wake others
	LINK_FOREACH(node, link)
	{
		uint64_t due = link_tick(link);
		node->links_due = lower(node->links_due, due);
	}
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
	else if (now - before <= CLOCK_JUMP && now < node->due)
		return;
	else if (now - before > CLOCK_JUMP)
		LINK_FOREACH(node, link)
	link_forgive(link);
	else if (node->due && now - node->due >= LOOP_LATE && !MUTANT(hasty))
		LINK_FOREACH(node, link) link_pardon(link, now - node->due);
	if (now >= node->links_due)
		tick_links(node);
	if (node->clashing || node->clash_hinted)
		clash_settle(node);
	node_say_strangers(node);
	if (node->stopping)
		take_leave(node);
	direct_tick(node);
	reach_tick(node);
	overlay_tick(node);
	component_tick(node);
	members_tick(node);
	announce_tick(node);
	broadcast_tick(node);
	plumtree_tick(node);
	node_reap(node);
}

static uint64_t next_due(const struct node *node)
{
	uint64_t due = lower(overlay_deadline(node), component_deadline(node));

	due = lower(due, broadcast_deadline(node));
	due = lower(due, node->plumtree.next);
	due = lower(due, lower(node->members.renew, node->members.sweep));
	due = lower(due, node->announce.sweep);
	due = lower(due, reach_deadline(node));
	if (node->directs)
		due = lower(due, node->direct_next);
	if (node->clashing || node->clash_hinted)
		return node->now;
	if (node->strangers_unsaid)
		due = lower(due, node->strangers_next);
	if (node->stopping && node->now < node->stop_deadline)
		due = lower(due, node->stop_deadline);
	return lower(due, node->links_due);
}

uint64_t node_deadline(struct node *node)
{
	node->due = next_due(node);
	return node->due;
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
	node_reap(node);
}

void node_resolved(
	struct node *node, uint64_t tag, int error, const struct address *addresses, size_t count)
{
	dial_resolved(node, tag, error, addresses, count);
	node_reap(node);
}

void node_receive(struct node *node, struct link *link, const uint8_t *bytes, size_t n)
{
	link_receive(link, bytes, n);
	node_reap(node);
}

void node_lost(struct node *node, struct link *link, int error)
{
	(void)error;
	if (!link->outgoing && link->state < LINK_STATE_UP)
		handshake_report(link, GOODBYE_LOST, "");
	if (link->dial)
		link->dial->busy = link->channel.bytes_in == 0;
	link_kill(link, GOODBYE_LOST);
	node_reap(node);
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
	link_sent(link, n);
	if (node->stopping)
		take_leave(node);
	node_reap(node);
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
	if (address_parse_host(&literal, host, port) == 0 && node_is_own(node, &literal)) {
		e = view_find_address(&node->view, &literal);
		if (e)
			e->self = true;
		NODE_EVENT(node, "refused", "addr=%s dir=out reason=%s",
			address_format(&literal).text, goodbye_name(GOODBYE_SELF));
	}
	node->overlay.next = 0;
}

struct link *node_link_by_id(struct node *node, const struct id *id)
{
	struct link *link;
	LINK_FOREACH(node, link)
	if (link_up(link) && id_equal(&link->id, id))
		return link;
	return NULL;
}

struct link *node_link_by_serial(struct node *node, uint32_t serial)
{
	struct link *link;
	LINK_FOREACH(node, link)
	if (link->serial == serial)
		return link;
	return NULL;
}

static void stream_writable(void *context)
{
	link_touch(context);
}

// With how many peers it is now, and what the link is for if it is not one of them.
static void report_link(
	struct node *node, const struct link *link, const char *name, const char *how)
{
	NODE_EVENT(node, name, "id=%s name=%s addr=%s %s peers=%zu%s", id_format(&link->id).text,
		link->name[0] ? event_escape(link->name).text : "-",
		address_format(&link->address).text, how, node->up_count,
		link->direct ? " kind=direct" : "");
	node->peers_changed = true;
}

void node_link_joins(struct node *node, struct link *link)
{
	node->peers_changed = true;
	if (node->up_count == 1)
		members_recover(node);
	members_linked(node, link);
	announce_beacon_to(node, link); // says which links are eager, before it matters
	broadcast_link_up(node, link);
	if (node->members.doubted || node->up_count == 1)
		members_announce(node);
	announce_link_up(node, link);
	overlay_link_up(node, link);
}

void node_link_counts(struct node *node, const struct link *link)
{
	if (++node->up_count > 1)
		return;
	node->connected = node->now;
	NODE_EVENT(node, "connect", "id=%s addr=%s", id_format(&link->id).text,
		address_format(&link->address).text);
}

static void say_disconnected(struct node *node, const struct link *link)
{
	if (node->up_count > 0)
		return;
	node->disconnected = node->now;
	NODE_EVENT(node, "disconnect", "id=%s addr=%s", id_format(&link->id).text,
		address_format(&link->address).text);
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
	link_wake(link, link->ping_next);
	pipes_link_up(node, link);
	if (!link->direct)
		node_link_counts(node, link);
	report_link(node, link, "add", link->outgoing ? "dir=out" : "dir=in");
	if (node->config.names)
		names_seen(node->config.names, link->name, &link->id);
	if (link->direct)
		direct_link_up(node, link);
	else
		node_link_joins(node, link);
	reach_link_up(node, &link->id);
	link->dial = NULL;
	if (dial)
		dial_succeeded(node, dial);
	struct link *left = id_is_zero(&leave) ? NULL : node_link_by_id(node, &leave);
	if (left && !left->direct)
		direct_spare(left, GOODBYE_REPLACED);
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

void node_link_parts(struct node *node, struct link *link)
{
	node->up_count--;
	broadcast_link_down(node, link);
	lane_free_all(link);
	link->ready = link->due = link->pulled = link->untold = NULL;
	link->exchanged = link->pruned = link->pruned_by = false;
	link->tell_at = link->beacon_at = 0;
	link->claims_unserved = link->listed = 0;
	node->overlay.next = 0;
	node->peers_changed = true;
	say_disconnected(node, link);
}

void node_dispatch_down(struct node *node, struct link *link, enum goodbye reason)
{
	char why[64];

	report_stream(node, link);
	stream_end(link->stream);
	pipes_link_down(node, link);
	if (link->direct)
		direct_link_down(node, link);
	else
		node->up_count--;
	snprintf(why, sizeof why, "reason=%s", goodbye_name(reason));
	report_link(node, link, "remove", why);
	if (!link->direct)
		broadcast_link_down(node, link);
	overlay_link_down(node, link, reason);
	if (!link->direct)
		say_disconnected(node, link);
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
	return publisher_publish(node, 0, 0, data, n);
}

bool node_has_room(const struct node *node, size_t n)
{
	return publisher_has_room(node, n);
}

struct log *node_log(struct node *node)
{
	return &node->log;
}

struct event_log *node_events(struct node *node)
{
	return &node->events;
}

struct history *node_history(struct node *node)
{
	return &node->history;
}

struct node_counters *node_counters(struct node *node)
{
	return &node->counters;
}

const struct node_config *node_config(const struct node *node)
{
	return &node->config;
}

const struct id *node_id(const struct node *node)
{
	return &node->id;
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

static void remember(void *context, const struct contact *c)
{
	overlay_peers(context, c, 1);
}

size_t node_read_contacts(struct node *node, const char *text, size_t n)
{
	size_t bad = contacts_parse(text, n, node->config.keyring, remember, node);
	node->view.changed = false;
	return bad;
}

int node_write_contacts(struct node *node, struct buffer *out)
{
	node->view.changed = false;
	return contacts_write(&node->view, node->config.keyring, out);
}

bool node_contacts_changed(const struct node *node)
{
	return node->view.changed;
}

const struct id *node_component(const struct node *node)
{
	return &node->component.origin;
}

uint64_t node_component_beacons(const struct node *node)
{
	return node->component.number;
}

size_t node_direct_count(const struct node *node)
{
	return node->direct_count;
}

size_t node_peer_count(const struct node *node)
{
	return node->up_count;
}

int node_drop(struct node *node, const struct id *id)
{
	struct link *link = node_link_by_id(node, id);
	if (!link)
		return -ENOENT;
	overlay_hold(node, link);
	link_close(link, GOODBYE_DROPPED);
	node_reap(node);
	return 0;
}
