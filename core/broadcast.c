// SPDX-License-Identifier: MIT
// What is kept and who waits for it. Storage is core/log's, sending core/lane's, and what arrives
// core/receive.c's.
#include "core/broadcast.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/mutant.h"
#include "core/node_inner.h"
#include "core/signing.h"

// Nobody holds it any more: its room goes back to whoever sent it.
static void on_released(void *context, struct batch *batch)
{
	struct node *node = context;
	node->log_changed = true;
	if (batch->own) {
		node->publisher.held -= batch_charge(batch);
		return;
	}
	struct link *link = node_link_by_serial(node, batch->from);
	struct lane *lane = link && link_up(link) ? lane_find(link, batch->source) : NULL;
	if (lane)
		lane_owe(link, lane, batch_charge(batch));
}

// A neighbour that gets it from elsewhere and still lacks it holds it: then writers wait.
static void on_leaving(void *context, struct batch *batch)
{
	struct node *node = context;
	struct link *link;
	DL_FOREACH (node->links, link) {
		struct lane *lane = link_up(link) ? lane_find(link, batch->source) : NULL;
		if (lane)
			lane_guard(link, lane, batch);
	}
}

static void on_trimmed(void *context, struct batch *batch)
{
	struct node *node = context;
	struct source *s = batch->source;
	struct link *link;

	s->oldest = batch->newer;
	if (s->oldest) {
		s->oldest->older = NULL;
	} else {
		s->newest = NULL;
		source_remember(s, batch->header, batch_header_bytes(batch->count, batch->bytes),
			batch_next(batch));
	}
	DL_FOREACH (node->links, link) {
		struct lane *lane = lane_find(link, s);
		if (lane)
			lane_lost(link, lane, batch);
	}
	if (batch->own && !batch->sent) {
		node->publisher.unsent -= batch_charge(batch);
		node->publisher.lost_messages += batch->count;
		node->publisher.lost_bytes += batch->bytes;
	}
	node->log_changed = true;
}

static void on_skipped(void *context, struct cursor *c, uint64_t messages)
{
	struct node *node = context;
	node->counters.messages_overrun += messages;
	NODE_EVENT(node, "overrun", "reader=%u messages=%" PRIu64, c->tag, messages);
}

static void on_detached(void *context, struct cursor *c)
{
	struct node *node = context;
	NODE_EVENT(node, "slow", "reader=%u", c->tag);
}

int broadcast_init(struct node *node)
{
	struct source_key key = { node->id, node->config.incarnation };
	log_init(&node->log);
	node->log.context = node;
	node->log.released = on_released;
	node->log.leaving = on_leaving;
	node->log.trimmed = on_trimmed;
	node->log.skipped = on_skipped;
	node->log.detached = on_detached;
	node->broadcast.window = SOURCE_WINDOW_LEAST;
	node->publisher.own = source_new(node, &key, 1);
	return node->publisher.own ? 0 : -ENOMEM;
}

void broadcast_fini(struct node *node)
{
	struct broadcast *b = &node->broadcast;
	struct source *s, *next;

	log_fini(&node->log);
	HASH_ITER (hh, b->sources, s, next) {
		HASH_DEL(b->sources, s);
		source_free(s);
	}
	batch_free(node->publisher.open);
	free(b->slots);
}

// Appends a complete batch to the log and to every lane whose peer lacks it.
int broadcast_append(struct node *node, struct batch *batch)
{
	struct source *s = batch->source;
	struct link *link;

	plumtree_wake(node, s);
	broadcast_speaks(node, s);
	if (s->newest) {
		batch->older = s->newest;
		s->newest->newer = batch;
	} else {
		s->oldest = batch;
	}
	s->newest = batch;
	s->next = batch_next(batch) - MUTANT(twice) +
		  (MUTANT(skip) && !batch->own && batch->first % 5 == 0);
	s->active = node->now;
	// Held while the lanes look at it, so that it is released once and not before.
	batch->holds = 1;
	if (log_append(&node->log, batch, node->now) < 0) {
		s->newest = batch->older;
		if (s->newest)
			s->newest->newer = NULL;
		else
			s->oldest = NULL;
		s->next = batch->first;
		return -ENOMEM;
	}
	DL_FOREACH (node->links, link) {
		struct lane *lane = link_up(link) ? lane_get(link, s) : NULL;
		if (lane && (batch->own || !MUTANT(deaf)))
			lane_offer(link, lane, batch);
	}
	topics_arrived(node, batch);
	node->log_changed = true;
	log_unhold(&node->log, batch);
	log_trim(&node->log, node->now);
	return 0;
}

void broadcast_enforce_access(struct node *node)
{
	struct source *s, *next;
	HASH_ITER (hh, node->broadcast.sources, s, next) {
		if (!access_denied(node->config.access, &s->key.id))
			continue;
		for (struct batch *b = s->oldest; b; b = b->newer)
			b->denied = true;
		if (s->partial)
			s->partial->denied = true;
	}
}

static bool speaks(const struct node *node, const struct source *s)
{
	return s->partial || node->now - s->active < SECOND;
}

// All windows together are what may be held, as far as each is large enough.
static void size_windows(struct node *node, uint32_t speaking)
{
	uint64_t window = WINDOWS_BYTES / (speaking ? speaking : 1);

	window = window < SOURCE_WINDOW ? window : SOURCE_WINDOW;
	node->broadcast.speaking = speaking;
	node->broadcast.window = window > SOURCE_WINDOW_LEAST ? window : SOURCE_WINDOW_LEAST;
}

static void count_speaking(struct node *node)
{
	struct source *s, *next;
	uint32_t speaking = 0;

	HASH_ITER (hh, node->broadcast.sources, s, next)
		speaking += speaks(node, s);
	size_windows(node, speaking);
}

