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
	if (b->topic != c->topic || b->index >= c->end)
		return false;
	return !b->own || (c->loopback && !(b->writer && b->writer == c->writer));
}

void log_init(struct log *log)
{
	*log = (struct log){ 0 };
}

// Those who would have read what leaves the log. Who gates holds it, and who is in the middle of a
// message of it has pinned it.
static void log_count_missed(struct log *log, const struct batch *b)
{
	struct cursor *c;

	DL_FOREACH (log->loose, c)
		if (c->index <= b->index && c->pinned != b && !b->denied && cursor_wants(c, b))
			c->missed += b->count - (c->index == b->index ? c->message : 0);
}

static void log_remove(struct log *log, struct batch *b)
{
	log->ring[b->index & (log->capacity - 1)] = NULL;
	log_count_missed(log, b);
	log->bytes -= batch_charge(b);
	if (b->overdue)
		log->overdue -= batch_charge(b);
	if (b->ripe)
		DL_DELETE2(log->ripe, b, ripe_prev, ripe_next);
	b->kept = b->overdue = b->ripe = false;
	if (log->trimmed)
		log->trimmed(log->context, b);
	if (b->pins == 0)
		batch_free(b);
}

void log_fini(struct log *log)
{
	assert(!log->gating);
	for (; log->tail < log->head; log->tail++)
		if (log_at(log, log->tail))
			log_remove(log, log_at(log, log->tail));
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
	b->index = log->head;
	DL_FOREACH (log->gating, c)
		b->holds += cursor_wants(c, b);
	b->distance = log->distance;
	b->arrived = now;
	b->kept = true;
	log->ring[log->head++ & (log->capacity - 1)] = b;
	log->bytes += batch_charge(b);
	log->distance += batch_charge(b);
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
	if (b->overdue && !b->ripe) {
		b->ripe = true;
		DL_APPEND2(log->ripe, b, ripe_prev, ripe_next);
	}
	release(log, b);
}

// The batch, and those after it of its source that have waited for it.
static void log_leave(struct log *log, struct batch *b)
{
	do {
		struct batch *next = b->newer;
		log_remove(log, b);
		b = next;
	} while (b && b->overdue && !b->holds);
}

static void mark_overdue(struct log *log, struct batch *b)
{
	b->overdue = true;
	log->overdue += batch_charge(b);
}

void log_trim(struct log *log, uint64_t now)
{
	struct batch *b;

	for (; log->aged < log->head; log->aged++) {
		b = log_at(log, log->aged);
		if (!b)
			continue;
		bool old = now - b->arrived >= RETAIN_TIME;
		if (log->bytes - log->overdue <= RETAIN_BYTES && !old)
			break;
		if (!old && log->leaving)
			log->leaving(log->context, b);
		mark_overdue(log, b);
		if (!b->holds && !b->older)
			log_leave(log, b);
	}
	while ((b = log->ripe)) {
		DL_DELETE2(log->ripe, b, ripe_prev, ripe_next);
		b->ripe = false;
		// What is held anew becomes ripe again; what waits for an older one leaves with
		// that.
		if (!b->holds && !b->older)
			log_leave(log, b);
	}
	while (log->tail < log->aged && !log_at(log, log->tail))
		log->tail++;
}

// The first that is kept, from an index on.
static struct batch *log_next(const struct log *log, uint64_t index)
{
	for (index = index > log->tail ? index : log->tail; index < log->head; index++)
		if (log_at(log, index))
			return log_at(log, index);
	return NULL;
}

uint64_t log_due(const struct log *log)
{
	const struct batch *b = log_next(log, log->aged);
	return b ? b->arrived + RETAIN_TIME : UINT64_MAX;
}

static uint64_t cursor_distance(const struct cursor *c)
{
	const struct batch *b = log_next(c->log, c->index);
	return b ? c->log->distance - b->distance : 0;
}

static void cursor_attach(struct cursor *c)
{
	c->gating = true;
	DL_DELETE(c->log->loose, c);
	DL_APPEND(c->log->gating, c);
	for (struct batch *b = log_next(c->log, c->index); b; b = log_next(c->log, b->index + 1))
		if (cursor_wants(c, b))
			log_hold(c->log, b);
}

static void cursor_detach(struct cursor *c)
{
	c->gating = false;
	DL_DELETE(c->log->gating, c);
	DL_APPEND(c->log->loose, c);
	for (struct batch *b = log_next(c->log, c->index); b; b = log_next(c->log, b->index + 1))
		if (cursor_wants(c, b))
			log_unhold(c->log, b);
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

// Passes what was trimmed under the cursor.
static void cursor_skip(struct cursor *c)
{
	struct log *log = c->log;
	const struct batch *next = log_next(log, c->index);
	uint64_t missed = c->missed;

	c->index = next ? next->index : log->head;
	c->message = 0;
	c->missed = 0;
	log->overrun += missed;
	if (missed && log->skipped)
		log->skipped(log->context, c, missed);
}

// To a batch that it wants and may have, or to the head.
static void cursor_settle(struct cursor *c)
{
	struct batch *b;

	if (c->pinned)
		return;
	while (c->index < c->log->head) {
		b = log_at(c->log, c->index);
		if (!b || c->index < c->log->tail) {
			cursor_skip(c);
		} else if (!cursor_wants(c, b)) {
			c->index++;
		} else if (b->denied) {
			cursor_pass(c, b);
		} else {
			return;
		}
	}
}

void log_police(struct log *log, uint64_t now, bool pressed, uint64_t timeout, uint64_t rate)
{
	struct cursor *c, *next, *last = NULL;

	DL_FOREACH_SAFE (log->gating, c, next) {
		cursor_settle(c); // own messages that it does not want are not its lag
		bool behind = cursor_distance(c) > REATTACH_BYTES;
		if (!pressed || !behind || c->passed >= rate * timeout / SECOND) {
			c->passed = 0;
			c->passed_since = now;
		} else if (now - c->passed_since > timeout) {
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
		.log = log, .index = log->head, .end = UINT64_MAX, .passed_since = now
	};
	DL_APPEND(log->loose, c);
}

static void cursor_pin(struct cursor *c, struct batch *b)
{
	struct batch *old = c->pinned;
	if (old == b)
		return;
	if (b)
		batch_pin(b);
	c->pinned = b;
	if (old)
		batch_unpin(old);
}

void cursor_close(struct cursor *c)
{
	cursor_pin(c, NULL);
	if (c->gating)
		cursor_detach(c);
	DL_DELETE(c->log->loose, c);
	c->log = NULL;
}

static void end_topic(struct cursor *cursors, uint64_t topic, uint64_t head)
{
	struct cursor *c;

	DL_FOREACH (cursors, c)
		if (c->topic == topic && c->end > head)
			c->end = head;
}

void log_end_topic(struct log *log, uint64_t topic)
{
	end_topic(log->gating, topic, log->head);
	end_topic(log->loose, topic, log->head);
}

static struct batch *cursor_batch(const struct cursor *c)
{
	return c->pinned ? c->pinned : log_next(c->log, c->index);
}

bool cursor_ready(struct cursor *c)
{
	cursor_settle(c);
	return cursor_batch(c) != NULL;
}

bool cursor_ended(struct cursor *c)
{
	return c->end != UINT64_MAX && !cursor_ready(c);
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
	for (uint64_t at = b->index + 1; (b = log_next(c->log, at)); at = b->index + 1) {
		// What is missing before it is said first.
		if (c->missed && b->index != at)
			break;
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
			c->index = b->index + 1;
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
