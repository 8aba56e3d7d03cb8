// SPDX-License-Identifier: MIT
// Flooding of small envelopes, deduplicated by (origin, type, incarnation, counter).
#include "core/announce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"
#include "core/signing.h"

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

static struct announce_entry *entry_find(
	const struct announce *a, const struct id *origin, uint8_t type)
{
	struct announce_key key;
	struct announce_entry *e;
	memset(&key, 0, sizeof key);
	key.origin = *origin;
	key.type = type;
	HASH_FIND(hh, a->latest, &key, sizeof key, e);
	return e;
}

static bool outdated(const struct announce_entry *e, const struct frame_announce *f)
{
	uint64_t incarnation = f->stamp.incarnation;
	return e && (e->incarnation > incarnation ||
			    (e->incarnation == incarnation && e->counter >= f->counter));
}

static bool is_news(
	const struct announce *a, const struct id *origin, const struct frame_announce *f)
{
	const struct announce_entry *member = entry_find(a, origin, ANNOUNCE_MEMBER);

	if (outdated(entry_find(a, origin, f->type), f))
		return false;
	// Kept by somebody and told again, coming would undo going, and going coming.
	if (f->type == ANNOUNCE_MEMBER && outdated(entry_find(a, origin, ANNOUNCE_LEAVE), f))
		return false;
	if (f->type == ANNOUNCE_LEAVE && outdated(member, f))
		return false;
	return !member || member->incarnation <= f->stamp.incarnation;
}

uint64_t announce_incarnation(const struct announce *a, const struct id *id)
{
	const struct announce_entry *e = entry_find(a, id, ANNOUNCE_MEMBER);
	return e ? e->incarnation : 0;
}

bool announce_lease(const struct announce *a, const struct id *id, struct announce_member *m)
{
	const struct announce_entry *e = entry_find(a, id, ANNOUNCE_MEMBER);
	struct frame_announce f;
	return e && wire_get_announce(e->sealed, e->bytes, &f) == 0 &&
	       wire_get_member(f.payload, f.bytes, m) == 0;
}

void announce_bury(struct node *node, const struct id *id)
{
	struct announce_entry *e = entry_find(&node->announce, id, ANNOUNCE_MEMBER);
	if (e)
		e->buried = node->now;
}

void announce_exhume(struct node *node, uint64_t since)
{
	struct announce_entry *e, *next;

	HASH_ITER (hh, node->announce.latest, e, next) {
		const struct announce_entry *left =
			entry_find(&node->announce, &e->key.origin, ANNOUNCE_LEAVE);
		struct announce_member m;
		if (e->buried == 0 || e->buried < since)
			continue;
		e->buried = 0;
		// One that has left is not taken for gone; one that leaves afterwards may be.
		if ((left && left->heard > e->heard) ||
			members_find(&node->members, &e->key.origin))
			continue;
		if (announce_lease(&node->announce, &e->key.origin, &m))
			members_heard(node, &e->key.origin, &m);
	}
}

// The table is in the order of what was heard last. What is forgotten would be news again, but by
// then it is minutes old, and round the network in less than a second.
static void forget_oldest(struct node *node)
{
	struct announce *a = &node->announce;
	struct announce_entry *e, *next;
	HASH_ITER (hh, a->latest, e, next) {
		if (id_equal(&e->key.origin, &node->id))
			continue;
		HASH_DEL(a->latest, e);
		free(e);
		node->counters.announcements_dropped++;
		return;
	}
}

