// SPDX-License-Identifier: MIT
// Connects by hand: somebody waits for the outcome, or does not wait for it any more.
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "core/node_inner.h"

static int64_t connect_begin(struct node *node, struct dial *dial)
{
	struct connect *c = dial ? calloc(1, sizeof *c) : NULL;
	if (!c) {
		if (dial)
			dial_cancel(node, dial);
		return -ENOMEM;
	}
	c->token = dial->token = ++node->last_token;
	c->result = -EINPROGRESS;
	DL_APPEND(node->connects, c);
	dial_start(node, dial);
	node_reap(node);
	return c->token;
}

int64_t node_connect(struct node *node, const char *host, uint16_t port)
{
	struct address literal;
	struct link *link;

	if (node->stopping)
		return -ECANCELED;
	if (address_parse_host(&literal, host, port) == 0) {
		if (!node_may_dial(&literal)) {
			NODE_EVENT(node, "refused", "addr=%s dir=out reason=not-loopback",
				address_format(&literal).text);
			return -EINVAL;
		}
		if (address_equal(&literal, &node->config.address))
			return -EEXIST;
		DL_FOREACH (node->links, link)
			if (link_up(link) && (address_equal(&link->address, &literal)))
				return -EEXIST;
	} else if (!address_host_plausible(host)) {
		return -EINVAL;
	}
	if (node->config.max_peers && overlay_count(node) >= node->config.max_peers)
		return -EUSERS;
	return connect_begin(node, dial_host(node, DIAL_COMMAND, host, port));
}

int64_t node_connect_id(struct node *node, const struct id *id)
{
	struct view_entry *e = view_find_id(&node->view, id);
	struct member *member = members_find(&node->members, id);
	const struct address *a = member ? &member->address : e ? &e->address : NULL;

	if (id_equal(id, &node->config.id) || node_link_by_id(node, id))
		return -EEXIST;
	if (!a || a->family == 0)
		return -ENOENT;
	return node_connect(node, address_format_host(a).text, a->port);
}

void node_connect_done(struct node *node, int64_t token, int result)
{
	struct connect *c;
	DL_SEARCH_SCALAR(node->connects, c, token, token);
	if (c)
		c->result = result;
	node->connects_changed = true;
}

int node_connect_result(struct node *node, int64_t token)
{
	struct connect *c;
	DL_SEARCH_SCALAR(node->connects, c, token, token);
	if (!c)
		return -ECANCELED;
	int result = c->result;
	if (result != -EINPROGRESS) {
		DL_DELETE(node->connects, c);
		free(c);
	}
	return result;
}

void node_connect_cancel(struct node *node, int64_t token)
{
	struct dial *dial;
	struct connect *c;

	DL_SEARCH_SCALAR(node->connects, c, token, token);
	if (!c)
		return;
	DL_DELETE(node->connects, c);
	free(c);
	DL_SEARCH_SCALAR(node->dials, dial, token, token);
	if (dial)
		dial_cancel(node, dial);
	node_reap(node);
}
