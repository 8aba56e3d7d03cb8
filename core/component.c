// SPDX-License-Identifier: MIT
// Beacons, and netsplits found by comparing them.
#include "core/component.h"

#include <utlist.h>

#include "core/mutant.h"
#include "core/node_inner.h"

static void announce_beacon(struct node *node)
{
	struct component *c = &node->component;
	struct buffer b = BUFFER_INIT;

	c->number++;
	c->heard = node->now;
	c->next = node->now + BEACON_INTERVAL;
	wire_put_beacon(&b, c->number);
	plumtree_beacon_own(node);
	if (!buffer_failed(&b))
		announce_send(node, ANNOUNCE_BEACON, buffer_bytes(&b), buffer_length(&b));
	buffer_fini(&b);
}

// Takes oneself for the lowest until somebody lower is heard.
static void believe_self(struct node *node)
{
	struct component *c = &node->component;
	c->origin = node->id;
	c->number = 0;
	announce_beacon(node);
}

void component_init(struct node *node)
{
	believe_self(node);
}

struct component_mark component_mark(const struct node *node)
{
	const struct component *c = &node->component;
	return (struct component_mark){ .origin = c->origin,
		.number = c->number,
		.age = (uint32_t)((node->now - c->heard) / MILLISECOND) };
}

void component_beacon(
	struct node *node, struct link *from, const struct id *origin, uint64_t number)
{
	struct component *c = &node->component;
	bool old = id_equal(origin, &from->component.origin) && number <= from->component.number;
	uint64_t heard = old ? from->component_heard : node->now;

	// Told on to newcomer after newcomer, the beacon of a dead node would live for ever.
	if (id_compare(origin, &c->origin) > 0 || node->now - heard >= BEACON_EXPIRE ||
		(id_equal(origin, &c->origin) && heard < c->heard))
		return;
	c->origin = *origin;
	c->number = number;
	c->heard = heard;
	plumtree_beacon_first(node, from);
}

static void healed(struct node *node, const char *how)
{
	struct component *c = &node->component;
	c->split = false;
	c->suspected = 0;
	NODE_EVENT(node, "healed", "other=%s by=%s", id_format(&c->other).text, how);
	if (c->evidence)
		announce_send(node, ANNOUNCE_HEALED, c->other.bytes, ID_BYTES);
	c->evidence = 0;
	// Each half may have told that nodes of the other are gone, and they did not hear of it.
	node->members.renew = node->now;
}

static struct address link_way(const struct link *link)
{
	return link->address.family ? link->address : link->remote;
}

static void report(struct node *node, const struct link *link)
{
	struct component *c = &node->component;
	c->evidence = node->now;
	c->way = link_way(link);
	if (c->split)
		return;
	c->split = true;
	c->other = link->component.origin;
	c->merge_next = node->now;
	NODE_EVENT(node, "netsplit", "other=%s via=%s", id_format(&c->other).text,
		address_format(&c->way).text);
	announce_send(node, ANNOUNCE_NETSPLIT, c->other.bytes, ID_BYTES);
}

static bool linked_to_way(struct node *node)
{
	struct link *link;
	DL_FOREACH (node->links, link)
		if (link_up(link) && address_equal(&link->address, &node->component.way) &&
			node->now - link->since >= SECOND)
			return true;
	return false;
}

static void merge(struct node *node)
{
	struct component *c = &node->component;
	struct dial *dial;

	c->merge_next = node->now + MERGE_INTERVAL;
	if (dial_running(node, DIAL_MERGE))
		return;
	struct link *link;
	DL_FOREACH (node->links, link)
		if (link_up(link) && address_equal(&link->address, &c->way))
			return;
	dial = dial_address(node, DIAL_MERGE, &c->way);
	if (!dial)
		return;
	if (node->config.max_peers && overlay_count(node) >= node->config.max_peers)
		dial->offer = overlay_offer(node, dial->permit);
	dial_start(node, dial);
}

static bool is_fresh(const struct component_mark *mark)
{
	return mark->age * MILLISECOND <= BEACON_FRESH;
}

static bool speaks_for_now(const struct component_mark *mark)
{
	return mark->number >= BEACON_ESTABLISHED && is_fresh(mark);
}

// Nodes that have only begun, we among them, and found each other first: no netsplit, yet to be one
// component.
static void meet(struct node *node, const struct link *link, bool joining)
{
	struct component *c = &node->component;
	if (joining || !link->outgoing || c->split || c->suspected || c->meeting_until > node->now)
		return;
	c->way = link_way(link);
	c->other = link->component.origin;
	c->meeting_until = node->now + MEETING_PATIENCE;
	merge(node);
}

