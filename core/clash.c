// SPDX-License-Identifier: MIT
// Two of one id, or one and its own later life.
#include <inttypes.h>
#include <string.h>

#include "core/node_inner.h"

void node_clash(struct node *node, uint64_t incarnation)
{
	if (incarnation > node->clash_heard)
		node->clash_heard = incarnation;
	node->clashing = true;
}

void node_clash_hint(struct node *node)
{
	node->clash_hinted |= allowance_take(&node->clash_hints, node->now, CLASH_TIME, 1);
}

// From here on, this node is a new life of its id.
static void take_incarnation(struct node *node, uint64_t incarnation, bool proven)
{
	struct source_key key = { node->id, incarnation };
	struct source *own = source_new(node, &key, 1);
	int r = node->config.keep_incarnation
			? node->config.keep_incarnation(node->config.keep_context, incarnation)
			: 0;

	if (!own)
		return; // it will be heard of again
	if (r < 0)
		NODE_EVENT(node, "config", "incarnation=%" PRIu64 " error=%s", incarnation,
			strerrorname_np(-r));
	// Those who know of the later life have passed over what has just been sent of this one.
	bool unheard = proven && node->now - node->connected < PULL_TIMEOUT;
	publisher_flush(node); // still signed with the old one
	node->config.incarnation = incarnation;
	publisher_move(node, own, unheard);
	members_announce(node);
}

// Somebody else goes by our id: an earlier life of ours from which we have not learnt how far it
// had come, or a second node on a copy of our state. The former is settled by going on above it.
void clash_settle(struct node *node)
{
	uint64_t next = node->wall / MILLISECOND;
	uint64_t heard = node->clash_heard > node->config.incarnation ? node->clash_heard
								      : node->config.incarnation;

	bool proven = node->clashing;
	node->clashing = node->clash_hinted = false;
	if (node->stopping)
		return;
	if (proven) {
		memmove(node->clashes + 1, node->clashes,
			sizeof node->clashes - sizeof node->clashes[0]);
		node->clashes[0] = node->now;
	}
	uint64_t first = node->clashes[CLASH_COUNT - 1];
	if (proven && first && node->now - first < CLASH_TIME) {
		NODE_EVENT(node, "clash", "id=%s", id_format(&node->id).text);
		node_stop(node);
		return;
	}
	take_incarnation(node, next > heard ? next : heard + 1, proven);
}
