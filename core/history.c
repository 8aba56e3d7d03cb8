// SPDX-License-Identifier: MIT
// The most recent messages, and their places in a text that this module does not know.
#include "core/history.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/node_inner.h"

static size_t charge(const struct batch *b)
{
	return batch_charge(b) + sizeof(struct batch) + sizeof(struct history_entry);
}

static void pop(struct history *h)
{
	struct history_entry *e = history_at(h, h->tail++);

	if (e->size)
		h->begin = e->offset + e->size;
	else
		h->measured = h->tail;
	h->bytes -= charge(e->batch);
	batch_unpin(e->batch);
	topic_unref(e->topic);
	free(e);
}

void history_fini(struct history *h)
{
	while (h->tail < h->head)
		pop(h);
	free(h->ring);
	*h = (struct history){ 0 };
}

static int grow(struct history *h)
{
	size_t capacity = h->capacity ? h->capacity * 2 : 64;
	struct history_entry **ring = malloc(capacity * sizeof *ring);
	if (!ring)
		return -ENOMEM;
	for (uint64_t i = h->tail; i < h->head; i++)
		ring[i & (capacity - 1)] = history_at(h, i);
	free(h->ring);
	h->ring = ring;
	h->capacity = capacity;
	return 0;
}

static const char *name_of(struct node *node, const struct batch *b)
{
	if (b->own)
		return node->config.name;
	const struct member *member = members_find(&node->members, &b->source->key.id);
	return member ? member->name : "";
}

void history_add(struct node *node, struct batch *b, struct topic *topic)
{
	struct history *h = &node->history;

	if (h->limit == 0 || b->denied)
		return;
	const char *name = name_of(node, b);
	struct history_entry *e = calloc(1, sizeof *e + strlen(name) + 1);
	if (!e || (h->head - h->tail == h->capacity && grow(h) < 0)) {
		free(e);
		h->lost += b->count;
		return;
	}
	batch_pin(b);
	e->batch = b;
	e->topic = topic ? topic_ref(topic) : NULL;
	e->source = b->source->key.id;
	e->wall = node->wall;
	memcpy(e->name, name, strlen(name) + 1);
	h->ring[h->head++ & (h->capacity - 1)] = e;
	h->bytes += charge(b);
	h->changed = node->wall;
	// The latest stays, whatever it takes.
	while (h->bytes > h->limit && h->head - h->tail > 1)
		pop(h);
}

void history_measured(struct history *h, uint64_t size)
{
	assert(h->measured < h->head && size > 0);
	struct history_entry *e = history_at(h, h->measured++);

	e->offset = h->end;
	e->size = size;
	h->end += size;
}

uint64_t history_find(const struct history *h, uint64_t offset)
{
	uint64_t low = h->tail, high = h->measured;

	assert(offset >= h->begin && offset < h->end);
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;
		if (history_at(h, middle)->offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}
