// SPDX-License-Identifier: MIT
// The table of members. Leases end by themselves; a death that a neighbour saw ends one sooner.
#include "core/members.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"

static void free_member(struct member *member)
{
	free(member->topics);
	free(member);
}

void members_fini(struct members *m)
{
	struct member *member, *next;
	HASH_ITER (hh, m->table, member, next) {
		HASH_DEL(m->table, member);
		free_member(member);
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

// Most have none, and pay a pointer.
static void set_topics(struct member *member, const char *topics)
{
	if (strcmp(member->topics ? member->topics : "", topics) == 0)
		return;
	free(member->topics);
	member->topics = *topics ? strdup(topics) : NULL;
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
		member->serial = ++node->last_serial;
		member->since = node->now;
		HASH_ADD(hh, m->table, id, sizeof member->id, member);
		if (!member->hh.tbl) {
			free(member);
			return;
		}
	}
	memcpy(member->name, info->name, sizeof member->name);
	if (node->config.names)
		names_seen(node->config.names, member->name, id);
	member->address = info->address;
	set_topics(member, info->topics);
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
	free_member(member);
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
	announce_bury(node, id);
	announce_send(node, ANNOUNCE_GONE, id->bytes, ID_BYTES);
}

void members_unreachable(struct node *node, const struct id *id)
{
	if (node->up_count > 0 && node->now - node->connected >= ALONE_DOUBT)
		members_gone(node, id);
}

void members_recover(struct node *node)
{
	// What cuts off all links of a node is noticed on each within this time.
	uint64_t noticed = node->config.ping_timeout + 2 * PING_INTERVAL_MAX;

	if (node->disconnected)
		announce_exhume(
			node, node->disconnected > noticed ? node->disconnected - noticed : 1);
}

uint64_t node_wall_of(const struct node *node, uint64_t time)
{
	uint64_t ago = node->now - time;
	return node->wall > ago ? node->wall - ago : 0;
}

static bool is_linked(const struct node *node, const struct id *id)
{
	const struct link *link;
	LINK_FOREACH(node, link)
	if (link_up(link) && id_equal(&link->id, id))
		return true;
	return false;
}

int node_each_member(const struct node *node,
	int (*each)(void *context, const struct member_info *member), void *context)
{
	const struct node_config *config = &node->config;
	struct member_info info = { .id = node->id,
		.address = config->address,
		.since_wall = node_wall_of(node, node->started) };
	const struct member *member, *next;

	char topics[TOPICS_TEXT + 1];

	memcpy(info.name, config->name, sizeof info.name);
	topics_write(&node->topics, topics);
	info.topics = topics[0] ? topics : NULL;
	int r = each(context, &info);
	HASH_ITER (hh, node->members.table, member, next) {
		if (r != 0)
			break;
		info = (struct member_info){ .id = member->id,
			.address = member->address,
			.topics = member->topics,
			.since_wall = node_wall_of(node, member->since),
			.state = is_linked(node, &member->id) ? MEMBER_PEER : MEMBER_OTHER };
		memcpy(info.name, member->name, sizeof info.name);
		r = each(context, &info);
	}
	return r;
}

void members_announce(struct node *node)
{
	struct buffer b = BUFFER_INIT;
	if (node->config.quiet) {
		node->members.renew = UINT64_MAX;
		return;
	}
	struct announce_member m = { .address = node->config.address };

	memcpy(m.name, node->config.name, sizeof m.name);
	topics_write(&node->topics, m.topics);
	wire_put_member(&b, &m);
	if (!buffer_failed(&b))
		announce_send(node, ANNOUNCE_MEMBER, buffer_bytes(&b), buffer_length(&b));
	buffer_fini(&b);
	// Whatever it was for, it is an answer to word that we are gone.
	allowance_take(&node->announce.refutes, node->now, REFUTE_INTERVAL, 1);
	node->members.doubted = false;
	node->members.announced = node->now;
	node->members.renew = node->now + random_jitter(&node->random, LEASE_RENEW);
}

void members_change(struct node *node)
{
	struct members *m = &node->members;
	uint64_t soonest = m->announced + TOPICS_INTERVAL;

	soonest = soonest > node->now ? soonest : node->now;
	if (!node->config.quiet && m->renew > soonest)
		m->renew = soonest;
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
