// SPDX-License-Identifier: MIT
// Lanes: what goes over a link next, and the credit for it. What arrives is core/broadcast's.
#include "core/lane.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

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

// Puts the lane where it belongs: ready, blocked for lack of credit, or idle.
void lane_update(struct link *link, struct lane *lane)
{
	bool has = lane->active && lane->cursor;
	bool may =
		has && lane->credit >= (lane->begun ? 1 : lane_header_charge(lane->cursor->count));

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
void lane_release(struct link *link, struct lane *lane)
{
	while (lane->cursor)
		lane_step(link, lane);
	lane->active = false;
	lane_update(link, lane);
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
	lane->cursor = b;
	for (; b; b = b->newer)
		log_hold(&link->node->log, b);
	lane_update(link, lane);
}

void lane_pull(struct link *link, struct lane *lane, uint64_t next)
{
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
		DL_DELETE2(link->pulled, lane, pulled_prev, pulled_next);
		lane->pulled = 0;
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
			size_t n = b->bytes - lane->offset;
			n = n < CHUNK_BYTES ? n : CHUNK_BYTES;
			n = n < lane->credit ? n : (size_t)lane->credit;
			wire_put_chunk(
				&link->control, &lane->source->key, b->data + lane->offset, n);
			lane->credit -= n;
			lane->offset += (uint32_t)n;
			if (lane->offset == b->bytes) {
				publisher_sent(link->node, b);
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
