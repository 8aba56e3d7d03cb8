// SPDX-License-Identifier: MIT
// Paths that users give, made fit for a daemon.
#pragma once

#include <limits.h>
#include <stdbool.h>

// Makes a path survive the way to "/". 0 or -errno.
int path_absolute(char out[PATH_MAX], const char *path);
// The path, absolute and without symbolic links and dots; its last component is not followed and
// need not exist. 0 or -errno.
int path_resolve_parent(char out[PATH_MAX], const char *given);
// Both absolute.
bool path_is_inside(const char *path, const char *directory);
