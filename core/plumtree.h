// SPDX-License-Identifier: MIT
// Which way messages go. Over a link that is *eager* for a source its batches go as they come; over
// a *lazy* one only word of them goes (DIGEST), and who lacks something asks for it (PULL). After
// Plumtree (Leitao, Pereira and Rodrigues, "Epidemic Broadcast Trees", SRDS 2007), with a tree for
// each source.
//
// All links are eager at first. Beacons go over every link: the one that brings a beacon first
// becomes eager, those that bring it again become lazy (TREE). What is left is a tree, on which
// every source starts. From there, each source moves on: a node that hears from a lazy neighbour
// that it would have had a batch sooner there moves to it, and asks its old parent to finish and to
// say so (PRUNE) before it asks the new one to begin, so that nothing comes twice.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/source.h"
#include "core/wire.h"

struct lane;
struct link;
struct node;

// Somebody has what we have not heard of otherwise.
struct claim {
	struct source_key source;
	uint64_t next;
	uint64_t had; // what this node lacked then
	uint64_t due;
	uint32_t link; // serial
};

struct plumtree {
	uint32_t parent;       // serial of the link that brought the beacon first; 0: it is ours
	struct source *moving; // list: those with a `move`
	struct claim *claims;  // NULL: never needed
	uint32_t claim_count;
	uint64_t next; // when something is due, UINT64_MAX: nothing
};

void plumtree_init(struct plumtree *t);
void plumtree_fini(struct plumtree *t);
void plumtree_tick(struct node *node);
// Do batches go over the link unless their source says otherwise?
bool plumtree_eager(const struct link *link);

// The component's beacon of now has come for the first time, or once more. It is our own.
void plumtree_beacon_first(struct node *node, struct link *link);
void plumtree_beacon_again(struct node *node, struct link *link);
void plumtree_beacon_own(struct node *node);
// The link that brought the beacon is gone.
void plumtree_parent_lost(struct node *node);

// The peer shall hear of the frontier of the lane's source.
void plumtree_tell(struct link *link, struct lane *lane);
void plumtree_tell_all(struct node *node, const struct source *s);
void plumtree_untell(struct link *link, struct lane *lane);
// The source speaks again after a long silence: on the tree that there is by now.
void plumtree_wake(struct node *node, struct source *s);
// The first copy of a batch begins to come over the link.
void plumtree_fed(struct link *link, struct source *s);
// A batch begins to come that is not the next: may what is before it be asked of this link?
bool plumtree_hole(struct link *link, struct lane *lane, uint64_t first);
// A copy of a batch begins to come that is here or arriving.
void plumtree_copy(struct link *link, struct lane *lane);
// The peer has `next`, and has had for `age`: at least so much sooner than this node.
void plumtree_claimed(struct link *link, const struct source_key *key, uint64_t next, uint64_t age);
// Asked to stop, the link will not bring this batch to its end, and another one does.
bool plumtree_unwanted(const struct link *link, const struct lane *lane);
// The peer has asked for the source. From its own parent: one of the two has to look elsewhere.
void plumtree_pulled(struct link *link, struct source *s);
// What is missing of the source shall come from another link than `except`, from one that has it.
void plumtree_adopt(struct node *node, struct source *s, const struct link *except);
// The link is no parent any more.
void plumtree_link_down(struct node *node, const struct link *link);
void plumtree_forget(struct node *node, struct source *s);

// Frames.
void plumtree_frame(struct link *link, bool eager);
void plumtree_prune(struct link *link, const struct frame_prune *f);
void plumtree_digest(struct link *link, const struct frame_digest *f);
