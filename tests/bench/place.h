// SPDX-License-Identifier: MIT
// The place of the measurements: a temporary directory with two connected nodes of each build, five
// of the real one, and the minimal file system, mounted in it.
//
// Two processes share the work. The one that makes it, starts and ends the daemons and never
// touches the mounts; so it cannot hang, and cleans up whatever happens. The other one uses them.
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PLACE_NODES 5 // at most, of one network

enum build {
	BUILD_REAL,
	BUILD_UNSIGNED, // nothing is signed or hashed
	BUILD_PLAIN,	// neither that nor encrypted
	BUILD_FIVE,	// the real one, in a network of five
};

#define BUILDS (BUILD_FIVE + 1)

// Two nodes of one build that are linked to each other, or five.
struct network {
	pid_t nodes[PLACE_NODES];
	// Of use after place_await().
	char broadcast[PLACE_NODES][PATH_MAX];
	// Of the first two, to each other: the stream, and the directory of pipes.
	char stream[2][PATH_MAX];
	char pipes[2][PATH_MAX];
};

struct place {
	char directory[64];
	struct network networks[BUILDS];
	pid_t floor;
	// Of use after place_await().
	char wake[PATH_MAX];
	char noop[PATH_MAX];
	char version[64];
};

// A port of loopback that nobody listens at right now; or -errno.
int place_free_port(void);
const char *build_name(enum build build);
// Of a network of this build.
int place_nodes(enum build build);
// From the daemon of each build. 0, or -errno and there may be something left for place_clear().
int place_make(struct place *place, const char *const daemons[BUILDS]);
// Ends the daemons and removes everything. False: something is left.
bool place_clear(struct place *place);

// In the other process. Waits until everything is mounted and the nodes are connected. 0 or -errno.
int place_await(struct place *place);
// Resident memory of the larger node of the real pair, bytes; 0: unknown.
size_t place_resident(const struct place *place);
