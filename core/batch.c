// SPDX-License-Identifier: MIT
// Batches in one allocation: header, lengths, data.
#include "core/batch.h"

#include <stdlib.h>

struct batch *batch_new(struct source *source, uint64_t first, uint32_t count, uint32_t bytes)
{
	size_t header = batch_header_bytes(count, bytes);
	struct batch *b = malloc(sizeof *b + count * sizeof(uint32_t) + header + bytes);
	if (!b)
		return NULL;
	*b = (struct batch){ .source = source, .first = first };
	b->lengths = (uint32_t *)(b + 1);
	b->header = (uint8_t *)(b->lengths + count);
	b->data = b->header + header;
	return b;
}

void batch_free(struct batch *b)
{
	free(b);
}