// Keeps the envelope as the latest of its kind. 0 or -ENOMEM.
static int keep(struct node *node, const struct id *origin, const struct frame_announce *f)
{
	struct announce *a = &node->announce;
	struct announce_entry *e = entry_find(a, origin, f->type);
	size_t n = f->sealed.n + SIGNATURE_BYTES;

	if (!e && HASH_COUNT(a->latest) >= ENTRIES_MAX)
		forget_oldest(node);
	struct announce_entry *fresh = calloc(1, sizeof *fresh + n);
	if (!fresh)
		return -ENOMEM;
	fresh->key.origin = *origin;
	fresh->key.type = f->type;
	fresh->incarnation = f->stamp.incarnation;
	fresh->counter = f->counter;
	fresh->heard = node->now;
	fresh->bytes = n;
	memcpy(fresh->sealed, f->sealed.bytes, n);
	if (e) {
		HASH_DEL(a->latest, e);
		free(e);
	}
	HASH_ADD(hh, a->latest, key, sizeof fresh->key, fresh);
	if (!fresh->hh.tbl) {
		free(fresh);
		return -ENOMEM;
	}
	return 0;
}

static void relay(struct node *node, const struct frame_announce *f, const struct link *from)
{
	struct link *link;
	DL_FOREACH (node->links, link) {
		if (!link_up(link) || link == from)
			continue;
		// Whoever floods us from several sides must not make us flood others.
		if (from && !allowance_take(
				    &link->told, node->now, ANNOUNCE_INTERVAL, ANNOUNCE_BURST)) {
			node->counters.announcements_dropped++;
			continue;
		}
		wire_put_sealed(&link->control, FRAME_ANNOUNCE, f->sealed.bytes,
			f->sealed.n + SIGNATURE_BYTES);
		link_touch(link);
	}
}

void announce_send(struct node *node, enum announcement type, const void *payload, size_t n)
{
	struct buffer b = BUFFER_INIT;
	struct frame_announce f = {
		.stamp = signing_stamp(node),
		.counter = ++node->announce.counter,
		.type = type,
		.bytes = (uint16_t)n,
		.payload = payload,
	};

	wire_put_announce(&b, &f);
	f.sealed.n = buffer_length(&b);
	if (signing_sign(node, ANNOUNCE_TAG, &b) == 0) {
		f.sealed.bytes = buffer_bytes(&b);
		keep(node, &node->id, &f);
		relay(node, &f, NULL);
	}
	buffer_fini(&b);
}

static int beacon(struct node *node, struct link *from, const struct id *origin,
	const struct frame_announce *f)
{
	uint64_t number;
	int r = wire_get_beacon(f->payload, f->bytes, &number);
	if (r == 0)
		component_beacon(node, from, origin, number);
	return r;
}

static int member(struct node *node, const struct id *origin, const struct frame_announce *f)
{
	struct announce_member m;
	int r = wire_get_member(f->payload, f->bytes, &m);
	if (r == 0)
		members_heard(node, origin, &m);
	return r;
}

static void gone(struct node *node, const struct id *id)
{
	if (!id_equal(id, &node->id)) {
		if (!node_link_by_id(node, id))
			members_left(node, id);
		return;
	}
	if (allowance_take(&node->announce.refutes, node->now, REFUTE_INTERVAL, 1))
		members_announce(node); // here we are
	// And once more: some hear the word after the answer, and others may say the same.
	if (node->members.renew > node->now + REFUTE_INTERVAL)
		node->members.renew = node->now + REFUTE_INTERVAL;
}

static int called(struct node *node, const struct id *origin, const struct frame_announce *f)
{
	struct contact call;
	int r = wire_get_call(f->payload, f->bytes, &call);
	return r < 0 ? r : reach_called(node, origin, &call);
}

// What the envelope says, for the types that this version knows.
static int understand(struct node *node, struct link *from, const struct id *origin,
	const struct frame_announce *f)
{
	struct id id;

	if (f->type == ANNOUNCE_BEACON)
		return beacon(node, from, origin, f);
	if (f->type == ANNOUNCE_MEMBER)
		return member(node, origin, f);
	if (f->type == ANNOUNCE_LEAVE) {
		members_left(node, origin);
		return 0;
	}
	if (f->type == ANNOUNCE_CALL)
		return called(node, origin, f);
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
		gone(node, &id);
	return 0;
}

// More than a network has to say: dropped, and in the end the link with it.
static void too_much(struct link *link)
{
	struct node *node = link->node;
	node->counters.announcements_dropped++;
	if (!allowance_take(&link->excess, node->now, ANNOUNCE_INTERVAL, ANNOUNCE_BURST))
		link_close(link, GOODBYE_FLOOD);
}

