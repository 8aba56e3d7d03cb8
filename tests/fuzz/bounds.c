// SPDX-License-Identifier: MIT
// Counts are counted again; sizes are compared with core/limits.h.
#include "tests/fuzz/bounds.h"

#include <assert.h>
#include <utlist.h>

#include "core/link.h"
#include "core/node_inner.h"

// Beyond a bound by what is in hand when it is looked at: a message of the largest size on every
// link, and one published here.
#define SLACK (8 * MIB)

static void check_lane(const struct lane *lane)
{
	assert(lane->outstanding <= SOURCE_WINDOW + MESSAGE_MAX);
	assert(lane->owed <= lane->outstanding);
	assert(lane->credit <= SOURCE_WINDOW);
	assert(lane->window >= SOURCE_WINDOW_LEAST && lane->window <= SOURCE_WINDOW);
	assert(!lane->cursor || lane->stray || lane->cursor->kept ||
		lane->cursor == lane->source->partial);
	assert(!lane->held || (lane->held->kept && !lane->loose));
	assert(!lane->stray || (lane->loose && lane->begun));
}

static void check_link(const struct link *link)
{
	assert(link->proven || link->state <= LINK_STATE_PROVING ||
		link->state >= LINK_STATE_CLOSING);
	assert(!link->proven || link->channel.open);
	// Behind nonsense, what came with it is left.
	assert(link->state >= LINK_STATE_CLOSING || buffer_length(&link->in) < FRAME_MAX + 4);
	assert(buffer_length(&link->control) <= CONTROL_BYTES + MIB);
	for (uint32_t i = 0; i < link->lane_count; i++)
		if (link->lanes[i])
			check_lane(link->lanes[i]);
}

static void check_links(const struct node *node)
{
	const struct link *link;
	size_t count = 0, up = 0, direct = 0, unproven = 0;

	LINK_FOREACH(node, link)
	{
		count++;
		up += link_up(link) && !link->direct;
		direct += link_up(link) && link->direct;
		assert(!link->direct || !link_up(link) || (link->apart && link->lane_count == 0));
		unproven += !link->outgoing && !link->proven;
		check_link(link);
	}
	assert(count == node->link_count && count <= LINKS_MAX + DIALS_MAX_ALONE);
	assert(up == node->up_count && unproven <= UNPROVEN_MAX);
	assert(direct == node->direct_count && direct <= DIRECT_MAX);
}

static void check_pipe(const struct pipe_peer *peer, const struct pipe *p)
{
	const struct generation *g;
	uint64_t charged = 0;

	DL_FOREACH (p->in.queue, g) {
		uint64_t end = g->state == GENERATION_OPEN ? 0 : PIPE_END_CHARGE;
		charged += g->charged ? buffer_length(&g->bytes) + end : 0;
		assert(g->queued && (g->state != GENERATION_OPEN || g->charged));
	}
	assert(p->peer == peer && name_valid(p->name));
	assert(charged == p->in.head - p->in.base && charged <= PIPE_WINDOW);
	assert(pipe_unread(p) <= 2 * PIPE_WINDOW);
	assert(buffer_length(&p->out.bytes) <= PIPE_WINDOW);
	assert(p->out.granted - p->out.sent <= PIPE_WINDOW);
	assert(!p->out.channel || peer->out[p->out.channel] == p);
	assert(!p->in.channel || peer->in[p->in.channel] == p);
}

static void check_pipes(const struct node *node)
{
	const struct pipe_peer *peer, *next;
	const struct pipe *p;

	HASH_ITER (hh, node->pipes.table, peer, next) {
		size_t count = 0;
		assert(peer->list || peer->link);
		assert(!peer->link || (link_up(peer->link) && peer->link->pipes == peer));
		DL_FOREACH (peer->list, p) {
			count++;
			check_pipe(peer, p);
		}
		assert(count <= 4 * PIPES_MAX);
	}
	assert(node->pipes.kept <= PIPES_KEPT + PIPES_MAX * 2 * PIPE_WINDOW);
}

static void check_log(const struct log *log)
{
	size_t bytes = 0, held = 0, overdue = 0;

	for (uint64_t i = log->tail; i < log->head; i++) {
		const struct batch *b = log->ring[i & (log->capacity - 1)];
		if (!b)
			continue;
		bytes += batch_charge(b);
		overdue += b->overdue ? batch_charge(b) : 0;
		// Nothing stays that could leave.
		assert(!b->overdue || b->holds || b->older || b->ripe);
		held += b->holds ? batch_charge(b) : 0;
		assert(b->kept);
	}
	assert(bytes == log->bytes && held == log->held && overdue == log->overdue);
	assert(bytes <= HELD_BYTES + RETAIN_BYTES + SLACK);
}

static void check_history(const struct history *h)
{
	size_t bytes = 0;

	for (uint64_t i = h->tail; i < h->head; i++) {
		const struct batch *b = history_at(h, i)->batch;
		assert(b->pins > 0 && !b->denied);
		bytes += b->bytes;
	}
	assert(bytes <= h->bytes && (h->bytes <= h->limit || h->head - h->tail == 1));
	assert(h->tail <= h->measured && h->measured <= h->head);
}

static void check_sources(const struct node *node)
{
	const struct broadcast *b = &node->broadcast;
	struct source *s, *next;
	size_t partial = 0, hearsay = 0;

	HASH_ITER (hh, b->sources, s, next) {
		hearsay += s->hearsay;
		partial += s->partial ? s->partial->bytes : 0;
		assert(b->slots[s->slot] == s && s->next >= 1);
		assert(!s->newest || batch_next(s->newest) <= s->next);
		assert(!s->hearsay || (!s->newest && !s->partial));
		assert(!s->partial || s->partial_checked <= s->partial_bytes);
	}
	assert(HASH_COUNT(b->sources) <= SOURCES_MAX);
	assert(partial == b->partial_bytes && partial <= PARTIAL_BYTES);
	assert(hearsay == b->hearsay);
}

void bounds_check(const struct node *node)
{
	const struct dial *dial;
	size_t dials = 0;

	check_links(node);
	check_pipes(node);
	check_log(&node->log);
	check_sources(node);
	check_history(&node->history);
	DL_COUNT(node->dials, dial, dials);
	assert(dials <= 4 * DIALS_MAX_ALONE);
	assert(node->publisher.held <= PUBLISH_WINDOW && node->publisher.unsent <= UNSENT_BYTES);
	assert(node->view.count <= VIEW_MAX);
	assert(node->plumtree.claim_count <= CLAIMS_MAX);
	assert(HASH_COUNT(node->members.table) <= MEMBERS_MAX);
	assert(buffer_length(&node->events.text) <= EVENTS_BYTES);
}
