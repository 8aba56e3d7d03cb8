// SPDX-License-Identifier: MIT
// The table of sources.
#include "core/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"

static bool forgettable(const struct node *node, const struct source *s)
{
	const struct link *link;
	if (s == node->publisher.own || s->oldest || s->partial ||
		(!s->hearsay && node->now - s->active < RETAIN_TIME))
		return false;
	DL_FOREACH (node->links, link) {
		const struct lane *lane = lane_find(link, s);
		// A cut-loose lane may be in the middle of what has left the log.
		if (lane && (lane->cursor || lane->outstanding || lane->pulled ||
				    lane->credit < SOURCE_WINDOW_LEAST))
			return false;
	}
	return true;
}

// Hearsay goes first, then what has been silent for longest.
static bool before(const struct source *a, const struct source *b)
{
	return a->hearsay != b->hearsay ? a->hearsay : a->active < b->active;
}

// Forgets one source, if there is one that can be forgotten.
static void source_evict(struct node *node)
{
	struct broadcast *b = &node->broadcast;
	struct source *s, *next, *oldest = NULL;
	struct link *link;

	if (node->now < b->evict_next)
		return;
	HASH_ITER (hh, b->sources, s, next)
		if (forgettable(node, s) && (!oldest || before(s, oldest)))
			oldest = s;
	if (!oldest) {
		// Not looked for again for every source that somebody makes up.
		b->evict_next = node->now + SECOND;
		return;
	}
	plumtree_forget(node, oldest);
	DL_FOREACH (node->links, link) {
		free(lane_find(link, oldest));
		if (oldest->slot < link->lane_count)
			link->lanes[oldest->slot] = NULL;
	}
	HASH_DEL(b->sources, oldest);
	b->hearsay -= oldest->hearsay;
	b->slots[oldest->slot] = NULL;
	b->slot_low = oldest->slot < b->slot_low ? oldest->slot : b->slot_low;
	source_free(oldest);
}

void source_free(struct source *s)
{
	batch_free(s->partial);
	free(s->shown);
	free(s);
}

const uint8_t *source_show(const struct source *s, uint64_t next, size_t *n)
{
	const struct batch *b = s->newest;
	if (b && batch_next(b) >= next) {
		*n = batch_header_bytes(b->count, b->bytes);
		return b->header;
	}
	*n = s->shown_bytes;
	return s->shown && s->shown_next >= next ? s->shown : NULL;
}

void source_remember(struct source *s, const uint8_t *header, size_t n, uint64_t next)
{
	uint8_t *copy = s->shown && s->shown_next >= next ? NULL : realloc(s->shown, n);
	// Without it, a peer that asks for what is trimmed gets no answer, and comes to the same
	// end later.
	if (!copy)
		return;
	memcpy(copy, header, n);
	s->shown = copy;
	s->shown_bytes = n;
	s->shown_next = next;
}

static int source_slot(struct broadcast *b)
{
	for (; b->slot_low < b->slot_count; b->slot_low++)
		if (!b->slots[b->slot_low])
			return (int)b->slot_low;
	uint32_t free_slot = b->slot_count;
	uint32_t count = b->slot_count ? b->slot_count * 2 : 8;
	struct source **slots = realloc(b->slots, count * sizeof *slots);
	if (!slots)
		return -ENOMEM;
	memset(slots + b->slot_count, 0, (count - b->slot_count) * sizeof *slots);
	b->slots = slots;
	b->slot_count = count;
	return (int)free_slot;
}

struct source *source_find(struct node *node, const struct source_key *key)
{
	struct source *s;
	HASH_FIND(hh, node->broadcast.sources, key, sizeof *key, s);
	return s;
}

// A source that starts at `next`; NULL when there are too many or memory is out.
struct source *source_new(struct node *node, const struct source_key *key, uint64_t next)
{
	struct broadcast *b = &node->broadcast;
	if (HASH_COUNT(b->sources) >= SOURCES_MAX)
		source_evict(node);
	if (HASH_COUNT(b->sources) >= SOURCES_MAX) {
		node->counters.sources_refused++;
		return NULL;
	}
	struct source *s = calloc(1, sizeof *s);
	int slot = source_slot(b);
	if (!s || slot < 0) {
		free(s);
		return NULL;
	}
	s->key = *key;
	s->next = s->origin = next;
	s->slot = (uint32_t)slot;
	s->active = node->now;
	HASH_ADD(hh, b->sources, key, sizeof s->key, s);
	if (!s->hh.tbl) {
		free(s);
		return NULL;
	}
	b->slots[slot] = s;
	return s;
}
