// SPDX-License-Identifier: MIT
// Messages to everyone: each batch goes over every link whose other end does not have it yet, in
// the order of its source, within a window per source and link.
//
// A *source* is one incarnation of one node. Its frontier is the next sequence number this node
// lacks. A *lane* is one source on one link: a cursor into the source's batches in the log that
// says what to send next, and the credit both ways.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "core/batch.h"
#include "core/link.h"
#include "core/wire.h"

struct source {
	UT_hash_handle hh;
	struct source_key key;
	uint32_t slot;
	uint64_t next;		       // the frontier
	uint64_t origin;	       // the frontier at first
	struct batch *oldest, *newest; // in the log
	struct batch *partial;	       // being received, outside the log
	uint32_t partial_from;	       // serial of its link
	uint32_t partial_bytes;	       // received
	uint64_t missing_since;	       // a range is being looked for, 0: none
	uint64_t active;	       // last batch
};

enum lane_receiving { LANE_IDLE, LANE_KEEP, LANE_DISCARD };

struct lane {
	struct source *source;
	struct lane *ready_prev, *ready_next;
	struct lane *due_prev, *due_next;
	bool is_ready, is_due;
	// Sending.
	bool active;	      // the peer's place is known, its cursor holds what it has not got
	struct batch *cursor; // next to send; NULL: at the head
	bool begun;	      // its BATCH frame is sent
	uint32_t offset;      // of its next chunk
	uint64_t credit;      // bytes
	uint64_t start;	      // where the peer begins, until its own word arrives
	uint64_t peer_next;   // the peer has everything below
	uint64_t blocked;     // since when there was no credit, 0: there is
	// Receiving.
	enum lane_receiving receiving;
	uint64_t batch_next;  // sequence number after the batch that is arriving
	uint32_t batch_left;  // bytes of it to come
	uint64_t outstanding; // received and not credited back
	uint64_t owed;	      // of these, what may be
	uint64_t trimmed;     // the peer keeps nothing below, 0: it has not said so
	bool pulling;	      // a PULL is on its way
};

struct broadcast {
	struct source *sources; // by key
	struct source **slots;	// [slot_count]; NULL: free
	uint32_t slot_count;
	struct source *own;
	struct batch *open; // own, gathering, outside the log; its lengths and data grow
	uint64_t open_until;
	uint64_t published;  // when the last message was
	uint64_t own_held;   // charge that links or readers hold
	uint64_t own_unsent; // charge that no link has taken
	bool waiting;	     // a writer was refused for lack of room
	bool joined;	     // has exchanged frontiers once
	uint64_t police_next;
	uint64_t settle_next;
	bool missing;			    // some source has a range missing
	uint64_t lost_messages, lost_bytes; // unsent and trimmed, not yet reported
};

int broadcast_init(struct node *node);
void broadcast_fini(struct node *node);
int broadcast_publish(struct node *node, const void *data, size_t n);
bool broadcast_has_room(const struct node *node, size_t n);
void broadcast_tick(struct node *node);
uint64_t broadcast_deadline(const struct node *node);

void broadcast_link_up(struct node *node, struct link *link);
void broadcast_link_down(struct node *node, struct link *link);
// Frees the lanes.
void broadcast_link_free(struct link *link);
// Encodes one frame of data into link->control. False: nothing to send.
bool broadcast_output(struct link *link);
// Credit that is due, into link->control.
void broadcast_credit(struct link *link);

// Frames; 0 or -EPROTO.
int broadcast_frontier(struct link *link, const struct frame_frontier *f);
int broadcast_pull(struct link *link, const struct frame_position *f);
int broadcast_trimmed(struct link *link, const struct frame_position *f);
int broadcast_batch(struct link *link, const struct frame_batch *f);
int broadcast_chunk(struct link *link, const struct frame_chunk *f);
int broadcast_credited(struct link *link, const struct frame_credit *f);
