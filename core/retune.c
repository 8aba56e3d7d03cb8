// SPDX-License-Identifier: MIT
// Takes new settings. What they are for is read where it matters, each time: only what would not
// notice by itself is seen to here, and above all peers that have become too many.
#include "core/retune.h"

#include <utlist.h>

#include "core/node_inner.h"

void retune_defaults(struct node_config *config)
{
	if (config->stall_timeout == 0)
		config->stall_timeout = STALL_TIMEOUT;
	if (config->min_rate == 0)
		config->min_rate = STALL_RATE;
}

// How little it would cost to give the link up; 0: it cannot be given up now. What is in use lives
// on as a direct link; two components may be one by a bridge alone; and a peer that nobody can dial
// has less to find another one by.
static unsigned cheapness(const struct node *node, const struct link *link)
{
	bool used = link_in_use(link);

	if (!link_up(link) || link->leaving_until || (used && !direct_has_room(node)))
		return 0;
	return 1 + 4 * !used + 2 * !link->bridge + (link->address.family != 0);
}

static struct link *cheapest(struct node *node)
{
	struct link *link, *best = NULL;
	unsigned most = 0;
	uint64_t candidates = 0;

	DL_FOREACH (node->links, link) {
		unsigned n = cheapness(node, link);
		if (n == 0 || n < most)
			continue;
		candidates = n > most ? 1 : candidates + 1;
		most = n;
		if (random_below(&node->random, candidates) == 0)
			best = link;
	}
	return best;
}

// A peer that stays, and takes dials.
static struct link *heir(struct node *node, const struct link *leaver)
{
	struct link *link, *found = NULL;
	uint64_t candidates = 0;

	DL_FOREACH (node->links, link)
		if (link_up(link) && link != leaver && !link->leaving_until &&
			link->address.family && random_below(&node->random, ++candidates) == 0)
			found = link;
	return found;
}

// The peer goes when it has a link to another of ours, so that the network stays in one piece, or
// else when its time is up.
static void see_off(struct node *node, struct link *link)
{
	struct link *to = heir(node, link);

	link->leaving_until = node->now;
	if (!to)
		return;
	const struct frame_rewire f = { .target = link_contact(to), .leave = true };
	wire_put_rewire(&link->control, &f);
	link_touch(link);
	link->leaving_until += REWIRE_TIMEOUT;
}

// Ends the first whose time is up; the list is another one afterwards. False: there is none.
static bool end_one(struct node *node)
{
	struct link *link;

	DL_FOREACH (node->links, link) {
		if (!link_up(link) || !link->leaving_until || node->now < link->leaving_until)
			continue;
		link->leaving_until = 0;
		if (link_in_use(link) && !direct_has_room(node))
			continue; // it has come into use meanwhile: another one, perhaps
		direct_spare(link, GOODBYE_SURPLUS);
		return true;
	}
	return false;
}

static bool too_many(const struct node *node, size_t leaving)
{
	size_t max = node->config.max_peers;
	return max && overlay_count(node) > max + leaving;
}

void retune_shrink(struct node *node)
{
	struct link *link;
	size_t leaving = 0;

	if (!node->overlay.shrinking)
		return;
	while (too_many(node, 0) && end_one(node))
		;
	if (!too_many(node, 0)) {
		node->overlay.shrinking = false;
		DL_FOREACH (node->links, link)
			link->leaving_until = 0;
		return;
	}
	DL_FOREACH (node->links, link)
		leaving += link_up(link) && link->leaving_until;
	if (leaving > 0 && node->now < node->overlay.shrink_next)
		return;
	link = too_many(node, leaving) ? cheapest(node) : NULL;
	if (!link)
		return;
	see_off(node, link);
	node->overlay.shrink_next = node->now + SURPLUS_PAUSE;
}

uint64_t retune_due(const struct node *node)
{
	uint64_t due = UINT64_MAX, next = node->overlay.shrink_next;
	const struct link *link;

	DL_FOREACH (node->links, link)
		if (link_up(link) && link->leaving_until && link->leaving_until < due)
			due = link->leaving_until;
	return next > node->now && next < due ? next : due;
}

static bool is_lower(uint32_t max, uint32_t than)
{
	return max && (than == 0 || max < than);
}

static void ping_anew(struct node *node)
{
	struct link *link;

	LINK_FOREACH(node, link)
	{
		link->ping_sent = 0;
		link->ping_next = node->now;
	}
}

void node_retune(struct node *node, const struct node_config *config)
{
	struct node_config *now = &node->config;
	struct overlay *o = &node->overlay;

	if (is_lower(config->max_peers, now->max_peers))
		o->shrinking = true;
	// The first that is to fill the room does not wait for its turn.
	if (is_lower(now->max_peers, config->max_peers))
		o->probe_next = node->now;
	if (config->ping_timeout != now->ping_timeout)
		ping_anew(node);
	now->min_peers = config->min_peers;
	now->max_peers = config->max_peers;
	now->ping_timeout = config->ping_timeout;
	now->stall_timeout = config->stall_timeout;
	now->min_rate = config->min_rate;
	retune_defaults(now);
	o->next = 0;
	node->links_due = 0; // their deadlines have moved
}
