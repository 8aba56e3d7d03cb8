// SPDX-License-Identifier: MIT
// Every event is of another node, whose memory is in no cache. What it leads to is asked for step
// by step, so that no step waits for the one before.
#pragma once

#include "tests/sim/queue.h"

// For struct queue. Reads only what has been asked for the time before.
void fetch_soon(const struct event *e, int turn);
