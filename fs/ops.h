// SPDX-License-Identifier: MIT
// What the kernel asks of the mount, as libfuse's low-level operations.
//
// Not here, because without an answer the kernel does the right thing: xattr and fallocate are
// EOPNOTSUPP, fsync succeeds, ioctl is ENOTTY, FORGET has nothing to free. And never CREATE: a
// creating open that waits would lock its directory.
#pragma once

#include <fuse_lowlevel.h>
#include <stdbool.h>

#include "core/node.h"
#include "fs/handle.h"
#include "fs/tree.h"

struct ops {
	struct tree tree;
	struct handles handles;
	bool agreed; // on the protocol, with the kernel
};

// The session's userdata is a struct ops.
extern const struct fuse_lowlevel_ops ops_table;

void ops_init(struct ops *ops, struct node *node, const struct tree_owner *owner);
void ops_fini(struct ops *ops);
// The node has changed (enum node_change).
void ops_wake(struct ops *ops, unsigned changes);
