// SPDX-License-Identifier: MIT
// A way for bytes from one process to another: the subject of a measurement, or its floor.
#pragma once

#include <stdbool.h>

#include "tests/bench/place.h"
#include "tests/bench/rival.h"

enum duct_kind {
	DUCT_BROADCAST, // node A's file to node B's
	DUCT_STREAM,	// node A's end of the direct stream to node B's
	DUCT_SOCAT,	// a pipe to socat, TLS to another socat, a pipe
	DUCT_SSH,	// a pipe to ssh, its TCP forwarding, a socket
	DUCT_WAKE,	// a file of the minimal file system
	DUCT_NOOP,	// a file of the minimal file system that forgets, hence no reader
	DUCT_TCP,	// on loopback
	DUCT_UNIX,
	DUCT_PIPE,
};

#define DUCT_KINDS (DUCT_PIPE + 1)

struct duct {
	int reader; // -1: there is none
	int writer;
	struct rival rival;
};

const char *duct_name(enum duct_kind kind);
// Empty, and with a reader that has begun to read. `build`: of the nodes. 0 or -errno.
int duct_open(struct duct *duct, enum duct_kind kind, enum build build, const struct place *place);
void duct_close(struct duct *duct);
