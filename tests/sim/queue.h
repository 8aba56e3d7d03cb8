// SPDX-License-Identifier: MIT
// What is to happen, in the order of time and, at one time, in the order in which it was said: a
// heap of four children a node, which is half as deep as one of two.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum happening {
	HAPPEN_TIMER,	 // a node's deadline
	HAPPEN_SEGMENT,	 // bytes arrive
	HAPPEN_CLOSE,	 // the other end has closed
	HAPPEN_SYN,	 // a dial arrives
	HAPPEN_DIALLED,	 // its outcome does
	HAPPEN_ACCEPT,	 // the acceptor learns of the connection
	HAPPEN_RESOLVED, // a name is not known
	HAPPEN_RESUME,	 // a node that was stopped goes on
};

struct event {
	uint64_t at;
	uint64_t order;
	enum happening kind;
	uint32_t life; // of what it is about; an older one is void
	void *what;
};

struct queue {
	struct event *heap;
	size_t count, capacity;
	uint64_t order;
};

void queue_fini(struct queue *q);
void queue_put(struct queue *q, uint64_t at, enum happening kind, void *what, uint32_t life);
// The next event; the queue is not empty.
struct event queue_take(struct queue *q);
