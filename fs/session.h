// SPDX-License-Identifier: MIT
// A mounted node: the FUSE session on the loop, and the one door to the rest of fs/.
#pragma once

#include <ev.h>
#include <stdbool.h>

#include "core/node.h"
#include "fs/config.h"
#include "fs/tree.h"

struct session;

struct session_config {
	const char *mountpoint;	   // absolute
	const char *mount_options; // for mount(8): "rw,nodev,allow_other", or NULL
	const char *source;	   // what findmnt(8) calls it; NULL: smokefs
	int device; // /dev/fuse of a mount that is there already; -1: it is to be made
	struct tree_owner owner;
	bool debug;    // libfuse's own trace on stderr
	bool loopback; // what one handle writes the others read back
	void *context;
	void (*ready)(
		void *context); // the kernel and we have agreed (FUSE INIT): the mount answers
	// The session is over: unmounted (error 0) or broken (-errno). Called once, from the loop.
	void (*ended)(void *context, int error);
	// Sends at once what the network has to send. NULL: it all waits for the end of the turn.
	void (*flush)(void *context);
	// Keeps who may link beyond this run. 0 or -errno.
	int (*keep_access)(void *context, const struct id *id, bool allowed);
	struct config settings; // what `config` changes
};

// Mounts, or takes over what is mounted, and the device with it. 0 or -errno; libfuse has said why
// on stderr.
int session_new(struct session **session, const struct session_config *config, struct ev_loop *loop,
	struct node *node);
// Once per turn of the loop, after the node has had its turn: wakes whoever waits for what changed.
void session_turn(struct session *session);
// The node stops: every waiting call ends and none waits from here on (readers see the end of
// file where that is true, else EIO).
void session_end_calls(struct session *session);
// Ends the connection to the kernel, and frees. The mount, dead now, stays: whoever still has the
// right to do so has to remove it.
void session_free(struct session *session);

// Makes a mount for the session of another process: its /dev/fuse, which is the caller's now, or
// -errno.
int session_mount(const char *mountpoint, const char *mount_options);
