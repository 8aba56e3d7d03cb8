// SPDX-License-Identifier: MIT
// Keeping and ending parked calls. When one can go on is fs/handle's to know.
#include "fs/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

// Which count it is one of.
static uint32_t *counter(struct calls *set, enum call_queue queue)
{
	switch (queue) {
	case CALL_FEED_READ:
	case CALL_DUPLEX_READ:
	case CALL_FIFO_READ:
		return &set->reads;
	case CALL_FEED_WRITE:
	case CALL_DUPLEX_WRITE:
	case CALL_FIFO_WRITE:
	case CALL_VERBS:
	case CALL_QUEUES:
		return &set->writes;
	case CALL_OPEN:
		return &set->opens;
	}
	return &set->writes;
}

void call_free(struct call *call)
{
	struct calls *set = call->set;

	DL_DELETE(set->queues[call->queue], call);
	uint32_t *count = counter(set, call->queue);
	--*count;
	if (count == &set->writes)
		set->bytes -= call->size;
	free(call);
}

void call_reply_written(fuse_req_t req, size_t n, int error)
{
	if (n > 0)
		fuse_reply_write(req, n);
	else
		fuse_reply_err(req, -error);
}

void call_end(struct call *call, int error)
{
	if (call->queue == CALL_VERBS) {
		ctl_cancel(&call->ctl, call->set->node);
		call->done = call->ctl.at;
	}
	if (call->queue == CALL_OPEN && call->wish.token)
		node_connect_cancel(call->set->node, call->wish.token);
	call_reply_written(call->req, call->before + call->done, error);
	call_free(call);
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct call *call = data;

	// A smaller write that stood behind this one may fit now.
	if (call->queue == CALL_FEED_WRITE)
		call->set->changes |= NODE_CHANGED_LOG;
	if (call->queue == CALL_DUPLEX_WRITE || call->queue == CALL_FIFO_WRITE)
		call->set->changes |= NODE_CHANGED_STREAMS;
	call_end(call, -EINTR);
}

int call_park(struct call **parked, struct calls *set, enum call_queue queue, struct handle *h,
	fuse_req_t req, const void *data, size_t size)
{
	size_t copied = data ? size : 0;

	// When the interrupt came first, fuse_req_interrupt_func() calls back at once, under a lock
	// in the request, which a reply from there would free.
	if (fuse_req_interrupted(req))
		return -EINTR;
	if (copied > PARKED_BYTES - set->bytes) {
		set->refused++;
		return -ENOBUFS;
	}
	struct call *call = malloc(sizeof *call + copied);
	if (!call)
		return -ENOMEM;
	*call = (struct call){ .set = set, .queue = queue, .handle = h, .req = req, .size = size };
	if (copied)
		memcpy(call->data, data, copied);
	DL_APPEND(set->queues[queue], call);
	set->bytes += copied;
	++*counter(set, queue);
	fuse_req_interrupt_func(req, on_interrupt, call);
	*parked = call;
	return 0;
}
