// SPDX-License-Identifier: MIT
// Connects by hand: somebody waits for the outcome, or does not wait for it any more.
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "core/node_inner.h"

int64_t node_connect_wait(struct node *node, const struct id *id)
{
	struct connect *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->token = ++node->last_token;
	c->result = -EINPROGRESS;
	c->id = *id;
	DL_APPEND(node->connects, c);
	return c->token;
}

static int64_t connect_begin(struct node *node, struct dial *dial)
{
	int64_t token = dial ? node_connect_wait(node, &(struct id){ { 0 } }) : -ENOMEM;
	if (token < 0) {
		if (dial)
			dial_cancel(node, dial);
		return token;
	}
	dial->token = token;
	dial_start(node, dial);
	node_reap(node);
	return token;
}

static int64_t connect_to(
	struct node *node, const char *host, uint16_t port, const struct id *expected)
{
	struct address literal;
	struct link *link;

	if (node->stopping)
		return -ECANCELED;
	if (address_parse_host(&literal, host, port) == 0) {
		if (!node_may_dial(&literal))
			return -EINVAL;
		if (node_is_own(node, &literal))
			return -EEXIST;
		LINK_FOREACH(node, link)
		if (link_up(link) && (address_equal(&link->address, &literal)))
			return -EEXIST;
	} else if (!address_host_plausible(host)) {
		return -EINVAL;
	}
	if (node->config.max_peers && overlay_count(node) >= node->config.max_peers)
		return -EUSERS;
	struct dial *dial = dial_host(node, DIAL_COMMAND, host, port);
	if (dial && expected)
		dial->expected = *expected;
	return connect_begin(node, dial);
}

int64_t node_connect(struct node *node, const char *host, uint16_t port)
{
	return connect_to(node, host, port, NULL);
}

int64_t node_connect_id(struct node *node, const struct id *id)
{
	struct view_entry *e = view_find_id(&node->view, id);
	struct member *member = members_find(&node->members, id);
	struct address a = member ? member->address
			   : e	  ? view_address(&node->view, e)
				  : (struct address){ 0 };

	if (id_equal(id, &node->id) || node_link_by_id(node, id))
		return -EEXIST;
	if (a.family == 0)
		return -ENOENT;
	return connect_to(node, address_format_host(&a).text, a.port, id);
}

bool node_connects_wait(const struct node *node, const struct id *id)
{
	const struct connect *c;
	DL_FOREACH (node->connects, c)
		if (c->result == -EINPROGRESS && id_equal(&c->id, id))
			return true;
	return false;
}

void node_connects_done(struct node *node, const struct id *id, int result)
{
	struct connect *c;
	DL_FOREACH (node->connects, c)
		if (c->result == -EINPROGRESS && id_equal(&c->id, id))
			c->result = result;
	node->connects_changed = true;
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
	struct id id = c->id;
	DL_DELETE(node->connects, c);
	free(c);
	DL_SEARCH_SCALAR(node->dials, dial, token, token);
	if (dial)
		dial_cancel(node, dial);
	if (!id_is_zero(&id))
		reach_cancel(node, &id);
	node_reap(node);
}
