// SPDX-License-Identifier: MIT
// One copy of what all nodes keep: a batch in a log does not change, and is the same in every log,
// byte for byte. What is a node's own of it stays the node's. The linker puts these in the place of
// those of core/batch and core/log (--wrap).
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/log.h"
#include "core/source.h"

struct batch *__wrap_batch_new(
	struct source *source, uint64_t first, uint32_t count, uint32_t bytes);
void __real_batch_free(struct batch *b);
void __wrap_batch_free(struct batch *b);
int __real_log_append(struct log *log, struct batch *b, uint64_t now);
int __wrap_log_append(struct log *log, struct batch *b, uint64_t now);

// Lengths, header and data of a batch.
struct content {
	UT_hash_handle hh;
	struct content_key {
		struct source_key source;
		uint64_t first;
	} key;
	uint32_t holders;
	bool shared; // in the table
	size_t n;
	uint32_t bytes[];
};

static struct content *contents;

static struct content *content_of(const struct batch *b)
{
	return (struct content *)((char *)b->lengths - offsetof(struct content, bytes));
}

// Those that are gathered are one piece of memory, and of the one node that writes.
static bool is_apart(const struct batch *b)
{
	return b->lengths != (const uint32_t *)(b + 1);
}

static void point_to(struct batch *b, struct content *c, size_t header)
{
	size_t lengths = (size_t)b->count * sizeof *b->lengths;
	b->lengths = c->bytes;
	b->header = (uint8_t *)c->bytes + lengths;
	b->data = b->header + header;
}

struct batch *__wrap_batch_new(
	struct source *source, uint64_t first, uint32_t count, uint32_t bytes)
{
	size_t header = batch_header_bytes(count, bytes);
	size_t n = count * sizeof(uint32_t) + header + bytes;
	struct batch *b = malloc(sizeof *b);
	struct content *c = malloc(sizeof *c + n);

	if (!b || !c) {
		free(b);
		free(c);
		return NULL;
	}
	*c = (struct content){ .key = { source->key, first }, .holders = 1, .n = n };
	*b = (struct batch){ .source = source, .first = first, .count = count };
	point_to(b, c, header);
	b->count = 0;
	return b;
}

static void let_go(struct content *c)
{
	if (--c->holders > 0)
		return;
	if (c->shared)
		HASH_DEL(contents, c);
	free(c);
}

void __wrap_batch_free(struct batch *b)
{
	if (b && is_apart(b))
		let_go(content_of(b));
	__real_batch_free(b);
}

int __wrap_log_append(struct log *log, struct batch *b, uint64_t now)
{
	struct content *own, *first;
	int r = __real_log_append(log, b, now);

	if (r < 0 || !is_apart(b))
		return r;
	own = content_of(b);
	HASH_FIND(hh, contents, &own->key, sizeof own->key, first);
	if (!first) {
		HASH_ADD(hh, contents, key, sizeof own->key, own);
		own->shared = own->hh.tbl != NULL; // there may be no memory for it
	} else if (first->n == own->n && memcmp(first->bytes, own->bytes, own->n) == 0) {
		first->holders++;
		point_to(b, first, (size_t)(b->data - b->header));
		let_go(own);
	}
	return r;
}
