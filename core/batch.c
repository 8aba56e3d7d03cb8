// SPDX-License-Identifier: MIT
// Batches in one allocation: lengths, header, data.
#include "core/batch.h"

#include <stdlib.h>

static struct batch *batch_make(
	struct source *source, uint64_t first, uint32_t count, size_t header, uint32_t room)
{
	struct batch *b = malloc(sizeof *b + count * sizeof(uint32_t) + header + room);
	if (!b)
		return NULL;
	*b = (struct batch){ .source = source, .first = first };
	b->lengths = (uint32_t *)(b + 1);
	b->header = (uint8_t *)(b->lengths + count);
	b->data = b->header + header;
	return b;
}

struct batch *batch_new(struct source *source, uint64_t first, uint32_t count, uint32_t bytes)
{
	return batch_make(source, first, count, batch_header_bytes(count, bytes), bytes);
}

struct batch *batch_gather(struct source *source, uint64_t first)
{
	size_t header = batch_header_bytes(BATCH_COUNT, BATCH_BYTES);
	return batch_make(source, first, BATCH_COUNT, header, BATCH_ROOM);
}

struct batch *batch_resize(struct batch *b, uint32_t bytes)
{
	size_t header = (size_t)(b->header - (uint8_t *)b);
	size_t data = (size_t)(b->data - (uint8_t *)b);
	struct batch *moved = realloc(b, data + bytes);
	if (!moved)
		return NULL;
	moved->lengths = (uint32_t *)(moved + 1);
	moved->header = (uint8_t *)moved + header;
	moved->data = (uint8_t *)moved + data;
	return moved;
}

void batch_free(struct batch *b)
{
	free(b);
}
