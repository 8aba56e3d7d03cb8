// SPDX-License-Identifier: MIT
// The mount point as the kernel's tables show it: where it is, whether a dead mount of ours is in
// the way, and the helper process that unmounts when the daemon cannot.
//
// Nothing here opens or stats a mount of ours in this process: a child does, with a time limit.
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum mount_state {
	MOUNT_NONE,    // nothing of ours is there
	MOUNT_DEAD,    // its daemon is gone
	MOUNT_LIVE,    // its daemon answers
	MOUNT_UNKNOWN, // nobody answered in time, or we may not ask: to be taken as live
};

// The absolute path without symbolic links. 0, or -errno: -ENOENT, -ENAMETOOLONG, -ELOOP...
int mount_resolve(char path[PATH_MAX], const char *given);
enum mount_state mount_look(const char *path);
// Detaches every dead mount of ours at this place. 0 or -errno.
int mount_clean(const char *path);

// The same with those that do not answer, whose daemon is known to be gone. What is alive stays.
int mount_clear(const char *path);

// Does the kernel end mounts whose requests wait for long?
#define MOUNT_REQUEST_LIMIT "/proc/sys/fs/fuse/default_request_timeout"
bool mount_has_request_limit(void);

// A child that asks the mount at `path` for a sign of life and exits: 0, or the errno it got.
// Gives its pid, and in *pidfd a descriptor that becomes readable when it has ended. -errno.
pid_t mount_probe(const char *path, int *pidfd);

// The helper: sleeps until this process ends or lets it go, and then unmounts what was mounted.
struct mount_helper {
	pid_t pid;
	int pipe; // -1: not running
	int pidfd;
	unsigned major, minor; // of the mount that it watches
};

// 0 or -errno.
int mount_helper_start(struct mount_helper *h);
// Before mounting: should the daemon be killed while it does so, what is left there dead goes.
int mount_helper_expect(struct mount_helper *h, const char *path);
// Our mount is at `path` now. 0, -ENOENT when the kernel knows no such mount, or -errno.
int mount_helper_watch(struct mount_helper *h, const char *path);
// The helper is to end, and is waited for, but not for long. Should the mount still be there, it
// unmounts it, with the rights that this process has given up.
void mount_helper_stop(struct mount_helper *h, const char *path);
