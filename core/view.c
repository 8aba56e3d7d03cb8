// SPDX-License-Identifier: MIT
// The passive view.
#include "core/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Half of what 32 bits hold: what is further off has been.
#define FAR ((uint32_t)1 << 31)

void view_fini(struct view *v)
{
	struct view_entry *e;
	VIEW_FOREACH (v, e)
		if (e->kind == VIEW_NAME)
			free(v->far[e->way].host);
	for (size_t i = 0; i < v->count; i += VIEW_CHUNK)
		free(v->chunks[i / VIEW_CHUNK]);
	free(v->chunks);
	free(v->far);
	*v = (struct view){ 0 };
}

static int grow(struct view *v)
{
	size_t count = v->count / VIEW_CHUNK;
	struct view_chunk **chunks = realloc(v->chunks, (count + 1) * sizeof(*chunks));
	if (!chunks)
		return -ENOMEM;
	v->chunks = chunks;
	chunks[count] = malloc(sizeof *chunks[count]);
	return chunks[count] ? 0 : -ENOMEM;
}

static uint16_t *mark_at(const struct view *v, size_t i)
{
	return &v->chunks[i / VIEW_CHUNK]->marks[i % VIEW_CHUNK];
}

// There is a place for one more; -ENOMEM.
static int far_reserve(struct view *v)
{
	uint32_t count = v->far_count ? 2 * v->far_count : 4;
	if (v->far_free < v->far_count)
		return 0;
	union view_far *far = realloc(v->far, count * sizeof *far);
	if (!far)
		return -ENOMEM;
	for (uint32_t i = v->far_count; i < count; i++)
		far[i].next = i + 1;
	v->far_free = v->far_count;
	v->far_count = count;
	v->far = far;
	return 0;
}

static uint32_t far_take(struct view *v)
{
	uint32_t i = v->far_free;
	v->far_free = v->far[i].next;
	return i;
}

static void far_release(struct view *v, uint32_t i)
{
	v->far[i].next = v->far_free;
	v->far_free = i;
}

static void reset(struct view *v, size_t i)
{
	*view_at(v, i) = (struct view_entry){ 0 };
	*mark_at(v, i) = 0;
	v->changed = true;
}

static struct view_entry *append(struct view *v)
{
	if (v->count % VIEW_CHUNK == 0 && grow(v) < 0)
		return NULL;
	reset(v, v->count++);
	return view_at(v, v->count - 1);
}

static size_t index_of(const struct view *v, const struct view_entry *e)
{
	size_t i = 0;
	while (e < view_at(v, i) || e >= view_at(v, i) + VIEW_CHUNK)
		i += VIEW_CHUNK;
	return i + (size_t)(e - view_at(v, i));
}

// FNV-1a (Fowler, Noll and Vo), folded.
static uint16_t mark_of(const struct address *a)
{
	uint32_t mark = 2166136261u;
	for (size_t i = 0; i < sizeof a->bytes; i++)
		mark = (mark ^ a->bytes[i]) * 16777619u;
	mark = (mark ^ a->port) * 16777619u;
	mark = (mark ^ mark >> 16) & UINT16_MAX;
	return mark ? (uint16_t)mark : 1;
}

struct address view_address(const struct view *v, const struct view_entry *e)
{
	struct address a = { .port = e->port };

	switch (e->kind) {
	case VIEW_FOUR:
		a.family = 4;
		memcpy(a.bytes, &e->way, sizeof e->way);
		break;
	case VIEW_SIX:
		a.family = 6;
		memcpy(a.bytes, v->far[e->way].bytes, sizeof a.bytes);
		break;
	case VIEW_NONE:
	case VIEW_NAME:
		break;
	}
	return a;
}

// Of an IPv6 address after far_reserve().
static void set_address(struct view *v, struct view_entry *e, const struct address *a)
{
	if (e->kind == VIEW_SIX && a->family == 4)
		far_release(v, e->way);
	if (a->family == 4) {
		memcpy(&e->way, a->bytes, sizeof e->way);
	} else {
		e->way = e->kind == VIEW_SIX ? e->way : far_take(v);
		memcpy(v->far[e->way].bytes, a->bytes, sizeof a->bytes);
	}
	e->kind = a->family == 4 ? VIEW_FOUR : VIEW_SIX;
	e->port = a->port;
	*mark_at(v, index_of(v, e)) = mark_of(a);
}

const char *view_host(const struct view *v, const struct view_entry *e)
{
	return e->kind == VIEW_NAME ? v->far[e->way].host : NULL;
}

static bool leads_to(const struct view *v, const struct view_entry *e, const struct address *a)
{
	struct address own = view_address(v, e);
	return address_equal(&own, a);
}

static bool is_host(
	const struct view *v, const struct view_entry *e, const char *host, uint16_t port)
{
	return e->kind == VIEW_NAME && e->port == port && strcmp(view_host(v, e), host) == 0;
}

