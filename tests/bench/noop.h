// SPDX-License-Identifier: MIT
// The floor of every file system in user space: a mount whose daemon does next to nothing.
//
//     noop   takes every write and forgets it
//     wake   a write is handed to a read that waits for it
#pragma once

// Mounts at `path` and serves until SIGTERM. The exit code of the process that calls it.
int noop_serve(const char *path);
