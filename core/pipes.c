// SPDX-License-Identifier: MIT
// The table of pipes, and their channels on links. What is in one is core/pipe's.
#include "core/pipes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"

static uint64_t bit(uint16_t channel)
{
	return (uint64_t)1 << (channel - 1);
}

// Peers.

struct pipe_peer *pipes_find_peer(const struct node *node, const struct id *id)
{
	struct pipe_peer *peer;
	HASH_FIND(hh, node->pipes.table, id, sizeof *id, peer);
	return peer;
}

struct pipe_peer *pipes_find_serial(const struct node *node, uint32_t serial)
{
	struct pipe_peer *peer, *next;
	HASH_ITER (hh, node->pipes.table, peer, next)
		if (peer->serial == serial)
			return peer;
	return NULL;
}

static struct pipe_peer *get_peer(struct node *node, const struct id *id)
{
	struct pipe_peer *peer = pipes_find_peer(node, id);

	if (peer)
		return peer;
	peer = calloc(1, sizeof *peer);
	if (!peer)
		return NULL;
	peer->id = *id;
	peer->serial = ++node->last_serial;
	peer->node = node;
	HASH_ADD(hh, node->pipes.table, id, sizeof peer->id, peer);
	if (!peer->hh.tbl) {
		free(peer);
		return NULL;
	}
	peer->link = node_link_by_id(node, id);
	if (peer->link)
		peer->link->pipes = peer;
	return peer;
}

static void drop_peer(struct pipe_peer *peer)
{
	if (peer->list || peer->link)
		return;
	HASH_DEL(peer->node->pipes.table, peer);
	free(peer);
}

uint32_t pipes_epoch(const struct pipe *p)
{
	return p->peer->epoch;
}

void pipes_unkeep(struct pipe *p, uint64_t bytes)
{
	p->peer->node->pipes.kept -= bytes;
}

// Pipes.

