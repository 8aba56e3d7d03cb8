// SPDX-License-Identifier: MIT
// Gathering and reordering. Reaching a node is core/dial's, knowing of one core/view's.
#include "core/overlay.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/mutant.h"
#include "core/node_inner.h"
#include "core/retune.h"

void overlay_init(struct node *node)
{
	struct overlay *o = &node->overlay;
	o->shuffle_next = node->now + random_jitter(&node->random, SHUFFLE_INTERVAL);
	o->probe_next = node->now + random_jitter(&node->random, PROBE_INTERVAL);
}

size_t overlay_count(const struct node *node)
{
	const struct link *link;
	size_t count = 0;
	DL_FOREACH (node->links, link)
		count += link_counts(link);
	return count;
}

uint16_t overlay_room(const struct node *node)
{
	size_t count = overlay_count(node), max = node->config.max_peers;
	if (max == 0)
		return ROOM_UNLIMITED;
	return (uint16_t)(count < max ? max - count : 0);
}

static struct link *spare_of(
	struct node *node, const struct link *except, const struct id *other, bool in_use)
{
	struct link *link, *best = NULL;
	uint64_t candidates = 0;

	DL_FOREACH (node->links, link) {
		if (!link_up(link) || link == except || link->address.family == 0 ||
			link->rewiring_until > node->now || link_in_use(link) != in_use ||
			(other && id_equal(other, &link->id)))
			continue;
		if (random_below(&node->random, ++candidates) == 0)
			best = link;
	}
	return best;
}

// A link that could be given to somebody else: to a node that can be dialled, and in nobody's use
// if there is one; what is in use lives on as a direct link.
static struct link *spare(struct node *node, const struct link *except, const struct id *other)
{
	struct link *link = spare_of(node, except, other, false);
	return link || !direct_has_room(node) ? link : spare_of(node, except, other, true);
}

// The link whose place the dialler takes, with the leave of its other end; NULL: none.
static struct link *place_taken(struct node *node, const struct link *link)
{
	uint8_t permit[DIGEST_BYTES];
	if (link->outgoing || link->intent != INTENT_REPLACE)
		return NULL;
	struct link *replaced = node_link_by_id(node, &link->replaced);
	if (!replaced || replaced == link || replaced->direct ||
		(link_in_use(replaced) && !direct_has_room(node)) ||
		link_permit(replaced, permit) < 0 ||
		CRYPTO_memcmp(permit, link->permit, sizeof permit) != 0)
		return NULL;
	return replaced;
}

int overlay_judge(struct node *node, const struct link *link)
{
	size_t count = overlay_count(node), max = node->config.max_peers;

	if (max == 0 || count < max || MUTANT(crowd))
		return 0;
	// One too many, for a moment, is what making a link before breaking one takes.
	if (count > max)
		return GOODBYE_FULL;
	if (place_taken(node, link))
		return 0;
	if (link->outgoing)
		return link->dial->purpose == DIAL_MERGE || !id_is_zero(&link->dial->leave)
			       ? 0
			       : GOODBYE_FULL;
	// The place beyond max is kept for the link that is to join another component.
	if (dial_running(node, DIAL_MERGE))
		return GOODBYE_FULL;
	bool can_splice = link->room >= 2 || !id_is_zero(&link->offer.id);
	return can_splice && spare(node, link, &link->id) ? 0 : GOODBYE_FULL;
}

uint8_t overlay_contacts(
	struct node *node, const struct link *except, struct contact *contacts, uint8_t max)
{
	struct link *link;
	uint8_t count = 0;

	DL_FOREACH (node->links, link) {
		if (!link_up(link) || link == except || link->address.family == 0)
			continue;
		if (count < max)
			contacts[count++] = link_contact(link);
	}
	return count;
}

struct contact overlay_offer(struct node *node, uint8_t permit[DIGEST_BYTES])
{
	struct link *link = spare(node, NULL, NULL);
	if (!link || link_permit(link, permit) < 0)
		return (struct contact){ 0 };
	link->rewiring_until = node->now + REWIRE_TIMEOUT;
	return link_contact(link);
}

