// SPDX-License-Identifier: MIT
// What is to happen, in the order of time and, at one time, in the order in which it was said.
//
// A hierarchical timing wheel (Varghese and Lauck, SOSP 1987): a level has 64 slots, a slot of the
// lowest is a microsecond, and one of the next above as long as all 64 below it. An event goes by a
// level two or three times, whatever else waits; and what is due in the next moments lies together,
// so that the memory it is about can be asked for before its turn.
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
	void *what;
	enum happening kind;
	uint32_t life; // of what it is about; an older one is void
};

#define QUEUE_BITS   6 // of time, for each level
#define QUEUE_SLOTS  (1 << QUEUE_BITS)
#define QUEUE_TURNS  6
#define QUEUE_LEVELS (64 / QUEUE_BITS + 1)

struct queue_slot {
	struct event *events; // [begin, end) are to come, in order
	uint32_t begin, end, capacity;
};

struct queue {
	size_t count;
	uint64_t now;		     // nothing comes before
	uint64_t used[QUEUE_LEVELS]; // a bit for each slot with something in it
	struct queue_slot slots[QUEUE_LEVELS][QUEUE_SLOTS];
	// Told of events shortly ahead, with 0, and again ever closer to their time, until
	// QUEUE_TURNS - 1. May be NULL; changes nothing.
	void (*soon)(const struct event *e, int turn);
};

void queue_fini(struct queue *q);
void queue_put(struct queue *q, uint64_t at, enum happening kind, void *what, uint32_t life);
// When the next event is; the queue is not empty.
uint64_t queue_next(const struct queue *q);
// The next event; the queue is not empty.
struct event queue_take(struct queue *q);
