// SPDX-License-Identifier: MIT
// What arrives, and what is missing. Storage is core/log's, sending core/lane's.
#include "core/broadcast.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"

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

static void on_trimmed(void *context, struct batch *batch)
{
	struct node *node = context;
	struct source *s = batch->source;
	s->oldest = batch->newer;
	if (s->oldest)
		s->oldest->older = NULL;
	else
		s->newest = NULL;
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
	struct source_key key = { node->config.id, node->config.incarnation };
	log_init(&node->log);
	node->log.context = node;
	node->log.released = on_released;
	node->log.trimmed = on_trimmed;
	node->log.skipped = on_skipped;
	node->log.detached = on_detached;
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
		batch_free(s->partial);
		free(s);
	}
	batch_free(node->publisher.open);
	free(b->slots);
}

// Appends a complete batch to the log and to every lane whose peer lacks it. Takes the batch.
int broadcast_append(struct node *node, struct batch *batch)
{
	struct source *s = batch->source;
	struct link *link;

	if (s->newest) {
		batch->older = s->newest;
		s->newest->newer = batch;
	} else {
		s->oldest = batch;
	}
	s->newest = batch;
	s->next = batch_next(batch);
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
		batch_free(batch);
		return -ENOMEM;
	}
	DL_FOREACH (node->links, link) {
		struct lane *lane = link_up(link) ? lane_get(link, s) : NULL;
		if (!lane || !lane->active || (!lane->cursor && lane->peer_next > batch->first))
			continue;
		log_hold(&node->log, batch);
		if (!lane->cursor)
			lane->cursor = batch;
		lane_update(link, lane);
	}
	node->log_changed = true;
	log_unhold(&node->log, batch);
	log_trim(&node->log, node->now);
	return 0;
}

// Does anybody wait for room that is held here?
static bool pressed(const struct node *node)
{
	const struct publisher *p = &node->publisher;
	struct link *link;

	if (p->waiting && p->held > PUBLISH_WINDOW / 2)
		return true;
	DL_FOREACH (node->links, link)
		for (uint32_t i = 0; link_up(link) && i < link->lane_count; i++) {
			const struct lane *lane = link->lanes[i];
			if (lane && lane->outstanding - lane->owed > SOURCE_WINDOW / 2)
				return true;
		}
	return false;
}

static void cut_loose(struct node *node, struct link *link)
{
	node->counters.links_slow++;
	NODE_EVENT(node, "slow", "id=%s addr=%s", id_format(&link->id).text,
		address_format(&link->remote).text);
	link_close(link, GOODBYE_SLOW);
}

// Does it keep more than there may be from being trimmed?
static bool lags(const struct node *node, const struct lane *lane)
{
	return lane->cursor && node->log.distance - lane->cursor->distance > LOG_BYTES;
}

// A link that grants nothing, or whose socket takes nothing, holds everybody up: it goes. So does
// one that is too far behind.
static void police_links(struct node *node)
{
	struct link *link;

	DL_FOREACH (node->links, link) {
		if (!link->ready && !buffer_length(&link->wire) && !buffer_length(&link->control))
			link->taken = node->now;
		if (link_up(link) && node->now - link->taken >= LINK_STALL_TIMEOUT)
			cut_loose(node, link);
		for (uint32_t i = 0; link_up(link) && i < link->lane_count; i++) {
			const struct lane *lane = link->lanes[i];
			if (lane && ((lane->blocked &&
					     node->now - lane->blocked >= LINK_STALL_TIMEOUT) ||
					    lags(node, lane)))
				cut_loose(node, link);
		}
	}
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
	log_police(&node->log, node->now, pressed(node));
	police_links(node);
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
	// Without anything kept or missing there is nothing to watch.
	return node->log.bytes || b->missing || b->partial_bytes ? b->police_next : UINT64_MAX;
}

