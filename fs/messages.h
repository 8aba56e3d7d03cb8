// SPDX-License-Identifier: MIT
// The file `messages`: the history (core/history) as JSON Lines, one object a message.
//
//     {"time":T,"source":ID,"name":NAME,"topic":NAME,"sequence":N,"length":N,"data":TEXT}
//
// `name` and `topic` only where there is one; what is not UTF-8 has `base64` in the place of
// `data`.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/buffer.h"
#include "core/history.h"

// Gives everything that is in the history its place, as far as there is memory.
void messages_measure(struct history *history);

// Text that somebody reads, from an offset on. Embedded in its owner.
struct messages_window {
	struct buffer text;
	uint64_t at; // offset of its first byte
};

void messages_window_fini(struct messages_window *w);
// Bytes at `offset`, begin <= offset: up to `size` of them, and a pointer that holds until the next
// call for the window. 0: the end. -ENOMEM.
ssize_t messages_read(const struct history *history, struct messages_window *w, uint64_t offset,
	size_t size, const char **bytes);
