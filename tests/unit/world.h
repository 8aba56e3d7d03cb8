// SPDX-License-Identifier: MIT
// A network in one process: nodes, connections with latency, and a clock that is moved by hand.
//
// The same seed gives the same run. Messages that tests publish carry their source and number,
// and every node reads everything, so that order and completeness can be asked for.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/node.h"
#include "core/random.h"
#include "core/wire.h"

#define WORLD_NODES  64
#define WORLD_FLIGHT (256 * KIB) // bytes on the way in one direction, then the sender waits

struct world_message {
	uint32_t source; // index of the node
	uint32_t life;	 // how often that node was started
	uint32_t number; // from 1
};

struct world_node {
	struct world *world;
	int index;
	struct node *node; // NULL: not running
	uint32_t life;
	struct address address;
	struct identity *identity;
	struct id id;
	bool doubles;		// the identity is another node's, too
	struct keyring keyring; // the world's, unless a test puts in another before it starts
	struct access access;
	uint64_t incarnation; // 0: of its life
	// What it has kept for its next start, how often, and how often that was no higher.
	uint64_t kept;
	uint32_t keeps, kept_in_disorder;
	bool posed; // a stranger answers at its address, see world_visitor()
	struct world_stranger *visited;
	bool paused; // stopped, as by SIGSTOP
	bool shut;   // nobody gets through to it, as behind a firewall; it gets out
	int side;    // of a partition
	bool reading;
	struct cursor cursor;
	uint32_t published;
	// The last number read of every node and life, and what was wrong.
	uint32_t last[WORLD_NODES];
	uint32_t last_life[WORLD_NODES];
	uint32_t read[WORLD_NODES];
	uint32_t disorder;
	uint64_t published_refused;
};

struct world {
	uint64_t now;
	uint64_t latency;
	uint32_t min_peers, max_peers;
	size_t history; // of nodes that are started from here on
	struct random random;
	uint64_t seed;
	struct keyring keyring;
	struct world_node nodes[WORLD_NODES];
	struct world_connection *connections;
	struct identity *identities[256]; // by world_identity()
	bool trace;
	uint64_t bytes; // carried in all
};

// Prints the seed, so that a failure can be repeated: SMOKEFS_SEED in the environment overrides.
void world_init(struct world *w, uint64_t seed);
void world_fini(struct world *w);
// Starts node i (again: under the same id and address, as a new incarnation).
void world_start(struct world *w, int i);
void world_seed(struct world *w, int i, int seed); // i knows the address of `seed`
// Node i as of now: commands take the time of the turn that they are given in.
struct node *world_node(struct world *w, int i);
void world_crash(struct world *w, int i);  // its connections break at once
void world_vanish(struct world *w, int i); // nobody is told
void world_stop(struct world *w, int i);   // goodbye, then gone
void world_pause(struct world *w, int i, bool paused);
// Nodes on different sides cannot reach each other; what is on the way waits.
void world_side(struct world *w, int i, int side);
void world_run(struct world *w, uint64_t duration);
// Runs until `done` or the time is up; returns whether it was done.
bool world_until(struct world *w, uint64_t limit, bool (*done)(struct world *w));
// A message of `size` bytes (at least sizeof(struct world_message)); false: refused for now.
bool world_publish(struct world *w, int i, size_t size);
// A stranger's connection to node i, raw bytes over it, and whether the node has closed it. It
// reads what the node sends, unless deaf: how many frames of a type that were is world_heard().
struct world_stranger *world_connect(struct world *w, int i);
// The same from another host, 127.0.0.`host`.
struct world_stranger *world_connect_from(struct world *w, int i, uint8_t host);
// The other end of the latest dial to the address of node i, which is `posed`; NULL: nobody dials.
struct world_stranger *world_visitor(struct world *w, int i);
// TLS for a stranger from here on: what it says are frames. False: it did not get that far.
bool world_secure(struct world *w, struct world_stranger *s, const struct identity *identity);
// What a proof over the stranger's channel is bound to, and saying one.
void world_binding(
	struct world_stranger *s, const struct identity *identity, struct session_binding *binding);
void world_prove(struct world *w, struct world_stranger *s, const struct identity *identity,
	const struct network_key *key);
// A stranger closes its end, and is gone.
void world_leave(struct world *w, struct world_stranger *s);
// All that it has put on the way, as bytes of the wire; all that it was told, as frames if it is
// secure. Borrowed until it says or hears more.
const uint8_t *world_wired(const struct world_stranger *s, size_t *n);
const uint8_t *world_heard_bytes(const struct world_stranger *s, size_t *n);
// The same of a member who has got through TLS and PROOF, borrowed identity: what it says are
// frames. NULL: it did not get that far.
struct world_stranger *world_join(struct world *w, int i, const struct identity *identity);
// Node i, not yet started, gets the identity of another one.
void world_double(struct world *w, int i, int of);
// A made-up identity, the same for the same number. The world frees it.
const struct identity *world_identity(struct world *w, uint8_t number);
void world_say(struct world *w, struct world_stranger *s, const void *bytes, size_t n);
bool world_closed(const struct world_stranger *s);
void world_deaf(struct world_stranger *s, bool deaf);
int world_heard(const struct world_stranger *s, enum frame_type type);

int world_count(const struct world *w); // running
int world_components(const struct world *w);
bool world_linked(const struct world *w, int a, int b);
size_t world_peers(const struct world *w, int i);
// Links are symmetric and single, and nobody has more than max.
bool world_consistent(const struct world *w);
// How often an event of this name was logged by node i.
int world_events(const struct world *w, int i, const char *name);
// Of these, the ones whose line has this part, too.
int world_events_with(const struct world *w, int i, const char *name, const char *part);
