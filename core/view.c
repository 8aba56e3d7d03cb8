// SPDX-License-Identifier: MIT
// The passive view.
#include "core/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void view_fini(struct view *v)
{
	struct view_entry *e;
	VIEW_FOREACH (v, e) {
		free(e->host);
		free(e);
	}
	free(v->slots);
	free(v->marks);
	*v = (struct view){ 0 };
}

static int grow(struct view *v)
{
	size_t capacity = v->capacity ? 2 * v->capacity : 16;
	struct view_entry **slots = realloc(v->slots, capacity * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	v->slots = slots;
	uint32_t *marks = realloc(v->marks, capacity * sizeof *marks);
	if (!marks)
		return -ENOMEM;
	v->marks = marks;
	v->capacity = capacity;
	return 0;
}

static struct view_entry *append(struct view *v)
{
	if (v->count == v->capacity && grow(v) < 0)
		return NULL;
	struct view_entry *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->slot = v->count++;
	v->changed = true;
	v->slots[e->slot] = e;
	v->marks[e->slot] = 0;
	return e;
}

static void drop(struct view *v, struct view_entry *e)
{
	struct view_entry *last = v->slots[--v->count];
	v->slots[e->slot] = last;
	v->marks[e->slot] = v->marks[last->slot];
	last->slot = e->slot;
	free(e->host);
	free(e);
}

// FNV-1a (Fowler, Noll and Vo).
static uint32_t mark_of(const struct address *a)
{
	uint32_t mark = 2166136261u;
	for (size_t i = 0; i < sizeof a->bytes; i++)
		mark = (mark ^ a->bytes[i]) * 16777619u;
	mark = (mark ^ a->port) * 16777619u;
	return mark ? mark : 1;
}

static void set_address(struct view *v, struct view_entry *e, const struct address *a)
{
	e->address = *a;
	v->marks[e->slot] = mark_of(a);
}

int view_add_seed(struct view *v, const char *host, uint16_t port)
{
	struct address address;
	struct view_entry *e;
	bool literal = address_parse_host(&address, host, port) == 0;

	VIEW_FOREACH (v, e)
		if (literal ? address_equal(&e->address, &address)
			    : e->host && e->port == port && strcmp(e->host, host) == 0) {
			e->seed = true;
			return 0;
		}
	char *copy = literal ? NULL : strdup(host);
	if (!literal && !copy)
		return -ENOMEM;
	e = append(v);
	if (!e) {
		free(copy);
		return -ENOMEM;
	}
	if (literal)
		set_address(v, e, &address);
	e->host = copy;
	e->port = port;
	e->seed = true;
	return 0;
}

struct view_entry *view_find_address(struct view *v, const struct address *a)
{
	uint32_t mark = mark_of(a);
	for (size_t i = 0; i < v->count; i++)
		if (v->marks[i] == mark && address_equal(&v->slots[i]->address, a))
			return v->slots[i];
	return NULL;
}

struct view_entry *view_find_id(struct view *v, const struct id *id)
{
	struct view_entry *e;
	VIEW_FOREACH (v, e)
		if (id_equal(&e->id, id))
			return e;
	return NULL;
}

// Hearsay before those that have answered, then by failures, then by how long ago it was heard of.
static bool worse(const struct view_entry *a, const struct view_entry *b)
{
	if (a->failures != b->failures && (a->failures > 1 || b->failures > 1))
		return a->failures > b->failures;
	if (a->reached != b->reached)
		return !a->reached;
	return a->failures != b->failures ? a->failures > b->failures : a->heard < b->heard;
}

// Makes room: the worst entry leaves.
static bool evict(struct view *v)
{
	struct view_entry *e, *worst = NULL;
	VIEW_FOREACH (v, e) {
		if (e->seed || e->dialling)
			continue;
		if (!worst || worse(e, worst))
			worst = e;
	}
	if (!worst)
		return false;
	drop(v, worst);
	return true;
}

void view_add(struct view *v, uint64_t now, const struct contact *c)
{
	if (c->address.family == 0)
		return;
	struct view_entry *e = view_find_address(v, &c->address);
	if (!e) {
		// The same node at a new address: the old one is worth nothing any more.
		e = id_is_zero(&c->id) ? NULL : view_find_id(v, &c->id);
		if (e && (e->seed || e->dialling || e->reached))
			e = NULL;
	}
	if (!e) {
		if (v->count >= VIEW_MAX && !evict(v))
			return;
		e = append(v);
		if (!e)
			return;
	}
	set_address(v, e, &c->address);
	if (!id_is_zero(&c->id) && (!e->reached || id_is_zero(&e->id)))
		e->id = c->id;
	e->heard = now;
}

void view_failed(struct view_entry *e, struct random *r, uint64_t now, uint64_t most)
{
	uint64_t delay = BACKOFF_MIN << (e->failures < 8 ? e->failures : 8);
	e->dialling = false;
	e->failures++;
	e->next_try = now + random_jitter(r, delay < most ? delay : most);
	// Jitter goes both ways, the bounds do not.
	if (e->next_try < now + BACKOFF_MIN)
		e->next_try = now + BACKOFF_MIN;
	if (e->next_try > now + most)
		e->next_try = now + most;
}

void view_succeeded(struct view_entry *e, uint64_t now, const struct id *id)
{
	e->dialling = false;
	e->failures = 0;
	e->next_try = now + BACKOFF_MIN;
	e->heard = now;
	e->reached = true;
	e->id = *id;
}

struct view_entry *view_pick(struct view *v, struct random *r, uint64_t now, bool any,
	bool (*usable)(void *context, const struct view_entry *e), void *context)
{
	struct view_entry *e, *best = NULL;
	uint64_t ties = 0;

	VIEW_FOREACH (v, e) {
		if (e->dialling || e->self || e->next_try > now || !usable(context, e))
			continue;
		if (best && !any && e->failures > best->failures)
			continue;
		ties = best && (any || e->failures == best->failures) ? ties + 1 : 1;
		// Each of the equals with the same probability, in one pass.
		if (random_below(r, ties) == 0)
			best = e;
	}
	return best;
}
