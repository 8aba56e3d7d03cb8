// SPDX-License-Identifier: MIT
// What peers of the node under test do, one step at a time: see tests/fuzz/link.c.
#pragma once

#include "tests/fuzz/world.h"

// With whom, and what the step takes from the input.
typedef void step_take(struct world *w, struct end *e, struct input *in);

extern step_take step_connect, step_secure, step_prove, step_hello, step_accept, step_join,
	step_frontier, step_header, step_data, step_batch, step_pull, step_trimmed, step_credit,
	step_stream, step_stream_credit, step_announce, step_ping, step_goodbye, step_peers,
	step_rewire, step_raw, step_damage, step_lost, step_deaf, step_prune, step_digest,
	step_tree, step_stall;

// One of the identities, or nobody's.
const struct id *some_id(struct input *in);
