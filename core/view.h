// SPDX-License-Identifier: MIT
// The passive view: everyone this node could dial, seeds among them. Failures lower a rank and
// delete nothing; when the view is full the worst entry makes room.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/random.h"
#include "core/wire.h"

struct view_entry {
	size_t slot;
	struct id id;		// zero: not known
	struct address address; // family 0: a name, to be resolved
	char *host;		// of a seed that is a name
	uint16_t port;
	bool seed;
	bool self;     // leads back here
	bool dialling; // or being probed
	bool reached;  // has answered once
	uint32_t failures;
	uint64_t next_try;
	uint64_t heard; // last mention by somebody else, or answer
};

struct view {
	struct view_entry **slots; // [count], in no order
	uint32_t *marks;	   // [count] a hash of each one's address, 0: a name
	size_t count, capacity;
	bool changed; // there are others; whoever stores them clears it
};

#define VIEW_FOREACH(view, e) \
	for (size_t e##_at = 0; e##_at < (view)->count && ((e) = (view)->slots[e##_at]); e##_at++)

void view_fini(struct view *v);
// A seed by address or by name; -ENOMEM.
int view_add_seed(struct view *v, const char *host, uint16_t port);
// Somebody mentioned it. Known ones are updated.
void view_add(struct view *v, uint64_t now, const struct contact *c);
struct view_entry *view_find_address(struct view *v, const struct address *a);
struct view_entry *view_find_id(struct view *v, const struct id *id);
// Not to be tried again before a time that doubles with each failure, up to `most`.
void view_failed(struct view_entry *e, struct random *r, uint64_t now, uint64_t most);
void view_succeeded(struct view_entry *e, uint64_t now, const struct id *id);
// An entry that is due and passes `usable`: the best, or `any` with the same chance. NULL: none.
struct view_entry *view_pick(struct view *v, struct random *r, uint64_t now, bool any,
	bool (*usable)(void *context, const struct view_entry *e), void *context);
