// SPDX-License-Identifier: MIT
// The commands of `ctl`: the lines of one write, run in order, each to its end.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/buffer.h"
#include "core/node.h"

// Where what `allow` and `deny` decide outlives the node. keep() gives 0 or -errno.
struct ctl_keeper {
	void *context;
	int (*keep)(void *context, const struct id *id, bool allowed);
};

struct ctl {
	const uint8_t *text; // borrowed
	size_t length;
	size_t at;			 // the current line; all before it are done
	size_t next;			 // the line after it
	int64_t token;			 // of the dial that the current line waits for, 0: none
	const struct ctl_keeper *keeper; // borrowed
};

// Runs on. Returns -EINPROGRESS while a dial is under way (call again when one has ended), else
// what the write returns: the bytes before the first line that failed, or its -errno when that is
// the first one: -EINVAL, -EMSGSIZE, or the command's own.
ssize_t ctl_run(struct ctl *ctl, struct node *node);
// Gives up what is under way. `at` says how far it came.
void ctl_cancel(struct ctl *ctl, struct node *node);
// What reading `ctl` shows. 0 or -ENOMEM.
int ctl_help(struct buffer *out);
