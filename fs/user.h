// SPDX-License-Identifier: MIT
// The user that a daemon started by root becomes (--user), and what root makes ready for that user.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct user {
	const char *name; // borrowed; NULL: the daemon stays who it is
	uid_t uid;
	gid_t gid;
};

// 0; -ENOENT: there is none; -EPERM: only root may become someone else; -EINVAL: that is root.
int user_find(struct user *u, const char *name);

// Files are opened with the rights of the user, so that none can be had by a link that this user
// has put there: between these two the process is the user, for as long as files are concerned.
// Both do nothing without a name. 0 or -errno; after an error it is root.
int user_enter(const struct user *u);
int user_leave(const struct user *u);

// The state directory as one of the user's: one that is missing is made, and one that root has
// used alone so far, and for nothing else, is given away with its files. Nothing is followed or
// given that anybody but root could have put there. The path is absolute and shorter than PATH_MAX,
// here and below. 0, or -errno: -EACCES: this is not root's to give; -ENOTEMPTY: something else is
// in there, too.
int user_give_state(const struct user *u, const char *path);
// A file that only root can create: made, empty, and given away. It must not exist yet. 0 or
// -errno.
int user_make_file(const struct user *u, const char *path);

// For good: every id and group, checked. 0 or -errno.
int user_become(const struct user *u);
