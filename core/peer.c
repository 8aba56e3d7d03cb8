// SPDX-License-Identifier: MIT
// What the face is told of peers, and of others that files may be opened of.
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"

static void describe(const struct link *link, struct peer *peer)
{
	*peer = (struct peer){
		.serial = link->serial,
		.id = link->id,
		.linked = true,
		.direct = link->direct,
		.address = link->address,
		.remote = link->remote,
		.outgoing = link->outgoing,
		.since = link->since,
		.since_wall = link->since_wall,
		.rtt = link->rtt,
		.bytes_in = link->channel.bytes_in,
		.bytes_out = link->channel.bytes_out,
		.queued = buffer_length(&link->wire) + buffer_length(&link->control) +
			  buffer_length(&link->stream->out),
		.stream_credit = link->stream->out_granted - link->stream->out_sent,
		.stream = link->stream,
	};
	memcpy(peer->name, link->name, sizeof peer->name);
}

static void describe_member(const struct node *node, const struct member *member, struct peer *peer)
{
	*peer = (struct peer){
		.serial = member->serial,
		.id = member->id,
		.address = member->address,
		.since_wall = node_wall_of(node, member->since),
	};
	memcpy(peer->name, member->name, sizeof peer->name);
}

static void describe_absent(const struct pipe_peer *absent, struct peer *peer)
{
	*peer = (struct peer){ .serial = absent->serial, .id = absent->id };
}

// The first link that is up behind that serial number; each list is in their order.
static const struct link *first_after(const struct link *list, uint32_t after)
{
	const struct link *link, *best = NULL;

	DL_FOREACH (list, link)
		if (link_up(link) && link->serial > after && (!best || link->serial < best->serial))
			best = link;
	return best;
}

bool node_next_peer(const struct node *node, uint32_t after, struct peer *peer)
{
	const struct link *link = first_after(node->links, after);
	const struct link *direct = first_after(node->directs, after);

	if (!link || (direct && direct->serial < link->serial))
		link = direct;
	if (link)
		describe(link, peer);
	return link;
}

bool node_find_peer(const struct node *node, uint32_t serial, struct peer *peer)
{
	if (serial == 0)
		return false;
	if (node_next_peer(node, serial - 1, peer) && peer->serial == serial)
		return true;
	const struct member *member, *next;
	HASH_ITER (hh, node->members.table, member, next)
		if (member->serial == serial)
			return node_find_peer_id(node, &member->id, peer);
	const struct pipe_peer *absent = pipes_find_serial(node, serial);
	return absent && node_find_peer_id(node, &absent->id, peer);
}

bool node_find_peer_id(const struct node *node, const struct id *id, struct peer *peer)
{
	const struct link *link;
	LINK_FOREACH(node, link)
	if (link_up(link) && id_equal(&link->id, id)) {
		describe(link, peer);
		return true;
	}
	const struct member *member;
	HASH_FIND(hh, node->members.table, id, sizeof *id, member);
	const struct pipe_peer *absent = pipes_find_peer(node, id);
	if (member)
		describe_member(node, member, peer);
	else if (absent)
		describe_absent(absent, peer);
	return member || absent;
}

int node_each_known(
	const struct node *node, int (*each)(void *context, const struct peer *peer), void *context)
{
	const struct member *member, *next;
	const struct pipe_peer *absent, *after;
	struct peer peer;
	int r = 0;

	for (uint32_t at = 0; r == 0 && node_next_peer(node, at, &peer); at = peer.serial)
		r = each(context, &peer);
	HASH_ITER (hh, node->members.table, member, next)
		if (r == 0 && node_find_peer_id(node, &member->id, &peer) && !peer.linked)
			r = each(context, &peer);
	HASH_ITER (hh, node->pipes.table, absent, after)
		if (r == 0 && node_find_peer_id(node, &absent->id, &peer) &&
			peer.serial == absent->serial)
			r = each(context, &peer);
	return r;
}
