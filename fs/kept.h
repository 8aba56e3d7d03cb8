// SPDX-License-Identifier: MIT
// What a daemon remembers from one run to the next beside its keys: whose names are whose, and whom
// it could dial. Worth keeping, and can be done without: what cannot be read or stored is said,
// once.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct daemon;

struct kept {
	uint64_t names_due, peers_due; // when to store them, 0: there is nothing new
	bool peers_stored;	       // in this run
	bool said;
};

void kept_read_names(struct daemon *d);
void kept_read_peers(struct daemon *d);
// After each turn of the loop: stores what has been new for a while.
void kept_turn(struct daemon *d);
// Stores what is new; before the node is freed.
void kept_store(struct daemon *d);
