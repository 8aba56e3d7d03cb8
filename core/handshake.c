// SPDX-License-Identifier: MIT
// Who may link to us, and which of two links to keep. Places are core/overlay's.
#include "core/handshake.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"

static void say_hello(struct link *link)
{
	struct node *node = link->node;
	const struct dial *dial = link->dial;
	struct frame_hello f = {
		.version_min = WIRE_VERSION,
		.version_max = WIRE_VERSION,
		.features = WIRE_FEATURES,
		.intent = INTENT_JOIN,
		.id = node->config.id,
		.incarnation = node->config.incarnation,
		.instance = node->instance,
		.peers = (uint16_t)node->up_count,
		.room = overlay_room(node),
		.component = component_mark(node),
		.address_count = node->config.address.family ? 1 : 0,
		.addresses = { node->config.address },
	};
	if (dial && dial->purpose == DIAL_PROBE)
		f.intent = INTENT_PROBE;
	if (dial && dial->purpose == DIAL_REWIRE) {
		f.intent = INTENT_REPLACE;
		f.replaced = dial->replaced;
	}
	if (dial && dial->purpose == DIAL_MERGE)
		f.offer = dial->offer;
	memcpy(f.name, node->config.name, sizeof f.name);
	wire_put_hello(&link->control, &f);
	link_touch(link);
	link_check(link);
}

void handshake_begin(struct link *link)
{
	link->state = LINK_STATE_GREETING;
	link->deadline = link->node->now + HANDSHAKE_TIMEOUT;
	say_hello(link);
}

static void remember(struct link *link, const struct frame_hello *f)
{
	link->id = f->id;
	link->incarnation = f->incarnation;
	memcpy(link->name, f->name, sizeof link->name);
	if (f->address_count)
		link->address = f->addresses[0];
	link->peers = f->peers;
	link->room = f->room;
	link->component = f->component;
	uint64_t age = f->component.age * MILLISECOND;
	link->component_heard = age < link->node->now ? link->node->now - age : 0;
	if (!link->outgoing) {
		link->intent = f->intent;
		link->replaced = f->replaced;
		link->offer = f->offer;
	}
}

static void refuse(struct link *link, enum goodbye reason)
{
	struct node *node = link->node;
	node->counters.links_refused++;
	NODE_EVENT(node, "refused", "addr=%s dir=%s reason=%s", address_format(&link->remote).text,
		link->outgoing ? "out" : "in", goodbye_name(reason));
	link_close(link, reason);
}

static struct link *waiting_from(struct node *node, const struct id *id)
{
	struct link *l;
	DL_FOREACH (node->links, l)
		if (l->state == LINK_STATE_WAITING && id_equal(&l->id, id))
			return l;
	return NULL;
}

// Another link to the same node is up: false when this one has to go.
static bool outlive(struct link *link)
{
	struct link *up = node_link_by_id(link->node, &link->id);
	if (!up)
		return true;
	if (link->incarnation > up->incarnation) {
		link_kill(up, GOODBYE_RESTARTED);
		return true;
	}
	if (link->incarnation < up->incarnation)
		refuse(link, GOODBYE_CLASH);
	else
		link_close(link, GOODBYE_DUPLICATE);
	return false;
}

static void answer_probe(struct link *link)
{
	component_compare(link->node, link, false);
	say_hello(link);
	link_close(link, GOODBYE_DONE);
}

static void greet_dialler(struct link *link)
{
	if (link->intent == INTENT_PROBE) {
		answer_probe(link);
		return;
	}
	if (!outlive(link))
		return;
	struct link *waiting = waiting_from(link->node, &link->id);
	if (waiting && waiting->incarnation < link->incarnation) {
		link_kill(waiting, GOODBYE_RESTARTED);
	} else if (waiting) {
		link_close(link, GOODBYE_DUPLICATE);
		return;
	}
	if (overlay_judge(link->node, link) != 0) {
		link_redirect(link);
		return;
	}
	component_compare(link->node, link, true);
	say_hello(link);
	if (link->state == LINK_STATE_GREETING)
		link->state = LINK_STATE_WAITING;
}

static void greet_acceptor(struct link *link)
{
	struct node *node = link->node;
	struct dial *dial = link->dial;

	if (dial->purpose == DIAL_PROBE) {
		component_compare(node, link, false);
		link->dial = NULL;
		dial_succeeded(node, dial);
		link_kill(link, GOODBYE_DONE);
		return;
	}
	if (!outlive(link))
		return;
	struct link *waiting = waiting_from(node, &link->id);
	if (waiting && id_compare(&node->config.id, &link->id) > 0) {
		link_close(link, GOODBYE_DUPLICATE);
		return;
	}
	if (waiting)
		link_close(waiting, GOODBYE_DUPLICATE);
	if (overlay_judge(node, link) != 0) {
		link_close(link, GOODBYE_SURPLUS);
		return;
	}
	component_compare(node, link, true);
	wire_put_accept(&link->control);
	node_dispatch_up(node, link);
}

int handshake_hello(struct link *link, const struct frame_hello *f)
{
	struct node *node = link->node;

	if (f->version_min > WIRE_VERSION || f->version_max < WIRE_VERSION) {
		refuse(link, GOODBYE_VERSION);
		return 0;
	}
	remember(link, f);
	if (id_equal(&f->id, &node->config.id)) {
		if (f->instance != node->instance) {
			refuse(link, GOODBYE_CLASH);
		} else {
			if (link->dial && link->dial->entry)
				link->dial->entry->self = true;
			link_close(link, GOODBYE_SELF);
		}
		return 0;
	}
	// Whoever comes by can be dialled in turn: a probe finds those who have lost everybody.
	overlay_peers(node, &(struct contact){ link->id, link->address }, 1);
	if (node->stopping)
		link_close(link, GOODBYE_SHUTDOWN);
	else if (link->outgoing)
		greet_acceptor(link);
	else
		greet_dialler(link);
	return 0;
}

void handshake_accepted(struct link *link)
{
	if (link->node->stopping)
		link_close(link, GOODBYE_SHUTDOWN);
	else if (outlive(link))
		node_dispatch_up(link->node, link);
}
