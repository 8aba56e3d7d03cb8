// SPDX-License-Identifier: MIT
// The receiving side of lanes: what a source may have under way here, and the credit for it.
#include <utlist.h>

#include "core/mutant.h"
#include "core/node_inner.h"

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
	if (lane->owed >= lane->window / 4 ||
		(lane->owed && lane->outstanding > lane->window / 4 * 3))
		lane_due(link, lane);
}

// The batch that is being kept. What came before it is given back some day without it.
static uint64_t under_way(const struct lane *lane)
{
	const struct batch *b = lane->source->partial;
	return lane->receiving == LANE_KEEP && b ? batch_charge(b) : 0;
}

void lane_expect(struct link *link, struct lane *lane)
{
	if (under_way(lane) > lane->window)
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

// By how much more, or less, than is owed the lane's credit is to be raised, so that all windows
// together are what this node may have to keep, and a batch that has begun can end.
static uint64_t resize_window(const struct node *node, struct lane *lane)
{
	uint64_t before = lane->window, least = before > lane->owed ? before - lane->owed : 0;
	uint64_t wanted = under_way(lane);

	if (wanted < node->broadcast.window)
		wanted = node->broadcast.window;
	lane->window = wanted > least ? wanted : least;
	return lane->window - before; // wraps, and is added to what is no less
}

void lane_credit(struct link *link)
{
	struct lane *lane, *next;
	if (MUTANT(miser))
		return;
	DL_FOREACH_SAFE2(link->due, lane, next, due_next)
	{
		uint64_t grant = lane->owed + resize_window(link->node, lane);
		struct frame_credit f = { lane->source->key, (uint32_t)grant };
		if (grant)
			wire_put_credit(&link->control, &f);
		lane->outstanding -= lane->owed;
		lane->owed = 0;
		lane->is_due = false;
		DL_DELETE2(link->due, lane, due_prev, due_next);
	}
}
