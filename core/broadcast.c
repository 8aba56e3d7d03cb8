// SPDX-License-Identifier: MIT
// Messages to everyone: sources, lanes, and what a frame does to them. Storage is core/log's.
#include "core/broadcast.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"

static struct source *source_find(struct node *node, const struct source_key *key)
{
	struct source *s;
	HASH_FIND(hh, node->broadcast.sources, key, sizeof *key, s);
	return s;
}

static struct lane *lane_find(const struct link *link, const struct source *s)
{
	return s->slot < link->lane_count ? link->lanes[s->slot] : NULL;
}

static void lane_due(struct link *link, struct lane *lane)
{
	if (lane->is_due)
		return;
	lane->is_due = true;
	DL_APPEND2(link->due, lane, due_prev, due_next);
	link_touch(link);
}

// Credit that is too little to be worth a frame, given back because nothing more comes: a lane
// without anything under way can be forgotten by both ends.
static void settle_lanes(struct node *node)
{
	struct link *link;
	DL_FOREACH(node->links, link)
		for (uint32_t i = 0; link_up(link) && i < link->lane_count; i++) {
			struct lane *lane = link->lanes[i];
			if (lane && lane->owed && node->now - lane->source->active > RETAIN_TIME)
				lane_due(link, lane);
		}
}

static bool forgettable(const struct node *node, const struct source *s)
{
	const struct link *link;
	if (s == node->broadcast.own || s->oldest || s->partial ||
		node->now - s->active < RETAIN_TIME)
		return false;
	DL_FOREACH(node->links, link) {
		const struct lane *lane = lane_find(link, s);
		if (lane && (lane->outstanding || lane->credit != SOURCE_WINDOW))
			return false;
	}
	return true;
}

// Forgets the source that has been silent for longest, if there is one that can be forgotten.
static void source_evict(struct node *node)
{
	struct broadcast *b = &node->broadcast;
	struct source *s, *next, *oldest = NULL;
	struct link *link;

	HASH_ITER(hh, b->sources, s, next)
		if (forgettable(node, s) && (!oldest || s->active < oldest->active))
			oldest = s;
	if (!oldest)
		return;
	DL_FOREACH (node->links, link) {
		free(lane_find(link, oldest));
		if (oldest->slot < link->lane_count)
			link->lanes[oldest->slot] = NULL;
	}
	HASH_DEL(b->sources, oldest);
	b->slots[oldest->slot] = NULL;
	free(oldest);
}

static int source_slot(struct broadcast *b)
{
	for (uint32_t i = 0; i < b->slot_count; i++)
		if (!b->slots[i])
			return (int)i;
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

// A source that starts at `next`; NULL when there are too many or memory is out.
static struct source *source_new(struct node *node, const struct source_key *key, uint64_t next)
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
	b->slots[slot] = s;
	HASH_ADD(hh, b->sources, key, sizeof s->key, s);
	return s;
}

// The lane of a source on a link, made when it is not there; NULL when memory is out.
static struct lane *lane_get(struct link *link, struct source *s)
{
	struct lane *lane = lane_find(link, s);
	if (lane)
		return lane;
	if (s->slot >= link->lane_count) {
		uint32_t count = link->node->broadcast.slot_count;
		struct lane **lanes = realloc(link->lanes, count * sizeof *lanes);
		if (!lanes)
			return NULL;
		memset(lanes + link->lane_count, 0, (count - link->lane_count) * sizeof *lanes);
		link->lanes = lanes;
		link->lane_count = count;
	}
	lane = calloc(1, sizeof *lane);
	if (!lane)
		return NULL;
	lane->source = s;
	lane->credit = SOURCE_WINDOW;
	// Learnt after the frontiers were exchanged: the peer starts where the source does.
	lane->active = link->exchanged;
	link->lanes[s->slot] = lane;
	return lane;
}

static void lane_unready(struct link *link, struct lane *lane)
{
	if (lane->is_ready)
		DL_DELETE2(link->ready, lane, ready_prev, ready_next);
	lane->is_ready = false;
}

// What the BATCH frame of a batch costs beside its bytes.
static uint64_t header_charge(uint32_t count)
{
	return (uint64_t)count * MESSAGE_CHARGE;
}

// Puts the lane where it belongs: ready, blocked for lack of credit, or idle.
static void lane_update(struct link *link, struct lane *lane)
{
	bool has = lane->active && lane->cursor;
	bool may = has && lane->credit >= (lane->begun ? 1 : header_charge(lane->cursor->count));

	if (has && !may && lane->blocked == 0)
		lane->blocked = link->node->now;
	if (may || !has)
		lane->blocked = 0;
	if (may && !lane->is_ready) {
		lane->is_ready = true;
		DL_APPEND2(link->ready, lane, ready_prev, ready_next);
		link_touch(link);
	} else if (!may) {
		lane_unready(link, lane);
	}
}

