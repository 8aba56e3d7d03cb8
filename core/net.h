// SPDX-License-Identifier: MIT
// The driver of a node in the daemon: sockets and the loop's timers. One per process.
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/address.h"
#include "core/node.h"
#include "core/resolve.h"

struct net {
	struct ev_loop *loop;
	struct node *node; // borrowed
	struct resolver *resolver;
	int listener;
	ev_io accepting;
	ev_timer accept_again;	    // after a lack of descriptors
	ev_timer timer;		    // the node's next deadline
	uint64_t deadline;	    // that the timer is set to, in node time
	int reserve;		    // a descriptor to give up when there are none left
	struct net_socket *sockets; // list
	struct net_socket *dead;    // closed, freed by the next net_flush()
	uint8_t *scratch;	    // one read
};

// Microseconds: CLOCK_BOOTTIME, and CLOCK_REALTIME.
uint64_t net_now(void);
uint64_t net_wall(void);

// Takes the listening descriptor. 0 or -errno.
int net_init(struct net *net, struct ev_loop *loop, int listener);
void net_fini(struct net *net);
// The functions that node_new() wants; then net_start() with the node they serve.
struct node_driver net_driver(struct net *net);
void net_start(struct net *net, struct node *node);
// Connections are taken from now on. Until then they wait in the listener's queue.
void net_start_accepting(struct net *net);
// No new connections; for a clean stop.
void net_stop_listening(struct net *net);
// Sends what the links have to say and sets the timer. Once per turn of the loop, at its end.
// True: bytes went out, so that the node may have room which it had not before.
bool net_flush(struct net *net);
