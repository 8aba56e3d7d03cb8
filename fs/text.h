// SPDX-License-Identifier: MIT
// The small text files: each is rendered whole when it is opened.
#pragma once

#include <stdint.h>

#include "core/buffer.h"
#include "core/node.h"

struct handles;

struct text_context {
	struct node *node;
	const struct handles *handles;
	uint32_t serial; // of the peer, for files of a peer
};

#define TEXT_LINE 512 // bytes: of metrics, with two labels, every byte of which may be escaped

// Appends one line, cut off at TEXT_LINE.
__attribute__((format(printf, 2, 3))) void text_print(struct buffer *out, const char *format, ...);

// Each appends the file's content: 0, -ENOMEM, or -ESTALE when the peer is gone.
int text_status(struct buffer *out, const struct text_context *context);
int text_metrics(struct buffer *out, const struct text_context *context);
int text_members(struct buffer *out, const struct text_context *context);
int text_id(struct buffer *out, const struct text_context *context);
int text_version(struct buffer *out, const struct text_context *context);
int text_peer_address(struct buffer *out, const struct text_context *context);
int text_peer_name(struct buffer *out, const struct text_context *context);
int text_peer_status(struct buffer *out, const struct text_context *context);
