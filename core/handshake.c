// SPDX-License-Identifier: MIT
// Who may link to us, and which of two links to keep. Places are core/overlay's.
#include "core/handshake.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "core/mutant.h"
#include "core/node_inner.h"

void handshake_report(struct link *link, unsigned reason, const char *by)
{
	struct node *node = link->node;
	char why[64];

	node->counters.links_refused++;
	snprintf(why, sizeof why, "dir=%s reason=%s%s", link->outgoing ? "out" : "in",
		goodbye_name(reason), by);
	if (link->outgoing || link->proven)
		NODE_EVENT(node, "refused", "addr=%s %s", address_format(&link->remote).text, why);
	else
		node_stranger(node, &link->remote, why);
}

void handshake_refuse(struct link *link, enum goodbye reason)
{
	handshake_report(link, reason, "");
	link_close(link, reason);
}

// What a dial is for, as the other end needs to know it.
static enum intent intent_of(const struct dial *dial)
{
	switch (dial->purpose) {
	case DIAL_PROBE:
		return INTENT_PROBE;
	case DIAL_FILL:
		return INTENT_FILL;
	case DIAL_REWIRE:
		return INTENT_REPLACE;
	case DIAL_DIRECT:
		return INTENT_DIRECT;
	case DIAL_JOIN:
	case DIAL_MERGE:
	case DIAL_COMMAND:
		break;
	}
	return INTENT_JOIN;
}

static void say_hello(struct link *link, enum intent intent)
{
	struct node *node = link->node;
	const struct dial *dial = link->dial;
	struct frame_hello f = {
		.version_min = WIRE_VERSION,
		.version_max = WIRE_VERSION,
		.features = WIRE_FEATURES,
		.intent = (uint8_t)intent,
		.incarnation = node->config.incarnation,
		.instance = node->instance,
		.peers = (uint16_t)node->up_count,
		.room = overlay_room(node),
		.component = component_mark(node),
		.address_count = (uint8_t)(1 + node->config.other_count),
		.addresses = { node->config.address },
	};
	memcpy(f.addresses + 1, node->config.others,
		node->config.other_count * sizeof f.addresses[0]);
	if (dial && dial->purpose == DIAL_REWIRE)
		f.replaced = dial->replaced;
	if (dial && dial->purpose == DIAL_MERGE)
		f.offer = dial->offer;
	if (dial)
		memcpy(f.permit, dial->permit, sizeof f.permit);
	memcpy(f.name, node->config.name, sizeof f.name);
	wire_put_hello(&link->control, &f);
	link_touch(link);
	link_check(link);
}

void handshake_begin(struct link *link)
{
	link->state = LINK_STATE_SECURING;
	// Somebody waits for a direct link, and may have another way to it.
	bool direct = link->dial && link->dial->purpose == DIAL_DIRECT;
	link->deadline = link->node->now + (direct ? DIAL_TIMEOUT : HANDSHAKE_TIMEOUT);
	link_wake(link, link->deadline);
	if (channel_begin(&link->channel, &link->wire) < 0)
		link_kill(link, GOODBYE_MEMORY);
	else
		link_touch(link);
}

static int say_proof(struct link *link, const struct network_key *key)
{
	struct frame_proof f = { .network = key->name };
	struct session_binding binding;
	const struct public_key *own = &link->node->config.identity->public_key;
	enum role role = link->outgoing ? ROLE_DIALLER : ROLE_ACCEPTOR;

	int r = channel_binding(&link->channel, own, &binding);
	if (r == 0)
		r = membership_prove(key, role, &binding, f.proof);
	OPENSSL_cleanse(&binding, sizeof binding);
	if (r < 0)
		return r;
	wire_put_proof(&link->control, &f);
	link_touch(link);
	link_check(link);
	return 0;
}

void handshake_secured(struct link *link)
{
	struct node *node = link->node;
	link->id = identity_of(&link->channel.peer);
	link->state = LINK_STATE_PROVING;
	if (link->dial && !id_is_zero(&link->dial->expected) &&
		!id_equal(&link->dial->expected, &link->id))
		link_close(link, GOODBYE_DONE); // somebody else lives there now
	else if (link->outgoing && say_proof(link, &node->config.keyring->keys[0]) < 0)
		link_kill(link, GOODBYE_MEMORY);
}

static bool proves(struct link *link, const struct network_key *key, const uint8_t *proof)
{
	struct session_binding binding;
	const struct public_key *own = &link->node->config.identity->public_key;
	enum role role = link->outgoing ? ROLE_ACCEPTOR : ROLE_DIALLER;
	bool proven = channel_binding(&link->channel, own, &binding) == 0 &&
		      membership_verify(key, role, &binding, proof);
	OPENSSL_cleanse(&binding, sizeof binding);
	return proven;
}

