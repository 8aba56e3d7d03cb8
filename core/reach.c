// SPDX-License-Identifier: MIT
// Dials on demand. What is opened then is the face's.
#include "core/reach.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "core/node_inner.h"

static struct reach *reach_find(const struct node *node, const struct id *id)
{
	struct reach *r;
	DL_FOREACH (node->reaches, r)
		if (id_equal(&r->id, id))
			return r;
	return NULL;
}

static void reach_free(struct node *node, struct reach *r)
{
	DL_DELETE(node->reaches, r);
	free(r);
}

static void finish(struct node *node, struct reach *r, int result)
{
	struct id id = r->id;

	reach_free(node, r);
	node_connects_done(node, &id, result);
}

// Of a member what it says; of others where they were seen.
static struct address address_of(struct node *node, const struct id *id)
{
	const struct member *member = members_find(&node->members, id);
	const struct view_entry *e = view_find_id(&node->view, id);

	if (member && member->address.family)
		return member->address;
	return e ? view_address(&node->view, e) : (struct address){ 0 };
}

static void call(struct node *node, struct reach *r)
{
	struct contact own = { r->id, node->config.address };
	struct buffer b = BUFFER_INIT;

	wire_put_call(&b, &own);
	if (!buffer_failed(&b))
		announce_send(node, ANNOUNCE_CALL, buffer_bytes(&b), buffer_length(&b));
	buffer_fini(&b);
	r->until = node->now + CALL_TIMEOUT;
}

static void go_on_without_dial(struct node *node, struct reach *r, int error)
{
	r->dial = NULL;
	r->error = error;
	// Its own dial is here already, and the link will be up in a moment.
	if (error == -EEXIST)
		r->until = node->now + CALL_TIMEOUT;
	else if (error == -EACCES || error == -EUSERS || node->up_count == 0)
		finish(node, r, error);
	else
		call(node, r);
}

void reach_failed(struct node *node, struct dial *dial, int error)
{
	struct reach *r;

	DL_SEARCH_SCALAR(node->reaches, r, dial, dial);
	if (r)
		go_on_without_dial(node, r, error);
}

void reach_link_up(struct node *node, const struct id *id)
{
	struct reach *r = reach_find(node, id);
	struct dial *dial = r ? r->dial : NULL;

	if (!r)
		return;
	finish(node, r, 0);
	// Came from there, or by another dial.
	if (dial && !(dial->link && link_up(dial->link)))
		dial_cancel(node, dial);
}

void reach_cancel(struct node *node, const struct id *id)
{
	struct reach *r = reach_find(node, id);
	struct dial *dial = r ? r->dial : NULL;

	if (!r || node_connects_wait(node, id))
		return;
	reach_free(node, r);
	if (dial)
		dial_cancel(node, dial);
}

static struct dial *dial_direct(
	struct node *node, const struct id *id, const struct address *address)
{
	struct dial *dial = dial_address(node, DIAL_DIRECT, address);
	if (dial)
		dial->expected = *id;
	return dial;
}

static int reach_begin(struct node *node, const struct id *id)
{
	struct address address = address_of(node, id);
	bool dialable = address.family && node_may_dial(&address) && !node_is_own(node, &address);
	struct reach *r = reach_find(node, id);

	if (r)
		return 0;
	r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	r->id = *id;
	r->error = -EHOSTUNREACH;
	DL_APPEND(node->reaches, r);
	if (!dialable) {
		go_on_without_dial(node, r, -EHOSTUNREACH);
		return 0;
	}
	struct dial *dial = dial_direct(node, id, &address);
	if (!dial) {
		reach_free(node, r);
		return -ENOMEM;
	}
	r->dial = dial;
	dial_start(node, dial);
	return 0;
}

int64_t node_reach(struct node *node, const struct id *id, bool wait)
{
	struct link *link = node_link_by_id(node, id);

	if (node->stopping)
		return -ECANCELED;
	if (link)
		return 0;
	if (id_equal(id, &node->id) ||
		(!members_find(&node->members, id) && !address_of(node, id).family))
		return -ENOENT;
	if (!access_permits(node->config.access, id))
		return -EACCES;
	int64_t token = wait ? node_connect_wait(node, id) : -EAGAIN;
	int r = token == -ENOMEM ? 0 : reach_begin(node, id);
	if (r < 0)
		node_connects_done(node, id, r);
	node_reap(node);
	return token;
}

int reach_called(struct node *node, const struct id *origin, const struct contact *call)
{
	struct dial *dial;

	if (!id_equal(&call->id, &node->id) || node->stopping || node_link_by_id(node, origin) ||
		!access_permits(node->config.access, origin) || !node_may_dial(&call->address) ||
		node_is_own(node, &call->address))
		return 0;
	// Nobody makes us dial others all the time.
	if (!allowance_take(&node->calls, node->now, CALL_INTERVAL, CALL_BURST)) {
		node->counters.calls_dropped++;
		return 0;
	}
	dial = dial_direct(node, origin, &call->address);
	if (dial)
		dial_start(node, dial);
	return 0;
}

void reach_tick(struct node *node)
{
	struct reach *r, *next;

	DL_FOREACH_SAFE (node->reaches, r, next)
		if (!r->dial && node->now >= r->until)
			finish(node, r, r->error == -EEXIST ? -ETIMEDOUT : r->error);
}

uint64_t reach_deadline(const struct node *node)
{
	const struct reach *r;
	uint64_t due = UINT64_MAX;

	DL_FOREACH (node->reaches, r)
		if (!r->dial && r->until < due)
			due = r->until;
	return due;
}

void reach_fini(struct node *node)
{
	while (node->reaches)
		reach_free(node, node->reaches);
}
