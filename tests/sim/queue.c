// SPDX-License-Identifier: MIT
#include "tests/sim/queue.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#define CHILDREN 4

void queue_fini(struct queue *q)
{
	free(q->heap);
	*q = (struct queue){ 0 };
}

static bool before(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void queue_put(struct queue *q, uint64_t at, enum happening kind, void *what, uint32_t life)
{
	if (q->count == q->capacity) {
		q->capacity = q->capacity ? q->capacity * 2 : 1024;
		q->heap = realloc(q->heap, q->capacity * sizeof *q->heap);
		assert(q->heap);
	}
	struct event e = { at, q->order++, kind, life, what };
	size_t i = q->count++;
	while (i > 0 && before(&e, &q->heap[(i - 1) / CHILDREN])) {
		q->heap[i] = q->heap[(i - 1) / CHILDREN];
		i = (i - 1) / CHILDREN;
	}
	q->heap[i] = e;
}

struct event queue_take(struct queue *q)
{
	struct event first = q->heap[0], last = q->heap[--q->count];
	size_t i = 0;

	for (;;) {
		size_t child = i * CHILDREN + 1, least = child;
		size_t end = child + CHILDREN < q->count ? child + CHILDREN : q->count;
		if (child >= q->count)
			break;
		for (size_t c = child + 1; c < end; c++)
			if (before(&q->heap[c], &q->heap[least]))
				least = c;
		if (!before(&q->heap[least], &last))
			break;
		q->heap[i] = q->heap[least];
		i = least;
	}
	q->heap[i] = last;
	return first;
}
