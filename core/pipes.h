// SPDX-License-Identifier: MIT
// All pipes: by peer and name, and on a link by channel. A peer's pipes are known by its id, so
// that they are there before there is a link and after it.
//
// A channel is one direction of one pipe on one link, numbered by who writes:
//
//     writer: PIPE (name) -> STREAM, PIPE_END, ... -> PIPE_FREE
//     reader: STREAM_CREDIT ..., or PIPE_CLOSE: takes no more, and skips what comes until PIPE_FREE
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/hash.h"
#include "core/pipe.h"
#include "core/wire.h"

struct link;
struct node;

struct pipe_peer {
	UT_hash_handle hh;
	struct id id;
	uint32_t serial; // from the node's links' numbers, never used again
	struct node *node;
	struct link *link; // NULL: none is up
	uint32_t epoch;	   // links that have gone
	struct pipe *list;
	struct pipe *out[PIPES_MAX + 1]; // by channel
	struct pipe *in[PIPES_MAX + 1];
	bool closed[PIPES_MAX + 1]; // in: PIPE_FREE is to come
	uint64_t ready; // out: channels that may have something to send, 1 << (channel - 1)
	uint64_t owing; // in: that may have something to grant
	uint32_t turn;	// out: the channel that was last
};

struct pipes {
	struct pipe_peer *table; // by id
	uint64_t kept;		 // bytes and ends of those without a link
};

void pipes_fini(struct node *node);
void pipes_link_up(struct node *node, struct link *link);
void pipes_link_down(struct node *node, struct link *link);
// In use by somebody here, or on its way.
bool pipes_in_use(const struct link *link);
bool pipes_unsent(const struct link *link);
// One frame of a pipe whose turn it is into link->control. False: nothing to send.
bool pipes_output(struct link *link);
void pipes_credit(struct link *link);
// Frames. -EPROTO; -ENOMEM is dealt with.
int pipes_declared(struct link *link, const struct frame_pipe *f);
int pipes_receive(struct link *link, const struct frame_stream *f);
int pipes_ended(struct link *link, uint16_t channel);
int pipes_granted(struct link *link, const struct frame_stream_credit *f);
int pipes_closed(struct link *link, const struct frame_pipe_close *f);
int pipes_freed(struct link *link, uint16_t channel);
// A peer that has pipes, by its number; NULL.
struct pipe_peer *pipes_find_peer(const struct node *node, const struct id *id);
struct pipe_peer *pipes_find_serial(const struct node *node, uint32_t serial);

// For core/pipe.
//
// Tells the peer of it, if it has not been told. 0; -ENOLINK, -EUSERS.
int pipes_declare(struct pipe *p);
// There may be something to send, to grant, or to see.
void pipes_touch(struct pipe *p);
// It may not be needed any more.
void pipes_settle(struct pipe *p);
// What is being written comes to nothing, for lack of memory.
void pipes_abandon(struct pipe *p);
uint32_t pipes_epoch(const struct pipe *p);
// So much of what was kept is not any more.
void pipes_unkeep(struct pipe *p, uint64_t bytes);
