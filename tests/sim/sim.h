// SPDX-License-Identifier: MIT
// A network of the daemon's own nodes in one process and in virtual time. One seed decides
// everything: the same seed gives the same run, which `trace` proves.
//
// Each pair of nodes has a fixed latency; bytes keep their order, and wait for the bandwidth and,
// beyond SIM_FLIGHT, for those before them to arrive.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/node.h"
#include "core/random.h"
#include "tests/sim/queue.h"

#define SIM_FLIGHT (256 * KIB)
#define SIM_START  (1000 * SECOND)
#define SIM_PORT   8495
#define SIM_LINE   64 // of memory, as a cache has it

struct sim;

struct sim_segment;

struct sim_end {
	struct sim_node *node;
	struct sim_segment *said; // list: on their way from here
	struct link *link;	  // NULL: closed here
	bool waits;		  // has more to say than may be on its way
	uint64_t free_at;	  // when the wire takes the next byte
	uint64_t last;		  // when the last of what was said arrives
	size_t flight;		  // bytes on their way from here
	uint64_t held;		  // nothing said here arrives sooner
};

struct sim_connection {
	struct sim *sim;
	struct sim_end ends[2]; // 0: the dialler
	uint64_t latency;
	bool refused, connected;
	bool accepted;	  // its end knows of it, if it ever will
	uint32_t life;	  // of the acceptor, when it was dialled
	uint32_t pending; // events about it; it is freed after the last
} __attribute__((aligned(SIM_LINE)));

struct sim_node {
	struct sim *sim;
	uint32_t index;
	uint32_t life;	   // how often it was started
	struct node *node; // NULL: not running
	struct identity *identity;
	struct access access;
	uint64_t timer; // the earliest that is queued, UINT64_MAX: none
	bool silent;	// its host is off: nothing arrives, nothing leaves
	uint64_t stopped_until;
	int side; // of a partition
	struct cursor cursor;
	struct sim_read *reads; // [sources]
	uint64_t read, skipped;
	uint64_t began;	  // this life
	uint64_t joined;  // when it had its first link of this life, 0: not yet
	uint64_t skew;	  // its clock is so much ahead
	uint32_t hurries; // how often in a row it was due at once
	bool stranger;	  // nobody lists it
	bool lied_to;	  // has been sent what its peer never said
};

// What a node has read of a source.
struct sim_read {
	uint32_t life, last;
};

// A message under way.
struct sim_message {
	uint32_t source, life, number; // number from 1
};

// A source's lives have their numbers one after the other.
struct sim_life {
	uint32_t first;	  // number
	uint64_t written; // when that was
};

// What has become of it.
struct sim_fate {
	uint64_t sent, last;
	uint32_t arrived;
	uint32_t late; // of these, after more than a second
};

struct sim_options {
	uint32_t nodes;
	uint64_t seed;
	uint32_t min_peers, max_peers;
	uint64_t latency_min, latency_max; // one way
	uint64_t jitter;    // up to so much more for each segment, in order all the same
	uint64_t bandwidth; // bytes a second of each direction of a connection, 0: any
	uint32_t loss;	    // of 1,000 segments; each costs a retransmission's time
	bool members;	    // nodes announce themselves to all
	uint32_t mutated;   // of 10,000 segments, with a bit of an unsigned frame turned
	uint32_t sources;   // that write, at most all nodes
};

struct sim {
	struct sim_options options;
	struct queue queue;
	uint64_t now;
	uint64_t events;
	uint64_t trace; // a hash of all that has happened
	struct random random;
	struct keyring keyring;
	struct sim_node *nodes; // [options.nodes]
	uint32_t running;
	uint64_t bytes;		     // carried
	uint64_t bytes_by_type[256]; // of frames, by their type, headers included
	bool count_types;
	struct sim_fate **fates; // [sources][number]
	uint32_t *published;	 // [sources]
	uint32_t *source_nodes;	 // [sources] index of the node
	struct sim_life *lives;	 // [sources] the latest
	char wrong[256];	 // the first broken invariant; empty: none
};

void sim_init(struct sim *s, const struct sim_options *options);
void sim_fini(struct sim *s);
// Records the first thing that is wrong; later ones change nothing.
__attribute__((format(printf, 2, 3))) void sim_fail(struct sim *s, const char *format, ...);

void sim_start(struct sim *s, uint32_t i);
// A member that all others deny; before it is started.
void sim_estrange(struct sim *s, uint32_t i);
void sim_seed(struct sim *s, uint32_t i, uint32_t seed);
void sim_crash(struct sim *s, uint32_t i);			 // its connections close
void sim_silence(struct sim *s, uint32_t i);			 // nobody is told
void sim_stop_for(struct sim *s, uint32_t i, uint64_t duration); // as by SIGSTOP and SIGCONT
void sim_side(struct sim *s, uint32_t i, int side);
// Cuts one connection of the node, if it has one: both ends notice.
void sim_cut(struct sim *s, uint32_t i);
// What the node says on one of its connections arrives no sooner than after `duration`: a black
// hole one way, or, with `both`, a connection that is clogged.
void sim_hold(struct sim *s, uint32_t i, uint64_t duration, bool both);
// Its clock jumps ahead, as after a suspend that its connections outlive.
void sim_jump(struct sim *s, uint32_t i, uint64_t duration);
// A message of `size` bytes by source number `source`. False: refused for now.
bool sim_publish(struct sim *s, uint32_t source, size_t size);
// Runs for so long, or until `done` (looked at every `step`); was it done?
bool sim_run(struct sim *s, uint64_t duration, uint64_t step, bool (*done)(struct sim *s));
// The node's time is now; for looking into it.
struct node *sim_node(struct sim *s, uint32_t i);
struct address sim_address(uint32_t i);
// The node with that id; NULL: none.
struct sim_node *sim_find(struct sim *s, const struct id *id);
