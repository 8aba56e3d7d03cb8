// SPDX-License-Identifier: MIT
// Discovery on the local network: hails as UDP datagrams to a multicast group, of IPv4 and of IPv6,
// over every interface that is up. When to hail, and what a hail is worth, is core/lan's.
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/address.h"
#include "core/interface.h"
#include "core/limits.h"
#include "core/node.h"

// One family's socket.
struct discovery_group {
	struct discovery *discovery;
	int fd;			// -1: there is none
	struct address address; // of the group
	ev_io reading;
	ev_timer pause;
	uint32_t lost;			 // by the kernel, of all that came
	unsigned joined[HAIL_ADDRESSES]; // interfaces
	size_t joined_count;
};

struct discovery {
	struct ev_loop *loop;
	struct node *node;	  // borrowed
	struct address listening; // family 0: everywhere
	struct discovery_group four, six;
	ev_timer timer;
	uint64_t due; // that the timer is set to, in node time
};

// `listening` is where the node does, with its port. 0, or -errno: no socket could be had.
int discovery_start(struct discovery *d, struct ev_loop *loop, struct node *node,
	const struct address *listening);
// What is all zero was never started.
void discovery_stop(struct discovery *d);
// Hails when it is time to, and sets the timer. Once per turn of the loop, at its end.
void discovery_turn(struct discovery *d);
