// SPDX-License-Identifier: MIT
#include "tests/sim/check.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/link.h"
#include "core/node_inner.h"

static bool alive(const struct sim_node *n)
{
	return n->node && !n->silent && !n->stranger;
}

// The node at the other end of a link, through the connection that carries it.
static struct sim_node *other_end(const struct link *link)
{
	const struct sim_connection *c = link_socket(link);
	return c->ends[c->ends[0].link == link ? 1 : 0].node;
}

static void check_links(struct sim *s, const struct sim_node *n)
{
	const struct link *link, *other;
	const struct node *node = n->node;
	size_t max = node->config.max_peers;

	if (max && overlay_count(node) > max + 1)
		sim_fail(s, "node %u has %zu links, %zu are allowed", n->index, overlay_count(node),
			max);
	if (node->link_count > LINKS_MAX + DIALS_MAX_ALONE)
		sim_fail(s, "node %u has %zu connections", n->index, node->link_count);
	DL_FOREACH (node->links, link) {
		if (!link_up(link))
			continue;
		if (id_equal(&link->id, &node->id))
			sim_fail(s, "node %u is linked to itself", n->index);
		if (!access_permits(node->config.access, &link->id))
			sim_fail(s, "node %u is linked to one who is not listed", n->index);
		for (other = link->next; other; other = other->next)
			if (link_up(other) && id_equal(&link->id, &other->id))
				sim_fail(s, "node %u has two links to the same", n->index);
		if (buffer_length(&link->control) > CONTROL_BYTES + MIB)
			sim_fail(s, "node %u lets control frames pile up", n->index);
		for (uint32_t i = 0; i < link->lane_count; i++) {
			const struct lane *lane = link->lanes[i];
			if (lane && (lane->credit > SOURCE_WINDOW ||
					    lane->outstanding > SOURCE_WINDOW + MESSAGE_MAX))
				sim_fail(s, "node %u has a lane beyond its window", n->index);
		}
	}
}

static void check_tables(struct sim *s, const struct sim_node *n)
{
	const struct node *node = n->node;

	if (node->view.count > VIEW_MAX)
		sim_fail(s, "node %u has a view of %zu", n->index, node->view.count);
	if (HASH_COUNT(node->members.table) > MEMBERS_MAX)
		sim_fail(s, "node %u has too many members", n->index);
	if (HASH_COUNT(node->broadcast.sources) > SOURCES_MAX)
		sim_fail(s, "node %u has too many sources", n->index);
	if (node->plumtree.claim_count > CLAIMS_MAX)
		sim_fail(s, "node %u has too many claims", n->index);
	if (node->log.bytes > HELD_BYTES + RETAIN_BYTES + 8 * MIB)
		sim_fail(s, "node %u keeps %zu bytes", n->index, node->log.bytes);
	if (node->broadcast.partial_bytes > PARTIAL_BYTES)
		sim_fail(s, "node %u receives %zu bytes at once", n->index,
			node->broadcast.partial_bytes);
	if (node->publisher.held > PUBLISH_WINDOW || node->publisher.unsent > UNSENT_BYTES)
		sim_fail(s, "node %u has published beyond its window", n->index);
	// A component's beacon that has run out is nobody's.
	if (node->now - node->component.heard > BEACON_EXPIRE + SECOND &&
		!id_equal(&node->component.origin, &node->id))
		sim_fail(s, "node %u believes in a beacon that is too old", n->index);
}

void check_always(struct sim *s)
{
	for (uint32_t i = 0; i < s->options.nodes && !s->wrong[0]; i++) {
		const struct sim_node *n = &s->nodes[i];
		if (!alive(n))
			continue;
		check_links(s, n);
		check_tables(s, n);
		const struct node_counters *c = &n->node->counters;
		if (!n->lied_to && n->skipped > c->messages_missed + c->messages_overrun)
			sim_fail(s, "node %u lacks %llu messages and says %llu", n->index,
				(unsigned long long)n->skipped,
				(unsigned long long)(c->messages_missed + c->messages_overrun));
	}
}

static bool linked_back(const struct sim_node *n, const struct sim_node *to)
{
	const struct link *link;
	DL_FOREACH (to->node->links, link)
		if (link_up(link) && other_end(link) == n)
			return true;
	return false;
}

