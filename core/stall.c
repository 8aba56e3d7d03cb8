// SPDX-License-Identifier: MIT
#include "core/stall.h"

#include <utlist.h>

#include "core/node_inner.h"

// Withheld here: received, and neither credited back nor about to be.
static uint64_t withheld(const struct lane *lane)
{
	return lane->outstanding - lane->owed;
}

static bool waits_for_us(const struct lane *lane)
{
	return withheld(lane) > lane->window / 2;
}

bool stall_pressed(const struct node *node, const struct source *s)
{
	const struct publisher *p = &node->publisher;
	const struct link *link;

	if (s == p->own)
		return p->waiting && p->held > PUBLISH_WINDOW / 2;
	DL_FOREACH (node->links, link) {
		const struct lane *lane = link_up(link) ? lane_find(link, s) : NULL;
		if (lane && waits_for_us(lane))
			return true;
	}
	return false;
}

static bool pressed(const struct node *node)
{
	const struct source *s, *next;
	HASH_ITER (hh, node->broadcast.sources, s, next)
		if (s->pressed)
			return true;
	return false;
}

// How far away is the reason why the lane's peer takes nothing? 0: it is the peer.
static uint32_t depth_of(const struct node *node, const struct lane *lane)
{
	bool fresh =
		lane->stall_heard && node->now - lane->stall_heard < node->config.stall_timeout;
	return fresh ? lane->stall_depth + 1u : 0;
}

// So long may a peer keep others waiting. Who has given a depth (1 and more) has a slow one behind
// it and acts on that itself: each node in a row gives the next one time to do so, and a window's
// worth of it at the least rate that is allowed. A row that is longer than networks are is a
// circle.
static uint64_t patience(const struct node *node, uint32_t depth)
{
	if (depth > STALL_DEPTH_MAX)
		return 0;
	if (depth == 0)
		return 2 * node->config.stall_timeout;
	return (1 + depth) * node->config.stall_timeout +
	       SOURCE_WINDOW * SECOND / node->config.min_rate;
}

static bool holds_up(const struct lane *lane)
{
	return lane && lane->held && lane->source->pressed;
}

// Gives up what a lane guards: its peer has got no further, and may not be able to help it.
static void end_guard(struct link *link, struct lane *lane)
{
	link->node->counters.guards_ended++;
	lane_unguard(link, lane);
}

// Its peer gets no further, in this source and in all others; or for as long as anybody may take.
static bool is_guarded_in_vain(const struct link *link, const struct lane *lane)
{
	const struct node *node = link->node;
	uint64_t last = lane->guarded > link->word_at ? lane->guarded : link->word_at;

	return node->now - last >= node->config.stall_timeout ||
	       node->now - lane->guarded >= patience(node, 1);
}

static void cut_loose(struct link *link)
{
	struct node *node = link->node;

	node->counters.links_slow++;
	NODE_EVENT(node, "slow", "id=%s addr=%s", id_format(&link->id).text,
		address_format(&link->remote).text);
	link->loose_since = node->now;
	for (uint32_t i = 0; i < link->lane_count; i++)
		if (link->lanes[i])
			lane_loosen(link, link->lanes[i]);
}

// What the link's lanes that others wait for have in common.
struct verdict {
	bool holds_up;	// there is one
	bool blocked;	// for want of credit
	bool stuck;	// for so long that it is enough
	uint32_t depth; // the highest
};

static struct verdict look_at(struct link *link)
{
	struct node *node = link->node;
	struct verdict v = { 0 };

	for (uint32_t i = 0; i < link->lane_count; i++) {
		struct lane *lane = link->lanes[i];
		if (!holds_up(lane))
			continue;
		if (lane->guards && is_guarded_in_vain(link, lane))
			end_guard(link, lane);
		if (!lane->cursor || lane->loose)
			continue;
		uint32_t depth = depth_of(node, lane);
		v.holds_up = true;
		v.blocked |= lane->blocked > 0;
		v.depth = depth > v.depth ? depth : v.depth;
		v.stuck |= lane->blocked && node->now - lane->blocked >= patience(node, depth);
	}
	return v;
}

// Begins to be watched anew.
static void watch(struct link *link)
{
	link->watched_since = link->node->now;
	link->watched_bytes = link->lane_bytes;
}

static void judge(struct link *link)
{
	struct node *node = link->node;
	struct verdict v = look_at(link);
	uint64_t passed = link->lane_bytes - link->watched_bytes;
	uint64_t time = node->now - link->watched_since;
	uint64_t limit = v.blocked ? patience(node, v.depth) : node->config.stall_timeout;
	uint64_t enough = node->config.min_rate * node->config.stall_timeout / SECOND;

	// As much as it has to take in that time: it may take as long again.
	if (!v.holds_up || passed >= enough) {
		watch(link);
		if (!v.stuck)
			return;
	}
	if (v.stuck || time >= limit)
		cut_loose(link);
}

