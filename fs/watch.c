// SPDX-License-Identifier: MIT
// The truth for poll(2). A file is told of once; its user then asks again, if it still cares.
#include "fs/watch.h"

#include <errno.h>
#include <poll.h>
#include <utlist.h>

#include "fs/handle.h"
#include "fs/logs.h"

#define READABLE ((uint32_t)(POLLIN | POLLRDNORM))
#define WRITABLE ((uint32_t)(POLLOUT | POLLWRNORM))

static uint32_t feed_events(struct handle *h)
{
	uint32_t events = 0;

	if (h->topic && h->topic->left)
		events |= POLLHUP | (h->readable ? READABLE : 0) |
			  (h->writable ? WRITABLE | POLLERR : 0);
	if (h->readable && cursor_ready(&h->cursor))
		events |= READABLE;
	// Room for the largest message: whoever is told so is not told EAGAIN afterwards.
	if (h->writable && !handle_is_behind(h) && node_has_room(h->set->node, MESSAGE_MAX))
		events |= WRITABLE;
	return events;
}

static uint32_t duplex_events(struct handle *h)
{
	struct stream *s = h->stream;
	uint32_t events = s->gone ? POLLHUP : 0;

	s->fresh = false;
	if (h->readable && (s->gone || stream_ready(&h->reader)))
		events |= READABLE;
	if (h->writable && s->gone)
		events |= WRITABLE | POLLERR;
	if (h->writable && !handle_is_behind(h) && stream_has_room(s))
		events |= WRITABLE;
	return events;
}

static uint32_t fifo_events(struct handle *h)
{
	const struct generation *g = h->readable ? h->pipe.generation : NULL;
	uint32_t events = g && g->state != GENERATION_OPEN && !g->queued ? POLLHUP : 0;

	if (h->readable && pipe_readable(&h->pipe))
		events |= READABLE;
	// Who waits for room means to write.
	if (h->writable && !h->writer.begun && !node_pipe_linked(h->writer.pipe))
		return handle_reach(h) == -EAGAIN ? events : events | WRITABLE | POLLERR;
	if (h->writable && pipe_broken(&h->writer))
		events |= WRITABLE | POLLERR;
	if (h->writable && !handle_is_behind(h) && pipe_writable(&h->writer))
		events |= WRITABLE;
	return events;
}

static uint32_t events_of(struct handle *h)
{
	uint32_t all = (h->readable ? READABLE : 0) | (h->writable ? WRITABLE : 0);

	if (h->set->stopping)
		return all | POLLHUP;
	switch (h->kind) {
	case TREE_FEED:
		return feed_events(h);
	case TREE_DUPLEX:
		return duplex_events(h);
	case TREE_FIFO:
		return fifo_events(h);
	case TREE_LOG:
		return logs_grown(h) ? all : 0;
	case TREE_TEXT:
	case TREE_VERBS:
	case TREE_SETTING:
	case TREE_DIRECTORY:
	case TREE_SYMLINK:
		return all;
	}
	return 0;
}

static unsigned changes_of(const struct handle *h)
{
	switch (h->kind) {
	case TREE_FEED:
		return NODE_CHANGED_LOG;
	case TREE_DUPLEX:
	case TREE_FIFO:
		return NODE_CHANGED_STREAMS;
	case TREE_LOG:
		return h->type == TREE_EVENTS ? NODE_CHANGED_EVENTS : NODE_CHANGED_LOG;
	case TREE_TEXT:
	case TREE_VERBS:
	case TREE_SETTING:
	case TREE_DIRECTORY:
	case TREE_SYMLINK:
		return 0;
	}
	return 0;
}

void watch_forget(struct handle *h)
{
	if (!h->poll)
		return;
	fuse_pollhandle_destroy(h->poll);
	h->poll = NULL;
	h->poll_wanted = 0;
	DL_DELETE2(h->set->watched, h, watched_prev, watched_next);
}

void watch_reply(struct handle *h, fuse_req_t req, uint32_t wanted, struct fuse_pollhandle *poll)
{
	if (poll) {
		// One stands for all: the kernel wakes everybody who polls this open file.
		wanted |= h->poll_wanted;
		watch_forget(h);
		h->poll = poll;
		h->poll_wanted = wanted;
		DL_APPEND2(h->set->watched, h, watched_prev, watched_next);
	}
	fuse_reply_poll(req, events_of(h));
}

// Not only what has just become true: with EPOLLET more of the same is news, too.
static void wake(struct handle *h)
{
	if ((events_of(h) & (h->poll_wanted | POLLHUP | POLLERR)) == 0)
		return;
	fuse_lowlevel_notify_poll(h->poll);
	watch_forget(h);
}

void watch_wake(struct handles *set, unsigned changes)
{
	struct handle *h, *next;

	DL_FOREACH_SAFE2(set->watched, h, next, watched_next)
	if (changes_of(h) & changes)
		wake(h);
}

void watch_stop(struct handles *set)
{
	struct handle *h, *next;

	DL_FOREACH_SAFE2(set->watched, h, next, watched_next)
	wake(h);
}
