// SPDX-License-Identifier: MIT
// The state directory: who this node is and whom it links to, across restarts. Files: `node.key`,
// `incarnation`, `lock`, and, when there is something to say, `authorized_peers`, `denied_peers`,
// `names` and `peers`.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/access.h"
#include "core/identity.h"
#include "core/keyfile.h"

struct state {
	int directory; // descriptor, -1: there is none
	int lock;      // descriptor
	const char *path;
	uid_t owner;
	uint8_t secret[SECRET_KEY_BYTES]; // of the node; for whoever makes the identity to cleanse
	uint64_t incarnation;
	bool ephemeral; // nothing can be written: this key ends with the process
};

#define STATE_NAMES "names" // see core/names
#define STATE_PEERS "peers" // see core/contacts

enum state_list { STATE_AUTHORIZED, STATE_DENIED };

// The default directory for a mount point (absolute, canonical): below $XDG_STATE_HOME or
// ~/.local/state, for root below /var/lib. 0, -ENAMETOOLONG, or -ENOENT without a home.
int state_default_path(char *path, size_t size, const char *mountpoint);
// Creates the directory (mode 0700, parents too), locks it, reads or makes the node's key and
// stores an incarnation that is higher than any before: max(stored + 1, wall clock in
// milliseconds). What is there already has to belong to `owner` or root. `path` is borrowed until
// state_close(); `wall`: microseconds since the epoch.
// 0, or -errno with a sentence in `why`: -EBUSY another process has it; -EINVAL a file holds
// nonsense, or others have had a hand in it. A read-only directory or file system is no error:
// ephemeral.
int state_open(
	struct state *s, const char *path, uid_t owner, uint64_t wall, char why[KEYFILE_WHY]);
void state_close(struct state *s);
// Is this the name of a file that a state directory has, or is about to have?
bool state_has_name(const char *name);
// Text beside the keys, such as is worth keeping and can be done without. Reads at most `max` bytes
// into `*text`, the caller's to free: how many, -ENOENT, -EINVAL no file of ours, -EFBIG,
// -ENOMEM...
ssize_t state_read_text(const struct state *s, const char *name, size_t max, char **text);
// Replaces it as a whole, without waiting for the disk. 0 or -errno; nothing to do when ephemeral.
int state_write_text(struct state *s, const char *name, const void *text, size_t n);
// Stores an incarnation for the next start. 0 or -errno; nothing to do when ephemeral.
int state_keep_incarnation(struct state *s, uint64_t incarnation);

// Reads one list into `access`: how many lines with an id it has, -ENOENT when there is no such
// list, or -errno with a sentence and, in *line, the line at fault (1-based; 0: none).
ssize_t state_read_list(const struct state *s, enum state_list list, struct access *access,
	unsigned *line, char why[KEYFILE_WHY]);
// The name of its file.
const char *state_list_name(enum state_list list);
// Reads both into an empty `access`; without files there is nothing on them. 0, or -errno
// with a sentence, and `access` is empty again.
int state_read_access(const struct state *s, struct access *access, char why[KEYFILE_WHY]);
// Stores what access_allow() or access_deny() does; all other lines stay. What is authorized is
// left alone by a denial, which is the stronger. 0, or -errno with a sentence: -EROFS when
// ephemeral, -ENOSPC.
int state_keep_access(struct state *s, const struct id *id, bool allowed, char why[KEYFILE_WHY]);
