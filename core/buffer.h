// SPDX-License-Identifier: MIT
// A growable queue of bytes: appended at the end, consumed at the start.
//
// A failed allocation is sticky: appends after it do nothing and buffer_failed() says so, so that
// an encoder checks once at its end.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
	uint8_t *data;
	uint32_t start;
	uint32_t end;
	uint32_t capacity;
	bool failed;
};

// Nothing that is queued comes near it.
#define BUFFER_MAX ((size_t)1 << 31)

#define BUFFER_INIT ((struct buffer){ 0 })

void buffer_fini(struct buffer *b);
// Room for n more bytes at the end; NULL when memory is out. buffer_commit() makes them count.
uint8_t *buffer_reserve(struct buffer *b, size_t n);
void buffer_commit(struct buffer *b, size_t n);
void buffer_append(struct buffer *b, const void *data, size_t n);
void buffer_consume(struct buffer *b, size_t n);
// Gives memory back when an empty buffer holds more than `keep` bytes of it, or up to BUFFER_SMALL,
// which cost little to have again: most buffers are empty most of the time.
#define BUFFER_SMALL 4096
void buffer_shrink(struct buffer *b, size_t keep);

static inline size_t buffer_length(const struct buffer *b)
{
	return b->end - b->start;
}

static inline uint8_t *buffer_bytes(const struct buffer *b)
{
	return b->data ? b->data + b->start : NULL;
}

static inline bool buffer_failed(const struct buffer *b)
{
	return b->failed;
}