void broadcast_link_up(struct node *node, struct link *link)
{
	struct broadcast *b = &node->broadcast;
	struct source *s = b->sources;
	uint32_t left = HASH_COUNT(b->sources);

	// Gathering ends here, so that what was written before the link is told as such.
	publisher_flush(node);
	do {
		uint16_t count = (uint16_t)(left < FRONTIER_ENTRIES ? left : FRONTIER_ENTRIES);
		size_t at = wire_begin_frontier(&link->control, left == count, count);
		left -= count;
		for (; count > 0; count--, s = s->hh.next) {
			struct frame_position p = { s->key, publisher_frontier(node, s) };
			struct lane *lane = lane_get(link, s);
			if (lane)
				lane->start = p.next;
			wire_put_frontier_entry(&link->control, &p);
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
	struct source *s, *next;
	HASH_ITER (hh, node->broadcast.sources, s, next)
		if (s->partial && s->partial_from == link->serial) {
			repair_drop_partial(node, s);
			repair_pull_all(node, s, link);
		}
}

// One source of a peer's list.
static int frontier_entry(struct link *link, const struct frame_position *p)
{
	struct node *node = link->node;
	struct source *s = source_find(node, &p->source);

	if (!s) {
		// A newcomer begins with what comes next. Later on, a source that we have not
		// heard of has said what we should have.
		s = source_new(node, &p->source, node->broadcast.joined ? 1 : p->next);
		if (!s)
			return 0;
		if (!lane_get(link, s))
			return 0;
	}
	struct lane *lane = lane_get(link, s);
	if (!lane)
		return 0;
	lane->start = p->next < s->next ? p->next : s->next;
	lane->peer_next = p->next;
	return 0;
}

// The peer's place is known in every source: whatever it lacks may flow.
static void exchange_done(struct link *link)
{
	struct node *node = link->node;
	struct source *s, *next;

	link->exchanged = true;
	node->broadcast.joined = true;
	HASH_ITER (hh, node->broadcast.sources, s, next) {
		struct lane *lane = lane_get(link, s);
		if (!lane)
			continue;
		uint64_t peer_next = lane->peer_next;
		if (lane->start == 0)
			lane->start = s->origin; // learnt since our own list went out
		lane_seek(link, lane, lane->start);
		lane->peer_next = peer_next > lane->start ? peer_next : lane->start;
		if (peer_next > s->next)
			repair_pull(link, s);
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
	if (lane && link->exchanged)
		lane_pull(link, lane, f->next);
	return 0;
}

// Is there another link that may send the source, without having left a batch of it unfinished?
static bool others_send(struct node *node, const struct link *link, const struct source *s)
{
	const struct link *l;
	DL_FOREACH (node->links, l) {
		const struct lane *lane = l != link && link_up(l) ? lane_find(l, s) : NULL;
		if (lane && l->exchanged && !lane->stalled)
			return true;
	}
	return false;
}

// Decides what becomes of a batch that begins to arrive.
static enum lane_receiving receive_as(
	struct link *link, struct source *s, const struct frame_batch *f)
{
	struct node *node = link->node;
	struct lane *lane = lane_get(link, s);

	if (s == node->publisher.own || f->first < s->next) {
		node->counters.batches_duplicate++;
		return LANE_DISCARD;
	}
	if (f->first > s->next) {
		// What is before it may be arriving elsewhere: asked for when that is there. After
		// TRIMMED the rest has to come from others, or be called a gap.
		lane->missed = true;
		repair_note(node, s);
		if (!s->partial && !lane->pulling && !lane->trimmed)
			repair_pull(link, s);
		return LANE_DISCARD;
	}
	lane->pulling = false;
	if (s->partial && s->partial_from != link->serial) {
		node->counters.batches_duplicate++;
		return LANE_DISCARD;
	}
	if (lane->stalled && others_send(node, link, s)) {
		lane->missed = true;
		return LANE_DISCARD;
	}
	repair_drop_partial(node, s);
	struct batch *b = node->broadcast.partial_bytes + f->bytes <= PARTIAL_BYTES
				  ? batch_new(s, f->first, f->count, f->bytes)
				  : NULL;
	if (!b) {
		// Asked for again when time is up, or sooner, when the next one shows the hole.
		repair_note(node, s);
		return LANE_DISCARD;
	}
	node->broadcast.partial_bytes += f->bytes;
	b->count = f->count;
	b->bytes = f->bytes;
	b->from = link->serial;
	for (uint16_t i = 0; i < f->count; i++)
		b->lengths[i] = wire_batch_length(f, i);
	s->partial = b;
	s->partial_from = link->serial;
	s->partial_bytes = 0;
	s->partial_at = node->now;
	return LANE_KEEP;
}

// Accounts for received bytes; -EPROTO when the window is exceeded.
static int account(struct link *link, struct lane *lane, uint64_t bytes)
{
	lane_take(link, lane, bytes);
	if (lane->outstanding > SOURCE_WINDOW)
		return -EPROTO;
	if (lane->receiving == LANE_DISCARD)
		lane_owe(link, lane, bytes);
	return 0;
}

int broadcast_batch(struct link *link, const struct frame_batch *f)
{
	struct node *node = link->node;
	if (!link->exchanged)
		return -EPROTO;
	struct source *s = source_find(node, &f->source);
	if (!s)
		s = source_new(node, &f->source, 1);
	struct lane *lane = s ? lane_get(link, s) : NULL;
	if (!lane) {
		// Neither kept nor credited: this peer's lane to us has to wait, or it ends.
		link_close(link, GOODBYE_MEMORY);
		return 0;
	}
	// Begun again: what had come of it is worth nothing.
	if (s->partial && s->partial_from == link->serial)
		repair_drop_partial(node, s);
	lane->receiving = receive_as(link, s, f);
	lane->batch_next = f->first + f->count;
	lane->batch_left = f->bytes;
	return account(link, lane, lane_header_charge(f->count));
}

static void batch_complete(struct link *link, struct lane *lane)
{
	struct node *node = link->node;
	struct source *s = lane->source;
	struct batch *batch = s->partial;
	uint32_t count = batch->count;
	size_t charge = batch_charge(batch);

	s->partial = NULL;
	node->broadcast.partial_bytes -= batch->bytes;
	s->missing_since = 0;
	s->gapped = false;
	if (broadcast_append(node, batch) < 0) {
		// No memory to keep it: given back, and asked for again.
		lane_owe(link, lane, charge);
		repair_pull(link, s);
		return;
	}
	node->counters.messages_received += count;
	repair_resume(node, s);
}

int broadcast_chunk(struct link *link, const struct frame_chunk *f)
{
	struct source *s = source_find(link->node, &f->source);
	struct lane *lane = s ? lane_find(link, s) : NULL;

	if (!lane || lane->receiving == LANE_IDLE || f->bytes > lane->batch_left)
		return -EPROTO;
	// The batch that was kept may have come from elsewhere, or was given up, since.
	if (lane->receiving == LANE_KEEP && (!s->partial || s->partial_from != link->serial))
		return -EPROTO;
	int r = account(link, lane, f->bytes);
	if (r < 0)
		return r;
	lane->batch_left -= f->bytes;
	if (lane->receiving == LANE_KEEP) {
		s->partial_at = link->node->now;
		memcpy(s->partial->data + s->partial_bytes, f->data, f->bytes);
		s->partial_bytes += f->bytes;
	}
	if (lane->batch_left > 0)
		return 0;
	bool keep = lane->receiving == LANE_KEEP;
	lane->receiving = LANE_IDLE;
	lane->stalled = false;
	if (lane->peer_next < lane->batch_next)
		lane->peer_next = lane->batch_next;
	if (keep)
		batch_complete(link, lane);
	else if (lane->missed && !s->partial && !lane->pulling && !lane->trimmed &&
		 lane->batch_next > s->next)
		repair_pull(link, s);
	return 0;
}

int broadcast_credited(struct link *link, const struct frame_credit *f)
{
	struct source *s = source_find(link->node, &f->source);
	struct lane *lane = s ? lane_find(link, s) : NULL;
	if (!lane)
		return 0;
	if (f->bytes > SOURCE_WINDOW - lane->credit)
		return -EPROTO;
	lane->credit += f->bytes;
	lane_update(link, lane);
	return 0;
}