// Gives one of our edges to the newcomer: it takes our place on a link of ours, or, when it has
// no room for two, our neighbour takes its place on the link that it offers.
static void make_room(struct node *node, struct link *newcomer)
{
	struct link *y = spare(node, newcomer, &newcomer->id);
	struct frame_rewire f = { 0 };

	if (!y)
		return;
	y->rewiring_until = node->now + REWIRE_TIMEOUT;
	if (newcomer->room >= 2) {
		f.target = link_contact(y);
		f.replaced = node->id;
		if (link_permit(y, f.permit) < 0)
			return;
		wire_put_rewire(&newcomer->control, &f);
		link_touch(newcomer);
	} else if (!id_is_zero(&newcomer->offer.id)) {
		f.target = newcomer->offer;
		f.replaced = newcomer->id;
		memcpy(f.permit, newcomer->permit, sizeof f.permit);
		f.leave = true;
		wire_put_rewire(&y->control, &f);
		link_touch(y);
	}
}

// Adds a uniform sample of the view's entries that pass `fit` to the first `count` of `max`.
static uint8_t add_sample(struct node *node, const struct link *to, struct contact *contacts,
	uint8_t count, uint8_t max,
	bool (*fit)(const struct node *node, const struct view_entry *e))
{
	uint8_t first = count;
	uint64_t seen = 0;
	struct view_entry *e;

	VIEW_FOREACH (&node->view, e) {
		if (e->kind == VIEW_NAME || e->self || id_equal(&e->id, &to->id) || !fit(node, e))
			continue;
		uint64_t at = seen++ < (uint64_t)(max - first)
				      ? count++
				      : first + random_below(&node->random, seen);
		if (at < max)
			contacts[at] = (struct contact){ e->id, view_address(&node->view, e) };
	}
	return count;
}

static bool is_reached(const struct node *node, const struct view_entry *e)
{
	return e->reached;
}

static bool is_recent(const struct node *node, const struct view_entry *e)
{
	return e->failures == 0 && view_silence(e, node->now) < REDIRECT_RECENT;
}

uint8_t overlay_others(struct node *node, const struct link *except, struct contact *contacts)
{
	uint8_t count = overlay_contacts(node, except, contacts, HELLO_ADDRESSES / 4);
	return add_sample(node, except, contacts, count, HELLO_ADDRESSES, is_recent);
}

static void send_peers(struct node *node, struct link *to, bool ask)
{
	struct frame_peers f = { .ask = ask };

	f.count = overlay_contacts(node, to, f.contacts, PEERS_ADDRESSES / 2);
	f.count = add_sample(node, to, f.contacts, f.count, PEERS_ADDRESSES, is_reached);
	if (f.count == 0 && !ask)
		return;
	wire_put_peers(&to->control, &f);
	link_touch(to);
}

void overlay_asked(struct node *node, struct link *link)
{
	if (allowance_take(&link->asked, node->now, ASK_INTERVAL, ASK_BURST))
		send_peers(node, link, false);
}

void overlay_link_up(struct node *node, struct link *link)
{
	size_t max = node->config.max_peers;

	struct link *replaced = place_taken(node, link);
	if (replaced)
		direct_spare(replaced, GOODBYE_REPLACED);
	if (max && overlay_count(node) > max) {
		link->extra_until = node->now + REWIRE_TIMEOUT;
		if (!link->outgoing)
			make_room(node, link);
	}
	send_peers(node, link, false);
	overlay_peers(node, &(struct contact){ link->id, link->address }, 1);
	node->overlay.next = 0;
}

void overlay_link_down(struct node *node, struct link *link, enum goodbye reason)
{
	// Died or left: let the others know, so that its lease need not run out.
	if (reason == GOODBYE_LOST || reason == GOODBYE_TIMEOUT) {
		members_gone(node, &link->id);
		// The other end may say the same of us.
		node->members.doubted = true;
	}
	node->overlay.next = 0;
}

void overlay_peers(struct node *node, const struct contact *contacts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct contact *c = &contacts[i];
		if (node_may_dial(&c->address) && !id_equal(&c->id, &node->id) &&
			!node_is_own(node, &c->address))
			view_add(&node->view, node->now, c);
	}
	node->overlay.next = 0;
}

