// SPDX-License-Identifier: MIT
// The log and its readers' cursors. What a batch means, and who sends it on, is core/broadcast's.
#include "core/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static struct batch *log_at(const struct log *log, uint64_t index)
{
	return log->ring[index & (log->capacity - 1)];
}

static bool cursor_wants(const struct cursor *c, const struct batch *b)
{
	return !b->own || c->loopback;
}

void log_init(struct log *log)
{
	*log = (struct log){ 0 };
}

static void log_pop(struct log *log)
{
	struct batch *b = log_at(log, log->tail++);
	log->bytes -= batch_charge(b);
	b->kept = false;
	log->oldest = log->tail < log->head ? log_at(log, log->tail)->arrived : 0;
	if (log->trimmed)
		log->trimmed(log->context, b);
	if (b->pins == 0)
		batch_free(b);
}

void log_fini(struct log *log)
{
	assert(!log->gating);
	while (log->tail < log->head)
		log_pop(log);
	free(log->ring);
	log_init(log);
}

static int log_grow(struct log *log)
{
	size_t capacity = log->capacity ? log->capacity * 2 : 64;
	struct batch **ring = malloc(capacity * sizeof *ring);
	if (!ring)
		return -ENOMEM;
	for (uint64_t i = log->tail; i < log->head; i++)
		ring[i & (capacity - 1)] = log_at(log, i);
	free(log->ring);
	log->ring = ring;
	log->capacity = capacity;
	return 0;
}

static void release(struct log *log, struct batch *b)
{
	if (b->released)
		return;
	b->released = true;
	log->released(log->context, b);
}

int log_append(struct log *log, struct batch *b, uint64_t now)
{
	if (log->head - log->tail == log->capacity && log_grow(log) < 0)
		return -ENOMEM;

	struct cursor *c;
	DL_FOREACH (log->gating, c)
		b->holds += cursor_wants(c, b);
	b->index = log->head;
	b->ordinal = log->ordinal;
	b->distance = log->distance;
	b->arrived = now;
	b->kept = true;
	log->oldest = log->tail == log->head ? now : log->oldest;
	log->ring[log->head++ & (log->capacity - 1)] = b;
	log->bytes += batch_charge(b);
	log->distance += batch_charge(b);
	if (!b->own)
		log->ordinal += b->count;
	log->fresh = true;
	if (b->holds)
		log->held += batch_charge(b);
	else
		release(log, b);
	return 0;
}

void log_hold(struct log *log, struct batch *b)
{
	if (b->holds++ == 0)
		log->held += batch_charge(b);
}

void log_unhold(struct log *log, struct batch *b)
{
	assert(b->holds > 0);
	if (--b->holds > 0)
		return;
	log->held -= batch_charge(b);
	release(log, b);
}

void log_trim(struct log *log, uint64_t now)
{
	while (log->tail < log->head) {
		struct batch *b = log_at(log, log->tail);
		bool old = now - b->arrived >= RETAIN_TIME;
		if (b->holds || (log->bytes <= RETAIN_BYTES && !old))
			return;
		if (!old && log->leaving)
			log->leaving(log->context, b);
		if (b->holds)
			return;
		log_pop(log);
	}
}

uint64_t log_due(const struct log *log)
{
	return log->tail < log->head ? log->oldest + RETAIN_TIME : UINT64_MAX;
}

// Where the cursor is in what is kept: batches that it does not want are trimmed under it.
static uint64_t cursor_first(const struct cursor *c)
{
	return c->index > c->log->tail ? c->index : c->log->tail;
}

static uint64_t cursor_distance(const struct cursor *c)
{
	const struct log *log = c->log;
	uint64_t first = cursor_first(c);
	return first < log->head ? log->distance - log_at(log, first)->distance : 0;
}

static void cursor_attach(struct cursor *c)
{
	c->gating = true;
	DL_APPEND(c->log->gating, c);
	for (uint64_t i = cursor_first(c); i < c->log->head; i++)
		if (cursor_wants(c, log_at(c->log, i)))
			log_hold(c->log, log_at(c->log, i));
}

static void cursor_detach(struct cursor *c)
{
	c->gating = false;
	DL_DELETE(c->log->gating, c);
	for (uint64_t i = cursor_first(c); i < c->log->head; i++)
		if (cursor_wants(c, log_at(c->log, i)))
			log_unhold(c->log, log_at(c->log, i));
}

static void log_cut_loose(struct log *log, struct cursor *c)
{
	cursor_detach(c);
	if (log->detached)
		log->detached(log->context, c);
}

// To the start of the next batch.
static void cursor_pass(struct cursor *c, struct batch *b)
{
	c->message = 0;
	c->index = b->index + 1;
	if (c->gating)
		log_unhold(c->log, b);
}

// Passes what was trimmed under the cursor, and what it does not want or may not have.
static void cursor_settle(struct cursor *c)
{
	struct log *log = c->log;

	if (c->pinned)
		return;
	if (c->index < log->tail) {
		uint64_t ordinal =
			log->tail < log->head ? log_at(log, log->tail)->ordinal : log->ordinal;
		uint64_t missed = ordinal - c->ordinal;
		c->index = log->tail;
		c->ordinal = ordinal;
		c->message = 0;
		log->overrun += missed;
		if (missed && log->skipped)
			log->skipped(log->context, c, missed);
	}
	while (c->index < log->head) {
		struct batch *b = log_at(log, c->index);
		if (!cursor_wants(c, b)) {
			c->index++;
		} else if (b->denied) {
			c->ordinal += b->own ? 0 : b->count - c->message;
			cursor_pass(c, b);
		} else {
			return;
		}
	}
}