void broadcast_speaks(struct node *node, const struct source *s)
{
	// Before many that begin at once have all been given much.
	if (!speaks(node, s))
		size_windows(node, node->broadcast.speaking + 1);
}

void broadcast_tick(struct node *node)
{
	struct broadcast *b = &node->broadcast;

	if (node->publisher.open && node->now >= node->publisher.open_until)
		publisher_flush(node);
	if (node->now < b->police_next)
		return;
	b->police_next = node->now + POLICE_INTERVAL;
	log_trim(&node->log, node->now);
	publisher_report(node);
	count_speaking(node);
	stall_tick(node);
	if (node->now >= b->settle_next) {
		b->settle_next = node->now + RETAIN_TIME;
		lane_settle_all(node);
	}
	repair_tick(node);
}

uint64_t broadcast_deadline(const struct node *node)
{
	const struct broadcast *b = &node->broadcast;
	if (node->publisher.open)
		return node->publisher.open_until;
	// Without anything held or missing there is nothing to watch: what is kept grows old.
	if (node->log.held || b->missing || b->partial_bytes)
		return b->police_next;
	uint64_t old = log_due(&node->log);
	return old > b->police_next ? old : b->police_next;
}

void broadcast_link_up(struct node *node, struct link *link)
{
	struct broadcast *b = &node->broadcast;
	struct source *s = b->sources;
	// Hearsay is not told on: of such a source the peer begins with what comes next.
	uint32_t left = HASH_COUNT(b->sources) - b->hearsay;

	// Gathering ends here, so that what was written before the link is told as such.
	publisher_flush(node);
	do {
		uint16_t count = (uint16_t)(left < FRONTIER_ENTRIES ? left : FRONTIER_ENTRIES);
		size_t at = wire_begin_frontier(&link->control, left == count, count);
		left -= count;
		for (; count > 0; s = s->hh.next) {
			if (s->hearsay)
				continue;
			struct frame_position p = { s->key, publisher_frontier(node, s) };
			struct lane *lane = lane_get(link, s);
			if (lane)
				lane->start = lane->told = p.next;
			wire_put_frontier_entry(&link->control, &p);
			count--;
		}
		wire_end(&link->control, at);
	} while (left > 0);
	link_touch(link);
}

void broadcast_link_down(struct node *node, struct link *link)
{
	for (uint32_t i = 0; i < link->lane_count; i++) {
		struct lane *lane = link->lanes[i];
		if (lane)
			lane_release(link, lane);
	}
	plumtree_link_down(node, link);
}

// One source of a peer's list.
static int frontier_entry(struct link *link, const struct frame_position *p)
{
	struct node *node = link->node;
	struct source *s = source_find(node, &p->source);

	if (!s && node->broadcast.joined) {
		plumtree_claimed(link, &p->source, p->next, 0);
		return 0;
	}
	if (!s) {
		// A newcomer begins with what comes next. A name on a list takes nobody's place.
		bool full = HASH_COUNT(node->broadcast.sources) >= SOURCES_MAX;
		s = full ? NULL : source_new(node, &p->source, p->next);
		node->counters.sources_refused += full;
		if (!s)
			return 0;
		s->hearsay = true;
		node->broadcast.hearsay++;
	}
	struct lane *lane = lane_get(link, s);
	if (!lane)
		return 0;
	lane->start = p->next < s->next ? p->next : s->next;
	lane->peer_next = lane->word = p->next;
	return 0;
}

// The peer's place is known in every source: whatever it lacks may flow.
static void exchange_done(struct link *link)
{
	struct node *node = link->node;
	struct source *s, *next;

	link->exchanged = true;
	node->broadcast.joined = true;
	if (MUTANT(forgetful))
		return;
	HASH_ITER (hh, node->broadcast.sources, s, next) {
		struct lane *lane = lane_get(link, s);
		if (!lane)
			continue;
		uint64_t peer_next = lane->peer_next;
		if (lane->start == 0)
			lane->start = s->origin; // learnt since our own list went out
		// What nobody has yet comes to it unasked.
		if (lane_eager(link, lane) || (s == node->publisher.own && node->publisher.unsent))
			lane_seek(link, lane, lane->start);
		else
			lane_place(link, lane, lane->start);
		lane_peer_has(link, lane, peer_next);
		if (peer_next > s->next && !s->hearsay)
			plumtree_claimed(link, &s->key, peer_next, 0);
	}
}

int broadcast_frontier(struct link *link, const struct frame_frontier *f)
{
	link->listed += f->count;
	if (link->exchanged || link->listed > SOURCES_MAX)
		return -EPROTO;
	for (uint16_t i = 0; i < f->count; i++) {
		struct frame_position p = wire_frontier_entry(f, i);
		int r = frontier_entry(link, &p);
		if (r < 0)
			return r;
	}
	if (f->last)
		exchange_done(link);
	return 0;
}

int broadcast_pull(struct link *link, const struct frame_position *f)
{
	struct source *s = source_find(link->node, &f->source);
	struct lane *lane = s ? lane_get(link, s) : NULL;
	if (lane && link->exchanged) {
		lane_pull(link, lane, f->next);
		plumtree_pulled(link, s);
	}
	return 0;
}

int broadcast_credited(struct link *link, const struct frame_credit *f)
{
	struct source *s = source_find(link->node, &f->source);
	struct lane *lane = s ? lane_find(link, s) : NULL;
	if (!lane)
		return 0;
	if (f->bytes > SOURCE_WINDOW)
		return -EPROTO;
	lane_grant(link, lane, f->bytes);
	return 0;
}
