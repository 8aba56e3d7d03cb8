// SPDX-License-Identifier: MIT
// What is missing: asked for, waited for, and in the end called a gap.
#include "core/repair.h"

#include <errno.h>
#include <inttypes.h>
#include <utlist.h>

#include "core/node_inner.h"

void repair_pull(struct link *link, struct source *s)
{
	struct lane *lane = lane_get(link, s);
	// Nobody has of our own source what we have not.
	if (!lane || !link->exchanged || s == link->node->publisher.own)
		return;
	lane->pulling = true;
	lane->stopping = lane->stalled = false;
	lane->missed = false;
	lane->trimmed = 0;
	wire_put_pull(&link->control, &(struct frame_position){ s->key, s->next });
	link_touch(link);
}

void repair_pull_all(struct node *node, struct source *s, const struct link *except)
{
	struct link *link;
	DL_FOREACH (node->links, link)
		if (link_up(link) && link != except)
			repair_pull(link, s);
}

void repair_note(struct node *node, struct source *s)
{
	if (!s->missing_since)
		s->missing_since = node->now;
	node->broadcast.missing = true;
}

void repair_interrupted(struct node *node, struct source *s)
{
	struct link *link = node_link_by_serial(node, s->partial_from);
	struct lane *lane = link && link_up(link) ? lane_find(link, s) : NULL;
	if (lane) {
		lane->receiving = LANE_DISCARD;
		lane_owe(link, lane,
			lane_header_charge(s->partial->count) + s->partial->bytes -
				lane->batch_left);
	}
	s->partial_from = 0;
	repair_note(node, s);
	if (s->partial_checked == 0)
		repair_drop_partial(node, s);
}

void repair_drop_partial(struct node *node, struct source *s)
{
	if (!s->partial)
		return;
	if (s->partial_from)
		repair_interrupted(node, s);
	lane_abandon_all(node, s, s->partial);
	node->broadcast.partial_bytes -= s->partial->bytes;
	batch_free(s->partial);
	s->partial = NULL;
}

void repair_make_room(struct node *node, uint32_t bytes)
{
	struct source *s, *next;
	HASH_ITER (hh, node->broadcast.sources, s, next) {
		if (node->broadcast.partial_bytes + bytes <= PARTIAL_BYTES)
			return;
		if (s->partial && !s->partial_from)
			repair_drop_partial(node, s);
	}
}

bool repair_others(struct node *node, const struct link *link, const struct source *s)
{
	const struct link *l;
	DL_FOREACH (node->links, l) {
		const struct lane *lane = l != link && link_up(l) ? lane_find(l, s) : NULL;
		if (lane && l->exchanged && !lane->stalled)
			return true;
	}
	return false;
}

// A batch that stopped arriving although its sender has credit: whoever has it may send it.
static void give_up_stalled(struct node *node, struct source *s)
{
	struct link *link = node_link_by_serial(node, s->partial_from);
	struct lane *lane = link ? lane_find(link, s) : NULL;
	if (!lane || lane->outstanding >= SOURCE_WINDOW || node->now - s->partial_at < PULL_TIMEOUT)
		return;
	repair_interrupted(node, s);
	repair_pull_all(node, s, link);
	if (repair_others(node, link, s))
		lane->stalled = true;
	else
		repair_pull(link, s);
}

// Of a batch that nobody goes on with, a part is worth nothing in the end.
static void give_up_interrupted(struct node *node, struct source *s)
{
	if (node->now - s->partial_at < RETAIN_TIME)
		return;
	repair_drop_partial(node, s);
}

// Asks those again who say that they have what is missing, and have not said that they keep it no
// more. False: nobody does.
static bool ask_again(struct node *node, struct source *s)
{
	struct link *link;
	bool any = false;

	DL_FOREACH (node->links, link) {
		const struct lane *lane = link_up(link) ? lane_find(link, s) : NULL;
		if (!lane || !link->exchanged || lane->peer_next <= s->next ||
			lane->trimmed > s->next)
			continue;
		any = true;
		if (!lane->pulling)
			repair_pull(link, s);
	}
	s->asked = node->now;
	return any;
}

// Goes on behind what nobody keeps.
static void declare_gap(struct node *node, struct source *s)
{
	uint64_t to = 0;
	struct link *link;

	DL_FOREACH (node->links, link) {
		struct lane *l = link_up(link) ? lane_find(link, s) : NULL;
		if (l && l->trimmed > s->next && (to == 0 || l->trimmed < to))
			to = l->trimmed;
	}
	s->missing_since = 0;
	if (to > 0) {
		node->counters.messages_missed += to - s->next;
		NODE_EVENT(node, "gap", "source=%s from=%" PRIu64 " to=%" PRIu64,
			id_format(&s->key.id).text, s->next, to - 1);
		repair_drop_partial(node, s);
		s->next = to;
		plumtree_tell_all(node, s);
	}
	repair_pull_all(node, s, NULL);
}

void repair_trimmed(struct link *link, struct source *s, uint64_t next)
{
	struct node *node = link->node;
	struct lane *lane = lane_get(link, s);
	if (!lane)
		return;
	if (next <= s->next) {
		// Others were faster, and what comes next is there.
		repair_pull(link, s);
		return;
	}
	lane->pulling = false;
	lane->trimmed = next;
	struct link *l;
	bool first = true, last = true;
	DL_FOREACH (node->links, l) {
		struct lane *other = link_up(l) && l != link ? lane_get(l, s) : NULL;
		first &= !other || other->trimmed <= s->next;
		last &= !other || other->trimmed > s->next;
	}
	if (first) {
		s->missing_since = 0;
		repair_note(node, s);
		repair_pull_all(node, s, link);
	}
	// The others may still have it; if not, time will tell.
	if (last)
		declare_gap(node, s);
}

void repair_resume(struct node *node, struct source *s)
{
	struct link *link;
	DL_FOREACH (node->links, link) {
		struct lane *lane = link_up(link) ? lane_find(link, s) : NULL;
		if (!lane)
			continue;
		uint64_t seen = lane->receiving == LANE_IDLE || lane->batch_next < lane->peer_next
					? lane->peer_next
					: lane->batch_next;
		if (lane->trimmed > s->next)
			repair_note(node, s); // of the range only a part has come
		else if (lane->trimmed ||
			 (lane->missed && s->parent == link->serial && seen > s->next))
			repair_pull(link, s);
		else if (lane->missed && seen > s->next)
			// It may be the only one that has it.
			plumtree_claimed(link, &s->key, seen, 0);
		lane->missed = false;
	}
}

// What is missing does not come, or not yet.
static void look_for(struct node *node, struct source *s)
{
	uint64_t missing = node->now - s->missing_since;
	uint64_t asked = s->asked > s->missing_since ? s->asked : s->missing_since;

	if (node->now - asked < PULL_TIMEOUT)
		return;
	if (missing >= RETAIN_TIME || !ask_again(node, s))
		declare_gap(node, s);
}

void repair_tick(struct node *node)
{
	struct broadcast *b = &node->broadcast;
	struct source *s, *next;

	if (!b->missing && !b->partial_bytes)
		return;
	b->missing = false;
	HASH_ITER (hh, b->sources, s, next) {
		bool arriving = s->partial && s->partial_from;
		if (arriving)
			give_up_stalled(node, s);
		else if (s->partial)
			give_up_interrupted(node, s);
		// What is arriving is not missing, however long it takes.
		if (s->missing_since && !arriving)
			look_for(node, s);
		b->missing |= s->missing_since > 0;
	}
}
