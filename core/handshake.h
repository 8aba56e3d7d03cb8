// SPDX-License-Identifier: MIT
// From a connection to a link that is up.
//
// First TLS, which shows either end the other's key. Then the dialler says PROOF and the acceptor,
// if that holds, answers PROOF: both know that they talk to a member. Then the dialler says HELLO,
// the acceptor judges and answers HELLO, the dialler judges and says ACCEPT. Either may say GOODBYE
// instead. So that two nodes that dial each other at once keep
// exactly one link, a dialler that finds the other's dial answered lets the lower id's dial win.
#pragma once

#include "core/link.h"

// The connection of a dial is there.
void handshake_begin(struct link *link);
// The channel is open.
void handshake_secured(struct link *link);
// 0, or -EPROTO.
int handshake_proof(struct link *link, const struct frame_proof *f);
int handshake_hello(struct link *link, const struct frame_hello *f);
void handshake_accepted(struct link *link);
// Ends a link that does not get up, with one event.
void handshake_refuse(struct link *link, enum goodbye reason);
// The event alone; `by` is appended.
void handshake_report(struct link *link, unsigned reason, const char *by);