static struct view_entry *append_host(struct view *v, const char *host, uint16_t port)
{
	char *copy = far_reserve(v) < 0 ? NULL : strdup(host);
	struct view_entry *e = copy ? append(v) : NULL;
	if (!e) {
		free(copy);
		return NULL;
	}
	e->kind = VIEW_NAME;
	e->way = far_take(v);
	e->port = port;
	v->far[e->way].host = copy;
	return e;
}

static struct view_entry *append_address(struct view *v, const struct address *a)
{
	struct view_entry *e = a->family == 6 && far_reserve(v) < 0 ? NULL : append(v);
	if (e)
		set_address(v, e, a);
	return e;
}

int view_add_seed(struct view *v, const char *host, uint16_t port)
{
	struct address address;
	struct view_entry *e;
	bool literal = address_parse_host(&address, host, port) == 0;

	VIEW_FOREACH (v, e)
		if (literal ? leads_to(v, e, &address) : is_host(v, e, host, port)) {
			e->seed = true;
			return 0;
		}
	e = literal ? append_address(v, &address) : append_host(v, host, port);
	if (!e)
		return -ENOMEM;
	e->seed = true;
	return 0;
}

struct view_entry *view_find_address(struct view *v, const struct address *a)
{
	uint16_t mark = mark_of(a);
	for (size_t i = 0; i < v->count; i++)
		if (*mark_at(v, i) == mark && leads_to(v, view_at(v, i), a))
			return view_at(v, i);
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

// The lower half, so that a view is half as large.
static uint32_t clock_of(uint64_t now)
{
	return (uint32_t)(now / MILLISECOND);
}

// Nothing waits for longer than a minute, so that what seems to wait for weeks has waited for
// weeks.
uint64_t view_wait(const struct view_entry *e, uint64_t now)
{
	uint32_t left = e->next_try - clock_of(now);
	return left == 0 || left >= FAR ? 0 : left * MILLISECOND - now % MILLISECOND;
}

void view_hold(struct view_entry *e, uint64_t now, uint64_t time)
{
	e->next_try = clock_of(now + time + MILLISECOND - 1);
}

uint64_t view_silence(const struct view_entry *e, uint64_t now)
{
	return (uint32_t)(clock_of(now) - e->heard) * MILLISECOND;
}

// Hearsay before those that have answered, then by failures, then by how long ago it was heard of.
static bool worse(const struct view_entry *a, const struct view_entry *b)
{
	if (a->failures != b->failures && (a->failures > 1 || b->failures > 1))
		return a->failures > b->failures;
	if (a->reached != b->reached)
		return !a->reached;
	return a->failures != b->failures ? a->failures > b->failures
					  : b->heard - a->heard - 1 < FAR;
}

// Makes room: the place of the worst entry, NULL when nobody has to leave.
static struct view_entry *evict(struct view *v)
{
	struct view_entry *e, *worst = NULL;
	VIEW_FOREACH (v, e) {
		if (e->seed || e->dialling)
			continue;
		if (!worst || worse(e, worst))
			worst = e;
	}
	if (worst && worst->kind == VIEW_SIX)
		far_release(v, worst->way);
	if (worst)
		reset(v, index_of(v, worst));
	return worst;
}

void view_add(struct view *v, uint64_t now, const struct contact *c)
{
	if (c->address.family == 0 || (c->address.family == 6 && far_reserve(v) < 0))
		return;
	struct view_entry *e = view_find_address(v, &c->address);
	if (!e) {
		// The same node at a new address: the old one is worth nothing any more.
		e = id_is_zero(&c->id) ? NULL : view_find_id(v, &c->id);
		if (e && (e->seed || e->dialling || e->reached))
			e = NULL;
	}
	if (!e) {
		e = v->count >= VIEW_MAX ? evict(v) : append(v);
		if (!e)
			return;
	}
	set_address(v, e, &c->address);
	if (!id_is_zero(&c->id) && (!e->reached || id_is_zero(&e->id)))
		e->id = c->id;
	e->heard = clock_of(now);
}

void view_failed(struct view_entry *e, struct random *r, uint64_t now, uint64_t most)
{
	uint64_t delay = BACKOFF_MIN << (e->failures < 8 ? e->failures : 8);
	e->dialling = false;
	e->failures += e->failures < UINT8_MAX;
	delay = random_jitter(r, delay < most ? delay : most);
	// Jitter goes both ways, the bounds do not.
	delay = delay > most ? most : delay;
	view_hold(e, now, delay < BACKOFF_MIN ? BACKOFF_MIN : delay);
}

void view_succeeded(struct view_entry *e, uint64_t now, const struct id *id)
{
	e->dialling = false;
	e->failures = 0;
	view_hold(e, now, BACKOFF_MIN);
	e->heard = clock_of(now);
	e->reached = true;
	e->id = *id;
}

struct view_entry *view_pick(struct view *v, struct random *r, uint64_t now, bool any,
	bool (*usable)(void *context, const struct view_entry *e), void *context)
{
	struct view_entry *e, *best = NULL;
	uint64_t ties = 0;

	VIEW_FOREACH (v, e) {
		if (e->dialling || e->self || view_wait(e, now) || !usable(context, e))
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
