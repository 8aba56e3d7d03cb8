// SPDX-License-Identifier: MIT
// A way for bytes from one process to another: the subject of a measurement, or its floor.
#pragma once

#include <stdbool.h>

enum duct_kind {
	DUCT_BROADCAST, // node A's file to node B's
	DUCT_STREAM,	// node A's end of the direct stream to node B's
	DUCT_WAKE,	// a file of the minimal file system
	DUCT_NOOP,	// a file of the minimal file system that forgets, hence no reader
	DUCT_TCP,	// on loopback
	DUCT_UNIX,
	DUCT_PIPE,
};

#define DUCT_KINDS (DUCT_PIPE + 1)

struct place;

struct duct {
	int reader; // -1: there is none
	int writer;
};

const char *duct_name(enum duct_kind kind);
// Empty, and with a reader that has begun to read. 0 or -errno.
int duct_open(struct duct *duct, enum duct_kind kind, const struct place *place);
void duct_close(struct duct *duct);