// A member whose incarnation is lower than one it had before, as after a backup was restored, has
// to learn of that: nobody hears it before it is above.
static void show_later_life(const struct node *node, struct link *to, const struct id *origin,
	const struct frame_announce *f)
{
	const struct announce_entry *e = entry_find(&node->announce, origin, ANNOUNCE_MEMBER);

	if (f->type != ANNOUNCE_MEMBER || !e || e->incarnation <= f->stamp.incarnation)
		return;
	wire_put_sealed(&to->control, FRAME_ANNOUNCE, e->sealed, e->bytes);
	link_touch(to);
}

// The beacon of now, which is here already: over another link it came first.
static void beacon_again(struct node *node, struct link *from, const struct id *origin,
	const struct frame_announce *f)
{
	const struct announce_entry *e = entry_find(&node->announce, origin, f->type);

	if (f->type == ANNOUNCE_BEACON && id_equal(origin, &node->component.origin) && e &&
		e->counter == f->counter && e->incarnation == f->stamp.incarnation)
		plumtree_beacon_again(node, from);
}

int announce_receive(struct node *node, struct link *from, const struct frame_announce *f)
{
	struct id origin = identity_of(&f->stamp.key);

	bool own = id_equal(&origin, &node->id) && f->stamp.incarnation <= node->config.incarnation;
	if (own || !is_news(&node->announce, &origin, f))
		beacon_again(node, from, &origin, f);
	if (own)
		return 0; // come round
	if (!is_news(&node->announce, &origin, f)) {
		show_later_life(node, from, &origin, f);
		return 0;
	}
	if (!allowance_take(&from->news, node->now, ANNOUNCE_INTERVAL, ANNOUNCE_BURST)) {
		too_much(from);
		return 0;
	}
	enum judgement judgement = signing_judge(node, ANNOUNCE_TAG, &f->stamp, &f->sealed);
	if (judgement == SIGNING_BAD) {
		node->counters.signatures_bad++;
		link_close(from, GOODBYE_SIGNATURE);
		return 0;
	}
	if (judgement == SIGNING_FOREIGN) {
		node->counters.announcements_dropped++;
		link_foreign(from);
		return 0;
	}
	if (id_equal(&origin, &node->id)) {
		node_clash(node, f->stamp.incarnation);
		return 0;
	}
	// Nonsense is not kept, or it would stand in the way of what the origin really says.
	int r = understand(node, from, &origin, f);
	if (r < 0)
		return r;
	// The lowest beacon is everybody's; any other would go all the way for nothing, one for
	// each node that comes.
	if (f->type == ANNOUNCE_BEACON && !id_equal(&origin, &node->component.origin))
		return 0;
	// What cannot be kept cannot be told from news the next time, hence goes no further.
	if (keep(node, &origin, f) == 0)
		relay(node, f, from);
	else
		node->counters.announcements_dropped++;
	return 0;
}

void announce_beacon_to(struct node *node, struct link *link)
{
	const struct announce_entry *e =
		entry_find(&node->announce, &node->component.origin, ANNOUNCE_BEACON);
	if (!e)
		return;
	wire_put_sealed(&link->control, FRAME_ANNOUNCE, e->sealed, e->bytes);
	link_touch(link);
}

void announce_link_up(struct node *node, struct link *link)
{
	struct announce_entry *e, *next;
	HASH_ITER (hh, node->announce.latest, e, next) {
		bool lives = e->key.type == ANNOUNCE_MEMBER &&
			     (id_equal(&e->key.origin, &node->id) ||
				     members_find(&node->members, &e->key.origin));
		if (lives)
			wire_put_sealed(&link->control, FRAME_ANNOUNCE, e->sealed, e->bytes);
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
		if (node->now - e->heard < LEASE_EXPIRE || id_equal(&e->key.origin, &node->id))
			continue;
		HASH_DEL(a->latest, e);
		free(e);
	}
}
