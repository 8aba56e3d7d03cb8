// SPDX-License-Identifier: MIT
// Flooding of small envelopes, deduplicated by (origin, type, incarnation, counter).
#include "core/announce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"

// A few types of each member; what is beyond is refused and counted.
#define ENTRIES_MAX (4 * MEMBERS_MAX)

void announce_fini(struct announce *a)
{
	struct announce_entry *e, *next;
	HASH_ITER (hh, a->latest, e, next) {
		HASH_DEL(a->latest, e);
		free(e);
	}
}

static struct announce_entry *entry_find(struct announce *a, const struct id *origin, uint8_t type)
{
	struct announce_key key;
	struct announce_entry *e;
	memset(&key, 0, sizeof key);
	key.origin = *origin;
	key.type = type;
	HASH_FIND(hh, a->latest, &key, sizeof key, e);
	return e;
}

static bool is_news(struct announce *a, const struct frame_announce *f)
{
	const struct announce_entry *e = entry_find(a, &f->origin, f->type);
	return !e || f->incarnation > e->incarnation ||
	       (f->incarnation == e->incarnation && f->counter > e->counter);
}

// Keeps the envelope as the latest of its kind. 0 or -ENOSPC.
static int keep(struct node *node, const struct frame_announce *f)
{
	struct announce *a = &node->announce;
	struct announce_entry *e = entry_find(a, &f->origin, f->type);

	if (!e && HASH_COUNT(a->latest) >= ENTRIES_MAX)
		return -ENOSPC;
	struct announce_entry *fresh = calloc(1, sizeof *fresh + f->bytes);
	if (!fresh)
		return -ENOSPC;
	fresh->key.origin = f->origin;
	fresh->key.type = f->type;
	fresh->incarnation = f->incarnation;
	fresh->counter = f->counter;
	fresh->heard = node->now;
	fresh->bytes = f->bytes;
	if (f->bytes)
		memcpy(fresh->payload, f->payload, f->bytes);
	if (e) {
		HASH_DEL(a->latest, e);
		free(e);
	}
	HASH_ADD(hh, a->latest, key, sizeof fresh->key, fresh);
	return 0;
}

static void relay(struct node *node, const struct frame_announce *f, const struct link *from)
{
	struct link *link;
	DL_FOREACH (node->links, link) {
		if (!link_up(link) || link == from)
			continue;
		wire_put_announce(&link->control, f);
		link_touch(link);
	}
}

void announce_send(struct node *node, enum announcement type, const void *payload, size_t n)
{
	struct frame_announce f = {
		.origin = node->config.id,
		.incarnation = node->config.incarnation,
		.counter = ++node->announce.counter,
		.type = type,
		.bytes = (uint16_t)n,
		.payload = payload,
	};
	keep(node, &f);
	relay(node, &f, NULL);
}

static int beacon(struct node *node, const struct link *from, const struct frame_announce *f)
{
	uint64_t number;
	int r = wire_get_beacon(f->payload, f->bytes, &number);
	if (r == 0)
		component_beacon(node, from, &f->origin, number);
	return r;
}

static int member(struct node *node, const struct frame_announce *f)
{
	struct announce_member m;
	int r = wire_get_member(f->payload, f->bytes, &m);
	if (r == 0)
		members_heard(node, &f->origin, &m);
	return r;
}

static int gone(struct node *node, const struct id *id)
{
	if (id_equal(id, &node->config.id))
		members_announce(node); // here we are
	else if (!node_link_by_id(node, id))
		members_left(node, id);
	return 0;
}

// What the envelope says, for the types that this version knows.
static int understand(struct node *node, const struct link *from, const struct frame_announce *f)
{
	struct id id;

	if (f->type == ANNOUNCE_BEACON)
		return beacon(node, from, f);
	if (f->type == ANNOUNCE_MEMBER)
		return member(node, f);
	if (f->type == ANNOUNCE_LEAVE) {
		members_left(node, &f->origin);
		return 0;
	}
	if (f->type != ANNOUNCE_NETSPLIT && f->type != ANNOUNCE_HEALED && f->type != ANNOUNCE_GONE)
		return 0;
	int r = wire_get_id(f->payload, f->bytes, &id);
	if (r < 0)
		return r;
	if (f->type == ANNOUNCE_NETSPLIT)
		component_netsplit_heard(node, &id);
	else if (f->type == ANNOUNCE_HEALED)
		component_healed_heard(node, &id);
	else
		return gone(node, &id);
	return 0;
}

int announce_receive(struct node *node, struct link *from, const struct frame_announce *f)
{
	// Our own, come round; or what an earlier life of ours left behind.
	if (id_equal(&f->origin, &node->config.id))
		return 0;
	if (!is_news(&node->announce, f))
		return 0;
	// Nonsense is not kept, or it would stand in the way of what the origin really says.
	int r = understand(node, from, f);
	if (r < 0)
		return r;
	// What cannot be kept cannot be told from news the next time, hence goes no further.
	if (keep(node, f) == 0)
		relay(node, f, from);
	else
		node->counters.announcements_dropped++;
	return 0;
}

void announce_link_up(struct node *node, struct link *link)
{
	struct announce_entry *e, *next;
	HASH_ITER (hh, node->announce.latest, e, next) {
		bool current = e->key.type == ANNOUNCE_BEACON &&
			       id_equal(&e->key.origin, &node->component.origin);
		bool lives = e->key.type == ANNOUNCE_MEMBER &&
			     (id_equal(&e->key.origin, &node->config.id) ||
				     members_find(&node->members, &e->key.origin));
		if (!current && !lives)
			continue;
		struct frame_announce f = {
			.origin = e->key.origin,
			.incarnation = e->incarnation,
			.counter = e->counter,
			.type = e->key.type,
			.bytes = e->bytes,
			.payload = e->payload,
		};
		wire_put_announce(&link->control, &f);
	}
	link_touch(link);
}

void announce_tick(struct node *node)
{
	struct announce *a = &node->announce;
	struct announce_entry *e, *next;

	if (node->now < a->sweep)
		return;
	a->sweep = node->now + LEASE_EXPIRE / 4;
	HASH_ITER (hh, a->latest, e, next) {
		if (node->now - e->heard < LEASE_EXPIRE ||
			id_equal(&e->key.origin, &node->config.id))
			continue;
		HASH_DEL(a->latest, e);
		free(e);
	}
}