void log_police(struct log *log, uint64_t now, bool pressed)
{
	struct cursor *c, *next, *last = NULL;

	DL_FOREACH_SAFE (log->gating, c, next) {
		cursor_settle(c); // own messages that it does not want are not its lag
		bool behind = cursor_distance(c) > REATTACH_BYTES;
		if (!pressed || !behind || c->passed >= STALL_RATE * STALL_TIMEOUT / SECOND) {
			c->passed = 0;
			c->passed_since = now;
		} else if (now - c->passed_since > STALL_TIMEOUT) {
			log_cut_loose(log, c);
			continue;
		}
		if (!last || c->index < last->index)
			last = c;
	}
	// What is behind it cannot be trimmed, whoever wants it.
	if (last && cursor_distance(last) > LOG_BYTES)
		log_cut_loose(log, last);
}

void cursor_open(struct cursor *c, struct log *log, uint64_t now)
{
	*c = (struct cursor){
		.log = log, .index = log->head, .ordinal = log->ordinal, .passed_since = now
	};
}

static void cursor_pin(struct cursor *c, struct batch *b)
{
	struct batch *old = c->pinned;
	if (old == b)
		return;
	if (b)
		b->pins++;
	c->pinned = b;
	if (old && --old->pins == 0 && !old->kept)
		batch_free(old);
}

void cursor_close(struct cursor *c)
{
	cursor_pin(c, NULL);
	if (c->gating)
		cursor_detach(c);
	c->log = NULL;
}

static struct batch *cursor_batch(const struct cursor *c)
{
	if (c->pinned)
		return c->pinned;
	return c->index < c->log->head ? log_at(c->log, c->index) : NULL;
}

bool cursor_ready(struct cursor *c)
{
	cursor_settle(c);
	return cursor_batch(c) != NULL;
}

// Where the message that the cursor is in begins in the data of its batch.
static size_t message_start(const struct batch *b, uint32_t message)
{
	size_t start = 0;
	for (uint32_t i = 0; i < message; i++)
		start += b->lengths[i];
	return start;
}

// As many whole messages from `message` on as fit into `size`.
static size_t whole_messages(const struct batch *b, uint32_t message, uint32_t offset, size_t size)
{
	size_t n = 0;
	for (; message < b->count && b->lengths[message] - offset <= size - n; message++) {
		n += b->lengths[message] - offset;
		offset = 0;
	}
	return n;
}

size_t cursor_peek(struct cursor *c, uint64_t now, size_t size, bool packet, struct iovec *iov,
	int *count, int max)
{
	*count = 0;
	cursor_settle(c);
	if (!c->started) {
		c->started = true;
		c->passed_since = now;
		cursor_attach(c);
	}
	struct batch *b = cursor_batch(c);
	if (!b || size == 0)
		return 0;

	size_t start = message_start(b, c->message) + c->offset;
	size_t rest = b->lengths[c->message] - c->offset;
	size_t total = whole_messages(b, c->message, c->offset, size);
	if (packet || total == 0)
		total = rest < size ? rest : size;
	iov[(*count)++] = (struct iovec){ b->data + start, total };
	if (packet || total < rest || start + total < b->bytes || !b->kept)
		return total;
	for (uint64_t i = b->index + 1; i < c->log->head; i++) {
		b = log_at(c->log, i);
		if (!cursor_wants(c, b))
			continue;
		if (b->denied)
			break;
		size_t n = *count < max ? whole_messages(b, 0, 0, size - total) : 0;
		if (n)
			iov[(*count)++] = (struct iovec){ b->data, n };
		total += n;
		if (n < b->bytes)
			break;
	}
	return total;
}

// Steps past the message that the cursor is in.
static void cursor_step(struct cursor *c, struct batch *b)
{
	c->offset = 0;
	c->passed += MESSAGE_CHARGE;
	c->ordinal += !b->own;
	if (++c->message < b->count) {
		// A batch that only a pin keeps has to be finished from the pin.
		if (b->kept)
			cursor_pin(c, NULL);
		return;
	}
	cursor_pass(c, b);
	cursor_pin(c, NULL);
}

size_t cursor_advance(struct cursor *c, uint64_t now, size_t bytes, bool packet)
{
	size_t discarded = 0;
	(void)now;

	// Bytes, not batches: a large message read in small pieces is progress.
	c->passed += bytes;
	while (bytes > 0) {
		struct batch *b = cursor_batch(c);
		if (!cursor_wants(c, b)) {
			c->index++;
			continue;
		}
		size_t rest = b->lengths[c->message] - c->offset;
		if (bytes < rest && !packet) {
			c->offset += (uint32_t)bytes;
			cursor_pin(c, b);
			break;
		}
		if (bytes < rest)
			c->passed += discarded = rest - bytes;
		bytes -= rest - discarded;
		cursor_step(c, b);
		if (packet)
			break;
	}
	if (!c->gating && c->started && !c->pinned) {
		cursor_settle(c);
		if (cursor_distance(c) <= REATTACH_BYTES)
			cursor_attach(c);
	}
	return discarded;
}
