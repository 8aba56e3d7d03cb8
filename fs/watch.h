// SPDX-License-Identifier: MIT
// Who waits in poll(2), select(2) or epoll for an open file, and what is true of it.
#pragma once

#include <fuse_lowlevel.h>
#include <stdint.h>

struct handle;
struct handles;

// Answers a POLL. Takes `poll`, which may be NULL: then nobody has to be told of later changes.
void watch_reply(struct handle *h, fuse_req_t req, uint32_t wanted, struct fuse_pollhandle *poll);
void watch_forget(struct handle *h);
// Tells whoever waits for what has become true by these changes (enum node_change).
void watch_wake(struct handles *set, unsigned changes);
// Tells everyone.
void watch_stop(struct handles *set);
