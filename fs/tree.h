// SPDX-License-Identifier: MIT
// The tree of the mount: which files there are, their numbers, names and attributes.
//
// A nodeid is type:8 | serial:32 | unique:24, from the low end. The serial is the peer's, the
// pipe's or the topic's, else 0. Files on which a call may wait get a new unique part with every
// lookup: the kernel locks an inode for as long as a write to it waits, so that no two opens may
// share one. st_ino is the nodeid without its unique part and never changes.
#pragma once

#include <fuse_lowlevel.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "core/buffer.h"
#include "core/names.h"
#include "core/node.h"
#include "fs/alias.h"

struct text_context;

enum tree_type {
	TREE_ROOT = FUSE_ROOT_ID,
	TREE_BROADCAST,
	TREE_TOPICS,
	TREE_TOPIC,
	TREE_MESSAGES,
	TREE_EVENTS,
	TREE_CTL,
	TREE_STATUS,
	TREE_ID,
	TREE_VERSION,
	TREE_PEERS,
	TREE_PEER,
	TREE_PEER_LINK,
	TREE_PEER_STREAM,
	TREE_PEER_ADDRESS,
	TREE_PEER_NAME,
	TREE_PEER_STATUS,
	TREE_PIPES,
	TREE_PIPE,
	TREE_MEMBERS,
	TREE_BY_NAME,
	TREE_BY_ADDRESS,
	TREE_NAME_LINK,
	TREE_ADDRESS_LINK,
	TREE_METRICS,
	TREE_CONFIG,
	TREE_MIN_PEERS,
	TREE_MAX_PEERS,
	TREE_PING_TIMEOUT,
	TREE_STALL_TIMEOUT,
	TREE_MIN_RATE,
	TREE_LOG_LEVEL,
	TREE_TYPES,
};

enum tree_kind {
	TREE_DIRECTORY,
	TREE_SYMLINK,
	TREE_TEXT,    // rendered at open
	TREE_LOG,     // grows, at absolute offsets
	TREE_FEED,    // messages
	TREE_DUPLEX,  // a stream to a peer
	TREE_FIFO,    // a pipe to a peer
	TREE_VERBS,   // commands
	TREE_SETTING, // one value, named after its setting
};

struct tree_file {
	enum tree_type type;
	enum tree_type parent;
	const char *name; // NULL: named after a peer, or by a user
	enum tree_kind kind;
	mode_t mode;							       // of the owner
	int (*render)(struct buffer *out, const struct text_context *context); // TREE_TEXT
};

// Whose the files are. What the owner may do, group and others may, too, unless the mask says no.
struct tree_owner {
	uid_t uid;
	gid_t gid;
	mode_t mask;
};

struct tree {
	struct node *node;
	struct tree_owner owner;
	struct timespec born;
	struct timespec peers_changed;
	struct timespec topics_changed;
	uint32_t unique;
};

void tree_init(struct tree *tree, struct node *node, const struct tree_owner *owner);
// The set of peers is another one: the time of peers/.
void tree_touch_peers(struct tree *tree);

#define TREE_LINK (sizeof ALIAS_TARGET + ID_TEXT)

// NULL: no nodeid of ours.
const struct tree_file *tree_file(fuse_ino_t nodeid);
uint32_t tree_serial(fuse_ino_t nodeid);
fuse_ino_t tree_nodeid(enum tree_type type, uint32_t serial);
ino_t tree_inode(fuse_ino_t nodeid);
mode_t tree_format(enum tree_kind kind);
// The file after one (NULL: the first) of those of a directory that have names of ours.
const struct tree_file *tree_next_file(enum tree_type directory, const struct tree_file *after);

// What a symbolic link holds. 0 or -ESTALE.
int tree_link(const struct tree *tree, fuse_ino_t nodeid, char text[TREE_LINK]);
// 0; -ENOENT, -ENOTDIR, -ENAMETOOLONG, -ESTALE (a directory of a peer that is gone).
int tree_lookup(struct tree *tree, fuse_ino_t parent, const char *name, fuse_ino_t *nodeid);
// A user makes or removes a file. 0; -EPERM not here, -EINVAL no name, -EEXIST, -ENOENT, -EUSERS,
// -ENOSPC, -ENAMETOOLONG, -ESTALE, -ENOMEM.
int tree_make(struct tree *tree, fuse_ino_t parent, const char *name);
int tree_remove(struct tree *tree, fuse_ino_t parent, const char *name);
// 0 or -ESTALE.
int tree_attributes(const struct tree *tree, fuse_ino_t nodeid, struct stat *st);
// All entries of a directory as READDIR sends them, each with the offset of the next in `out`.
// 0, -ENOMEM or -ESTALE.
int tree_list(const struct tree *tree, fuse_req_t req, fuse_ino_t directory, struct buffer *out);

// A peer or another member by its id, or by a prefix of at least TREE_PREFIX_MIN characters that no
// other one has. 0; -ENOENT; -EINVAL: too short, no id at all, or several have it.
#define TREE_PREFIX_MIN 8
int tree_find_peer(const struct node *node, const char *prefix, struct peer *peer);
