// SPDX-License-Identifier: MIT
// Open files. Replies are checked where they leave, in fs/session; here only a reply that gives
// data away cares for its result: what the kernel did not take is not consumed.
#include "fs/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <utlist.h>

#include "core/limits.h"
#include "core/net.h"
#include "fs/logs.h"
#include "fs/open.h"
#include "fs/watch.h"

// A READ or WRITE carries 1 MiB, less up to a page when the buffer is not aligned. The kernel
// takes one that is answered to the full as a sign of more and asks again, which would block with
// data in hand: from this size on the last byte is left out. A message still fits whole.
#define READ_FULL (MESSAGE_MAX + 1)
// The header of a reply takes one of the 1024 that writev(2) accepts.
#define READ_VECTORS 1023

// Closing.

void handle_close(struct handle *h)
{
	watch_forget(h);
	if (h->kind == TREE_FEED && h->readable)
		cursor_close(&h->cursor);
	topic_unref(h->topic);
	messages_window_fini(&h->window);
	if (h->kind == TREE_DUPLEX) {
		if (h->readable)
			stream_reader_close(&h->reader);
		h->stream->handles--;
		h->stream->writers -= h->writable;
		stream_unref(h->stream);
	}
	if (h->writer.pipe)
		pipe_writer_close(&h->writer);
	if (h->pipe.pipe)
		pipe_reader_close(&h->pipe);
	DL_DELETE(h->set->open, h);
	h->set->count--;
	buffer_fini(&h->text);
	free(h);
}

// Reading.

int handle_reply_text(struct handle *h, fuse_req_t req, size_t size, uint64_t offset)
{
	size_t length = buffer_length(&h->text);

	if (offset >= length)
		return fuse_reply_buf(req, NULL, 0);
	if (size > length - offset)
		size = length - offset;
	return fuse_reply_buf(req, (const char *)buffer_bytes(&h->text) + offset, size);
}

// A stream to the kernel, which keeps no position for it.
static void read_verbs(struct handle *h, fuse_req_t req, size_t size)
{
	size_t left = buffer_length(&h->text) - h->position;

	if (handle_reply_text(h, req, size, h->position) == 0)
		h->position += size < left ? size : left;
}

