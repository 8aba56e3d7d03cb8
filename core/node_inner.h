// SPDX-License-Identifier: MIT
// The inside of a node, for the modules that make it up. Nobody above core/node includes this.
#pragma once

#include "core/allowance.h"
#include "core/announce.h"
#include "core/broadcast.h"
#include "core/component.h"
#include "core/dial.h"
#include "core/direct.h"
#include "core/history.h"
#include "core/lan.h"
#include "core/members.h"
#include "core/node.h"
#include "core/overlay.h"
#include "core/pipes.h"
#include "core/plumtree.h"
#include "core/publisher.h"
#include "core/random.h"
#include "core/reach.h"
#include "core/repair.h"
#include "core/stall.h"
#include "core/topics.h"
#include "core/view.h"

// Somebody waits for a connect by hand.
struct connect {
	struct connect *prev, *next;
	int64_t token;
	struct id id; // of node_reach(), else zero
	int result;
};

// In front is what every turn looks at, however little happens in it.
struct node {
	uint64_t now, wall, started;
	uint64_t due;	    // nothing happens by the passing of time alone before
	uint64_t links_due; // when a link has to be looked at
	struct link *links; // that count, or are being made
	struct link *directs;
	struct link *output; // links that may have something to send

	bool log_changed, streams_changed, peers_changed, connects_changed;
	bool dead_links;
	bool stopping;
	bool clashing; // somebody else has our key: there is proof of it
	bool clash_hinted;
	size_t link_count; // of both lists
	size_t up_count;   // that count
	size_t direct_count;
	uint64_t direct_next;	   // when these have to be looked at
	uint64_t strangers_unsaid; // refusals beyond those that have events
	uint64_t strangers_next;   // when to say how many they were
	struct reach *reaches;

	struct plumtree plumtree;
	struct overlay overlay;
	struct announce announce;
	struct members members;
	struct publisher publisher;
	struct broadcast broadcast;
	struct id id; // of the identity
	struct component component;
	struct log log;
	struct event_log events;
	struct random random;
	struct dial *dials;
	struct node_driver driver;
	struct view view;

	struct channel_settings *channels;
	struct node_config config;
	struct node_counters counters;
	uint64_t instance;
	uint64_t connected;    // when the first link came up after there was none
	uint64_t disconnected; // when the last link was gone; 0: never
	uint32_t last_serial;
	struct allowance stranger_events;
	uint64_t clash_heard; // an incarnation of ours that somebody else has, until it is acted on
	struct allowance clash_hints;
	uint64_t clashes[CLASH_COUNT]; // when the last of them were
	uint64_t stop_deadline;

	uint64_t last_tag;
	struct connect *connects;
	int64_t last_token;
	struct allowance calls; // of others, to be dialled
	struct pipes pipes;
	struct topics topics; // that are joined here
	struct history history;
	struct lan *lan; // NULL: no discovery
};

#define NODE_EVENT(node, name, ...) event_emit(&(node)->events, (node)->wall, name, __VA_ARGS__)

// One event about somebody who did not get in, if there have not been too many. `why` is the rest
// of its line.
void node_stranger(struct node *node, const struct address *from, const char *why);
// How many there were beyond those that had events.
void node_say_strangers(struct node *node);
// Frees the links that have died; at the end of every call from outside.
void node_reap(struct node *node);
struct link *node_link_by_id(struct node *node, const struct id *id); // the one that is up
struct link *node_link_by_serial(struct node *node, uint32_t serial);
void node_dispatch_up(struct node *node, struct link *link);
// A link that was up is not any more.
void node_dispatch_down(struct node *node, struct link *link, enum goodbye reason);
// One frame of a link (core/frames); 0 or -EPROTO.
int node_frame(
	struct node *node, struct link *link, uint8_t type, const uint8_t *payload, size_t n);
// The wall clock of that time.
uint64_t node_wall_of(const struct node *node, uint64_t time);
// One more peer.
void node_link_counts(struct node *node, const struct link *link);
// Carries broadcast, announcements and order from here on.
void node_link_joins(struct node *node, struct link *link);
// And does not any more, though it is up.
void node_link_parts(struct node *node, struct link *link);
void node_connect_done(struct node *node, int64_t token, int result);
// A token for one who waits to reach somebody (zero: for a dial with that token); -ENOMEM.
int64_t node_connect_wait(struct node *node, const struct id *id);
// Of all who wait to reach somebody.
void node_connects_done(struct node *node, const struct id *id, int result);
bool node_connects_wait(const struct node *node, const struct id *id);
bool node_may_dial(const struct address *a);
bool node_is_own(const struct node *node, const struct address *a);
// Somebody else has our key, and this incarnation: what was signed or shown with it proves it.
// Acted on in the next turn: a higher one is taken, or, when it goes on, this node ends.
void node_clash(struct node *node, uint64_t incarnation);
// A member says that there is one like us. A higher incarnation is taken, now and then, and no
// more.
void node_clash_hint(struct node *node);
void clash_settle(struct node *node);
