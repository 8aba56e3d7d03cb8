// SPDX-License-Identifier: MIT
// Lanes: what goes over a link next, and the credit for it. What arrives is core/broadcast's.
#include "core/lane.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/mutant.h"
#include "core/node_inner.h"

struct lane *lane_find(const struct link *link, const struct source *s)
{
	return s->slot < link->lane_count ? link->lanes[s->slot] : NULL;
}

// The lane of a source on a link, made when it is not there; NULL when memory is out.
struct lane *lane_get(struct link *link, struct source *s)
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

static void lane_due(struct link *link, struct lane *lane)
{
	if (lane->is_due)
		return;
	lane->is_due = true;
	DL_APPEND2(link->due, lane, due_prev, due_next);
	link_touch(link);
}

void lane_owe(struct link *link, struct lane *lane, uint64_t bytes)
{
	lane->owed += bytes;
	lane_take(link, lane, 0);
}

void lane_take(struct link *link, struct lane *lane, uint64_t bytes)
{
	lane->outstanding += bytes;
	// A quarter is worth a frame; less is when it may be all that the sender lacks, because a
	// reader holds the rest.
	if (lane->owed >= SOURCE_WINDOW / 4 ||
		(lane->owed && lane->outstanding > SOURCE_WINDOW / 4 * 3))
		lane_due(link, lane);
}

// Credit that is too little to be worth a frame, given back because nothing more comes: a lane
// without anything under way can be forgotten by both ends.
void lane_settle_all(struct node *node)
{
	struct link *link;
	DL_FOREACH (node->links, link)
		for (uint32_t i = 0; link_up(link) && i < link->lane_count; i++) {
			struct lane *lane = link->lanes[i];
			if (lane && lane->owed && node->now - lane->source->active > RETAIN_TIME)
				lane_due(link, lane);
		}
}

static void lane_unready(struct link *link, struct lane *lane)
{
	if (lane->is_ready)
		DL_DELETE2(link->ready, lane, ready_prev, ready_next);
	lane->is_ready = false;
}

// How much of the batch at the cursor is there to be sent.
static uint32_t available(const struct lane *lane)
{
	return lane->cursor->kept ? lane->cursor->bytes : lane->source->partial_checked;
}

// Puts the lane where it belongs: ready, blocked for lack of credit, or idle.
void lane_update(struct link *link, struct lane *lane)
{
	bool has = lane->active && lane->cursor && !lane->guards &&
		   (!lane->begun || lane->offset < available(lane));
	bool may =
		has && lane->credit >= (lane->begun ? 1 : lane_header_charge(lane->cursor->count));

	bool waits = lane->guards ? lane->cursor != NULL : has && !may;
	if (waits && lane->blocked == 0)
		lane->blocked = link->node->now;
	if (!waits)
		lane->blocked = 0;
	if (may && !lane->is_ready) {
		lane->is_ready = true;
		DL_APPEND2(link->ready, lane, ready_prev, ready_next);
		link_touch(link);
	} else if (!may) {
		lane_unready(link, lane);
	}
}

static void say_stopped(struct link *link, struct lane *lane)
{
	if (!lane->say_stopped)
		return;
	lane->say_stopped = false;
	wire_put_prune(&link->control, &(struct frame_prune){ lane->source->key, PRUNE_STOPPED });
	link_touch(link);
}

// The batch that is arriving, for a peer that has all before it. Not one that has got stuck: among
// those who wait for each other, nobody would look elsewhere.
static struct batch *arriving(const struct link *link, const struct source *s, uint64_t next)
{
	bool moves = s->partial_from && s->partial_from != link->serial &&
		     link->node->now - s->partial_at < PARTIAL_PATIENCE;
	return s->partial && moves && next == s->partial->first ? s->partial : NULL;
}

// What comes after a batch: another one, or the one that is arriving.
static struct batch *successor(const struct link *link, const struct lane *lane)
{
	const struct batch *b = lane->cursor;
	if (lane->last || b->newer)
		return lane->last ? NULL : b->newer;
	return b->kept ? arriving(link, lane->source, batch_next(b)) : NULL;
}

// Past the batch at the cursor, sent or not.
static void lane_step(struct link *link, struct lane *lane)
{
	struct batch *b = lane->cursor;
	lane->cursor = successor(link, lane);
	lane->begun = false;
	lane->offset = 0;
	if (!lane->cursor) {
		lane->last = lane->guards = false;
		say_stopped(link, lane);
		if (!lane_eager(link, lane))
			plumtree_tell(link, lane);
	}
	if (b->kept)
		log_unhold(&link->node->log, b);
}

// Lets go of the batch at the cursor and of those after it.
static void lane_drop(struct link *link, struct lane *lane)
{
	while (lane->cursor)
		lane_step(link, lane);
}

void lane_release(struct link *link, struct lane *lane)
{
	lane->say_stopped = lane->guards = false;
	lane_drop(link, lane);
	lane->active = false;
	lane_update(link, lane);
}

bool lane_eager(const struct link *link, const struct lane *lane)
{
	if (MUTANT(gossip))
		return true;
	switch (lane->mode) {
	case LANE_AS_LINK:
		return plumtree_eager(link);
	case LANE_EAGER:
	case LANE_WANTED:
		return true;
	case LANE_LAZY:
		return false;
	}
	return false;
}

void lane_place(struct link *link, struct lane *lane, uint64_t next)
{
	lane_release(link, lane);
	lane->active = true;
	lane->peer_next = next;
	plumtree_tell(link, lane);
}

