// SPDX-License-Identifier: MIT
// Who else is on the local network: when this node says that it is there, and what it makes of what
// others say. The sockets are core/discovery's, through core/node.h.
//
// A node hails a few times at its start, then every 10 s while it has fewer than min_peers, and
// every minute when it has enough. Whoever asks for peers is answered by a few of those who hear
// it, so that a newcomer need not wait for that minute.
#pragma once

#include <stdint.h>

#include "core/allowance.h"
#include "core/limits.h"
#include "core/wire.h"

struct node;

struct lan {
	uint64_t counter;  // of the last hail
	unsigned hailed;   // how often, up to HAIL_BURST
	uint64_t soon;	   // when the next is due with too few peers,
	uint64_t late;	   // and with enough of them
	uint64_t answer;   // when to answer whoever has asked; 0: nobody has
	unsigned answered; // by how many others since
	struct allowance answers, news;
	bool damage_said;
	// The latest hails, and by whom: what is not above is a copy.
	struct source_key heard[HAIL_HEARD];
	uint64_t counters[HAIL_HEARD];
	size_t heard_at; // the next to be forgotten
};

// NULL when memory is out.
struct lan *lan_new(void);
