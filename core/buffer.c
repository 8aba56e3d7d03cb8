// SPDX-License-Identifier: MIT
// A growable queue of bytes. Not a ring: what is left moves to the front when room runs out.
#include "core/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void buffer_fini(struct buffer *b)
{
	free(b->data);
	*b = BUFFER_INIT;
}

uint8_t *buffer_reserve(struct buffer *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (b->capacity - b->end >= n && b->data)
		return b->data + b->end;

	size_t length = buffer_length(b);
	// Moving pays when at least half of the memory is free for it.
	if (b->start >= length && b->capacity >= length + n) {
		memmove(b->data, b->data + b->start, length);
	} else {
		size_t capacity = b->capacity ? b->capacity : 256;
		while (capacity < length + n && capacity < BUFFER_MAX)
			capacity *= 2;
		uint8_t *data = capacity < length + n ? NULL : malloc(capacity);
		if (!data) {
			b->failed = true;
			return NULL;
		}
		if (length)
			memcpy(data, b->data + b->start, length);
		free(b->data);
		b->data = data;
		b->capacity = (uint32_t)capacity;
	}
	b->start = 0;
	b->end = (uint32_t)length;
	return b->data + b->end;
}

void buffer_commit(struct buffer *b, size_t n)
{
	assert(n <= b->capacity - b->end);
	b->end += (uint32_t)n;
}

void buffer_append(struct buffer *b, const void *data, size_t n)
{
	if (n == 0)
		return;
	uint8_t *to = buffer_reserve(b, n);
	if (!to)
		return;
	memcpy(to, data, n);
	b->end += (uint32_t)n;
}

void buffer_consume(struct buffer *b, size_t n)
{
	assert(n <= buffer_length(b));
	b->start += (uint32_t)n;
	if (b->start == b->end)
		b->start = b->end = 0;
}

void buffer_shrink(struct buffer *b, size_t keep)
{
	bool fits = b->capacity > BUFFER_SMALL && b->capacity <= keep;
	if (buffer_length(b) == 0 && b->data && !fits && !b->failed)
		buffer_fini(b);
}
