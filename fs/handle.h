// SPDX-License-Identifier: MIT
// Open files: what a READ and a WRITE of each does, at once or once it can.
#pragma once

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/buffer.h"
#include "core/node.h"
#include "fs/call.h"
#include "fs/config.h"
#include "fs/ctl.h"
#include "fs/messages.h"
#include "fs/tree.h"

struct handle {
	struct handles *set;
	struct handle *prev, *next;
	enum tree_type type;
	enum tree_kind kind;
	uint32_t serial; // of all that were opened, not 0
	bool readable;
	bool writable;
	struct buffer
		text;	 // TREE_TEXT, TREE_VERBS, TREE_SETTING, TREE_DIRECTORY: what reading gives
	const char *key; // TREE_SETTING: its name
	uint64_t position;	       // TREE_LOG, TREE_VERBS: where the last READ ended
	uint64_t shift;		       // TREE_LOG: added to the offsets that its user knows
	struct messages_window window; // TREE_MESSAGES
	struct cursor cursor;	       // TREE_FEED, readable
	struct topic *topic;	       // TREE_TOPIC, counted
	struct stream *stream;	       // TREE_DUPLEX, counted
	struct stream_reader reader;   // TREE_DUPLEX, readable
	struct pipe_reader pipe;       // TREE_FIFO, readable
	struct pipe_writer writer;     // TREE_FIFO, writable
	struct fuse_pollhandle *poll;  // whom to tell, once; NULL: nobody
	uint32_t poll_wanted;	       // about what
	struct handle *watched_prev, *watched_next;
};

// All open files of the mount.
struct handles {
	struct node *node; // borrowed
	struct handle *open;
	struct handle *watched; // those with `poll`
	struct calls calls;
	bool stopping;
	bool lone;		      // the first request of this turn
	uint64_t answered;	      // when the last write of that kind was, in node time
	void (*flush)(void *context); // sends what was written, NULL: nobody does
	void *flush_context;
	struct ctl_keeper keeper;
	struct config config;
	uint32_t count;
	uint32_t last_serial;
	bool loopback; // what one handle writes the others read back
};

void handles_init(struct handles *set, struct node *node);
// Closes all. The session has been unmounted, the node is still there.
void handles_fini(struct handles *set);
// Goes on with whoever waited for one of these changes (enum node_change).
void handles_wake(struct handles *set, unsigned changes);
// Every parked call ends, and none parks from here on: what there is can be read, then a feed has
// ended; all else is EIO.
void handles_stop(struct handles *set);

void handle_close(struct handle *h);
// Both answer the request, now or later.
void handle_read(struct handle *h, fuse_req_t req, size_t size, off_t offset, int flags);
void handle_write(struct handle *h, fuse_req_t req, const void *data, size_t size, int flags);
// At most `size` bytes of h->text from `offset` on. The reply's result.
int handle_reply_text(struct handle *h, fuse_req_t req, size_t size, uint64_t offset);
// Dials whom a pipe is open to. -EAGAIN: under way; or why it is not.
int handle_reach(struct handle *h);
// Do parked writes stand before one of this handle?
bool handle_is_behind(const struct handle *h);
