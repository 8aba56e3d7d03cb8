// SPDX-License-Identifier: MIT
// The command line, as a user types it and as mount(8) passes it on.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/address.h"
#include "core/limits.h"
#include "fs/harden.h"
#include "fs/journal.h"

enum options_outcome {
	OPTIONS_RUN,
	OPTIONS_HELP,
	OPTIONS_VERSION,
	OPTIONS_SERVICE_MOUNT,
	OPTIONS_SERVICE_UNMOUNT,
	OPTIONS_FAKE, // all but the mount, for mount -f
};

#define SEEDS_MAX	 64
#define WAIT_SECONDS_MAX 86400
#define OPTIONS_ERROR	 512

struct seed {
	char host[HOST_MAX + 1];
	uint16_t port;
};

struct options {
	const char *mountpoint; // of argv, as given
	const char *source;	// the same, of the seeds before it; NULL: there were none
	struct address address; // family 0, port 0: none was asked for
	struct seed seeds[SEEDS_MAX];
	size_t seed_count;
	bool none;	   // said to have no seed: the first node of a network
	bool no_discovery; // on the local network
	bool loopback;	   // what is written here is read back here
	uint32_t min_peers;
	uint32_t max_peers; // 0: no limit
	uint64_t ping_timeout;
	uint64_t stall_timeout;
	uint64_t min_rate; // bytes per second
	char name[NAME_MAX_LENGTH + 1];
	const char *key; // NULL: the default file
	bool new_key;
	const char *state; // NULL: the default of the mount point
	enum log_level log_level;
	enum log_target log_target;
	const char *log_file;
	bool wait;	    // for the first peer
	uint64_t wait_time; // 0: without limit
	bool foreground;
	bool debug;
	const char *user; // NULL: stay who we are
	gid_t gid;	  // of the files; -1: that of the user
	mode_t mask;	  // what group and others may not do with them
	enum seccomp_mode seccomp;
	bool sloppy;		   // pass over what is unknown in -o
	char mount_options[256];   // for the mount, separated by commas; may be empty
	char error[OPTIONS_ERROR]; // one sentence, after options_parse() failed
	char *words[16];	   // values out of -o, owned
	size_t word_count;
	enum options_outcome outcome;
};

// enum options_outcome, or -EINVAL with `error` filled in. argv is borrowed until options_fini().
int options_parse(struct options *o, int argc, char **argv);
void options_fini(struct options *o);
const char *options_usage(void);
// Does the node look for others on the local network? Whoever names seeds has said where to look.
bool options_discovery(const struct options *o);

// Leaves one sentence in `error`, for the parts of options_parse(). Returns -EINVAL.
__attribute__((format(printf, 2, 3))) int options_complain(
	struct options *o, const char *format, ...);
