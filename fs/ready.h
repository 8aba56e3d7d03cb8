// SPDX-License-Identifier: MIT
// Becoming a daemon: whoever started us waits until the mount works, and learns it if it does not.
#pragma once

#include <stdbool.h>

// The process as it should be before anything is opened: standard descriptors, limits, signals.
// A daemon-to-be also closes what its starter left open.
void ready_prepare(bool foreground);
// Forks. The parent stays in here until the daemon says ready_announce() or ends, and exits: 0, or
// as the daemon did. INT and TERM at the parent end the daemon, too. Returns in the daemon: a
// descriptor for ready_announce(), or -errno without a daemon.
// With `grouped` the daemon stays in the session of its starter, and leaves it by itself.
int ready_fork(bool grouped);
// Tells the service manager and, with a descriptor (-1: we are in the foreground), leaves the
// terminal and releases the parent.
void ready_announce(int fd);
// One message to the service manager, if there is one: "READY=1", "STOPPING=1".
void ready_notify(const char *message);
// That a change begins (SIGHUP) which the next READY=1 ends.
void ready_reloading(void);
// How often the service manager wants to hear WATCHDOG=1 from this process at the least, in
// seconds; 0: it does not want to.
double ready_watchdog(void);

// Descriptors by way of the service manager (FileDescriptorStoreMax= of its unit), from a process
// with privileges to one without.
#define READY_MOUNT "smokefs" // the name of a /dev/fuse whose mount is made
// The manager keeps a copy of `fd` for the processes of this service that it starts from here on.
// 0; -ENOENT: there is no manager; or -errno.
int ready_store(int fd, const char *name);
// The descriptor that the manager has handed to this process by that name, taken out of its store,
// so that it ends with this process; -1: there is none. Once, and before anything is opened.
int ready_take(const char *name);