// Whoever is met may be full just then: until there is a link, or its beacon has come here.
static void go_on_meeting(struct node *node)
{
	struct component *c = &node->component;
	if (id_equal(&c->origin, &c->other) || linked_to_way(node))
		c->meeting_until = 0;
	else if (node->now >= c->merge_next)
		merge(node);
}

void component_redirected(struct node *node, const struct contact *contacts, size_t count)
{
	struct component *c = &node->component;
	const struct contact *other = &contacts[random_below(&node->random, count)];
	if (!node_may_dial(&other->address) || node_link_by_id(node, &other->id))
		return;
	// Nobody makes us dial others all the time.
	if (!allowance_take(&c->redirects, node->now, MERGE_INTERVAL, DIALS_MAX))
		return;
	c->way = other->address;
	c->merge_next = node->now;
}

void component_compare(struct node *node, struct link *link, bool joining)
{
	struct component *c = &node->component;
	struct component_mark mine = component_mark(node);
	const struct component_mark *theirs = &link->component;

	// A node alone is a newcomer, not a half of a network.
	if (node->up_count == 0 || link->peers == 0)
		return;
	if (id_equal(&mine.origin, &theirs->origin)) {
		if (c->split && address_equal(&c->way, &link->address))
			healed(node, "link");
		return;
	}
	link->bridge = joining;
	bool established = speaks_for_now(&mine) && speaks_for_now(theirs);
	if (!established && !c->grown && is_fresh(&mine) && is_fresh(theirs))
		meet(node, link, joining);
	if (!established)
		return;
	bool again = c->suspected && node->now - c->suspected < SPLIT_FORGET / 2;
	if (c->split || joining || (again && node->now - c->suspected >= SPLIT_CONFIRM)) {
		report(node, link);
	} else if (!again) {
		c->suspected = node->now;
		c->way = link_way(link);
		node->overlay.probe_next = node->now + SPLIT_CONFIRM;
		node->overlay.next = 0;
	}
}

struct view_entry *component_suspect(struct node *node)
{
	struct component *c = &node->component;
	if (!c->suspected || c->split || node->now - c->suspected >= SPLIT_FORGET / 2)
		return NULL;
	return view_find_address(&node->view, &c->way);
}

void component_netsplit_heard(struct node *node, const struct id *other)
{
	struct component *c = &node->component;
	// Heard of by others first, or of ourselves: somebody in the other half reports us.
	if (c->split || id_equal(other, &c->origin))
		return;
	c->split = true;
	c->other = *other;
	c->evidence = 0;
	c->merge_next = node->now + SPLIT_FORGET;
	NODE_EVENT(node, "netsplit", "other=%s", id_format(other).text);
}

void component_healed_heard(struct node *node, const struct id *other)
{
	(void)other;
	if (!node->component.split)
		return;
	node->component.evidence = 0; // somebody has said so already
	healed(node, "report");
}

void component_tick(struct node *node)
{
	struct component *c = &node->component;
	bool lowest = id_equal(&c->origin, &node->id);

	c->grown |= node->up_count > 0 && c->number >= BEACON_ESTABLISHED;
	if (lowest && node->now >= c->next)
		announce_beacon(node);
	else if (!lowest && node->now - c->heard >= BEACON_EXPIRE && !MUTANT(ghost))
		believe_self(node);
	if (!c->split && node->now < c->meeting_until)
		go_on_meeting(node);
	if (!c->split)
		return;
	if (c->evidence && linked_to_way(node))
		healed(node, "link");
	else if (c->evidence && node->now - c->evidence >= SPLIT_FORGET)
		healed(node, "unreachable");
	else if (!c->evidence && node->now >= c->merge_next)
		healed(node, "report"); // whoever reported it has fallen silent
	else if (c->evidence && node->now >= c->merge_next)
		merge(node);
}

uint64_t component_deadline(const struct node *node)
{
	const struct component *c = &node->component;
	uint64_t due = id_equal(&c->origin, &node->id) ? c->next : c->heard + BEACON_EXPIRE;
	// While two components are to become one, somebody has to watch whether a link has done it.
	uint64_t watch = node->now + SECOND / 2;
	bool watched = c->split || node->now < c->meeting_until;
	return watched && watch < due ? watch : due;
}
