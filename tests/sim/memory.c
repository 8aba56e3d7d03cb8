// SPDX-License-Identifier: MIT
#include "tests/sim/memory.h"

#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static struct {
	uint32_t rate;
	struct random *random;
	bool may;
	uint64_t failed;
} scarce;

void memory_fail(uint32_t rate, struct random *random)
{
	scarce.rate = rate;
	scarce.random = random;
}

bool memory_may_fail(bool may)
{
	bool before = scarce.may;
	scarce.may = may;
	return before;
}

uint64_t memory_failed(void)
{
	return scarce.failed;
}

static bool fails(void)
{
	if (!scarce.may || !scarce.rate || random_below(scarce.random, 10000) >= scarce.rate)
		return false;
	scarce.failed++;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}
