// SPDX-License-Identifier: MIT
#include "tests/sim/fetch.h"

#include "core/link.h"
#include "core/node_inner.h"
#include "tests/sim/sim.h"

// So much of a link and of a node is looked at by most events.
#define LINK_HOT  512
#define NODE_HOT  1024
#define LINK_TICK 256

// Memory that will be read or written.
static void fetch(const void *at, size_t n)
{
	for (size_t i = 0; i < n; i += SIM_LINE)
		__builtin_prefetch((const char *)at + i);
}

// A timer is most often a link's: they are looked at one after the other.
static void fetch_links(const struct node *node, int more)
{
	const struct link *link = node->links;
	while (link && more-- > 0)
		link = link->next;
	if (link)
		fetch(link, LINK_TICK);
}

static void fetch_link(const struct link *link, const struct node *node)
{
	fetch(node, NODE_HOT);
	if (link && link->stream)
		fetch(link->stream, sizeof *link->stream);
}

void fetch_soon(const struct event *e, int turn)
{
	const struct sim_connection *c = e->what;
	const struct sim_node *n = e->what;
	bool timer = e->kind == HAPPEN_TIMER;

	if (turn == 0) {
		fetch(e->what, timer ? sizeof *n : sizeof *c);
	} else if (timer && n->timer == e->at && n->node) {
		if (turn == 1)
			fetch(n->node, NODE_HOT);
		else
			fetch_links(n->node, turn - 2);
	} else if (e->kind == HAPPEN_SEGMENT) {
		const struct sim_end *to = &c->ends[1 - e->life];
		if (turn == 1) {
			fetch(to->node, sizeof *n);
			fetch(c->ends[e->life].said, SIM_LINE);
			fetch(to->link, LINK_HOT);
		} else if (turn == 2 && to->node) {
			fetch_link(to->link, to->node->node);
		}
	}
}