void lane_offer(struct link *link, struct lane *lane, struct batch *b)
{
	// It was on its way there while it arrived here.
	if (lane->cursor == b && b->kept) {
		log_hold(&link->node->log, b);
		lane_update(link, lane);
		return;
	}
	if (!lane->active)
		return;
	if (lane->mode == LANE_AS_LINK)
		lane->mode = plumtree_eager(link) ? LANE_EAGER : LANE_LAZY;
	if (!lane->cursor && lane->peer_next > b->first && lane_eager(link, lane))
		return;
	if (lane->last || (!lane->cursor && !lane_eager(link, lane))) {
		if (b->kept)
			plumtree_tell(link, lane);
		return;
	}
	// It comes to it by itself.
	if (lane->cursor && !b->kept)
		return;
	if (b->kept)
		log_hold(&link->node->log, b);
	if (!lane->cursor)
		lane->cursor = b;
	if (lane->guards)
		plumtree_tell(link, lane);
	lane_update(link, lane);
}

void lane_guard(struct link *link, struct lane *lane, struct batch *b)
{
	if (!lane->active || lane->cursor || lane->peer_next >= batch_next(b))
		return;
	lane->guards = true;
	lane->cursor = b;
	for (; b; b = b->newer)
		log_hold(&link->node->log, b);
	lane_update(link, lane);
}

void lane_peer_has(struct link *link, struct lane *lane, uint64_t next)
{
	if (lane->peer_next >= next)
		return;
	lane->peer_next = next;
	if (!lane->guards)
		return;
	lane->blocked = 0;
	while (lane->cursor && lane->cursor->kept && batch_next(lane->cursor) <= next)
		lane_step(link, lane);
	lane_update(link, lane);
}

void lane_advance_all(struct node *node, const struct source *s)
{
	struct link *link;
	DL_FOREACH (node->links, link) {
		struct lane *lane = link_up(link) ? lane_find(link, s) : NULL;
		if (lane && lane->cursor && lane->cursor == s->partial)
			lane_update(link, lane);
	}
}

void lane_abandon_all(struct node *node, const struct source *s, const struct batch *b)
{
	struct link *link;
	DL_FOREACH (node->links, link) {
		struct lane *lane = lane_find(link, s);
		if (!lane || lane->cursor != b)
			continue;
		lane_step(link, lane);
		lane_update(link, lane);
	}
}

static void lane_unpull(struct link *link, struct lane *lane)
{
	if (lane->pulled)
		DL_DELETE2(link->pulled, lane, pulled_prev, pulled_next);
	lane->pulled = 0;
}

void lane_stop(struct link *link, struct lane *lane)
{
	lane->mode = LANE_LAZY;
	lane_unpull(link, lane);
	lane_drop(link, lane);
	lane_update(link, lane);
}

void lane_finish(struct link *link, struct lane *lane)
{
	struct batch *b = lane->cursor;

	if (!b || lane->last)
		return;
	if (!lane->begun) {
		lane_drop(link, lane);
		lane_update(link, lane);
		return;
	}
	lane->last = true;
	for (b = b->newer; b; b = b->newer)
		log_unhold(&link->node->log, b);
}

void lane_finish_and_say(struct link *link, struct lane *lane)
{
	lane->mode = LANE_LAZY;
	lane->say_stopped = true;
	lane_finish(link, lane);
	if (!lane->cursor)
		say_stopped(link, lane);
}

void lane_turn_lazy(struct link *link, struct lane *lane)
{
	if (lane->mode == LANE_WANTED)
		return;
	lane->mode = LANE_LAZY;
	lane_finish(link, lane);
}

// Sends from `next` on; says so when that is not kept any more.
void lane_seek(struct link *link, struct lane *lane, uint64_t next)
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
	size_t n;
	const uint8_t *shown = next < kept ? source_show(s, kept, &n) : NULL;
	if (shown) {
		wire_put_trimmed(&link->control, kept, shown, n);
		link_touch(link);
	}
	lane->active = true;
	lane->cursor = b ? b : arriving(link, s, next);
	for (; b; b = b->newer)
		log_hold(&link->node->log, b);
	lane_update(link, lane);
}

void lane_pull(struct link *link, struct lane *lane, uint64_t next)
{
	lane->mode = LANE_WANTED;
	if (!lane->pulled)
		DL_APPEND2(link->pulled, lane, pulled_prev, pulled_next);
	lane->pulled = next;
	link_touch(link);
}

void lane_answer(struct link *link)
{
	struct lane *lane;
	while ((lane = link->pulled)) {
		uint64_t next = lane->pulled;
		lane_unpull(link, lane);
		lane_seek(link, lane, next);
	}
}

void lane_free_all(struct link *link)
{
	for (uint32_t i = 0; i < link->lane_count; i++)
		free(link->lanes[i]);
	free(link->lanes);
	link->lanes = NULL;
	link->lane_count = 0;
}

bool lane_output(struct link *link)
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
			wire_put_sealed(&link->control, FRAME_BATCH, b->header,
				batch_header_bytes(b->count, b->bytes));
			lane->credit -= lane_header_charge(b->count);
			lane->begun = true;
		} else {
			size_t n = available(lane) - lane->offset;
			n = n < CHUNK_BYTES ? n : CHUNK_BYTES;
			n = n < lane->credit ? n : (size_t)lane->credit;
			wire_put_chunk(
				&link->control, &lane->source->key, b->data + lane->offset, n);
			lane->credit -= n;
			lane->offset += (uint32_t)n;
			if (lane->offset == b->bytes) {
				publisher_sent(link->node, b);
				if (lane->peer_next < batch_next(b))
					lane->peer_next = batch_next(b);
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

void lane_credit(struct link *link)
{
	struct lane *lane, *next;
	if (MUTANT(miser))
		return;
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
