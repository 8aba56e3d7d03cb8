// SPDX-License-Identifier: MIT
// The sending side of lanes: what goes over a link next, and what is held for it. What is received
// is credited in core/window.c.
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
	lane->credit = lane->window = SOURCE_WINDOW_LEAST;
	lane->loose = link->loose_since > 0;
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

static uint64_t *credit_of(const struct link *link, struct lane *lane)
{
	for (uint32_t i = 0; MUTANT(shared) && i < link->lane_count; i++)
		if (link->lanes[i])
			return &link->lanes[i]->credit;
	return &lane->credit;
}

// How much of the batch at the cursor is there to be sent.
static uint32_t available(const struct lane *lane)
{
	return lane->cursor == lane->source->partial ? lane->source->partial_checked
						     : lane->cursor->bytes;
}

// Puts the lane where it belongs: ready, blocked for lack of credit, or idle.
void lane_update(struct link *link, struct lane *lane)
{
	bool has = lane->active && lane->cursor && (!lane->begun || lane->offset < available(lane));
	bool may = has && *credit_of(link, lane) >=
				  (lane->begun ? 1 : lane_header_charge(lane->cursor->count));

	if (!has || may)
		lane->blocked = 0;
	else if (lane->blocked == 0)
		lane->blocked = link->node->now;
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

// Holds what is from `b` on.
static void hold_from(struct link *link, struct lane *lane, struct batch *b)
{
	struct batch *end = lane->held;

	if (lane->loose || !b || !b->kept)
		return;
	lane->held = b;
	for (; b != end; b = b->newer)
		log_hold(&link->node->log, b);
}

// Lets go of what is held before `to`; NULL: of all.
static void release_to(struct link *link, struct lane *lane, const struct batch *to)
{
	while (lane->held && lane->held != to) {
		struct batch *b = lane->held;
		lane->held = b->newer;
		log_unhold(&link->node->log, b);
	}
}

static bool at_cursor(const struct lane *lane)
{
	return lane->cursor && lane->cursor == lane->held;
}

// Nothing is held that is sent, or, when the lane guards, that the peer has by its own word.
static void settle_holds(struct link *link, struct lane *lane)
{
	const struct batch *before = lane->held;

	if (lane->guards) {
		while (lane->held && !at_cursor(lane) && batch_next(lane->held) <= lane->word)
			release_to(link, lane, lane->held->newer);
		if (lane->held != before)
			lane->guarded = link->node->now;
	} else {
		release_to(link, lane, lane->cursor && lane->cursor->kept ? lane->cursor : NULL);
	}
	lane->guards = lane->held && !at_cursor(lane);
}

// What the lane holds it guards from here on.
static void guard(struct link *link, struct lane *lane)
{
	if (!lane->guards)
		lane->guarded = link->node->now;
	lane->guards = lane->held != NULL;
}

static void drop_cursor(struct lane *lane)
{
	if (lane->stray)
		batch_unpin(lane->cursor);
	lane->stray = lane->begun = lane->last = false;
	lane->offset = 0;
	lane->cursor = NULL;
}

// Sends nothing more for now, and guards what it would have sent.
static void rest(struct link *link, struct lane *lane)
{
	drop_cursor(lane);
	guard(link, lane);
	settle_holds(link, lane);
	say_stopped(link, lane);
	plumtree_tell(link, lane);
	lane_update(link, lane);
}

// What comes after the batch at the cursor: another one, or the one that is arriving.
static struct batch *successor(const struct link *link, const struct lane *lane)
{
	const struct source *s = lane->source;
	const struct batch *b = lane->cursor;
	struct batch *next = lane->stray ? s->oldest : b->newer;

	if (next)
		return next->first == batch_next(b) ? next : NULL;
	return b == s->partial ? NULL : arriving(link, s, batch_next(b));
}

// Past the batch at the cursor, sent or not.
static void lane_step(struct link *link, struct lane *lane)
{
	struct batch *next = successor(link, lane);
	bool last = lane->last;

	drop_cursor(lane);
	if (last) {
		rest(link, lane);
		return;
	}
	lane->cursor = next;
	settle_holds(link, lane);
	if (lane->cursor)
		return;
	say_stopped(link, lane);
	if (!lane_eager(link, lane) || lane->loose)
		plumtree_tell(link, lane);
}

void lane_release(struct link *link, struct lane *lane)
{
	lane->say_stopped = lane->guards = lane->active = false;
	drop_cursor(lane);
	release_to(link, lane, NULL);
	lane_update(link, lane);
}

bool lane_tells_sender(const struct link *link, const struct lane *lane)
{
	return link->node->log.distance - lane->told_distance >= DIGEST_AFTER / 4;
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
	lane->peer_next = lane->word = next;
	plumtree_tell(link, lane);
}

// Something before it was trimmed under a loose lane, whose peer has to ask for it.
static bool lost_place(const struct lane *lane, const struct batch *b)
{
	return lane->loose && lane->peer_next < b->first;
}

// Should the lane go on with this batch? One that guards what comes before it, unsent, should not.
static bool takes(const struct link *link, const struct lane *lane, const struct batch *b)
{
	bool may = lane->guards ? lane->peer_next == b->first : lane->peer_next <= b->first;

	return may && !lane->cursor && lane_eager(link, lane) && !lost_place(lane, b);
}

void lane_offer(struct link *link, struct lane *lane, struct batch *b)
{
	if (!lane->active)
		return;
	if (lane->mode == LANE_AS_LINK)
		lane->mode = plumtree_eager(link) ? LANE_EAGER : LANE_LAZY;
	if (takes(link, lane, b))
		lane->cursor = b;
	if (!b->kept) {
		lane_update(link, lane);
		return;
	}
	// All from the first that is held on is; and what was on its way while it arrived here.
	if (lane->held)
		log_hold(&link->node->log, b);
	else if (lane->cursor == b)
		hold_from(link, lane, b);
	if (lane->cursor != b || lane_tells_sender(link, lane))
		plumtree_tell(link, lane);
	settle_holds(link, lane);
	lane_update(link, lane);
}

void lane_guard(struct link *link, struct lane *lane, struct batch *b)
{
	if (!lane->active || lane->loose || lane->word >= batch_next(b) ||
		(lane->held && lane->held->first <= b->first))
		return;
	hold_from(link, lane, b);
	guard(link, lane);
}

void lane_lost(struct link *link, struct lane *lane, struct batch *b)
{
	if (lane->cursor != b)
		return;
	if (lane->begun) {
		lane->stray = true;
		batch_pin(b);
	} else {
		rest(link, lane);
	}
}

void lane_loosen(struct link *link, struct lane *lane)
{
	if (lane->loose)
		return;
	release_to(link, lane, NULL);
	lane->loose = true;
	lane->guards = false;
	plumtree_tell(link, lane);
}

void lane_unguard(struct link *link, struct lane *lane)
{
	if (!lane->cursor || lane->stray) {
		lane_loosen(link, lane);
		return;
	}
	// What it was sent it has, by all that we know; the rest is still to be sent.
	lane->word = lane->cursor->first;
	settle_holds(link, lane);
}

void lane_tighten(struct link *link, struct lane *lane)
{
	if (!lane->loose)
		return;
	lane->loose = false;
	hold_from(link, lane, lane->cursor);
}

uint64_t lane_behind(const struct link *link, const struct lane *lane)
{
	const struct source *s = lane->source;
	const struct batch *b = lane->cursor;
	uint64_t head = link->node->log.distance, behind = 0;

	if (lane->stray)
		return UINT64_MAX;
	if (b)
		return b->kept ? head - b->distance : 0;
	if (!lane->active || lane->peer_next >= s->next)
		return 0;
	for (b = s->newest; b && b->first >= lane->peer_next; b = b->older)
		behind += batch_charge(b);
	return b || (s->oldest && s->oldest->first <= lane->peer_next) ? behind : UINT64_MAX;
}

void lane_peer_has(struct link *link, struct lane *lane, uint64_t next)
{
	if (lane->peer_next < next)
		lane->peer_next = next;
	if (lane->word >= next)
		return;
	lane->word = next;
	link->word_at = link->node->now;
	settle_holds(link, lane);
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
		if (lane && lane->cursor == b)
			rest(link, lane);
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
	rest(link, lane);
}

void lane_finish(struct link *link, struct lane *lane)
{
	if (lane->begun)
		lane->last = true;
	else if (lane->cursor)
		rest(link, lane);
}

void lane_finish_and_say(struct link *link, struct lane *lane)
{
	lane->mode = LANE_LAZY;
	lane->say_stopped = true;
	lane_finish(link, lane);
	if (!lane->last)
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
	lane->peer_next = lane->word = next;
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
	hold_from(link, lane, b);
	// What is between here and there may be elsewhere, or become a gap: either way the peer
	// says where it goes on, and what is here is kept for it until then.
	if (next < kept)
		guard(link, lane);
	else
		lane->cursor = b ? b : arriving(link, s, next);
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
			*credit_of(link, lane) -= lane_header_charge(b->count);
			link->lane_bytes += lane_header_charge(b->count);
			lane->begun = true;
		} else {
			size_t n = available(lane) - lane->offset;
			n = n < CHUNK_BYTES ? n : CHUNK_BYTES;
			n = n < *credit_of(link, lane) ? n : (size_t)*credit_of(link, lane);
			wire_put_chunk(
				&link->control, &lane->source->key, b->data + lane->offset, n);
			*credit_of(link, lane) -= n;
			link->lane_bytes += n;
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

void lane_grant(struct link *link, struct lane *lane, uint32_t bytes)
{
	uint64_t *credit = credit_of(link, lane);

	// More than there can be when one of the two has forgotten the source meanwhile.
	*credit = *credit + bytes < SOURCE_WINDOW ? *credit + bytes : SOURCE_WINDOW;
	lane_update(link, lane);
}
