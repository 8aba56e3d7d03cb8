// SPDX-License-Identifier: MIT
// What becomes of links that do not count. Whom to reach by one is core/reach's.
#include "core/direct.h"

#include <errno.h>
#include <utlist.h>

#include "core/node_inner.h"

// What both ends look after while one of them may be using it.
#define IDLE_LOOK SECOND

bool direct_has_room(const struct node *node)
{
	return node->direct_count < DIRECT_MAX;
}

int direct_judge(const struct node *node)
{
	const struct link *link;
	size_t taken = 0;

	LINK_FOREACH(node, link)
	taken += link->direct && !link->outgoing &&
		 (link_up(link) || link->state == LINK_STATE_WAITING);
	return taken < DIRECT_MAX ? 0 : GOODBYE_FULL;
}

static void move_apart(struct node *node, struct link *link)
{
	DL_DELETE(node->links, link);
	DL_APPEND(node->directs, link);
	link->apart = true;
}

void direct_link_up(struct node *node, struct link *link)
{
	move_apart(node, link);
	node->direct_count++;
	node->direct_next = 0;
}

void direct_link_down(struct node *node, struct link *link)
{
	(void)link;
	node->direct_count--;
}

static void demote(struct node *node, struct link *link, uint8_t reason)
{
	wire_put_demote(&link->control, reason);
	link_touch(link);
	link->direct = true;
	link->promoting = link->idle_told = link->idle_heard = false;
	link->idle_since = 0;
	// Out of the list first: nothing that is lost with it is asked of it again.
	direct_link_up(node, link);
	node_link_parts(node, link);
}

void direct_spare(struct link *link, enum goodbye reason)
{
	struct node *node = link->node;

	if (!link_up(link) || !direct_has_room(node)) {
		link_close(link, reason);
		return;
	}
	// Whether it is in use over there is known there.
	link->parting = true;
	demote(node, link, link_in_use(link) ? 0 : (uint8_t)reason);
}

int direct_demoted(struct link *link, uint8_t reason)
{
	if (link->direct && !link->parting)
		return -EPROTO;
	link->parting = false;
	if (reason && !link_in_use(link))
		link_close(link, reason);
	else if (!link->direct && !direct_has_room(link->node))
		link_close(link, GOODBYE_SURPLUS);
	else if (!link->direct)
		demote(link->node, link, 0);
	return 0;
}

static void promote(struct node *node, struct link *link)
{
	link->direct = link->apart = link->promoting = false;
	node->direct_count--;
	DL_DELETE(node->directs, link);
	DL_APPEND(node->links, link);
	node_link_counts(node, link);
	node_link_joins(node, link);
}

size_t direct_promote(struct node *node, size_t wanted)
{
	struct link *link;
	size_t asked = 0;

	DL_FOREACH (node->directs, link) {
		if (!link_up(link) || link->parting || asked == wanted)
			continue;
		asked += link->promoting;
		if (link->promoting || node->now < link->promote_next)
			continue;
		link->promoting = true;
		link->promote_next = node->now + PROMOTE_PAUSE;
		wire_put_promote(&link->control, PROMOTE_ASK);
		link_touch(link);
		asked++;
	}
	return asked;
}

static void judge_promotion(struct node *node, struct link *link)
{
	bool room = node->config.max_peers == 0 || overlay_room(node) > 0;

	wire_put_promote(&link->control, room ? PROMOTE_YES : PROMOTE_NO);
	link_touch(link);
	if (room)
		promote(node, link);
}

int direct_promoted(struct link *link, enum promote what)
{
	struct node *node = link->node;

	if (!link->direct || link->parting)
		return -EPROTO;
	switch (what) {
	case PROMOTE_ASK:
		// Both want it.
		if (link->promoting)
			promote(node, link);
		else
			judge_promotion(node, link);
		return 0;
	case PROMOTE_YES:
		if (!link->promoting)
			return -EPROTO;
		promote(node, link);
		return 0;
	case PROMOTE_NO:
		if (!link->promoting)
			return -EPROTO;
		link->promoting = false;
		node->overlay.next = 0;
		return 0;
	}
	return -EPROTO;
}

int direct_idle(struct link *link, bool idle)
{
	// Said before it was promoted.
	link->idle_heard = idle && link->direct;
	link->node->direct_next = 0;
	return 0;
}

static void say_idle(struct link *link, bool idle)
{
	if (link->idle_told == idle)
		return;
	link->idle_told = idle;
	wire_put_idle(&link->control, idle);
	link_touch(link);
}

// Returns when to look at it again.
static uint64_t look(struct node *node, struct link *link)
{
	if (link_in_use(link)) {
		link->idle_since = 0;
		say_idle(link, false);
		return node->now + IDLE_LOOK;
	}
	if (link->idle_since == 0)
		link->idle_since = node->now;
	if (node->now - link->idle_since < DIRECT_IDLE)
		return node->now + IDLE_LOOK;
	say_idle(link, true);
	if (link->idle_heard)
		link_close(link, GOODBYE_DONE);
	return node->now + IDLE_LOOK;
}

void direct_tick(struct node *node)
{
	struct link *link;

	if (node->now < node->direct_next)
		return;
	node->direct_next = UINT64_MAX;
	DL_FOREACH (node->directs, link) {
		uint64_t due = link_up(link) ? look(node, link) : UINT64_MAX;
		if (due < node->direct_next)
			node->direct_next = due;
	}
}
