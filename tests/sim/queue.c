// SPDX-License-Identifier: MIT
#include "tests/sim/queue.h"

#include <assert.h>
#include <stdlib.h>

// An empty slot keeps room for so many events.
#define KEPT 64

void queue_fini(struct queue *q)
{
	for (int level = 0; level < QUEUE_LEVELS; level++)
		for (int i = 0; i < QUEUE_SLOTS; i++)
			free(q->slots[level][i].events);
	*q = (struct queue){ 0 };
}

static void append(struct queue_slot *slot, const struct event *e)
{
	if (slot->end == slot->capacity) {
		slot->capacity = slot->capacity ? slot->capacity * 2 : 16;
		slot->events = realloc(slot->events, slot->capacity * sizeof *slot->events);
		assert(slot->events);
	}
	slot->events[slot->end++] = *e;
}

static void clear(struct queue_slot *slot)
{
	slot->begin = slot->end = 0;
	if (slot->capacity <= KEPT)
		return;
	free(slot->events);
	slot->events = NULL;
	slot->capacity = 0;
}

static unsigned slot_at(uint64_t at, int level)
{
	return at >> level * QUEUE_BITS & (QUEUE_SLOTS - 1);
}

// On the level of the highest digit in which its time is not now's.
static void place(struct queue *q, const struct event *e)
{
	uint64_t apart = e->at ^ q->now;
	int level = apart ? (63 - __builtin_clzll(apart)) / QUEUE_BITS : 0;
	unsigned i = slot_at(e->at, level);

	append(&q->slots[level][i], e);
	q->used[level] |= (uint64_t)1 << i;
}

void queue_put(struct queue *q, uint64_t at, enum happening kind, void *what, uint32_t life)
{
	q->count++;
	place(q, &(struct event){ at > q->now ? at : q->now, what, kind, life });
}

static int lowest(const struct queue *q)
{
	int level = 0;
	while (!q->used[level])
		level++;
	return level;
}

uint64_t queue_next(const struct queue *q)
{
	int level = lowest(q);
	const struct queue_slot *slot = &q->slots[level][__builtin_ctzll(q->used[level])];
	uint64_t next = slot->events[slot->begin].at;

	for (uint32_t i = slot->begin + 1; level > 0 && i < slot->end; i++)
		next = slot->events[i].at < next ? slot->events[i].at : next;
	return next;
}

static void tell(const struct queue *q, const struct queue_slot *slot, int turn)
{
	for (uint32_t i = slot->begin; i < slot->end; i++)
		q->soon(&slot->events[i], turn);
}

// The first slot of the level above comes next: of those after it, what is in them.
static void look_ahead(const struct queue *q)
{
	uint64_t left = q->used[1];

	for (int turn = QUEUE_TURNS - 1; turn >= 0 && left; turn--) {
		tell(q, &q->slots[1][__builtin_ctzll(left)], turn);
		left &= left - 1;
	}
}

// Spreads the first slot of a level over those below it.
static void spread(struct queue *q, int level)
{
	unsigned i = (unsigned)__builtin_ctzll(q->used[level]);
	struct queue_slot *slot = &q->slots[level][i];
	int shift = level * QUEUE_BITS;

	q->used[level] &= ~((uint64_t)1 << i);
	// Its own beginning: nothing of the levels below is of this time yet.
	q->now = ((q->now >> shift & ~(uint64_t)(QUEUE_SLOTS - 1)) | i) << shift;
	for (uint32_t k = slot->begin; k < slot->end; k++)
		place(q, &slot->events[k]);
	clear(slot);
	if (level == 1 && q->soon)
		look_ahead(q);
}

struct event queue_take(struct queue *q)
{
	int level;
	while ((level = lowest(q)) > 0)
		spread(q, level);
	unsigned i = (unsigned)__builtin_ctzll(q->used[0]);
	struct queue_slot *slot = &q->slots[0][i];
	struct event first = slot->events[slot->begin++];

	q->now = first.at;
	q->count--;
	if (slot->begin == slot->end) {
		clear(slot);
		q->used[0] &= ~((uint64_t)1 << i);
	}
	return first;
}
