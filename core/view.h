// SPDX-License-Identifier: MIT
// The passive view: everyone this node could dial, seeds among them. Failures lower a rank and
// delete nothing; when the view is full the worst entry makes room.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/random.h"
#include "core/wire.h"

enum view_kind {
	VIEW_NONE,
	VIEW_FOUR, // an IPv4 address
	VIEW_SIX,  // an IPv6 address
	VIEW_NAME, // to be resolved
};

// Small, because there are many; it stays where it is. Times are milliseconds of which the upper
// half is cut off: what they say is asked below.
struct view_entry {
	struct id id; // zero: not known
	uint32_t way; // of an IPv4 address its bytes, else its place in `far`
	uint32_t next_try;
	uint32_t heard; // last mention by somebody else, or answer
	uint16_t port;
	uint8_t failures;
	enum view_kind kind : 3;
	bool seed : 1;
	bool self : 1;	   // leads back here
	bool dialling : 1; // or being probed
	bool reached : 1;  // has answered once
};

#define VIEW_CHUNK 32

struct view_chunk {
	uint16_t marks[VIEW_CHUNK]; // a hash of each one's address, 0: a name
	struct view_entry entries[VIEW_CHUNK];
};

// What is too long for an entry.
union view_far {
	uint8_t bytes[16]; // IPv6
	char *host;
	uint32_t next; // of the unused ones
};

struct view {
	struct view_chunk **chunks; // as many as `count` takes, in no order
	size_t count;
	union view_far *far; // [far_count]
	uint32_t far_count;
	uint32_t far_free; // an unused one; far_count: there is none
	bool changed;	   // there are others; whoever stores them clears it
};

static inline struct view_entry *view_at(const struct view *v, size_t i)
{
	return &v->chunks[i / VIEW_CHUNK]->entries[i % VIEW_CHUNK];
}

#define VIEW_FOREACH(view, e) \
	for (size_t e##_at = 0; e##_at < (view)->count && ((e) = view_at(view, e##_at)); e##_at++)

void view_fini(struct view *v);
// A seed by address or by name; -ENOMEM.
int view_add_seed(struct view *v, const char *host, uint16_t port);
// Somebody mentioned it. Known ones are updated.
void view_add(struct view *v, uint64_t now, const struct contact *c);
struct view_entry *view_find_address(struct view *v, const struct address *a);
struct view_entry *view_find_id(struct view *v, const struct id *id);
// Its address; family 0: it is a name.
struct address view_address(const struct view *v, const struct view_entry *e);
// The name that the entry goes by; NULL: it has an address.
const char *view_host(const struct view *v, const struct view_entry *e);
// Not to be tried for so long.
void view_hold(struct view_entry *e, uint64_t now, uint64_t time);
// How long it is not to be tried yet.
uint64_t view_wait(const struct view_entry *e, uint64_t now);
// How long nobody has mentioned it.
uint64_t view_silence(const struct view_entry *e, uint64_t now);
// Not to be tried again before a time that doubles with each failure, up to `most`.
void view_failed(struct view_entry *e, struct random *r, uint64_t now, uint64_t most);
void view_succeeded(struct view_entry *e, uint64_t now, const struct id *id);
// An entry that is due and passes `usable`: the best, or `any` with the same chance. NULL: none.
struct view_entry *view_pick(struct view *v, struct random *r, uint64_t now, bool any,
	bool (*usable)(void *context, const struct view_entry *e), void *context);
