// SPDX-License-Identifier: MIT
// The daemon: its parts, the stages of its life, and the turns of its loop.
#pragma once

#include <ev.h>
#include <limits.h>
#include <sys/types.h>

#include "core/access.h"
#include "core/discovery.h"
#include "core/identity.h"
#include "core/keyring.h"
#include "core/names.h"
#include "core/net.h"
#include "core/node.h"
#include "core/state.h"
#include "fs/journal.h"
#include "fs/kept.h"
#include "fs/mount.h"
#include "fs/options.h"
#include "fs/session.h"
#include "fs/user.h"

enum exit_code {
	CODE_CLEAN = 0,
	CODE_USAGE = 1,
	CODE_SYSTEM = 2,
	CODE_INTERNAL = 4,
	CODE_MOUNT = 32,
};

// STARTING -> WAITING (with --wait) -> RUNNING -> STOPPING; any of them -> STOPPING.
enum stage { STAGE_STARTING, STAGE_WAITING, STAGE_RUNNING, STAGE_STOPPING };

struct daemon {
	struct options options;
	char mountpoint[PATH_MAX];
	char state_path[PATH_MAX];
	struct journal journal;
	char key_path[PATH_MAX]; // of the network's key
	uid_t owner;		 // whom this runs as, and to whom its files belong
	struct state state;
	struct identity *identity;
	struct keyring keyring;
	struct access access;
	struct names names;
	struct kept kept;
	struct address addresses[HELLO_ADDRESSES]; // where others reach this node, the best first
	size_t address_count;
	struct ev_loop *loop;
	struct net net;
	struct discovery discovery;
	struct node *node;
	struct session *session;
	struct mount_helper helper;
	struct user user;
	bool automount; // whoever looks at the mount point waits for this mount
	int device;	// of a mount made by another process, until the session has it; or -1
	int parent;	// for ready_announce()
	pid_t probe;
	enum stage stage;
	enum exit_code code;
	ev_check turn_begins;
	ev_prepare turn_ends;
	ev_idle again; // active: the next turn does not wait
	ev_signal term, interrupt, hangup;
	ev_timer limit; // of the stage
	ev_timer watchdog;
	ev_io probed;
};

// Turns the loop until the daemon has come to its end, which leaves `code`. Every part has been
// started, and all are left for the caller to take down.
void daemon_live(struct daemon *d);
// For struct session_config; the context is the daemon.
void daemon_session_ready(void *context);
void daemon_session_ended(void *context, int error);
void daemon_session_flush(void *context);
int daemon_keep_access(void *context, const struct id *id, bool allowed);
// TERM, INT and HUP wait until daemon_live() can see to them: none may come between the mount and
// whoever would unmount it.
void daemon_hold_signals(void);