void overlay_rewire(struct node *node, struct link *from, const struct frame_rewire *f)
{
	struct dial *dial;
	int running = 0;

	DL_FOREACH (node->dials, dial)
		running += dial->purpose == DIAL_REWIRE;
	// Nobody makes us dial others all the time.
	if (!allowance_take(&from->rewires, node->now, MERGE_INTERVAL, DIALS_MAX))
		return;
	if (!f->leave && overlay_room(node) == 0 && node->up_count > node->config.min_peers &&
		(!link_in_use(from) || direct_has_room(node))) {
		// Asked too late: there are enough by now, and one less over there does it, too.
		direct_spare(from, GOODBYE_SURPLUS);
		return;
	}
	if (running >= DIALS_MAX || node->stopping || !node_may_dial(&f->target.address) ||
		id_equal(&f->target.id, &node->id) || node_link_by_id(node, &f->target.id))
		return;
	dial = dial_address(node, DIAL_REWIRE, &f->target.address);
	if (!dial)
		return;
	dial->replaced = f->replaced;
	memcpy(dial->permit, f->permit, sizeof dial->permit);
	if (f->leave)
		dial->leave = from->id;
	dial_start(node, dial);
}

void overlay_hold(struct node *node, const struct link *link)
{
	struct view_entry *e;
	VIEW_FOREACH (&node->view, e) {
		struct address a = view_address(&node->view, e);
		if (id_equal(&e->id, &link->id) || (a.family && address_equal(&a, &link->address)))
			view_hold(e, node->now, DROP_HOLD);
	}
}

static bool leads_to(const struct link *link, const struct address *a)
{
	return address_equal(a, &link->address) ||
	       (link->outgoing && address_equal(a, &link->remote));
}

static bool connected(struct node *node, const struct view_entry *e)
{
	struct address a = view_address(&node->view, e);
	struct link *link;

	LINK_FOREACH(node, link)
	{
		if (!link_counts(link) && !link->direct)
			continue;
		if ((!id_is_zero(&e->id) && id_equal(&e->id, &link->id)) ||
			(a.family && leads_to(link, &a)))
			return true;
	}
	return false;
}

static bool usable(void *context, const struct view_entry *e)
{
	struct node *node = context;
	// Of a seed it is not known before it has been reached.
	bool may = id_is_zero(&e->id) || access_permits(node->config.access, &e->id);
	return may && !connected(node, e);
}

static void start(struct node *node, enum dial_purpose purpose, struct view_entry *e)
{
	struct dial *dial = dial_entry(node, purpose, e);
	if (dial)
		dial_start(node, dial);
	else
		view_failed(e, &node->random, node->now, BACKOFF_MAX);
}

static void gather(struct node *node)
{
	size_t count = overlay_count(node), min = node->config.min_peers, running = 0;
	struct dial *dial;

	node->overlay.at_a_loss = false;
	if (count >= min || (MUTANT(hermit) && count > 0))
		return;
	DL_FOREACH (node->dials, dial)
		running += dial->purpose == DIAL_JOIN || dial->purpose == DIAL_REWIRE;
	// A node that is full gives two links at a time.
	running += direct_promote(node, min - count);
	size_t limit = count == 0 ? DIALS_MAX_ALONE : (min - count + 1) / 2;
	if (count > 0 && limit > DIALS_MAX)
		limit = DIALS_MAX;
	while (running++ < limit) {
		struct view_entry *e =
			view_pick(&node->view, &node->random, node->now, false, usable, node);
		if (!e) {
			node->overlay.at_a_loss = !node->dials;
			return;
		}
		start(node, DIAL_JOIN, e);
	}
}

// Links that were to be temporary and have become too many.
static void shed(struct node *node)
{
	struct link *link;
	size_t max = node->config.max_peers;

	DL_FOREACH (node->links, link) {
		if (!link_up(link) || link->extra_until == 0 || node->now < link->extra_until)
			continue;
		link->extra_until = 0;
		if (max == 0 || overlay_count(node) <= max)
			continue;
		struct link *victim = spare(node, link, NULL);
		// Two components have become one by it, perhaps by nothing else.
		if (victim && victim->bridge)
			victim = spare(node, link, &victim->id);
		victim = victim ? victim : link;
		if (link_in_use(victim) && !direct_has_room(node)) {
			// Order is not worth a user's stream; later, perhaps.
			link->extra_until = node->now + REWIRE_TIMEOUT;
			continue;
		}
		direct_spare(victim, GOODBYE_SURPLUS);
		return; // the list has changed; the next call sees to the rest
	}
}