static struct pipe *find_name(const struct pipe_peer *peer, const char *name)
{
	struct pipe *p;
	DL_FOREACH (peer->list, p)
		if (!p->removed && strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

static struct pipe *make(struct pipe_peer *peer, const char *name)
{
	struct pipe *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->peer = peer;
	p->serial = ++peer->node->last_serial;
	memcpy(p->name, name, strlen(name) + 1);
	DL_APPEND(peer->list, p);
	return p;
}

static void report(const struct pipe *p, const char *what, uint64_t bytes, const char *reason)
{
	struct node *node = p->peer->node;

	if (bytes == 0)
		return;
	node->counters.pipe_bytes_lost += bytes;
	NODE_EVENT(node, "lost", "id=%s pipe=%s %s=%" PRIu64 " reason=%s",
		id_format(&p->peer->id).text, p->name, what, bytes, reason);
}

// What nobody has read goes, until at most `most` bytes are left.
static void drop_unread(struct pipe *p, uint64_t most, const char *reason)
{
	uint64_t dropped = 0;

	while (p->in.queue && (most == 0 || pipe_unread(p) > most)) {
		uint64_t bytes = pipe_drop(p);
		if (bytes == UINT64_MAX)
			break;
		dropped += bytes;
	}
	report(p, "unread", dropped, reason);
}

static void free_channel(struct pipe *p)
{
	struct pipe_peer *peer = p->peer;
	uint16_t channel = p->out.channel;

	if (channel == 0)
		return;
	peer->out[channel] = NULL;
	peer->ready &= ~bit(channel);
	p->out.channel = 0;
	if (!peer->link)
		return;
	wire_put_channel(&peer->link->control, FRAME_PIPE_FREE, channel);
	link_touch(peer->link);
}

static void close_channel(struct pipe *p, enum pipe_reason reason)
{
	struct pipe_peer *peer = p->peer;
	struct frame_pipe_close f = { p->in.channel, (uint8_t)reason };

	if (f.channel == 0)
		return;
	peer->in[f.channel] = NULL;
	peer->owing &= ~bit(f.channel);
	peer->closed[f.channel] = true;
	p->in.channel = 0;
	if (!peer->link)
		return;
	wire_put_pipe_close(&peer->link->control, &f);
	link_touch(peer->link);
}

static void dispose(struct pipe *p)
{
	struct pipe_peer *peer = p->peer;

	drop_unread(p, 0, "removed");
	close_channel(p, PIPE_REASON_REMOVED);
	free_channel(p);
	DL_DELETE(peer->list, p);
	pipe_free(p);
	drop_peer(peer);
}

void pipes_settle(struct pipe *p)
{
	bool forgotten = !p->made && !p->in.channel && !p->in.queue && !p->out.channel;

	if (!pipe_busy(p) && (p->removed || forgotten))
		dispose(p);
}

void pipes_touch(struct pipe *p)
{
	struct pipe_peer *peer = p->peer;

	peer->node->streams_changed = true;
	if (!peer->link)
		return;
	if (p->out.channel)
		peer->ready |= bit(p->out.channel);
	if (p->in.channel)
		peer->owing |= bit(p->in.channel);
	link_touch(peer->link);
}

void pipes_abandon(struct pipe *p)
{
	report(p, "unacknowledged", pipe_unacknowledged(p), "memory");
	free_channel(p);
	pipe_break(p, -EIO);
	p->peer->node->streams_changed = true;
}

// Sent whole and read whole: its channel may serve another pipe.
static bool is_done(const struct pipe *p)
{
	return !pipe_busy(p) && pipe_unacknowledged(p) == 0;
}

// A channel for one more pipe, if need be that of one that is not in use; 0: none.
static uint16_t find_channel(struct pipe_peer *peer)
{
	for (uint16_t channel = 1; channel <= PIPES_MAX; channel++)
		if (!peer->out[channel])
			return channel;
	for (uint16_t channel = 1; channel <= PIPES_MAX; channel++)
		if (is_done(peer->out[channel])) {
			struct pipe *p = peer->out[channel];
			free_channel(p);
			pipes_settle(p);
			return channel;
		}
	return 0;
}

int pipes_declare(struct pipe *p)
{
	struct pipe_peer *peer = p->peer;
	struct frame_pipe f;

	if (!peer->link)
		return -ENOLINK;
	if (p->out.channel)
		return 0;
	f.channel = find_channel(peer);
	if (f.channel == 0)
		return -EUSERS;
	memcpy(f.name, p->name, sizeof f.name);
	peer->out[f.channel] = p;
	p->out.channel = f.channel;
	p->out.sent = 0;
	p->out.granted = PIPE_WINDOW;
	wire_put_pipe(&peer->link->control, &f);
	link_touch(peer->link);
	return 0;
}

// Links.

void pipes_link_up(struct node *node, struct link *link)
{
	struct pipe_peer *peer = pipes_find_peer(node, &link->id);

	if (!peer)
		return;
	peer->link = link;
	link->pipes = peer;
	node->streams_changed = true;
}

static void pipe_down(struct node *node, struct pipe *p)
{
	report(p, "unacknowledged", pipe_unacknowledged(p), "peer");
	pipe_break(p, -EIO);
	node->pipes.kept += pipe_cut(p);
	drop_unread(p, PIPE_WINDOW, "peer");
	if (node->pipes.kept > PIPES_KEPT)
		drop_unread(p, 0, "room");
}

void pipes_link_down(struct node *node, struct link *link)
{
	struct pipe_peer *peer = link->pipes;
	struct pipe *p, *next;

	link->pipes = NULL;
	if (!peer)
		return;
	peer->link = NULL;
	peer->epoch++;
	peer->ready = peer->owing = 0;
	memset(peer->out, 0, sizeof peer->out);
	memset(peer->in, 0, sizeof peer->in);
	memset(peer->closed, 0, sizeof peer->closed);
	node->streams_changed = true;
	DL_FOREACH (peer->list, p)
		pipe_down(node, p);
	// The last one that goes takes the peer along.
	for (p = peer->list; p; p = next) {
		next = p->next;
		pipes_settle(p);
	}
	if (pipes_find_peer(node, &link->id) == peer)
		drop_peer(peer);
}

void pipes_fini(struct node *node)
{
	struct pipe_peer *peer, *next;

	HASH_ITER (hh, node->pipes.table, peer, next) {
		while (peer->list->next)
			dispose(peer->list);
		dispose(peer->list);
	}
}

bool pipes_in_use(const struct link *link)
{
	const struct pipe *p;

	if (link->pipes)
		DL_FOREACH (link->pipes->list, p)
			if (pipe_busy(p))
				return true;
	return false;
}

bool pipes_unsent(const struct link *link)
{
	const struct pipe *p;

	if (link->pipes)
		DL_FOREACH (link->pipes->list, p)
			if (pipe_unsent(p))
				return true;
	return false;
}

static bool output(struct link *link, struct pipe *p)
{
	const uint8_t *bytes;
	bool end;
	size_t n = pipe_output(p, CHUNK_BYTES, &bytes, &end);

	if (n == 0 && !end)
		return false;
	if (end)
		wire_put_channel(&link->control, FRAME_PIPE_END, p->out.channel);
	else
		wire_put_stream(&link->control, p->out.channel, bytes, n);
	pipe_sent(p, n, end);
	link->node->streams_changed = true;
	return true;
}

bool pipes_output(struct link *link)
{
	struct pipe_peer *peer = link->pipes;

	for (uint32_t i = 0; peer && peer->ready && i < PIPES_MAX; i++) {
		peer->turn = peer->turn % PIPES_MAX + 1;
		uint16_t channel = (uint16_t)peer->turn;
		if (!(peer->ready & bit(channel)))
			continue;
		struct pipe *p = peer->out[channel];
		if (output(link, p))
			return true;
		peer->ready &= ~bit(channel);
		pipes_settle(p);
		peer = link->pipes;
	}
	return false;
}

void pipes_credit(struct link *link)
{
	struct pipe_peer *peer = link->pipes;

	for (uint16_t channel = 1; peer && peer->owing && channel <= PIPES_MAX; channel++) {
		if (!(peer->owing & bit(channel)))
			continue;
		peer->owing &= ~bit(channel);
		uint64_t position = pipe_grant(peer->in[channel]);
		if (position)
			wire_put_stream_credit(&link->control, channel, position);
	}
}

// Frames.

// Nothing can be kept of it: its writer learns of it.
static void refuse(struct link *link, uint16_t channel, enum pipe_reason reason)
{
	struct pipe_peer *peer = link->pipes;
	struct pipe *p = peer->in[channel];

	link->node->counters.pipes_refused++;
	if (p) {
		// Half of a generation is none.
		link->node->pipes.kept += pipe_cut(p);
		p->in.channel = channel;
		close_channel(p, reason);
	} else {
		wire_put_pipe_close(
			&link->control, &(struct frame_pipe_close){ channel, (uint8_t)reason });
		peer->closed[channel] = true;
	}
	link->node->streams_changed = true;
}

int pipes_declared(struct link *link, const struct frame_pipe *f)
{
	struct pipe_peer *peer = get_peer(link->node, &link->id);

	if (!peer) {
		link_kill(link, GOODBYE_MEMORY);
		return 0;
	}
	struct pipe *p = find_name(peer, f->name);
	if (peer->in[f->channel] || peer->closed[f->channel] || (p && p->in.channel))
		return -EPROTO;
	p = p ? p : make(peer, f->name);
	if (!p) {
		refuse(link, f->channel, PIPE_REASON_MEMORY);
		return 0;
	}
	peer->in[f->channel] = p;
	p->in.channel = f->channel;
	p->in.base = p->in.head = 0;
	p->in.granted = PIPE_WINDOW;
	link->node->peers_changed = true;
	return 0;
}

// The pipe of a channel that the peer writes to, NULL with 0 or -EPROTO: closed, or not declared.
static int incoming(struct link *link, uint16_t channel, struct pipe **p)
{
	struct pipe_peer *peer = link->pipes;

	*p = peer ? peer->in[channel] : NULL;
	return *p || (peer && peer->closed[channel]) ? 0 : -EPROTO;
}

static int arrived(struct link *link, struct pipe *p, int r)
{
	if (r == -ENOMEM) {
		refuse(link, p->in.channel, PIPE_REASON_MEMORY);
		return 0;
	}
	if (r == 0)
		pipes_touch(p);
	return r;
}

int pipes_receive(struct link *link, const struct frame_stream *f)
{
	struct pipe *p;
	int r = incoming(link, f->channel, &p);
	return p ? arrived(link, p, pipe_receive(p, f->data, f->bytes)) : r;
}

int pipes_ended(struct link *link, uint16_t channel)
{
	struct pipe *p;
	int r = incoming(link, channel, &p);
	return p ? arrived(link, p, pipe_receive_end(p)) : r;
}

int pipes_granted(struct link *link, const struct frame_stream_credit *f)
{
	struct pipe *p = link->pipes ? link->pipes->out[f->channel] : NULL;
	int r;

	// It may have crossed a PIPE_FREE.
	if (!p)
		return 0;
	r = pipe_granted(p, f->offset);
	if (r == 0)
		pipes_touch(p);
	return r;
}

int pipes_closed(struct link *link, const struct frame_pipe_close *f)
{
	struct pipe *p = link->pipes ? link->pipes->out[f->channel] : NULL;

	if (!p)
		return 0;
	link->node->counters.pipes_refused++;
	report(p, "unacknowledged", pipe_unacknowledged(p),
		f->reason == PIPE_REASON_MEMORY ? "memory" : "removed");
	free_channel(p);
	pipe_break(p, f->reason == PIPE_REASON_MEMORY ? -ENOMEM : -EPIPE);
	link->node->streams_changed = true;
	pipes_settle(p);
	return 0;
}

int pipes_freed(struct link *link, uint16_t channel)
{
	struct pipe_peer *peer = link->pipes;
	struct pipe *p;
	int r = incoming(link, channel, &p);

	if (r < 0)
		return r;
	peer->closed[channel] = false;
	if (!p)
		return 0;
	peer->in[channel] = NULL;
	peer->owing &= ~bit(channel);
	link->node->pipes.kept += pipe_cut(p);
	link->node->streams_changed = true;
	pipes_settle(p);
	return 0;
}

// For the face.

int node_pipe_make(struct node *node, const struct id *id, const char *name)
{
	struct pipe_peer *peer;
	struct pipe *p;
	size_t count = 0;

	if (!name_valid(name))
		return -EINVAL;
	peer = get_peer(node, id);
	if (!peer)
		return -ENOMEM;
	DL_FOREACH (peer->list, p)
		count += p->made && !p->removed;
	p = find_name(peer, name);
	if (p && p->made)
		return -EEXIST;
	if (count >= PIPES_MAX || (!p && !(p = make(peer, name)))) {
		drop_peer(peer);
		return count >= PIPES_MAX ? -EUSERS : -ENOMEM;
	}
	p->made = true;
	return 0;
}

int node_pipe_remove(struct node *node, const struct id *id, const char *name)
{
	struct pipe_peer *peer = pipes_find_peer(node, id);
	struct pipe *p = peer ? find_name(peer, name) : NULL;

	if (!p)
		return -ENOENT;
	p->removed = true;
	p->made = false;
	pipes_settle(p);
	return 0;
}

const struct id *node_pipe_owner(const struct pipe *p)
{
	return &p->peer->id;
}

bool node_pipe_linked(const struct pipe *p)
{
	return p->peer->link;
}

struct pipe *node_find_pipe(const struct node *node, uint32_t serial)
{
	struct pipe_peer *peer, *next;
	struct pipe *p;

	HASH_ITER (hh, node->pipes.table, peer, next)
		DL_FOREACH (peer->list, p)
			if (p->serial == serial)
				return p;
	return NULL;
}

struct pipe *node_next_pipe(const struct node *node, const struct id *id, const struct pipe *after)
{
	const struct pipe_peer *peer = pipes_find_peer(node, id);
	struct pipe *p = after ? after->next : peer ? peer->list : NULL;

	while (p && p->removed)
		p = p->next;
	return p;
}
