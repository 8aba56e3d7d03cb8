// SPDX-License-Identifier: MIT
// What a node signs, and the judgement of what others have signed.
#pragma once

#include "core/buffer.h"
#include "core/wire.h"

struct node;

enum judgement {
	SIGNING_UNSEEN, // not looked at
	SIGNING_GOOD,
	SIGNING_FOREIGN, // of another network: nobody's fault who relays it
	SIGNING_BAD,
};

// What this node's signed bytes begin with now.
struct stamp signing_stamp(const struct node *node);
// Appends this node's signature of all that is in the buffer. 0 or -ENOMEM.
int signing_sign(const struct node *node, const char *tag, struct buffer *b);
enum judgement signing_judge(const struct node *node, const char *tag, const struct stamp *stamp,
	const struct sealed *sealed);