static void check_symmetry(struct sim *s, const struct sim_node *n)
{
	const struct link *link;
	DL_FOREACH (n->node->links, link) {
		const struct sim_node *to = link_up(link) ? other_end(link) : NULL;
		// It may have been closed there a moment ago.
		bool current = n->node->now - link->heard > 2 * n->node->config.ping_timeout;
		if (to && current && (!alive(to) || !linked_back(n, to)))
			sim_fail(s, "node %u has a link to %u that is not there", n->index,
				to->index);
	}
}

// Every source's messages have come as far as they have been written.
static void check_frontiers(struct sim *s, const struct sim_node *n)
{
	for (uint32_t k = 0; n->reads && k < s->options.sources; k++)
		if (n->reads[k].last != s->published[k] && s->source_nodes[k] != n->index &&
			alive(&s->nodes[s->source_nodes[k]]))
			sim_fail(s, "node %u has %u of %u messages of source %u", n->index,
				n->reads[k].last, s->published[k], k);
}

void check_settled(struct sim *s)
{
	struct census c = check_census(s);

	check_always(s);
	if (c.components > 1)
		sim_fail(s, "%u components", c.components);
	if (c.poor)
		sim_fail(s, "%u nodes have too few peers", c.poor);
	for (uint32_t i = 0; i < s->options.nodes && !s->wrong[0]; i++) {
		if (!alive(&s->nodes[i]))
			continue;
		check_symmetry(s, &s->nodes[i]);
		check_frontiers(s, &s->nodes[i]);
	}
}

static uint32_t root_of(uint32_t *parent, uint32_t i)
{
	while (parent[i] != i)
		i = parent[i] = parent[parent[i]];
	return i;
}

struct census check_census(struct sim *s)
{
	struct census c = { 0 };
	uint32_t n = s->options.nodes;
	uint32_t *parent = malloc(n * sizeof *parent), *size = calloc(n, sizeof *size);
	const struct link *link;

	assert(parent && size);
	for (uint32_t i = 0; i < n; i++) {
		parent[i] = i;
		c.nodes += alive(&s->nodes[i]);
	}
	size_t least = s->options.min_peers < c.nodes ? s->options.min_peers : c.nodes - 1;
	for (uint32_t i = 0; i < n; i++) {
		if (!alive(&s->nodes[i]))
			continue;
		c.poor += s->nodes[i].node->up_count < least;
		DL_FOREACH (s->nodes[i].node->links, link) {
			const struct sim_node *to = link_up(link) ? other_end(link) : NULL;
			if (!to || !alive(to))
				continue;
			c.links++;
			parent[root_of(parent, i)] = root_of(parent, to->index);
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		if (!alive(&s->nodes[i]))
			continue;
		uint32_t root = root_of(parent, i);
		c.components += size[root] == 0;
		size[root]++;
		c.largest = size[root] > c.largest ? size[root] : c.largest;
	}
	c.links /= 2;
	free(parent);
	free(size);
	return c;
}

uint64_t check_flood(struct sim *s, uint32_t from)
{
	uint64_t *known = malloc(s->options.nodes * sizeof *known), last = 0;
	struct queue q = { 0 };
	const struct link *link;

	assert(known);
	memset(known, 0xff, s->options.nodes * sizeof *known);
	known[from] = 0;
	queue_put(&q, 0, HAPPEN_TIMER, &s->nodes[from], 0);
	while (q.count) {
		struct event e = queue_take(&q);
		const struct sim_node *n = e.what;
		if (e.at > known[n->index])
			continue;
		last = e.at;
		DL_FOREACH (n->node->links, link) {
			const struct sim_connection *c = link_socket(link);
			struct sim_node *to = link_up(link) ? other_end(link) : NULL;
			if (!to || !alive(to) || e.at + c->latency >= known[to->index])
				continue;
			known[to->index] = e.at + c->latency;
			queue_put(&q, known[to->index], HAPPEN_TIMER, to, 0);
		}
	}
	queue_fini(&q);
	free(known);
	return last;
}

bool check_gathered(struct sim *s)
{
	struct census c = check_census(s);
	return c.components == 1 && c.poor == 0;
}

bool check_connected(struct sim *s)
{
	return check_census(s).components == 1;
}