int handshake_proof(struct link *link, const struct frame_proof *f)
{
	struct node *node = link->node;
	const struct network_key *key = keyring_find(node->config.keyring, &f->network);

	if (!key || !proves(link, key, f->proof)) {
		handshake_refuse(link, GOODBYE_MEMBERSHIP);
		return 0;
	}
	// Answered with the key that it knows.
	if (!link->outgoing && say_proof(link, key) < 0) {
		link_kill(link, GOODBYE_MEMORY);
		return 0;
	}
	if (link->state != LINK_STATE_PROVING)
		return 0;
	link->state = LINK_STATE_GREETING;
	link->proven = true;
	if (!access_permits(node->config.access, &link->id) && !MUTANT(stranger))
		handshake_refuse(link, GOODBYE_DENIED);
	else if (link->outgoing)
		say_hello(link, intent_of(link->dial));
	return 0;
}

// Of the addresses that it names, the one at which we see it; else one that is like ours.
static struct address best_address(const struct link *link, const struct frame_hello *f)
{
	const struct address *best = NULL;

	for (int i = 0; i < f->address_count; i++) {
		const struct address *a = &f->addresses[i];
		if (address_same_host(a, &link->remote))
			return *a;
		if (a->family == link->remote.family && !best &&
			address_is_loopback(a) == address_is_loopback(&link->remote))
			best = a;
	}
	if (!best && f->address_count)
		best = &f->addresses[0];
	return best ? *best : (struct address){ 0 };
}

static void remember(struct link *link, const struct frame_hello *f)
{
	link->incarnation = f->incarnation;
	memcpy(link->name, f->name, sizeof link->name);
	link->address = best_address(link, f);
	link->peers = f->peers;
	link->room = f->room;
	link->component = f->component;
	uint64_t age = f->component.age * MILLISECOND;
	link->component_heard = age < link->node->now ? link->node->now - age : 0;
	if (!link->outgoing) {
		link->intent = f->intent;
		link->replaced = f->replaced;
		memcpy(link->permit, f->permit, sizeof link->permit);
		// One that nobody can take up is none.
		if (node_may_dial(&f->offer.address))
			link->offer = f->offer;
	}
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
		handshake_refuse(link, GOODBYE_CLASH);
	else
		link_close(link, GOODBYE_DUPLICATE);
	return false;
}

static void answer_probe(struct link *link)
{
	component_compare(link->node, link, false);
	say_hello(link, INTENT_PROBE);
	link_close(link, GOODBYE_DONE);
}

static void greet_dialler(struct link *link)
{
	struct node *node = link->node;
	bool full = link->intent == INTENT_FILL &&
		    (overlay_judge(node, link) != 0 || node_link_by_id(node, &link->id));
	if (link->intent == INTENT_PROBE || full) {
		answer_probe(link);
		return;
	}
	link->direct = link->intent == INTENT_DIRECT;
	if (!outlive(link))
		return;
	struct link *waiting = waiting_from(node, &link->id);
	if (waiting && waiting->incarnation < link->incarnation) {
		link_kill(waiting, GOODBYE_RESTARTED);
	} else if (waiting) {
		link_close(link, GOODBYE_DUPLICATE);
		return;
	}
	if (link->direct && direct_judge(node) != 0) {
		link_close(link, GOODBYE_FULL);
		return;
	}
	if (!link->direct && overlay_judge(node, link) != 0) {
		link_redirect(link);
		return;
	}
	component_compare(link->node, link, !link->direct);
	say_hello(link, link->direct ? INTENT_DIRECT : INTENT_JOIN);
	if (link->state == LINK_STATE_GREETING)
		link->state = LINK_STATE_WAITING;
}

static void greet_acceptor(struct link *link, const struct frame_hello *f)
{
	struct node *node = link->node;
	struct dial *dial = link->dial;

	if (dial->purpose == DIAL_PROBE ||
		(dial->purpose == DIAL_FILL && f->intent == INTENT_PROBE)) {
		component_compare(node, link, false);
		link->dial = NULL;
		dial_succeeded(node, dial);
		link_kill(link, GOODBYE_DONE);
		return;
	}
	if (!outlive(link))
		return;
	struct link *waiting = waiting_from(node, &link->id);
	if (waiting && id_compare(&node->id, &link->id) > 0) {
		link_close(link, GOODBYE_DUPLICATE);
		return;
	}
	if (waiting)
		link_close(waiting, GOODBYE_DUPLICATE);
	link->direct = dial->purpose == DIAL_DIRECT;
	if (!link->direct && overlay_judge(node, link) != 0) {
		link_close(link, GOODBYE_SURPLUS);
		return;
	}
	component_compare(node, link, !link->direct);
	wire_put_accept(&link->control);
	node_dispatch_up(node, link);
}

int handshake_hello(struct link *link, const struct frame_hello *f)
{
	struct node *node = link->node;

	if (f->version_min > WIRE_VERSION || f->version_max < WIRE_VERSION) {
		handshake_refuse(link, GOODBYE_VERSION);
		return 0;
	}
	remember(link, f);
	if (id_equal(&link->id, &node->id)) {
		if (f->instance != node->instance) {
			handshake_refuse(link, GOODBYE_CLASH);
			node_clash(node, f->incarnation);
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
		greet_acceptor(link, f);
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
