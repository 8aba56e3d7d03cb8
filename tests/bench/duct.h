// SPDX-License-Identifier: MIT
// A way for bytes from one process to another: the subject of a measurement, or its floor.
#pragma once

#include <stdbool.h>

#include "tests/bench/place.h"
#include "tests/bench/rival.h"

enum duct_kind {
	DUCT_BROADCAST, // node A's file to node B's, or to those of all others
	DUCT_STREAM,	// node A's end of the direct stream to node B's
	DUCT_CHANNEL,	// node A's end of a pipe to node B
	DUCT_SOCAT,	// a pipe to socat, TLS to another socat, a pipe
	DUCT_SSH,	// a pipe to ssh, its TCP forwarding, a socket
	DUCT_WAKE,	// a file of the minimal file system
	DUCT_NOOP,	// a file of the minimal file system that forgets, hence no reader
	DUCT_TCP,	// on loopback
	DUCT_UNIX,
	DUCT_PIPE,
	DUCT_FIFO, // a file
};

#define DUCT_KINDS   (DUCT_FIFO + 1)
#define DUCT_READERS (PLACE_NODES - 1)

struct duct {
	int readers[DUCT_READERS]; // [reader_count]
	int reader_count;
	int writer;
	char removed[PATH_MAX]; // when it is closed; may be empty
	struct rival rival;
};

const char *duct_name(enum duct_kind kind);
// Empty, and with a reader that has begun to read. `build`: of the nodes. 0 or -errno.
int duct_open(struct duct *duct, enum duct_kind kind, enum build build, const struct place *place);
void duct_close(struct duct *duct);
// The two ends of what DUCT_CHANNEL and DUCT_FIFO open, as often as one likes; made by this.
int duct_name_ends(
	char from[PATH_MAX], char to[PATH_MAX], enum duct_kind kind, const struct place *place);
