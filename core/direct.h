// SPDX-License-Identifier: MIT
// Direct links: for streams and pipes between any two nodes. They carry no broadcast and no
// announcements, and count towards neither end's max_peers. One is dialled because somebody opens a
// file of a node that is not a neighbour, or is what remains of a link that order has given up
// while it was in use.
//
//     counts --DEMOTE, from either end--> parting --the other's DEMOTE--> direct
//     direct --PROMOTE ask--> --PROMOTE yes--> counts
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/wire.h"

struct link;
struct node;

// A dialler wants one: 0, or the reason to refuse.
int direct_judge(const struct node *node);
void direct_link_up(struct node *node, struct link *link);
void direct_link_down(struct node *node, struct link *link);
// Takes the link out of the order of things: it ends, or, when somebody uses it at either end,
// lives on.
void direct_spare(struct link *link, enum goodbye reason);
// Could it be demoted, if it is in use?
bool direct_has_room(const struct node *node);
// Too few links: direct ones would do as well. The number of those that were asked.
size_t direct_promote(struct node *node, size_t wanted);
// -EPROTO.
int direct_demoted(struct link *link, uint8_t reason);
int direct_promoted(struct link *link, enum promote what);
int direct_idle(struct link *link, bool idle);
void direct_tick(struct node *node);
