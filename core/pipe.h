// SPDX-License-Identifier: MIT
// A pipe: a FIFO between this node and a peer, by name, one in each direction.
//
// What is written from the first writer's open to the last one's close is a *generation*. Its bytes
// come in order and are followed by its end. A reader binds, with its first read, to the oldest
// generation that is not consumed; those of one generation share its bytes, each of which goes to
// one of them, and then all see the end. A generation is consumed when its end was read, or when
// its last reader has left with nothing more to read.
//
// Positions count bytes and, for each end, PIPE_END_CHARGE: a peer may be PIPE_WINDOW ahead of what
// is consumed. What has arrived whole outlives its link until somebody reads it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/buffer.h"
#include "core/limits.h"

struct pipe_peer;

enum generation_state {
	GENERATION_OPEN, // more may come
	GENERATION_ENDED,
	GENERATION_LOST, // the peer went before its end
};

struct generation {
	struct generation *prev, *next;
	enum generation_state state;
	struct buffer bytes; // arrived, and not read
	uint32_t readers;    // bound
	bool queued;	     // not consumed
	bool charged;	     // to the window of the link of now
};

// What is written here.
struct pipe_out {
	uint16_t channel;	// 0: the peer has not been told of it
	struct buffer bytes;	// not yet sent
	struct buffer ends;	// uint32_t each: bytes of an ended generation not yet sent
	uint64_t sent, granted; // positions
	uint32_t writers;	// of the generation of now
	uint32_t epoch;		// rises when what was open here came to nothing,
	int error;		// for this reason: -EPIPE removed over there, -EIO the peer is gone
};

// What the peer writes.
struct pipe_in {
	uint16_t channel; // 0: none
	struct generation *queue;
	uint64_t base, head, granted; // positions
};

struct pipe {
	struct pipe *prev, *next; // of the peer
	struct pipe_peer *peer;	  // counted
	uint32_t serial;	  // from the node's links' numbers, never used again
	char name[NAME_MAX_LENGTH + 1];
	bool made;	  // by somebody here: listed until it is removed
	bool removed;	  // not listed, and lives for what is open
	uint32_t handles; // open
	struct pipe_out out;
	struct pipe_in in;
};

struct pipe_writer {
	struct pipe *pipe; // NULL: not open
	bool begun;	   // counts as a writer
	uint32_t epoch;
};

struct pipe_reader {
	struct pipe *pipe; // NULL: not open
	struct generation *generation;
	uint32_t epoch; // of the peer's link
};

// For handles. A pipe that is open stays.
//
// One that begins a generation, or is a part of it, at once, or with its first write.
void pipe_writer_open(struct pipe_writer *w, struct pipe *p);
// 0; -ENOLINK no link; -EUSERS, -ENOBUFS.
int pipe_writer_begin(struct pipe_writer *w);
void pipe_writer_close(struct pipe_writer *w);
// Up to PIPE_ATOMIC bytes whole, of more as many as there is room for: the count, -EAGAIN, why it
// cannot begin, or why there is nobody to write to any more: -EPIPE, -EIO.
ssize_t pipe_write(struct pipe_writer *w, const void *data, size_t n);
// Would PIPE_ATOMIC bytes go through, or fail for good?
bool pipe_writable(const struct pipe_writer *w);
// Has it come to nothing?
bool pipe_broken(const struct pipe_writer *w);
void pipe_reader_open(struct pipe_reader *r, struct pipe *p);
void pipe_reader_close(struct pipe_reader *r);
// As one vector that holds until the next call: the count, 0 at the end, -EAGAIN, -EIO: the peer is
// gone, and what it wrote is not whole. Binds the reader.
ssize_t pipe_peek(struct pipe_reader *r, size_t size, struct iovec *iov);
void pipe_consume(struct pipe_reader *r, size_t n);
// Would pipe_peek() say other than -EAGAIN? Does not bind.
bool pipe_readable(const struct pipe_reader *r);
// Can something be read without a link?
bool pipe_kept(const struct pipe *p);

// For core/pipes.
//
void pipe_free(struct pipe *p);
// In use by somebody here, or not yet sent.
bool pipe_busy(const struct pipe *p);
bool pipe_unsent(const struct pipe *p);
uint64_t pipe_unread(const struct pipe *p);
// Written, and not known to be read.
uint64_t pipe_unacknowledged(const struct pipe *p);
// One frame's worth: bytes (at most `size`, > 0), 0: an end (*end) or nothing.
size_t pipe_output(struct pipe *p, size_t size, const uint8_t **bytes, bool *end);
void pipe_sent(struct pipe *p, size_t n, bool end);
// -EPROTO: beyond what was granted, -ENOMEM.
int pipe_receive(struct pipe *p, const uint8_t *data, size_t n);
int pipe_receive_end(struct pipe *p);
// The position to grant, 0: no news.
uint64_t pipe_grant(struct pipe *p);
int pipe_granted(struct pipe *p, uint64_t position);
// What is open for writing here comes to nothing.
void pipe_break(struct pipe *p, int error);
// The link is gone: what has not ended is lost, the rest is kept. Returns the bytes kept.
uint64_t pipe_cut(struct pipe *p);
// The oldest generation that nobody reads goes: its bytes, or UINT64_MAX: there is none.
uint64_t pipe_drop(struct pipe *p);
