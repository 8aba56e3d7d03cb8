// SPDX-License-Identifier: MIT
// Keeping and ending parked calls. When one can go on is fs/handle's to know.
#include "fs/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static bool is_read(enum call_queue queue)
{
	return queue == CALL_FEED_READ || queue == CALL_DUPLEX_READ;
}

void call_free(struct call *call)
{
	struct calls *set = call->set;

	DL_DELETE(set->queues[call->queue], call);
	if (is_read(call->queue)) {
		set->reads--;
	} else {
		set->writes--;
		set->bytes -= call->size;
	}
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
	call_reply_written(call->req, call->before + call->done, error);
	call_free(call);
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct call *call = data;

	// A smaller write that stood behind this one may fit now.
	if (call->queue == CALL_FEED_WRITE)
		call->set->changes |= NODE_CHANGED_LOG;
	if (call->queue == CALL_DUPLEX_WRITE)
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
	if (is_read(queue))
		set->reads++;
	else
		set->writes++;
	fuse_req_interrupt_func(req, on_interrupt, call);
	*parked = call;
	return 0;
}
