// SPDX-License-Identifier: MIT
// The table of members. Leases end by themselves; a death that a neighbour saw ends one sooner.
#include "core/members.h"

#include <stdlib.h>
#include <string.h>

#include "core/node_inner.h"

void members_fini(struct members *m)
{
	struct member *member, *next;
	HASH_ITER (hh, m->table, member, next) {
		HASH_DEL(m->table, member);
		free(member);
	}
}

struct member *members_find(struct members *m, const struct id *id)
{
	struct member *member;
	HASH_FIND(hh, m->table, id, sizeof *id, member);
	return member;
}

size_t members_count(const struct members *m)
{
	return HASH_COUNT(m->table) + 1;
}

static struct event_text member_name(const struct member *member)
{
	return event_escape(member->name[0] ? member->name : "-");
}

void members_heard(struct node *node, const struct id *id, const struct announce_member *info)
{
	struct members *m = &node->members;
	struct member *member = members_find(m, id);
	bool joins = !member;

	if (joins) {
		if (HASH_COUNT(m->table) >= MEMBERS_MAX) {
			node->counters.announcements_dropped++;
			return;
		}
		member = calloc(1, sizeof *member);
		if (!member)
			return;
		member->id = *id;
		member->since = node->now;
		HASH_ADD(hh, m->table, id, sizeof member->id, member);
	}
	memcpy(member->name, info->name, sizeof member->name);
	member->address = info->address;
	member->expires = node->now + LEASE_EXPIRE;
	overlay_peers(node, &(struct contact){ *id, info->address }, 1);
	if (joins)
		NODE_EVENT(node, "join", "id=%s name=%s addr=%s members=%zu", id_format(id).text,
			member_name(member).text, address_format(&member->address).text,
			members_count(m));
}

void members_linked(struct node *node, const struct link *link)
{
	struct announce_member info;
	if (!members_find(&node->members, &link->id) &&
		announce_lease(&node->announce, &link->id, &info))
		members_heard(node, &link->id, &info);
}

static void leave(struct node *node, struct member *member)
{
	struct members *m = &node->members;
	HASH_DEL(m->table, member);
	NODE_EVENT(node, "leave", "id=%s name=%s addr=%s members=%zu", id_format(&member->id).text,
		member_name(member).text, address_format(&member->address).text, members_count(m));
	free(member);
}

void members_left(struct node *node, const struct id *id)
{
	struct member *member = members_find(&node->members, id);
	if (member)
		leave(node, member);
}

void members_gone(struct node *node, const struct id *id)
{
	if (node->stopping || !members_find(&node->members, id) || node_link_by_id(node, id))
		return;
	members_left(node, id);
	announce_send(node, ANNOUNCE_GONE, id->bytes, ID_BYTES);
}

void members_announce(struct node *node)
{
	struct buffer b = BUFFER_INIT;
	struct announce_member m = { .address = node->config.address };

	memcpy(m.name, node->config.name, sizeof m.name);
	wire_put_member(&b, &m);
	if (!buffer_failed(&b))
		announce_send(node, ANNOUNCE_MEMBER, buffer_bytes(&b), buffer_length(&b));
	buffer_fini(&b);
	node->members.doubted = false;
	node->members.renew = node->now + random_jitter(&node->random, LEASE_RENEW);
}

void members_tick(struct node *node)
{
	struct members *m = &node->members;
	struct member *member, *next;

	if (node->now >= m->renew)
		members_announce(node);
	if (node->now < m->sweep)
		return;
	m->sweep = node->now + LEASE_EXPIRE / 16;
	HASH_ITER (hh, m->table, member, next)
		if (node->now >= member->expires)
			leave(node, member);
}