// Past the batch at the cursor, sent or not.
static void lane_step(struct link *link, struct lane *lane)
{
	struct batch *b = lane->cursor;
	lane->cursor = b->newer;
	lane->begun = false;
	lane->offset = 0;
	log_unhold(&link->node->log, b);
}

// Gives up what the cursor holds.
static void lane_release(struct link *link, struct lane *lane)
{
	while (lane->cursor)
		lane_step(link, lane);
	lane->active = false;
	lane_update(link, lane);
}

// Sends from `next` on; says so when that is not kept any more.
static void lane_seek(struct link *link, struct lane *lane, uint64_t next)
{
	struct source *s = lane->source;
	struct batch *b = s->newest;

	lane_release(link, lane);
	lane->peer_next = next;
	while (b && b->older && b->first > next)
		b = b->older;
	if (b && batch_next(b) <= next)
		b = NULL; // at the head
	uint64_t kept = b ? b->first : s->next;
	if (next < kept) {
		struct frame_position f = { s->key, kept };
		wire_put_position(&link->control, FRAME_TRIMMED, &f);
		link_touch(link);
		return;
	}
	lane->active = true;
	lane->cursor = b;
	for (; b; b = b->newer)
		log_hold(&link->node->log, b);
	lane_update(link, lane);
}

static void lane_owe(struct link *link, struct lane *lane, uint64_t bytes)
{
	lane->owed += bytes;
	// The sender runs out only when most of the window is owed to it.
	if (lane->owed >= SOURCE_WINDOW / 4)
		lane_due(link, lane);
}

static void send_pull(struct link *link, struct source *s)
{
	struct lane *lane = lane_get(link, s);
	if (!lane || !link->exchanged)
		return;
	struct frame_position f = { s->key, s->next };
	lane->pulling = true;
	lane->trimmed = 0;
	wire_put_position(&link->control, FRAME_PULL, &f);
	link_touch(link);
}

static void pull_from_all(struct node *node, struct source *s, const struct link *except)
{
	struct link *link;
	DL_FOREACH (node->links, link)
		if (link_up(link) && link != except)
			send_pull(link, s);
}

// What has come of a batch is given up and given back; the rest of it will be discarded.
static void partial_drop(struct node *node, struct source *s)
{
	if (!s->partial)
		return;
	struct link *link = node_link_by_serial(node, s->partial_from);
	struct lane *lane = link && link_up(link) ? lane_find(link, s) : NULL;
	if (lane) {
		lane->receiving = LANE_DISCARD;
		lane_owe(link, lane, header_charge(s->partial->count) + s->partial_bytes);
	}
	batch_free(s->partial);
	s->partial = NULL;
}

