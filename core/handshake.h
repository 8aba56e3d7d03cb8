// SPDX-License-Identifier: MIT
// From a connection to a link that is up.
//
// The dialler says HELLO, the acceptor judges and answers HELLO, the dialler judges and says
// ACCEPT. Either may say GOODBYE instead. So that two nodes that dial each other at once keep
// exactly one link, a dialler that finds the other's dial answered lets the lower id's dial win.
#pragma once

#include "core/link.h"

// The connection of a dial is there.
void handshake_begin(struct link *link);
// 0, or -EPROTO.
int handshake_hello(struct link *link, const struct frame_hello *f);
void handshake_accepted(struct link *link);
