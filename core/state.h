// SPDX-License-Identifier: MIT
// The state directory: who this node is, across restarts. Files: `id`, `incarnation`, `lock`.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/id.h"

struct state {
	int directory; // descriptor, -1: nothing is kept
	int lock;      // descriptor
	struct id id;
	uint64_t incarnation;
	bool ephemeral; // the directory is read-only: this id ends with the process
};

// The default directory for a mount point (absolute, canonical): below $XDG_STATE_HOME or
// ~/.local/state, for root below /var/lib. 0, -ENAMETOOLONG, or -ENOENT without a home.
int state_default_path(char *path, size_t size, const char *mountpoint);
// Creates the directory (mode 0700, parents too), locks it, reads or makes the id and stores an
// incarnation that is higher than any before: max(stored + 1, wall clock in milliseconds).
// `wall`: microseconds since the epoch.
// 0; -EBUSY with *holder set to the pid that has it; -EINVAL when a file holds nonsense, whose
// name is in *culprit; other -errno. A read-only directory or file system is no error: ephemeral.
int state_open(
	struct state *s, const char *path, uint64_t wall, pid_t *holder, const char **culprit);
void state_close(struct state *s);
