// SPDX-License-Identifier: MIT
// Messages to everyone: each batch goes over every link whose other end does not have it yet, in
// the order of its source, within a window per source and link.
//
// See core/source, core/lane and core/publisher for the parts.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/lane.h"
#include "core/link.h"
#include "core/wire.h"

struct broadcast {
	struct source *sources; // by key
	struct source **slots;	// [slot_count]; NULL: free
	uint32_t slot_count;
	uint32_t slot_low; // none below it is free
	uint32_t hearsay;  // sources that are no more than that
	bool joined;	   // has exchanged frontiers once
	uint64_t police_next;
	uint64_t settle_next;
	uint64_t evict_next;  // no source to forget before this
	size_t partial_bytes; // of batches that are being received
	uint32_t speaking;    // sources, within the last second
	uint64_t window;      // that each has on a link, see lane_credit()
	bool missing;	      // some source has a range missing
};

int broadcast_init(struct node *node);
void broadcast_fini(struct node *node);
// A complete batch into the log and to every lane whose peer lacks it. 0 and the batch is the
// log's, or -ENOMEM.
int broadcast_append(struct node *node, struct batch *batch);
// A batch of it comes, or begins to.
void broadcast_speaks(struct node *node, const struct source *s);
// The lists have changed: what is here of the denied is not delivered any more.
void broadcast_enforce_access(struct node *node);
void broadcast_tick(struct node *node);
uint64_t broadcast_deadline(const struct node *node);

void broadcast_link_up(struct node *node, struct link *link);
void broadcast_link_down(struct node *node, struct link *link);

// Frames; 0 or -EPROTO.
int broadcast_frontier(struct link *link, const struct frame_frontier *f);
int broadcast_pull(struct link *link, const struct frame_position *f);
int broadcast_trimmed(struct link *link, const struct frame_trimmed *f);
int broadcast_batch(struct link *link, const struct frame_batch *f);
int broadcast_chunk(struct link *link, const struct frame_chunk *f);
int broadcast_credited(struct link *link, const struct frame_credit *f);