// Nobody holds it any more: its room goes back to whoever sent it.
static void on_released(void *context, struct batch *batch)
{
	struct node *node = context;
	node->log_changed = true;
	if (batch->own) {
		node->broadcast.own_held -= batch_charge(batch);
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
		node->broadcast.own_unsent -= batch_charge(batch);
		node->broadcast.lost_messages += batch->count;
		node->broadcast.lost_bytes += batch->bytes;
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
	node->broadcast.own = source_new(node, &key, 1);
	return node->broadcast.own ? 0 : -ENOMEM;
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
	batch_free(b->open);
	free(b->slots);
}

// Appends a complete batch to the log and to every lane whose peer lacks it. Takes the batch.
static int append(struct node *node, struct batch *batch)
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

static int publish_batch(struct node *node, struct batch *batch)
{
	struct broadcast *b = &node->broadcast;
	size_t charge = batch_charge(batch);
	uint32_t count = batch->count;

	batch->own = true;
	b->own_held += charge;
	b->own_unsent += charge;
	int r = append(node, batch);
	if (r < 0) {
		b->own_held -= charge;
		b->own_unsent -= charge;
	} else {
		node->counters.messages_published += count;
	}
	return r;
}

// Ends the gathering: what is in the open batch goes out.
static int flush_open(struct node *node)
{
	struct broadcast *b = &node->broadcast;
	struct batch *open = b->open;
	if (!open)
		return 0;
	// Gathered with room to spare; what goes into the log is of its size.
	struct batch *exact = batch_new(b->own, b->own->next, open->count, open->bytes);
	if (!exact) {
		b->open_until = node->now + BATCH_DELAY;
		return -ENOMEM;
	}
	exact->count = open->count;
	exact->bytes = open->bytes;
	memcpy(exact->lengths, open->lengths, open->count * sizeof *open->lengths);
	memcpy(exact->data, open->data, open->bytes);
	b->open = NULL;
	batch_free(open);
	return publish_batch(node, exact);
}

static int publish_alone(struct node *node, const void *data, size_t n)
{
	struct source *own = node->broadcast.own;
	struct batch *batch = batch_new(own, own->next, 1, (uint32_t)n);
	if (!batch)
		return -ENOMEM;
	batch->count = 1;
	batch->bytes = batch->lengths[0] = (uint32_t)n;
	memcpy(batch->data, data, n);
	return publish_batch(node, batch);
}

static bool fits_open(const struct batch *open, size_t n)
{
	return open->count < BATCH_COUNT && n <= BATCH_BYTES - open->bytes;
}

static int gather(struct node *node, const void *data, size_t n)
{
	struct broadcast *b = &node->broadcast;
	if (!b->open) {
		b->open = batch_new(b->own, b->own->next, BATCH_COUNT, BATCH_BYTES);
		b->open_until = node->now + BATCH_DELAY;
	}
	struct batch *open = b->open;
	if (!open)
		return -ENOMEM;
	memcpy(open->data + open->bytes, data, n);
	open->lengths[open->count++] = (uint32_t)n;
	open->bytes += (uint32_t)n;
	return 0;
}

bool broadcast_has_room(const struct node *node, size_t n)
{
	const struct broadcast *b = &node->broadcast;
	size_t charge = n + MESSAGE_CHARGE + (b->open ? batch_charge(b->open) : 0);
	return b->own_held + charge <= PUBLISH_WINDOW && b->own_unsent + charge <= UNSENT_BYTES;
}

int broadcast_publish(struct node *node, const void *data, size_t n)
{
	struct broadcast *b = &node->broadcast;
	int r = 0;

	if (n == 0 || n > MESSAGE_MAX)
		return -EMSGSIZE;
	if (!broadcast_has_room(node, n)) {
		b->waiting = true;
		return -EAGAIN;
	}
	// A lone message leaves at once; one that follows closely waits for company.
	bool loaded = b->open || node->now - b->published < BATCH_IDLE;
	if (loaded && n <= BATCH_BYTES / 4) {
		if (b->open && !fits_open(b->open, n))
			r = flush_open(node);
		r = r < 0 ? r : gather(node, data, n);
	} else {
		r = flush_open(node);
		r = r < 0 ? r : publish_alone(node, data, n);
	}
	if (r == 0)
		b->published = node->now;
	return r;
}

// Does anybody wait for room that is held here?
static bool pressed(const struct node *node)
{
	const struct broadcast *b = &node->broadcast;
	struct link *link;

	if (b->waiting && b->own_held > PUBLISH_WINDOW / 2)
		return true;
	DL_FOREACH (node->links, link)
		for (uint32_t i = 0; link_up(link) && i < link->lane_count; i++) {
			const struct lane *lane = link->lanes[i];
			if (lane && lane->outstanding - lane->owed > SOURCE_WINDOW / 2)
				return true;
		}
	return false;
}

// A link that grants nothing holds everybody up: it goes.
static void police_links(struct node *node)
{
	struct link *link;
	DL_FOREACH (node->links, link)
		for (uint32_t i = 0; link_up(link) && i < link->lane_count; i++) {
			struct lane *lane = link->lanes[i];
			if (!lane || !lane->blocked ||
				node->now - lane->blocked < LINK_STALL_TIMEOUT)
				continue;
			node->counters.links_slow++;
			NODE_EVENT(node, "slow", "id=%s addr=%s", id_format(&link->id).text,
				address_format(&link->remote).text);
			link_close(link, GOODBYE_SLOW);
		}
}

static void report_lost(struct node *node)
{
	struct broadcast *b = &node->broadcast;
	if (b->lost_messages == 0)
		return;
	node->counters.messages_lost += b->lost_messages;
	NODE_EVENT(node, "lost", "messages=%" PRIu64 " bytes=%" PRIu64 " reason=no-peer",
		b->lost_messages, b->lost_bytes);
	b->lost_messages = b->lost_bytes = 0;
}

static void declare_gap(struct node *node, struct source *s)
{
	uint64_t to = 0;
	struct link *link;

	DL_FOREACH (node->links, link) {
		struct lane *lane = link_up(link) ? lane_find(link, s) : NULL;
		if (lane && lane->trimmed > s->next && (to == 0 || lane->trimmed < to))
			to = lane->trimmed;
	}
	s->missing_since = 0;
	if (to == 0)
		return;
	node->counters.messages_missed += to - s->next;
	NODE_EVENT(node, "gap", "source=%s from=%" PRIu64 " to=%" PRIu64,
		id_format(&s->key.id).text, s->next, to - 1);
	partial_drop(node, s);
	s->next = to;
	pull_from_all(node, s, NULL);
}

void broadcast_tick(struct node *node)
{
	struct broadcast *b = &node->broadcast;
	struct source *s, *next;

	if (b->open && node->now >= b->open_until)
		flush_open(node);
	if (node->now < b->police_next)
		return;
	b->police_next = node->now + POLICE_INTERVAL;
	log_trim(&node->log, node->now);
	report_lost(node);
	log_police(&node->log, node->now, pressed(node));
	police_links(node);
	if (node->now >= b->settle_next) {
		b->settle_next = node->now + RETAIN_TIME;
		settle_lanes(node);
	}
	if (!b->missing)
		return;
	b->missing = false;
	HASH_ITER (hh, b->sources, s, next) {
		if (s->missing_since && node->now - s->missing_since >= PULL_TIMEOUT)
			declare_gap(node, s);
		b->missing |= s->missing_since > 0;
	}
}

uint64_t broadcast_deadline(const struct node *node)
{
	const struct broadcast *b = &node->broadcast;
	if (b->open)
		return b->open_until;
	// Without anything kept or missing there is nothing to watch.
	return node->log.bytes || b->missing ? b->police_next : UINT64_MAX;
}

// Where a peer that does not know the source shall start: our own, at what nobody has taken yet.
static uint64_t told_frontier(const struct node *node, const struct source *s)
{
	const struct batch *b = s->newest;
	uint64_t next = s->next;
	if (s != node->broadcast.own)
		return next;
	for (; b && !b->sent; b = b->older)
		next = b->first;
	return next;
}

void broadcast_link_up(struct node *node, struct link *link)
{
	struct broadcast *b = &node->broadcast;
	struct source *s = b->sources;
	uint32_t left = HASH_COUNT(b->sources);

	// Gathering ends here, so that what was written before the link is told as such.
	flush_open(node);
	do {
		uint16_t count = (uint16_t)(left < FRONTIER_ENTRIES ? left : FRONTIER_ENTRIES);
		size_t at = wire_begin_frontier(&link->control, left == count, count);
		left -= count;
		for (; count > 0; count--, s = s->hh.next) {
			struct frame_position p = { s->key, told_frontier(node, s) };
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
			partial_drop(node, s);
			pull_from_all(node, s, link);
		}
}

void broadcast_link_free(struct link *link)
{
	for (uint32_t i = 0; i < link->lane_count; i++)
		free(link->lanes[i]);
	free(link->lanes);
	link->lanes = NULL;
	link->lane_count = 0;
}

static void batch_was_sent(struct node *node, struct batch *b)
{
	if (b->own && !b->sent) {
		node->broadcast.own_unsent -= batch_charge(b);
		node->log_changed = true;
	}
	b->sent = true;
}

bool broadcast_output(struct link *link)
{
	struct lane *lane;

	while ((lane = link->ready)) {
		struct batch *b = lane->cursor;
		if (!lane->begun && lane->peer_next > b->first) {
			// It arrived from there in the meantime.
			lane_step(link, lane);
			lane_update(link, lane);
			continue;
		}
		if (!lane->begun) {
			wire_put_batch(&link->control, &lane->source->key, b->first, b->bytes,
				(uint16_t)b->count, b->lengths);
			lane->credit -= header_charge(b->count);
			lane->begun = true;
		} else {
			size_t n = b->bytes - lane->offset;
			n = n < CHUNK_BYTES ? n : CHUNK_BYTES;
			n = n < lane->credit ? n : (size_t)lane->credit;
			wire_put_chunk(
				&link->control, &lane->source->key, b->data + lane->offset, n);
			lane->credit -= n;
			lane->offset += (uint32_t)n;
			if (lane->offset == b->bytes) {
				batch_was_sent(link->node, b);
				lane_step(link, lane);
			}
		}
		// Round robin: the others first.
		lane_unready(link, lane);
		lane_update(link, lane);
		return true;
	}
	return false;
}

void broadcast_credit(struct link *link)
{
	struct lane *lane, *next;
	DL_FOREACH_SAFE2(link->due, lane, next, due_next)
	{
		struct frame_credit f = { lane->source->key, (uint32_t)lane->owed };
		wire_put_credit(&link->control, &f);
		lane->outstanding -= lane->owed;
		lane->owed = 0;
		lane->is_due = false;
		DL_DELETE2(link->due, lane, due_prev, due_next);
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
			send_pull(link, s);
	}
}

int broadcast_frontier(struct link *link, const struct frame_frontier *f)
{
	if (link->exchanged)
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
		lane_seek(link, lane, f->next);
	return 0;
}

int broadcast_trimmed(struct link *link, const struct frame_position *f)
{
	struct node *node = link->node;
	struct source *s = source_find(node, &f->source);
	if (!s)
		s = source_new(node, &f->source, 1);
	struct lane *lane = s ? lane_get(link, s) : NULL;
	if (!lane)
		return 0;
	if (f->next <= s->next) {
		// Others were faster, and what comes next is there.
		send_pull(link, s);
		return 0;
	}
	lane->pulling = false;
	lane->trimmed = f->next;
	if (!s->missing_since) {
		s->missing_since = node->now;
		node->broadcast.missing = true;
		pull_from_all(node, s, link);
	}
	struct link *l;
	DL_FOREACH (node->links, l) {
		struct lane *other = link_up(l) ? lane_get(l, s) : NULL;
		if (other && other->trimmed <= s->next)
			return 0; // may still have it; if not, time will tell
	}
	declare_gap(node, s);
	return 0;
}

// Decides what becomes of a batch that begins to arrive.
static enum lane_receiving receive_as(
	struct link *link, struct source *s, const struct frame_batch *f)
{
	struct node *node = link->node;
	struct lane *lane = lane_get(link, s);

	if (s == node->broadcast.own || f->first < s->next) {
		node->counters.batches_duplicate++;
		return LANE_DISCARD;
	}
	if (f->first > s->next) {
		if (!lane->pulling)
			send_pull(link, s);
		return LANE_DISCARD;
	}
	if (s->partial && s->partial_from != link->serial) {
		node->counters.batches_duplicate++;
		return LANE_DISCARD;
	}
	partial_drop(node, s);
	struct batch *b = batch_new(s, f->first, f->count, f->bytes);
	if (!b)
		return LANE_DISCARD;
	b->count = f->count;
	b->bytes = f->bytes;
	b->from = link->serial;
	for (uint16_t i = 0; i < f->count; i++)
		b->lengths[i] = wire_batch_length(f, i);
	s->partial = b;
	s->partial_from = link->serial;
	s->partial_bytes = 0;
	lane->pulling = false;
	return LANE_KEEP;
}

// Accounts for received bytes; -EPROTO when the window is exceeded.
static int lane_take(struct link *link, struct lane *lane, uint64_t bytes)
{
	lane->outstanding += bytes;
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
		partial_drop(node, s);
	lane->receiving = receive_as(link, s, f);
	lane->batch_next = f->first + f->count;
	lane->batch_left = f->bytes;
	return lane_take(link, lane, header_charge(f->count));
}

// Peers that had nothing to offer below what we have reached are of use again.
static void resume_lanes(struct node *node, struct source *s)
{
	struct link *link;
	DL_FOREACH (node->links, link) {
		struct lane *lane = link_up(link) ? lane_find(link, s) : NULL;
		if (lane && lane->trimmed && lane->trimmed <= s->next)
			send_pull(link, s);
	}
}

static void batch_complete(struct link *link, struct lane *lane)
{
	struct node *node = link->node;
	struct source *s = lane->source;
	struct batch *batch = s->partial;
	uint32_t count = batch->count;
	size_t charge = batch_charge(batch);

	s->partial = NULL;
	s->missing_since = 0;
	if (append(node, batch) < 0) {
		// No memory to keep it: given back, and asked for again.
		lane_owe(link, lane, charge);
		send_pull(link, s);
		return;
	}
	node->counters.messages_received += count;
	resume_lanes(node, s);
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
	int r = lane_take(link, lane, f->bytes);
	if (r < 0)
		return r;
	lane->batch_left -= f->bytes;
	if (lane->receiving == LANE_KEEP) {
		memcpy(s->partial->data + s->partial_bytes, f->data, f->bytes);
		s->partial_bytes += f->bytes;
	}
	if (lane->batch_left > 0)
		return 0;
	bool keep = lane->receiving == LANE_KEEP;
	lane->receiving = LANE_IDLE;
	if (lane->peer_next < lane->batch_next)
		lane->peer_next = lane->batch_next;
	if (keep)
		batch_complete(link, lane);
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
