// SPDX-License-Identifier: MIT
// Parked calls: READs, WRITEs and OPENs that cannot go on yet, in the queue of their kind, first
// come first served. Each can be interrupted; then it ends by itself.
#pragma once

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/node.h"
#include "fs/ctl.h"

struct handle;

enum call_queue {
	CALL_FEED_READ,
	CALL_FEED_WRITE,
	CALL_DUPLEX_READ,
	CALL_DUPLEX_WRITE,
	CALL_FIFO_READ,
	CALL_FIFO_WRITE,
	CALL_VERBS,
	CALL_OPEN,
	CALL_QUEUES,
};

// What an OPEN waits for.
struct wish {
	fuse_ino_t nodeid;
	int flags;
	pid_t pid;
	int64_t token; // of node_reach(), 0: it has come
};

struct call {
	struct call *prev, *next;
	struct calls *set;
	enum call_queue queue;
	struct handle *handle; // borrowed: it is open for as long as a call to it is under way;
			       // NULL: CALL_OPEN
	fuse_req_t req;
	size_t size;	  // READ: asked for; WRITE: bytes in `data`
	bool packet;	  // READ
	size_t before;	  // WRITE: bytes that went through before it parked
	size_t done;	  // WRITE: bytes of `data` that went through since
	struct ctl ctl;	  // CALL_VERBS
	struct wish wish; // CALL_OPEN
	uint8_t data[];
};

struct calls {
	struct node *node; // borrowed
	struct call *queues[CALL_QUEUES];
	unsigned changes; // enum node_change: as if these had happened, because a call left its
			  // queue
	uint32_t reads;
	uint32_t writes;
	uint32_t opens;
	size_t bytes;	  // of the data of writes, at most PARKED_BYTES
	uint64_t refused; // above that
};

// Parks a call with a copy of `data`; NULL for a READ or an OPEN. 0 with *call, or -EINTR (its
// process was signalled already), -ENOBUFS, -ENOMEM; then the request is still the caller's to
// answer.
int call_park(struct call **call, struct calls *set, enum call_queue queue, struct handle *h,
	fuse_req_t req, const void *data, size_t size);
// Its request has been answered.
void call_free(struct call *call);
// Answers with the number of bytes that went through or, when there are none, with the error.
void call_end(struct call *call, int error);
// The same for a WRITE that is not parked.
void call_reply_written(fuse_req_t req, size_t n, int error);
