// SPDX-License-Identifier: MIT
// From a nodeid to a handle. What is read and written there is fs/handle's.
#include "fs/open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <utlist.h>

#include "fs/text.h"

// Where no link is needed the work is done at once; -EINPROGRESS: it needs one to h->wanted.

static int open_duplex(struct handle *h, uint32_t serial, struct id *wanted)
{
	struct peer peer;

	if (!node_find_peer(h->set->node, serial, &peer))
		return -ESTALE;
	*wanted = peer.id;
	if (!peer.linked)
		return -EINPROGRESS;
	h->stream = stream_ref(peer.stream);
	h->stream->handles++;
	h->stream->writers += h->writable;
	if (h->readable)
		stream_reader_open(&h->reader, h->stream);
	return 0;
}

static int open_fifo(struct handle *h, uint32_t serial, bool nonblocking, struct id *wanted)
{
	struct pipe *pipe = node_find_pipe(h->set->node, serial);

	if (!pipe || pipe->removed)
		return -ESTALE;
	*wanted = *node_pipe_owner(pipe);
	// touch(1) opens a file like this, writes nothing and means nothing by it.
	bool later = h->writable && !h->readable && nonblocking;
	if (!node_pipe_linked(pipe) && !later && (h->writable || !pipe_kept(pipe)))
		return -EINPROGRESS;
	if (h->writable)
		pipe_writer_open(&h->writer, pipe);
	int r = h->writable && !later ? pipe_writer_begin(&h->writer) : 0;
	if (r == 0 && h->readable)
		pipe_reader_open(&h->pipe, pipe);
	else if (r < 0)
		pipe_writer_close(&h->writer);
	return r == -ENOLINK ? -EINPROGRESS : r;
}

static int open_feed(struct handle *h, uint32_t serial, pid_t pid)
{
	if (h->type == TREE_TOPIC) {
		struct topic *topic = node_find_topic(h->set->node, serial);
		if (!topic)
			return -ESTALE;
		h->topic = topic_ref(topic);
	}
	if (!h->readable)
		return 0;
	cursor_open(&h->cursor, node_log(h->set->node), node_now(h->set->node));
	h->cursor.tag = (uint32_t)pid;
	h->cursor.topic = h->topic ? h->topic->number : 0;
	h->cursor.loopback = h->set->loopback;
	h->cursor.writer = h->serial;
	return 0;
}

static int open_kind(
	struct handle *h, const struct tree_file *file, const struct wish *wish, struct id *wanted)
{
	uint32_t serial = tree_serial(wish->nodeid);
	struct text_context context = { h->set->node, h->set, serial };

	switch (file->kind) {
	case TREE_FEED:
		return open_feed(h, serial, wish->pid);
	case TREE_DUPLEX:
		return open_duplex(h, serial, wanted);
	case TREE_FIFO:
		return open_fifo(h, serial, wish->flags & O_NONBLOCK, wanted);
	case TREE_VERBS:
		return ctl_help(&h->text);
	case TREE_TEXT:
		return file->render(&h->text, &context);
	case TREE_SETTING:
		h->key = file->name;
		return 0;
	case TREE_LOG:
	case TREE_DIRECTORY:
	case TREE_SYMLINK:
		return 0;
	}
	return 0;
}

static int open_now(
	struct handle **handle, struct handles *set, const struct wish *wish, struct id *wanted)
{
	const struct tree_file *file = tree_file(wish->nodeid);
	int access = wish->flags & O_ACCMODE;

	if (!file)
		return -ESTALE;
	// For root, too, and where the kernel does not look: there is nothing to write to.
	if (access != O_RDONLY && !(file->mode & S_IWUSR))
		return -EACCES;
	struct handle *h = calloc(1, sizeof *h);
	if (!h)
		return -ENOMEM;
	h->set = set;
	h->type = file->type;
	h->kind = file->kind;
	if (++set->last_serial == 0)
		set->last_serial = 1;
	h->serial = set->last_serial;
	h->readable = access != O_WRONLY;
	h->writable = access != O_RDONLY;
	int r = open_kind(h, file, wish, wanted);
	if (r < 0) {
		buffer_fini(&h->text);
		free(h);
		return r;
	}
	DL_APPEND(set->open, h);
	set->count++;
	*handle = h;
	return 0;
}

static unsigned open_flags(enum tree_kind kind)
{
	switch (kind) {
	case TREE_FEED:
	case TREE_DUPLEX:
	case TREE_FIFO:
	case TREE_VERBS:
		// A stream has no position, hence no lock on it: without that flag a waiting read
		// stops, for good, whoever writes through the same descriptor.
		return FOPEN_DIRECT_IO | FOPEN_STREAM | FOPEN_NOFLUSH |
		       FOPEN_PARALLEL_DIRECT_WRITES;
	case TREE_TEXT:
	case TREE_LOG:
	case TREE_SETTING:
		return FOPEN_DIRECT_IO | FOPEN_NOFLUSH;
	case TREE_DIRECTORY:
	case TREE_SYMLINK:
		return 0;
	}
	return 0;
}

// Sent as it is on the wire: libfuse has no names for the flags that matter here.
static void reply(fuse_req_t req, struct handle *h, int error)
{
	if (error < 0) {
		fuse_reply_err(req, -error);
		return;
	}
	struct fuse_open_out out = { .fh = (uintptr_t)h, .open_flags = open_flags(h->kind) };
	// An open that was interrupted is never followed by its RELEASE.
	if (fuse_reply_buf(req, (const char *)&out, sizeof out) < 0)
		handle_close(h);
}

// A link has to be made first. 0: answered later.
static int park(
	struct handles *set, fuse_req_t req, const struct wish *wish, const struct id *wanted)
{
	struct call *call;
	int64_t token = node_reach(set->node, wanted, !(wish->flags & O_NONBLOCK));

	if (token <= 0)
		return token ? (int)token : -EAGAIN;
	int r = call_park(&call, &set->calls, CALL_OPEN, NULL, req, NULL, 0);
	if (r < 0) {
		node_connect_cancel(set->node, token);
		return r;
	}
	call->wish = *wish;
	call->wish.token = token;
	return 0;
}

void open_file(struct handles *set, fuse_req_t req, fuse_ino_t nodeid, int flags)
{
	struct wish wish = { nodeid, flags, fuse_req_ctx(req)->pid, 0 };
	struct handle *h = NULL;
	struct id wanted;
	int r = open_now(&h, set, &wish, &wanted);

	if (r == -EINPROGRESS) {
		r = set->stopping ? -EIO : park(set, req, &wish, &wanted);
		if (r == 0)
			return;
	}
	reply(req, h, r);
}

void open_wake(struct handles *set)
{
	struct call *call, *next;

	DL_FOREACH_SAFE (set->calls.queues[CALL_OPEN], call, next) {
		struct handle *h = NULL;
		struct id wanted;
		int r = node_connect_result(set->node, call->wish.token);
		if (r == -EINPROGRESS)
			continue;
		if (r == 0)
			r = open_now(&h, set, &call->wish, &wanted);
		// The link has gone again.
		reply(call->req, h, r == -EINPROGRESS ? -EIO : r);
		call_free(call);
	}
}
