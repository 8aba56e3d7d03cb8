// SPDX-License-Identifier: MIT
// Opening files. That of a stream or a pipe may have to wait for a link to whose it is.
#pragma once

#include "fs/handle.h"

// Opens a file as in open(2) and answers the request, now or later.
void open_file(struct handles *set, fuse_req_t req, fuse_ino_t nodeid, int flags);
// Goes on with those that waited for a link.
void open_wake(struct handles *set);
