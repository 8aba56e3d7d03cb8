// SPDX-License-Identifier: MIT
// Dials: from a wish to a link, through the resolver and one address after the other.
#include "core/dial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"

static struct dial *dial_new(struct node *node, enum dial_purpose purpose)
{
	struct dial *dial = calloc(1, sizeof *dial);
	if (!dial)
		return NULL;
	dial->purpose = purpose;
	dial->error = -ENOENT;
	DL_APPEND(node->dials, dial);
	return dial;
}

bool dial_running(const struct node *node, enum dial_purpose purpose)
{
	const struct dial *dial;
	DL_SEARCH_SCALAR(node->dials, dial, purpose, purpose);
	return dial;
}

struct dial *dial_address(
	struct node *node, enum dial_purpose purpose, const struct address *address)
{
	struct dial *dial = dial_new(node, purpose);
	if (dial) {
		dial->addresses[0] = *address;
		dial->count = 1;
	}
	return dial;
}

struct dial *dial_host(
	struct node *node, enum dial_purpose purpose, const char *host, uint16_t port)
{
	struct address literal;
	if (address_parse_host(&literal, host, port) == 0)
		return dial_address(node, purpose, &literal);
	struct dial *dial = dial_new(node, purpose);
	if (!dial)
		return NULL;
	dial->host = strdup(host);
	dial->port = port;
	if (!dial->host) {
		dial_cancel(node, dial);
		return NULL;
	}
	return dial;
}

struct dial *dial_entry(struct node *node, enum dial_purpose purpose, struct view_entry *entry)
{
	const char *host = view_host(&node->view, entry);
	struct address address = view_address(&node->view, entry);
	struct dial *dial = host ? dial_host(node, purpose, host, entry->port)
				 : dial_address(node, purpose, &address);
	if (dial) {
		dial->entry = entry;
		entry->dialling = true;
	}
	return dial;
}

static void dial_free(struct node *node, struct dial *dial)
{
	if (dial->link)
		dial->link->dial = NULL;
	DL_DELETE(node->dials, dial);
	free(dial->host);
	free(dial);
	node->overlay.next = 0;
}

// What was dialled, a name with its port, as a value of an event.
static struct event_text describe(const char *host, uint16_t port, const struct address *address)
{
	char text[HOST_MAX + sizeof ":65535"];

	if (!host)
		return event_escape(address_format(address).text);
	snprintf(text, sizeof text, "%s:%u", host, port);
	return event_escape(text);
}

// A seed that cannot be reached is news while there is nobody else.
static void report_failure(struct node *node, struct dial *dial)
{
	struct view_entry *e = dial->entry;
	if (!e->seed || e->self || node->up_count > 0 || dial->error == -EEXIST)
		return;
	struct address address = view_address(&node->view, e);
	struct event_text to = describe(view_host(&node->view, e), e->port, &address);
	const char *error = strerrorname_np(-dial->error);
	NODE_EVENT(node, "seed-retry", "addr=%s error=%s next_ms=%llu", to.text,
		error ? error : "unknown",
		(unsigned long long)(view_wait(e, node->now) / MILLISECOND));
}

// Not every shell says which error its write has met.
static void report_command(struct node *node, struct dial *dial)
{
	// Of a refusal there is an event already.
	if (dial->error == -EACCES)
		return;
	const char *error = strerrorname_np(-dial->error);
	struct event_text to = describe(dial->host, dial->port, &dial->addresses[0]);
	NODE_EVENT(node, "refused", "addr=%s dir=out reason=%s by=connect", to.text,
		error ? error : "unknown");
}

static void give_up(struct node *node, struct dial *dial)
{
	struct view_entry *e = dial->entry;
	if (e && dial->error == -EEXIST) {
		// It answered; it is us who have it already.
		e->dialling = false;
		view_hold(e, node->now, BACKOFF_MAX);
	} else if (e) {
		view_failed(e, &node->random, node->now,
			dial->busy || dial->error == -EUSERS ? BACKOFF_BUSY : BACKOFF_MAX);
		// It does not want us, and will not soon.
		if (dial->error == -EACCES)
			view_hold(e, node->now, DROP_HOLD);
		report_failure(node, dial);
		if (e->failures >= GONE_FAILURES)
			members_unreachable(node, &e->id);
	}
	node->counters.dials_failed++;
	reach_failed(node, dial, dial->error);
	if (dial->token) {
		report_command(node, dial);
		node_connect_done(node, dial->token, dial->error);
	}
	dial_free(node, dial);
}

// A link that has said goodbye, to a node that may not have heard it yet and would take a new one
// for a double.
static bool still_parting(const struct node *node, const struct address *to)
{
	const struct link *link;
	LINK_FOREACH(node, link)
	if (link->state == LINK_STATE_CLOSING && link->stream &&
		(address_equal(&link->address, to) || address_equal(&link->remote, to)))
		return true;
	return false;
}

// Tries the addresses that are left; gives up after the last.
static void dial_next(struct node *node, struct dial *dial)
{
	while (dial->at < dial->count) {
		const struct address *to = &dial->addresses[dial->at];
		dial->held = still_parting(node, to);
		if (dial->held)
			return;
		dial->at++;
		dial->busy = false;
		if (!node_may_dial(to)) {
			dial->error = -EINVAL;
			continue;
		}
		struct link *link = link_new(node, to, true);
		if (!link) {
			dial->error = -ENOMEM;
			continue;
		}
		link->dial = dial;
		dial->link = link;
		int r = node->driver.dial(node->driver.context, link, to);
		if (r == 0)
			return;
		dial->link = NULL;
		link->dial = NULL;
		dial->error = r;
		link_kill(link, GOODBYE_LOST);
	}
	give_up(node, dial);
}

void dial_start(struct node *node, struct dial *dial)
{
	if (!dial->host) {
		dial_next(node, dial);
		return;
	}
	dial->tag = ++node->last_tag;
	int r = node->driver.resolve(node->driver.context, dial->tag, dial->host, dial->port);
	if (r < 0) {
		dial->error = r;
		give_up(node, dial);
	}
}

void dial_resolved(
	struct node *node, uint64_t tag, int error, const struct address *addresses, size_t count)
{
	struct dial *dial;
	DL_SEARCH_SCALAR(node->dials, dial, tag, tag);
	if (!dial)
		return;
	dial->tag = 0;
	dial->error = error ? error : -ENOENT;
	dial->count = count < RESOLVE_MAX ? count : RESOLVE_MAX;
	for (size_t i = 0; i < dial->count; i++)
		dial->addresses[i] = addresses[i];
	dial_next(node, dial);
}

void dial_failed(struct node *node, struct dial *dial, int error)
{
	dial->link = NULL;
	dial->error = error;
	dial_next(node, dial);
}

void dial_unhold(struct node *node)
{
	struct dial *dial, *next;
	DL_FOREACH_SAFE (node->dials, dial, next)
		if (dial->held)
			dial_next(node, dial);
}

void dial_succeeded(struct node *node, struct dial *dial)
{
	struct link *link = dial->link;
	if (dial->entry)
		view_succeeded(dial->entry, node->now, &link->id);
	if (dial->token)
		node_connect_done(node, dial->token, 0);
	dial_free(node, dial);
}

void dial_cancel(struct node *node, struct dial *dial)
{
	struct link *link = dial->link;
	if (dial->entry)
		dial->entry->dialling = false;
	dial_free(node, dial);
	if (link)
		link_kill(link, GOODBYE_DROPPED);
}