static bool has_caught_up(const struct link *link, const struct lane *lane)
{
	return lane_behind(link, lane) <= REATTACH_BYTES;
}

static void rejudge(struct link *link)
{
	struct node *node = link->node;
	bool all = true;

	for (uint32_t i = 0; i < link->lane_count && all; i++)
		all = !link->lanes[i] || has_caught_up(link, link->lanes[i]);
	if (!all) {
		if (node->now - link->loose_since >= LOOSE_TIMEOUT)
			link_close(link, GOODBYE_SLOW);
		return;
	}
	link->loose_since = 0;
	for (uint32_t i = 0; i < link->lane_count; i++)
		if (link->lanes[i])
			lane_tighten(link, link->lanes[i]);
	watch(link);
}

// Lanes that have lost their guard and need it no more.
static void tighten(struct link *link)
{
	for (uint32_t i = 0; i < link->lane_count; i++) {
		struct lane *lane = link->lanes[i];
		if (lane && lane->loose && has_caught_up(link, lane))
			lane_tighten(link, lane);
	}
}

// How far away is what the source waits for? 0: it is a reader here, a socket of ours, or a
// neighbour that gets it from elsewhere. False: it waits for nobody.
static bool find_depth(const struct node *node, const struct source *s, uint32_t *depth)
{
	const struct link *link;
	bool found = node->log.gating && s->oldest && s->newest->holds;

	*depth = 0;
	DL_FOREACH (node->links, link) {
		const struct lane *lane = link_up(link) ? lane_find(link, s) : NULL;
		if (!lane || !lane->held)
			continue;
		found = true;
		if (!lane->blocked)
			continue;
		uint32_t its = depth_of(node, lane);
		its = its ? its : 1;
		*depth = its > *depth ? its : *depth;
	}
	return found;
}

static void tell(struct link *link, struct lane *lane)
{
	const struct node *node = link->node;
	uint64_t interval = node->config.stall_timeout / 3;
	uint32_t depth;

	if (!waits_for_us(lane)) {
		lane->stall_said = node->now;
		return;
	}
	if (node->now - lane->stall_said < interval || !find_depth(node, lane->source, &depth))
		return;
	lane->stall_said = node->now;
	wire_put_stall(&link->control,
		&(struct frame_stall){ lane->source->key,
			(uint8_t)(depth <= STALL_DEPTH_MAX ? depth : STALL_DEPTH_MAX + 1) });
	link_touch(link);
}

// The lane that guards most; NULL: none does.
static struct lane *widest_guard(const struct link *link, struct lane *widest)
{
	for (uint32_t i = 0; i < link->lane_count; i++) {
		struct lane *lane = link->lanes[i];
		if (lane && lane->guards &&
			(!widest || lane->held->distance < widest->held->distance))
			widest = lane;
	}
	return widest;
}

// More than there may be is held. What is guarded goes first, which costs something only if the
// peer's other neighbours fail it as well; then whoever has kept others waiting for longest.
static void relieve(struct node *node)
{
	struct link *link, *worst = NULL, *guard_link = NULL;
	struct lane *guard = NULL, *widest;

	if (node->log.held + node->broadcast.partial_bytes <= HELD_BYTES)
		return;
	DL_FOREACH (node->links, link) {
		if (!link_up(link))
			continue;
		widest = widest_guard(link, guard);
		if (widest != guard) {
			guard = widest;
			guard_link = link;
		}
		if (!link->loose_since && look_at(link).holds_up &&
			(!worst || link->watched_since < worst->watched_since))
			worst = link;
	}
	if (guard)
		end_guard(guard_link, guard);
	else if (worst && node->now - worst->watched_since >= node->config.stall_timeout / 3)
		cut_loose(worst);
}

void stall_tick(struct node *node)
{
	struct source *s, *next;
	struct link *link;

	HASH_ITER (hh, node->broadcast.sources, s, next)
		s->pressed = stall_pressed(node, s);
	log_police(&node->log, node->now, pressed(node), node->config.stall_timeout,
		node->config.min_rate);
	DL_FOREACH (node->links, link) {
		if (!link_up(link))
			continue;
		for (uint32_t i = 0; i < link->lane_count; i++)
			if (link->lanes[i])
				tell(link, link->lanes[i]);
		if (link->loose_since) {
			rejudge(link);
		} else {
			tighten(link);
			judge(link);
		}
	}
	relieve(node);
}

void stall_heard(struct link *link, const struct frame_stall *f)
{
	const struct source *s = source_find(link->node, &f->source);
	struct lane *lane = s ? lane_find(link, s) : NULL;

	if (!lane)
		return;
	lane->stall_heard = link->node->now;
	lane->stall_depth = f->depth;
}
