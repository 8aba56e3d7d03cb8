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
	for (size_t i = 0; i < v->count; i += VIEW_CHUNK)
		free(v->chunks[i / VIEW_CHUNK]);
	for (size_t i = 0; i < v->host_count; i++)
		free(v->hosts[i]);
	free(v->chunks);
	free(v->hosts);
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

static void set_address(struct view *v, struct view_entry *e, const struct address *a)
{
	e->address = *a;
	*mark_at(v, index_of(v, e)) = mark_of(a);
}

const char *view_host(const struct view *v, const struct view_entry *e)
{
	return e->host ? v->hosts[e->host - 1] : NULL;
}

static int add_host(struct view *v, const char *host)
{
	if (v->host_count == VIEW_HOSTS)
		return -ENOSPC;
	char **hosts = realloc(v->hosts, (v->host_count + 1) * sizeof *hosts);
	if (!hosts)
		return -ENOMEM;
	v->hosts = hosts;
	hosts[v->host_count] = strdup(host);
	if (!hosts[v->host_count])
		return -ENOMEM;
	v->host_count++;
	return 0;
}

static bool is_host(
	const struct view *v, const struct view_entry *e, const char *host, uint16_t port)
{
	return e->host && e->address.port == port && strcmp(view_host(v, e), host) == 0;
}

int view_add_seed(struct view *v, const char *host, uint16_t port)
{
	struct address address;
	struct view_entry *e;
	bool literal = address_parse_host(&address, host, port) == 0;

	VIEW_FOREACH (v, e)
		if (literal ? address_equal(&e->address, &address) : is_host(v, e, host, port)) {
			e->seed = true;
			return 0;
		}
	int r = literal ? 0 : add_host(v, host);
	if (r < 0)
		return r;
	e = append(v);
	if (!e) {
		if (!literal)
			free(v->hosts[--v->host_count]);
		return -ENOMEM;
	}
	if (literal) {
		set_address(v, e, &address);
	} else {
		e->host = (uint16_t)(v->host_count & VIEW_HOSTS);
		e->address.port = port;
	}
	e->seed = true;
	return 0;
}

struct view_entry *view_find_address(struct view *v, const struct address *a)
{
	uint16_t mark = mark_of(a);
	for (size_t i = 0; i < v->count; i++)
		if (*mark_at(v, i) == mark && address_equal(&view_at(v, i)->address, a))
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
	if (worst)
		reset(v, index_of(v, worst));
	return worst;
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
	e->failures += e->failures < UINT16_MAX;
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
