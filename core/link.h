// SPDX-License-Identifier: MIT
// A link: one connection to one other node, from the first byte to the last.
//
//     DIALLING --connected--> SECURING --TLS--> PROVING --PROOF--> GREETING --HELLO--> UP
//     (accepted) -----------> SECURING --TLS--> PROVING --PROOF--> GREETING --HELLO-->
//                                                        WAITING --ACCEPT--> UP
//     any --link_close()--> CLOSING --flushed, end of file or time--> DEAD
//     any --link_kill()--> DEAD
//
// A DEAD link is freed by node_reap() at the end of the call that came in, never before.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/allowance.h"
#include "core/channel.h"
#include "core/node.h"
#include "core/wire.h"

struct dial;
struct lane;
struct pipe_peer;

enum link_state {
	LINK_STATE_DIALLING,
	LINK_STATE_SECURING, // who it is becomes known
	LINK_STATE_PROVING,  // and now, whether it is a member
	LINK_STATE_GREETING,
	LINK_STATE_WAITING,
	LINK_STATE_UP,
	LINK_STATE_CLOSING,
	LINK_STATE_DEAD,
};

// In front is what every frame and every tick looks at: a node has many links, and a simulation
// many nodes.
struct link {
	struct node *node; // borrowed
	struct link *prev, *next;
	struct link *output_prev, *output_next;
	void *socket; // the driver's
	uint32_t serial;
	enum link_state state;
	bool output_queued;
	bool outgoing;
	bool proven;	// to be a member's; before that, nothing it says counts
	bool direct;	// carries streams and pipes alone, and counts for nothing
	bool apart;	// in node->directs
	bool pardoned;	// a little of the silence since `heard` was forgiven
	bool exchanged; // the peer's frontiers are known
	uint8_t turn;	// the stream's, the pipes', or the lanes'

	uint64_t deadline;  // of the state, 0: none
	uint64_t heard;	    // last byte
	uint64_t ping_sent; // of the one that is unanswered, 0: none
	uint64_t ping_next;
	uint64_t rtt;

	struct buffer in;      // frames' bytes, received
	struct buffer control; // frames, not yet sealed; data is added only when it is sent
	struct buffer wire;    // ready for the socket
	struct channel channel;

	struct stream *stream;
	struct pipe_peer *pipes; // borrowed; NULL: there are none
	struct lane **lanes;	 // [lane_count] by the source's slot
	uint32_t lane_count;
	bool pruned;		// lazy by our word,
	bool pruned_by;		// or by the peer's
	struct lane *ready;	// list: something to send and credit for it
	struct lane *due;	// list: credit to give back
	struct lane *pulled;	// list: PULLs to follow
	struct lane *untold;	// list: frontiers for the next DIGEST
	uint64_t tell_at;	// when that is due, 0: it is empty
	uint64_t told_at;	// the last DIGEST
	uint64_t told_distance; // what had come into the log by then
	uint64_t beacon_at;	// when the beacon of now came over it, 0: it has not
	uint64_t beacon_number;
	uint32_t claims_unserved;
	uint32_t listed; // entries of the peer's FRONTIER
	// See core/stall.
	uint64_t lane_bytes; // sent of batches
	uint64_t watched_since;
	uint64_t watched_bytes; // of these, then
	uint64_t loose_since;	// 0: it is not; nothing is held for it
	uint64_t word_at;	// when the peer last said that it has got further, in any source

	struct id id; // the other end's, as TLS has shown
	struct address remote;
	struct address address; // from its HELLO, as what follows
	uint16_t peers, room;
	uint8_t intent; // what the dialler wanted
	uint64_t incarnation;
	char name[NAME_MAX_LENGTH + 1];
	struct id replaced;
	uint8_t permit[DIGEST_BYTES];
	struct contact offer;
	struct component_mark component;
	uint64_t component_heard; // when that beacon was, by our clock

	struct dial *dial; // borrowed, while it is being dialled
	uint64_t created;
	uint64_t since, since_wall; // of being up
	bool bridge;		    // its ends were of different components when it was made
	bool parting;		    // has been demoted here, and not yet there
	bool promoting;		    // the peer has been asked
	bool idle_told, idle_heard; // that nobody uses it, to the peer and by it
	bool foreign_reported;	    // it has brought something signed for another network
	bool unknown_reported;	    // it has sent a frame of a type that we do not know
	uint64_t idle_since;	    // 0: it is in use
	uint64_t promote_next;
	struct allowance new_sources;
	struct allowance rewires;
	struct allowance asked;	 // to tell whom we know
	struct allowance news;	 // announcements that it brings,
	struct allowance excess; // those beyond,
	struct allowance told;	 // and those of others that it is told
	uint64_t extra_until;	 // one link too many because of this one, allowed until then
	uint64_t rewiring_until; // somebody was asked to take our place on it
	// It has become one too many; the peer has until then to find another.
	uint64_t leaving_until;
};

// NULL when memory is out.
struct link *link_new(struct node *node, const struct address *remote, bool outgoing);
// Only node_reap() calls it.
void link_free(struct link *link);

static inline bool link_up(const struct link *link)
{
	return link->state == LINK_STATE_UP;
}

// Does it count towards max?
static inline bool link_counts(const struct link *link)
{
	return !link->direct && (link->state == LINK_STATE_UP || link->state == LINK_STATE_WAITING);
}

// link_tick() is due by then.
void link_wake(struct link *link, uint64_t at);
// There may be something to send.
void link_touch(struct link *link);
// Frames are encoded into link->control, then link_touch() and link_check(): a link whose
// buffers failed or whose peer lets control frames pile up ends.
void link_check(struct link *link);
// Ends it with a GOODBYE that names the reason (and contacts to try instead, may be NULL).
void link_close(struct link *link, enum goodbye reason);
void link_redirect(struct link *link);
// Ends it at once.
void link_kill(struct link *link, enum goodbye reason);
void link_receive(struct link *link, const uint8_t *bytes, size_t n);
// What the channel has let through: frames' bytes in link->in.
void link_read(struct link *link);
size_t link_output(struct link *link, const uint8_t **bytes);
void link_sent(struct link *link, size_t n);
// Pings, deadlines. Returns when it is due again.
uint64_t link_tick(struct link *link);
// It has brought something that is signed for another network: said once.
void link_foreign(struct link *link);
// Forgives silence: it was ours.
void link_forgive(struct link *link);
// Some of its silence may have been ours: so much is not counted.
void link_pardon(struct link *link, uint64_t late);
// All links of the node, first those that count or may come to.
struct link *link_first(const struct node *node);
struct link *link_after(const struct link *link);
#define LINK_FOREACH(node, l) for ((l) = link_first(node); (l); (l) = link_after(l))
// Local use, or bytes on the way: not to be given up for the sake of order.
bool link_in_use(const struct link *link);
struct contact link_contact(const struct link *link);
// What lets whoever shows it take this node's place on the link: only the two ends can make it,
// and it ends with the link. 0 or -ENOMEM.
int link_permit(struct link *link, uint8_t permit[DIGEST_BYTES]);
