// SPDX-License-Identifier: MIT
// A lane: one source on one link. A cursor into the source's batches that says what to send
// next, and the credit both ways.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/source.h"

struct link;

// Do batches go to the peer as they come, or only word of them? As the link says until the first
// batch of the source, and again when the source has been silent. See core/plumtree.
enum lane_mode {
	LANE_AS_LINK,
	LANE_EAGER,
	LANE_WANTED, // eager, because the peer has asked for it
	LANE_LAZY,
};
enum lane_receiving { LANE_IDLE, LANE_KEEP, LANE_DISCARD };

struct lane {
	struct source *source;
	struct lane *ready_prev, *ready_next;
	struct lane *due_prev, *due_next;
	bool is_ready, is_due;
	// Sending.
	enum lane_mode mode;
	bool active;	      // the peer's place is known
	struct batch *cursor; // next to send, may be arriving still; NULL: nothing
	struct batch *held;   // all from it on is; NULL: nothing
	bool begun;	      // its BATCH frame is sent
	bool last;	      // nothing is sent after the cursor
	bool loose;	      // holds nothing: what it has not sent may be trimmed under it
	bool stray;	      // its cursor's batch, which is under way, has been
	bool say_stopped;     // when that is through, the peer waits for word of it
	bool untold;	      // in the link's list: the peer is to hear of the frontier
	struct lane *untold_prev, *untold_next;
	uint32_t offset;	// of its next chunk
	uint64_t credit;	// bytes
	uint64_t start;		// where the peer begins, until its own word arrives
	uint64_t peer_next;	// the peer has everything below, or was sent it
	uint64_t word;		// has by its own word
	uint64_t told;		// has heard that this node has
	uint64_t told_distance; // what had come into the log by then
	bool guards;		// holds what the peer lacks by its own word, lest it be trimmed
	uint64_t guarded;	// since when no less
	uint64_t blocked;	// since when there was no credit, 0: there is
	uint8_t stall_depth;	// of the peer's last STALL, see core/stall
	uint64_t stall_heard;	// when that was
	uint64_t stall_said;	// when ours to the peer was
	struct lane *pulled_prev, *pulled_next;
	uint64_t pulled; // the peer's PULL that lane_answer() is to follow, 0: none
	// Receiving.
	enum lane_receiving receiving;
	uint64_t batch_next;  // sequence number after the batch that is arriving
	uint32_t batch_left;  // bytes of it to come
	uint64_t window;      // what the peer may have under way here
	uint64_t outstanding; // received and not credited back
	uint64_t owed;	      // of these, what may be
	uint64_t trimmed;     // the peer keeps nothing below, 0: it has not said so
	bool pulling;	      // a PULL is on its way
	uint64_t stopped;     // when the peer was last asked to stop
	int64_t lead;	      // by how much the peer has had batches sooner, smoothed; microseconds
	uint32_t lead_moves;  // since the source's so-manieth move
	uint32_t leads;	      // samples of it
	bool stopping;	      // and has not been asked to go on since
	bool missed;  // discarded what we lack, because what is before it was arriving elsewhere
	bool stalled; // left a batch unfinished; others come first
};

// What the BATCH frame of a batch costs beside its bytes.
static inline uint64_t lane_header_charge(uint32_t count)
{
	return (uint64_t)count * MESSAGE_CHARGE;
}

struct lane *lane_find(const struct link *link, const struct source *s);
// Made when it is not there; NULL when memory is out.
struct lane *lane_get(struct link *link, struct source *s);
void lane_free_all(struct link *link);

// Sending.
//
// After any change of its cursor or credit: ready, blocked for lack of credit, or idle.
void lane_update(struct link *link, struct lane *lane);
// Sends from `next` on. When that is not kept any more it says from where (TRIMMED), and guards
// what there is until the peer asks for it.
void lane_seek(struct link *link, struct lane *lane, uint64_t next);
// The peer wants everything from `next` on. Followed with the next output, so that a peer that
// asks a thousand times costs us one answer.
void lane_pull(struct link *link, struct lane *lane, uint64_t next);
void lane_answer(struct link *link);
// Does it get batches as they come?
bool lane_eager(const struct link *link, const struct lane *lane);
// Is the peer to hear how far this node has come, though it has sent it? It keeps what it does not
// know to have arrived.
bool lane_tells_sender(const struct link *link, const struct lane *lane);
// The peer has everything below `next`; nothing is sent of its own accord.
void lane_place(struct link *link, struct lane *lane, uint64_t next);
// An appended batch, or one that begins to arrive: sent, told of, or known to the peer already.
void lane_offer(struct link *link, struct lane *lane, struct batch *b);
// The batch is about to be trimmed: if the peer does not say that it has it, it is held until it
// does.
void lane_guard(struct link *link, struct lane *lane, struct batch *b);
// The batch has left the log, and the lane did not hold it.
void lane_lost(struct link *link, struct lane *lane, struct batch *b);
// Guards no more what the peer does not say that it has.
void lane_unguard(struct link *link, struct lane *lane);
// Holds nothing from here on, and again.
void lane_loosen(struct link *link, struct lane *lane);
void lane_tighten(struct link *link, struct lane *lane);
// Charge of what is here and the peer has not got, as far as is known; UINT64_MAX: of that a part
// is not kept any more.
uint64_t lane_behind(const struct link *link, const struct lane *lane);
// The peer has everything below `next`.
void lane_peer_has(struct link *link, struct lane *lane, uint64_t next);
// More of the batch that is arriving is there; or it is given up.
void lane_advance_all(struct node *node, const struct source *s);
void lane_abandon_all(struct node *node, const struct source *s, const struct batch *b);
// Lazy from here on: at once; after the batch under way; the same, and the peer is told. What comes
// after that is guarded until the peer has it.
void lane_stop(struct link *link, struct lane *lane);
void lane_finish(struct link *link, struct lane *lane);
void lane_finish_and_say(struct link *link, struct lane *lane);
// Lazy, unless the peer has asked for it.
void lane_turn_lazy(struct link *link, struct lane *lane);
// Gives up what the cursor holds; nothing is sent until the next lane_seek().
void lane_release(struct link *link, struct lane *lane);
// Credit that the peer gives.
void lane_grant(struct link *link, struct lane *lane, uint32_t bytes);
// Encodes one frame of the lane whose turn it is into link->control. False: nothing to send.
bool lane_output(struct link *link);

// Receiving.
//
// Bytes that arrived.
void lane_take(struct link *link, struct lane *lane, uint64_t bytes);
// A batch has begun: its window shall be large enough for it.
void lane_expect(struct link *link, struct lane *lane);
// Bytes whose room is free again.
void lane_owe(struct link *link, struct lane *lane, uint64_t bytes);
// Credit that is due, into link->control.
void lane_credit(struct link *link);
// Gives back small remainders on lanes that have fallen silent.
void lane_settle_all(struct node *node);
