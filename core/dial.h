// SPDX-License-Identifier: MIT
// A dial: one attempt to reach a node, over all addresses that its name has, until a link is up
// or nothing is left to try.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/link.h"
#include "core/view.h"

enum dial_purpose {
	DIAL_JOIN,    // to have enough peers
	DIAL_REWIRE,  // to take somebody's place on a link
	DIAL_MERGE,   // to end a netsplit
	DIAL_PROBE,   // to compare components
	DIAL_FILL,    // the same, and to have as many peers as there may be
	DIAL_COMMAND, // somebody waits for the outcome
	DIAL_DIRECT,  // for streams and pipes alone, to `expected`
};

struct dial {
	struct dial *prev, *next;
	enum dial_purpose purpose;
	uint64_t tag; // for the resolver, 0: not looking up
	char *host;
	uint16_t port;
	struct view_entry *entry; // borrowed, may be NULL
	struct address addresses[RESOLVE_MAX];
	size_t count, at;
	struct link *link;	      // borrowed
	struct id replaced;	      // DIAL_REWIRE
	struct id leave;	      // DIAL_REWIRE: end our link to this one afterwards
	struct contact offer;	      // DIAL_MERGE
	uint8_t permit[DIGEST_BYTES]; // DIAL_REWIRE: to replace; DIAL_MERGE: to be replaced
	struct id expected;	      // zero: whoever is there
	int64_t token;		      // DIAL_COMMAND
	bool busy;		      // the last address took the connection and said nothing
	bool held;		      // until the old link to that address is gone
	int error;		      // of the last address
};

bool dial_running(const struct node *node, enum dial_purpose purpose);
// Starts a dial to an entry of the view, or (entry NULL) to an address or a name. NULL when it
// could not start; *error says why (may be NULL).
struct dial *dial_entry(struct node *node, enum dial_purpose purpose, struct view_entry *entry);
struct dial *dial_address(
	struct node *node, enum dial_purpose purpose, const struct address *address);
struct dial *dial_host(
	struct node *node, enum dial_purpose purpose, const char *host, uint16_t port);
// Options are set between dial_*() and dial_start().
void dial_start(struct node *node, struct dial *dial);
void dial_resolved(
	struct node *node, uint64_t tag, int error, const struct address *addresses, size_t count);
// The link of a dial ended before it was up: on to the next address, or the dial has failed.
void dial_failed(struct node *node, struct dial *dial, int error);
// The other end answered as wanted; frees the dial.
void dial_succeeded(struct node *node, struct dial *dial);
// A link is gone: dials that were held back for it go on.
void dial_unhold(struct node *node);
void dial_cancel(struct node *node, struct dial *dial);