// A member that has failed once is asked again before it counts as gone.
static bool doubtful(void *context, const struct view_entry *e)
{
	struct node *node = context;
	return e->failures > 0 && e->failures < GONE_FAILURES &&
	       members_find(&node->members, &e->id) && usable(context, e);
}

// Who has found others before its seed had time for it may be on an island with them.
static bool unmet_seed(void *context, const struct view_entry *e)
{
	return e->seed && !e->reached && usable(context, e);
}

static bool unlinked_seed(void *context, const struct view_entry *e)
{
	return e->seed && usable(context, e);
}

// Seeds are where parts of a network have most in common. All nodes together ask them about once a
// second, however many there are.
static bool seed_turn(struct node *node)
{
	size_t known = members_count(&node->members), size = node->view.count;
	size = known > size ? known : size;
	return random_below(&node->random, size * SECOND) < PROBE_INTERVAL;
}

static struct view_entry *to_probe(struct node *node)
{
	bool (*const fits[])(void *context, const struct view_entry *e) = { unmet_seed, doubtful,
		seed_turn(node) ? unlinked_seed : usable, usable };
	struct view_entry *e = NULL;

	for (size_t i = 0; !e && i < sizeof fits / sizeof *fits; i++)
		e = view_pick(&node->view, &node->random, node->now, true, fits[i], node);
	return e;
}

static void probe(struct node *node)
{
	struct overlay *o = &node->overlay;
	if (node->now < o->probe_next)
		return;
	o->probe_next = node->now + random_jitter(&node->random, PROBE_INTERVAL);
	if (node->up_count == 0)
		return;
	// The other half of a suspected netsplit, or anybody that is not a neighbour.
	struct view_entry *e = component_suspect(node);
	enum dial_purpose purpose = DIAL_PROBE;
	if (!e || e->dialling) {
		e = to_probe(node);
		if (node->config.max_peers && overlay_room(node) > 0 && !MUTANT(hermit))
			purpose = DIAL_FILL;
	}
	if (e)
		start(node, purpose, e);
}

// Who has too few and knows nobody else does not wait.
static uint64_t shuffle_due(const struct overlay *o)
{
	uint64_t soon = o->shuffled + ASK_INTERVAL;
	return o->at_a_loss && soon < o->shuffle_next ? soon : o->shuffle_next;
}

static void shuffle(struct node *node)
{
	struct overlay *o = &node->overlay;
	struct link *link, *chosen = NULL;
	uint64_t seen = 0;

	if (node->now < shuffle_due(o))
		return;
	o->shuffled = node->now;
	o->shuffle_next = node->now + random_jitter(&node->random, SHUFFLE_INTERVAL);
	DL_FOREACH (node->links, link)
		if (link_up(link) && random_below(&node->random, ++seen) == 0)
			chosen = link;
	if (chosen)
		send_peers(node, chosen, true);
}

// When something may become possible by the passing of time alone.
static uint64_t next_due(const struct node *node)
{
	const struct overlay *o = &node->overlay;
	const struct view_entry *e;
	const struct link *link;
	uint64_t due = shuffle_due(o) < o->probe_next ? shuffle_due(o) : o->probe_next;

	DL_FOREACH (node->links, link)
		if (link_up(link) && link->extra_until && link->extra_until < due)
			due = link->extra_until;
	if (o->shrinking && retune_due(node) < due)
		due = retune_due(node);
	if (overlay_count(node) >= node->config.min_peers)
		return due;
	DL_FOREACH (node->directs, link)
		if (link_up(link) && !link->promoting && link->promote_next > node->now &&
			link->promote_next < due)
			due = link->promote_next;
	VIEW_FOREACH (&node->view, e) {
		uint64_t wait = e->dialling || e->self ? 0 : view_wait(e, node->now);
		if (wait && node->now + wait < due)
			due = node->now + wait;
	}
	return due;
}

void overlay_tick(struct node *node)
{
	struct overlay *o = &node->overlay;
	if (node->now < o->next || node->stopping)
		return;
	o->next = UINT64_MAX; // anything below that changes matters sets it to 0
	gather(node);
	shed(node);
	retune_shrink(node);
	probe(node);
	shuffle(node);
	uint64_t due = next_due(node);
	if (due < o->next)
		o->next = due;
}

uint64_t overlay_deadline(const struct node *node)
{
	return node->stopping ? UINT64_MAX : node->overlay.next;
}
