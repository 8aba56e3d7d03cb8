// SPDX-License-Identifier: MIT
// Whoever connects: how many at once, and how often they are worth an event.
#include <inttypes.h>
#include <string.h>
#include <utlist.h>

#include "core/handshake.h"
#include "core/node_inner.h"

void node_stranger(struct node *node, const struct address *from, const char *why)
{
	if (allowance_take(&node->stranger_events, node->now, STRANGER_PAUSE, STRANGER_EVENTS)) {
		NODE_EVENT(node, "refused", "addr=%s %s", address_format(from).text, why);
		return;
	}
	if (node->strangers_unsaid++ == 0)
		node->strangers_next = node->now + STRANGER_PAUSE;
}

void node_say_strangers(struct node *node)
{
	if (node->strangers_unsaid == 0 || node->now < node->strangers_next)
		return;
	NODE_EVENT(node, "refused", "addr=- dir=in reason=more count=%" PRIu64,
		node->strangers_unsaid);
	node->strangers_unsaid = 0;
}

// Accepted, and not up: a member that gets no further is no better than a stranger. But not those
// who are on their way out.
static bool is_pending(const struct link *link)
{
	bool leaving = link->state == LINK_STATE_CLOSING && link->proven;
	return !link->outgoing && !link_up(link) && !leaving && link->state != LINK_STATE_DEAD;
}

// Those who take up room of one kind.
struct crowd {
	struct link *oldest;
	size_t count;
};

static void crowd_add(struct crowd *c, struct link *link)
{
	c->oldest = c->oldest ? c->oldest : link;
	c->count++;
}

// Whose place one more from there would take; NULL: there is room.
static struct link *in_the_way(struct node *node, const struct address *from)
{
	struct crowd unproven = { 0 }, members = { 0 }, host = { 0 };
	struct link *link;

	DL_FOREACH (node->links, link) {
		if (!is_pending(link))
			continue;
		crowd_add(link->proven ? &members : &unproven, link);
		if (address_same_host(&link->remote, from))
			crowd_add(&host, link);
	}
	if (host.count >= UNPROVEN_HOST_MAX)
		return host.oldest;
	if (unproven.count >= UNPROVEN_MAX)
		return unproven.oldest;
	return members.count >= PENDING_MAX ? members.oldest : NULL;
}

// Is there room for one more of whom nothing is known? Who has had his time makes it.
static bool room_for_stranger(struct node *node, const struct address *from)
{
	struct link *oldest = in_the_way(node, from);

	if (!oldest)
		return true;
	if (node->now - oldest->created < UNPROVEN_PATIENCE)
		return false;
	if (oldest->state != LINK_STATE_CLOSING)
		handshake_report(oldest, GOODBYE_TIMEOUT, "");
	link_kill(oldest, GOODBYE_TIMEOUT);
	return true;
}

struct link *node_accept(struct node *node, const struct address *from)
{
	struct link *link = NULL;
	if (!node->stopping && node->link_count < LINKS_MAX && room_for_stranger(node, from))
		link = link_new(node, from, false);
	node_reap(node);
	if (!link) {
		node->counters.accepts_refused++;
		node_stranger(node, from, "dir=in reason=busy");
	}
	return link;
}

void node_accept_failed(struct node *node, int error)
{
	const char *name = strerrorname_np(-error);
	node->counters.accepts_failed++;
	NODE_EVENT(node, "refused", "addr=- dir=in reason=%s", name ? name : "accept");
}