// The value of now, whenever reading begins.
static void read_setting(struct handle *h, fuse_req_t req, size_t size, uint64_t offset)
{
	int r = 0;

	if (offset == 0) {
		buffer_fini(&h->text);
		r = config_read(&h->set->config, h->key, &h->text);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		handle_reply_text(h, req, size, offset);
}

// 0 when the kernel took it. -ENOENT: the call was interrupted.
static int reply_vectors(fuse_req_t req, const struct iovec *vectors, int count)
{
	if (count == 1)
		return fuse_reply_buf(req, vectors->iov_base, vectors->iov_len);
	return fuse_reply_iov(req, vectors, count);
}

// These two return false when there is nothing to say yet.
static bool try_read_feed(struct handle *h, fuse_req_t req, size_t size, bool packet)
{
	struct node *node = h->set->node;
	struct iovec vectors[READ_VECTORS];
	int count;
	size_t n = cursor_peek(
		&h->cursor, node_now(node), size, packet, vectors, &count, READ_VECTORS);

	bool over = n == 0 && (h->set->stopping || cursor_ended(&h->cursor));

	if (over)
		fuse_reply_buf(req, NULL, 0);
	else if (n > 0 && reply_vectors(req, vectors, count) == 0)
		node_counters(node)->bytes_discarded +=
			cursor_advance(&h->cursor, node_now(node), n, packet);
	return n > 0 || over;
}

static bool try_read_duplex(struct handle *h, fuse_req_t req, size_t size)
{
	struct iovec vector;

	h->stream->fresh = false;
	ssize_t n = stream_peek(&h->reader, size, &vector);
	if (n > 0 && reply_vectors(req, &vector, 1) == 0)
		stream_consume(&h->reader, (size_t)n);
	else if (n == 0)
		fuse_reply_buf(req, NULL, 0);
	else if (n == -EAGAIN && h->set->stopping) // the end of us, not of what the peer said
		fuse_reply_err(req, EIO);
	return n != -EAGAIN || h->set->stopping;
}

static bool try_read_fifo(struct handle *h, fuse_req_t req, size_t size)
{
	struct iovec vector;
	ssize_t n = pipe_peek(&h->pipe, size, &vector);

	if (n > 0 && reply_vectors(req, &vector, 1) == 0)
		pipe_consume(&h->pipe, (size_t)n);
	else if (n == 0)
		fuse_reply_buf(req, NULL, 0);
	else if (n == -EIO || (n == -EAGAIN && h->set->stopping))
		fuse_reply_err(req, EIO);
	return n != -EAGAIN || h->set->stopping;
}

static bool try_read(struct handle *h, fuse_req_t req, size_t size, bool packet)
{
	if (h->kind == TREE_FEED)
		return try_read_feed(h, req, size, packet);
	return h->kind == TREE_FIFO ? try_read_fifo(h, req, size) : try_read_duplex(h, req, size);
}

static enum call_queue read_queue(const struct handle *h)
{
	if (h->kind == TREE_FEED)
		return CALL_FEED_READ;
	return h->kind == TREE_FIFO ? CALL_FIFO_READ : CALL_DUPLEX_READ;
}

static enum call_queue write_queue(const struct handle *h)
{
	if (h->kind == TREE_FEED)
		return CALL_FEED_WRITE;
	return h->kind == TREE_FIFO ? CALL_FIFO_WRITE : CALL_DUPLEX_WRITE;
}

static void read_or_park(struct handle *h, fuse_req_t req, size_t size, int flags)
{
	bool packet = flags & O_DIRECT;
	struct call *call;
	int r = -EAGAIN;

	if (size >= READ_FULL)
		size--;
	if (try_read(h, req, size, packet))
		return;
	if (!(flags & O_NONBLOCK))
		r = call_park(&call, &h->set->calls, read_queue(h), h, req, NULL, size);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		call->packet = packet;
}

void handle_read(struct handle *h, fuse_req_t req, size_t size, off_t offset, int flags)
{
	switch (h->kind) {
	case TREE_TEXT:
		handle_reply_text(h, req, size, (uint64_t)offset);
		return;
	case TREE_LOG:
		logs_read(h, req, size, (uint64_t)offset);
		return;
	case TREE_VERBS:
		read_verbs(h, req, size);
		return;
	case TREE_SETTING:
		read_setting(h, req, size, (uint64_t)offset);
		return;
	case TREE_FEED:
	case TREE_DUPLEX:
	case TREE_FIFO:
		read_or_park(h, req, size, flags);
		return;
	case TREE_DIRECTORY:
	case TREE_SYMLINK:
		fuse_reply_err(req, EISDIR);
		return;
	}
}

// Writing.

int handle_reach(struct handle *h)
{
	int r = (int)node_reach(h->set->node, node_pipe_owner(h->writer.pipe), false);

	return r ? r : -EAGAIN;
}

// Who has opened it without waiting for a link gets one with the first write.
static ssize_t offer_fifo(struct handle *h, const uint8_t *data, size_t n)
{
	ssize_t r = pipe_write(&h->writer, data, n);

	return r == -ENOLINK ? handle_reach(h) : r;
}

// Hands over a message or a part of the stream: the count or -errno.
static ssize_t offer(struct handle *h, const uint8_t *data, size_t n)
{
	if (h->kind == TREE_DUPLEX) {
		h->stream->fresh = false;
		return stream_write(h->stream, data, n);
	}
	if (h->kind == TREE_FIFO)
		return offer_fifo(h, data, n);
	// An aligned WRITE can hold a page more than a message: it becomes two.
	if (n > MESSAGE_MAX)
		n = MESSAGE_MAX;
	int r = node_publish_to(h->set->node, h->topic, h->set->loopback ? h->serial : 0, data, n);
	return r < 0 ? r : (ssize_t)n;
}

// Hands over what there is room for: the count, and in *error why that is not all, else 0.
static size_t offer_all(struct handle *h, const uint8_t *data, size_t size, int *error)
{
	size_t done = 0;

	*error = 0;
	while (done < size) {
		ssize_t n = offer(h, data + done, size - done);
		if (n < 0) {
			*error = (int)n;
			break;
		}
		done += (size_t)n;
	}
	return done;
}

bool handle_is_behind(const struct handle *h)
{
	const struct calls *calls = &h->set->calls;
	struct call *call;

	if (h->kind == TREE_FEED)
		return calls->queues[CALL_FEED_WRITE];
	DL_FOREACH (calls->queues[write_queue(h)], call)
		if (call->handle->stream == h->stream &&
			call->handle->writer.pipe == h->writer.pipe)
			return true;
	return false;
}

// Is this write the only one for now? Then it leaves before the reply, which would give the
// processor to its writer first. Whoever writes again at once, or together with others, is served
// better by what a whole turn gathers.
static bool is_alone(const struct handles *set)
{
	return set->flush && set->lone && node_now(set->node) - set->answered >= BATCH_IDLE;
}

static void write_or_park(
	struct handle *h, fuse_req_t req, const uint8_t *data, size_t size, int flags)
{
	struct calls *calls = &h->set->calls;
	struct call *call;
	size_t done = 0;
	int error = -EAGAIN;

	if (!handle_is_behind(h))
		done = offer_all(h, data, size, &error);
	if (error == -EAGAIN && !(flags & O_NONBLOCK)) {
		error = call_park(&call, calls, write_queue(h), h, req, data + done, size - done);
		if (error == 0) {
			call->before = done;
			return;
		}
	}
	if (done && is_alone(h->set))
		h->set->flush(h->set->flush_context);
	call_reply_written(req, done, error);
	if (h->set->lone)
		h->set->answered = net_now();
}

// Waits with O_NONBLOCK, too: a second write could not take up the dial of the first.
static void write_verbs(struct handle *h, fuse_req_t req, const uint8_t *data, size_t size)
{
	struct ctl ctl = { .text = data, .length = size, .keeper = &h->set->keeper };
	struct call *call;
	ssize_t r = ctl_run(&ctl, h->set->node);

	if (r == -EINPROGRESS) {
		r = call_park(&call, &h->set->calls, CALL_VERBS, h, req, data, size);
		if (r == 0) {
			call->ctl = ctl;
			call->ctl.text = call->data;
			return;
		}
		ctl_cancel(&ctl, h->set->node);
	}
	call_reply_written(req, ctl.at, (int)r);
}

// Each write is one value, wherever in the file: `>>` appends nothing.
static void write_setting(struct handle *h, fuse_req_t req, const void *data, size_t size)
{
	int r = config_write(&h->set->config, h->set->node, h->key, data, size);

	call_reply_written(req, r < 0 ? 0 : size, r);
}

void handle_write(struct handle *h, fuse_req_t req, const void *data, size_t size, int flags)
{
	if (h->set->stopping) {
		fuse_reply_err(req, EIO);
		return;
	}
	switch (h->kind) {
	case TREE_FEED:
	case TREE_DUPLEX:
	case TREE_FIFO:
		write_or_park(h, req, data, size, flags);
		return;
	case TREE_VERBS:
		write_verbs(h, req, data, size);
		return;
	case TREE_SETTING:
		write_setting(h, req, data, size);
		return;
	case TREE_TEXT:
	case TREE_LOG:
	case TREE_DIRECTORY:
	case TREE_SYMLINK:
		fuse_reply_err(req, EBADF);
		return;
	}
}

// All of them.

void handles_init(struct handles *set, struct node *node)
{
	*set = (struct handles){ .node = node, .calls.node = node };
}

void handles_fini(struct handles *set)
{
	struct handle *h, *next;

	handles_stop(set);
	DL_FOREACH_SAFE (set->open, h, next)
		handle_close(h);
}

static void wake_reads(struct handles *set, enum call_queue queue)
{
	struct call *call, *next;

	DL_FOREACH_SAFE (set->calls.queues[queue], call, next)
		if (try_read(call->handle, call->req, call->size, call->packet))
			call_free(call);
}

static void wake_writes(struct handles *set, enum call_queue queue)
{
	struct call *call, *next;

	DL_FOREACH_SAFE (set->calls.queues[queue], call, next) {
		const uint8_t *rest = call->data + call->done;
		int error;
		call->done += offer_all(call->handle, rest, call->size - call->done, &error);
		if (error != -EAGAIN)
			call_end(call, error);
		// A smaller message further back might fit, and must not overtake. On a stream
		// there is nothing left for those behind.
		else if (queue == CALL_FEED_WRITE)
			return;
	}
}

static void wake_verbs(struct handles *set)
{
	struct call *call, *next;

	DL_FOREACH_SAFE (set->calls.queues[CALL_VERBS], call, next) {
		ssize_t r = ctl_run(&call->ctl, set->node);
		if (r != -EINPROGRESS)
			call_end(call, (int)r);
	}
}

void handles_wake(struct handles *set, unsigned changes)
{
	changes |= set->calls.changes;
	set->calls.changes = 0;
	if (changes & NODE_CHANGED_LOG) {
		wake_reads(set, CALL_FEED_READ);
		wake_writes(set, CALL_FEED_WRITE);
	}
	if (changes & NODE_CHANGED_STREAMS) {
		wake_reads(set, CALL_DUPLEX_READ);
		wake_writes(set, CALL_DUPLEX_WRITE);
		wake_reads(set, CALL_FIFO_READ);
		wake_writes(set, CALL_FIFO_WRITE);
	}
	if (changes & NODE_CHANGED_CONNECTS) {
		wake_verbs(set);
		open_wake(set);
	}
	watch_wake(set, changes);
}

void handles_stop(struct handles *set)
{
	struct call *call, *next;

	set->stopping = true;
	wake_reads(set, CALL_FEED_READ);
	wake_reads(set, CALL_DUPLEX_READ);
	wake_reads(set, CALL_FIFO_READ);
	for (enum call_queue queue = 0; queue < CALL_QUEUES; queue++)
		DL_FOREACH_SAFE (set->calls.queues[queue], call, next)
			call_end(call, -EIO);
	watch_stop(set);
}
