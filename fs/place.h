// SPDX-License-Identifier: MIT
// The mount point in the course of a start: looked at, mounted, watched over. What is wrong is in
// the journal.
#pragma once

#include "fs/daemon.h"

// Is this a place to mount at? A dead mount of ours is removed. Not asked of a mount that another
// process has made.
enum exit_code place_check(struct daemon *d);
// The process that unmounts when this one is gone or may not.
enum exit_code place_watch(struct daemon *d);
// Mounts, or takes over what is mounted.
enum exit_code place_mount(struct daemon *d);

// The two halves of a service that has no privileges: they have them and run on their own, before
// and after.
//
// Mounts and leaves the device to the service manager.
enum exit_code place_hand_over(struct daemon *d);
// Unmounts what the service has left.
enum exit_code place_clear(struct daemon *d);
