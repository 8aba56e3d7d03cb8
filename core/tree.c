// SPDX-License-Identifier: MIT
// The tree of links on which sources begin, by beacons.
#include <utlist.h>

#include "core/node_inner.h"

bool plumtree_eager(const struct link *link)
{
	return !link->pruned && !link->pruned_by;
}

static void say(struct link *link, bool eager)
{
	link->pruned = !eager;
	wire_put_tree(&link->control, eager);
	link_touch(link);
}

// What is under way of sources that do as their link does ends with the batch that has begun.
static void turn_lazy(struct link *link)
{
	for (uint32_t i = 0; i < link->lane_count; i++) {
		struct lane *lane = link->lanes[i];
		if (lane && lane->mode == LANE_AS_LINK)
			lane_finish(link, lane);
	}
}

void plumtree_beacon_own(struct node *node)
{
	node->plumtree.parent = 0;
}

static void note_beacon(struct node *node, struct link *link)
{
	link->beacon_at = node->now;
	link->beacon_number = node->component.number;
}

void plumtree_beacon_first(struct node *node, struct link *link)
{
	note_beacon(node, link);
	node->plumtree.parent = link->serial;
	if (!plumtree_eager(link))
		say(link, true);
}

void plumtree_beacon_again(struct node *node, struct link *link)
{
	struct link *parent = node_link_by_serial(node, node->plumtree.parent);

	if (parent == link)
		return;
	note_beacon(node, link);
	if ((!parent || !link_up(parent)) && !id_equal(&node->component.origin, &node->id)) {
		plumtree_beacon_first(node, link);
		return;
	}
	if (link->pruned)
		return;
	say(link, false);
	turn_lazy(link);
}

// By when the other end must have had the beacon.
static uint64_t had_beacon(const struct node *node, const struct link *link)
{
	bool current = link->beacon_at && link->beacon_number == node->component.number;
	return current ? link->beacon_at - link->rtt / 2 : UINT64_MAX;
}

// The parent is gone: who had the beacon first of the others is nearest to where it comes from, and
// least likely to have it from here.
void plumtree_parent_lost(struct node *node)
{
	struct link *link, *best = NULL;

	DL_FOREACH (node->links, link)
		if (link_up(link) && (!best || had_beacon(node, link) < had_beacon(node, best)))
			best = link;
	node->plumtree.parent = best ? best->serial : 0;
	if (best && !plumtree_eager(best))
		say(best, true);
}

void plumtree_frame(struct link *link, bool eager)
{
	link->pruned_by = !eager;
	if (!eager)
		turn_lazy(link);
	else if (link->pruned)
		say(link, true);
}
