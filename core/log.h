// SPDX-License-Identifier: MIT
// The log: every complete batch of every source, once, in the order of arrival, and the cursors
// of local readers into it. Links have cursors of their own, per source, in core/broadcast.
//
// A batch is *held* while a gating consumer has not passed it. The tail is trimmed when nobody
// holds it and it is outside the retention window. What nobody holds is *released*, once, which
// gives its room back to whoever sent it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/batch.h"

struct log;

// A reader. Embedded in its owner; must not move while it is open. Gates from its first
// cursor_peek() until it is cut loose, and again within REATTACH_BYTES of the head.
struct cursor {
	struct log *log;
	struct cursor *prev, *next; // of the gating ones
	struct batch *pinned;	    // the batch of a message that is partly read
	uint64_t index;		    // of the batch it is in
	uint64_t ordinal;	    // of the message it is in, see struct batch
	uint32_t message;	    // within the batch
	uint32_t offset;	    // within the message; > 0: the rest of it comes first
	bool gating;
	bool started;	       // has been read from
	bool loopback;	       // wants what this node published, too
	uint32_t tag;	       // for events: the reader's process
	uint64_t passed;       // charge consumed since it was last looked at
	uint64_t passed_since; // when that was
};

struct log {
	struct batch **ring; // [capacity], a power of two, by index
	size_t capacity;
	uint64_t tail, head;   // indexes
	uint64_t oldest;       // when the batch at the tail arrived, if there is one
	uint64_t ordinal;      // others' messages ever appended
	uint64_t distance;     // charge of everything ever appended
	size_t bytes;	       // charge of everything kept
	size_t held;	       // charge of what is held
	uint64_t overrun;      // messages that local readers missed
	struct cursor *gating; // list
	bool fresh;	       // appended to since readers were last told; they clear it
	void *context;
	// Nobody holds the batch any more, for the first time. It is still in the log.
	void (*released)(void *context, struct batch *b);
	// The batch is to leave the log, young, because of RETAIN_BYTES. Whoever wants it still
	// holds it before this returns. May be NULL.
	void (*leaving)(void *context, struct batch *b);
	// The batch leaves the log and will be freed.
	void (*trimmed)(void *context, struct batch *b);
	// A cursor skipped this many messages that were trimmed before it read them.
	void (*skipped)(void *context, struct cursor *c, uint64_t messages);
	// A cursor was cut loose.
	void (*detached)(void *context, struct cursor *c);
};

void log_init(struct log *log);
void log_fini(struct log *log);

// Takes the batch; its `holds` counts consumers that gate already, cursors are added here.
// 0, or -ENOMEM and the batch is the caller's again.
int log_append(struct log *log, struct batch *b, uint64_t now);
void log_hold(struct log *log, struct batch *b);
void log_unhold(struct log *log, struct batch *b);
void log_trim(struct log *log, uint64_t now);
// When the oldest batch is too old; UINT64_MAX: there is none.
uint64_t log_due(const struct log *log);
// Cuts loose the readers that hold others up: `pressed` says that somebody waits for room. To be
// called often (POLICE_INTERVAL) while anything is held.
void log_police(struct log *log, uint64_t now, bool pressed);

void cursor_open(struct cursor *c, struct log *log, uint64_t now);
void cursor_close(struct cursor *c);
// What a read of `size` bytes returns now: whole messages as many as fit, or a part of one that
// is larger than `size` (the next read continues it). `packet`: one message, cut at `size`.
// Fills up to `max` vectors that point into the log and hold until the next call into it.
// Returns the byte count; 0: nothing to read.
size_t cursor_peek(struct cursor *c, uint64_t now, size_t size, bool packet, struct iovec *iov,
	int *count, int max);
// Passes what the last cursor_peek() returned; with `packet` the rest of the cut message, too,
// whose bytes are returned as discarded.
size_t cursor_advance(struct cursor *c, uint64_t now, size_t bytes, bool packet);
// Something to read? Does not start the reader.
bool cursor_ready(struct cursor *c);
