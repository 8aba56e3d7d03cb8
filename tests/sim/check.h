// SPDX-License-Identifier: MIT
// What always holds in a network, looked at from outside all of its nodes at once.
#pragma once

#include "tests/sim/sim.h"

// At any time: bounds of every node, degrees, links to oneself and double ones, what readers miss.
void check_always(struct sim *s);
// When nothing has gone wrong for a while: links at both ends, one component, enough peers, equal
// frontiers.
void check_settled(struct sim *s);

struct census {
	uint32_t nodes;	     // running
	uint32_t components; // of them
	uint32_t largest;
	uint32_t poor; // with fewer peers than min, or all others when there are not so many
	uint64_t links;
};

struct census check_census(struct sim *s);
// How long news from `from` takes to the last node when it takes the shortest way to each: no
// broadcast is faster.
uint64_t check_flood(struct sim *s, uint32_t from);
// Gathered: one component, and nobody poor.
bool check_gathered(struct sim *s);
bool check_connected(struct sim *s); // one component
