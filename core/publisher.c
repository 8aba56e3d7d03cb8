// SPDX-License-Identifier: MIT
// Messages written here: gathered into batches, bounded by what has not gone out.
#include "core/publisher.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core/node_inner.h"
#include "core/signing.h"

// Hashes, header and signature of a batch whose messages are there. 0 or -ENOMEM.
static int seal(struct node *node, struct batch *b)
{
	uint8_t hashes[BATCH_BYTES / CHUNK_BYTES * DIGEST_BYTES];
	struct frame_batch f = { .stamp = signing_stamp(node),
		.first = b->first,
		.topic = b->topic,
		.bytes = b->bytes,
		.count = (uint16_t)b->count,
		.hashes = hashes };
	struct buffer header = BUFFER_INIT;
	int r = 0;

	for (uint32_t at = 0, i = 0; r == 0 && at < b->bytes; at += CHUNK_BYTES, i++) {
		size_t n = b->bytes - at < CHUNK_BYTES ? b->bytes - at : CHUNK_BYTES;
		r = digest(b->data + at, n, hashes + (size_t)i * DIGEST_BYTES);
	}
	wire_put_batch(&header, &f, b->lengths);
	if (r == 0)
		r = signing_sign(node, BATCH_TAG, &header);
	if (r == 0)
		memcpy(b->header, buffer_bytes(&header), buffer_length(&header));
	buffer_fini(&header);
	return r;
}

// 0 and the batch is the log's, or -ENOMEM and it is as it was.
static int publish_batch(struct node *node, struct batch *batch)
{
	struct publisher *p = &node->publisher;
	size_t charge = batch_charge(batch);
	uint32_t count = batch->count;
	int r = seal(node, batch);

	if (r < 0)
		return r;
	batch->own = true;
	p->held += charge;
	p->unsent += charge;
	r = broadcast_append(node, batch);
	if (r < 0) {
		p->held -= charge;
		p->unsent -= charge;
	} else {
		node->counters.messages_published += count;
	}
	return r;
}

// Ends the gathering: what is in the open batch goes out.
int publisher_flush(struct node *node)
{
	struct publisher *p = &node->publisher;
	if (!p->open)
		return 0;
	// Gathered with room to spare; what goes into the log is of its size.
	struct batch *fitted = batch_resize(p->open, p->open->bytes);
	if (fitted) {
		p->open = fitted;
		p->open_room = fitted->bytes;
	}
	p->open->source = p->own;
	p->open->first = p->own->next;
	int r = publish_batch(node, p->open);
	if (r < 0) {
		// Its writers have been told that it is on its way: once more, later.
		p->open_until = node->now + BATCH_DELAY;
		return r;
	}
	p->open = NULL;
	p->flushed = node->now;
	return 0;
}

static void put(struct batch *batch, const void *data, size_t n)
{
	memcpy(batch->data + batch->bytes, data, n);
	batch->lengths[batch->count++] = (uint32_t)n;
	batch->bytes += (uint32_t)n;
}

static int publish_alone(
	struct node *node, uint64_t topic, uint32_t writer, const void *data, size_t n)
{
	struct source *own = node->publisher.own;
	struct batch *batch = batch_new(own, own->next, 1, (uint32_t)n);
	if (!batch)
		return -ENOMEM;
	batch->topic = topic;
	batch->writer = writer;
	put(batch, data, n);
	int r = publish_batch(node, batch);
	if (r < 0)
		batch_free(batch);
	return r;
}

// Of many sources that speak at once each makes smaller batches: its windows are smaller, too.
static uint32_t batch_limit(const struct node *node)
{
	uint64_t limit = node->broadcast.window / 2;
	return limit < BATCH_ROOM    ? BATCH_ROOM
	       : limit < BATCH_BYTES ? (uint32_t)limit
				     : BATCH_BYTES;
}

// Room in the open batch for n more bytes. False: it has to go out first.
static bool make_room(struct node *node, size_t n)
{
	struct publisher *p = &node->publisher;
	uint32_t room = p->open_room, bytes = p->open->bytes;

	// One message may be as large as it likes.
	if (p->open->count == BATCH_COUNT || n > BATCH_BYTES - bytes ||
		(bytes && bytes + n > batch_limit(node)))
		return false;
	if (n <= room - bytes)
		return true;
	// Small messages have company enough by now; large ones are worth the move, once.
	struct batch *larger =
		p->open->count < BATCH_COUNT / 8 ? batch_resize(p->open, BATCH_BYTES) : NULL;
	if (!larger)
		return false;
	p->open = larger;
	p->open_room = BATCH_BYTES;
	return true;
}

// Where one batch follows another, fewer signatures are worth more than the time.
static uint64_t gathering_time(const struct node *node)
{
	bool steady = node->now - node->publisher.flushed < BATCH_DELAY;
	return steady ? BATCH_DELAY : BATCH_DELAY_FIRST;
}

// A batch is of one topic, and is read back by all but one writer.
static bool joins(const struct batch *open, uint64_t topic, uint32_t writer)
{
	return open->topic == topic && open->writer == writer;
}

static int gather(struct node *node, uint64_t topic, uint32_t writer, const void *data, size_t n)
{
	struct publisher *p = &node->publisher;
	bool ends = p->open && (!joins(p->open, topic, writer) || !make_room(node, n));
	int r = ends ? publisher_flush(node) : 0;

	if (r < 0)
		return r;
	if (!p->open) {
		p->open = batch_gather(p->own, p->own->next);
		if (!p->open)
			return -ENOMEM;
		p->open->topic = topic;
		p->open->writer = writer;
		p->open_room = BATCH_ROOM;
		p->open_until = node->now + gathering_time(node);
	}
	if (!make_room(node, n))
		return -ENOMEM;
	put(p->open, data, n);
	// Taken, whether it goes out now or, for lack of memory, later.
	if (p->open->bytes + BATCH_LEAST > batch_limit(node))
		publisher_flush(node);
	return 0;
}

bool publisher_has_room(const struct node *node, size_t n)
{
	const struct publisher *p = &node->publisher;
	size_t charge = n + MESSAGE_CHARGE + (p->open ? batch_charge(p->open) : 0);
	return p->held + charge <= PUBLISH_WINDOW && p->unsent + charge <= UNSENT_BYTES;
}

int publisher_publish(
	struct node *node, uint64_t topic, uint32_t writer, const void *data, size_t n)
{
	struct publisher *p = &node->publisher;
	int r = 0;

	if (n == 0 || n > MESSAGE_MAX)
		return -EMSGSIZE;
	if (!publisher_has_room(node, n)) {
		// Nobody can join what has gathered: it need not wait.
		publisher_flush(node);
		p->waiting = true;
		return -EAGAIN;
	}
	// A lone message leaves at once; one that follows closely waits for company.
	uint64_t pace = BATCH_IDLE + (p->published_bytes + n) / BATCH_PACE;
	if (p->open || node->now - p->published < pace)
		r = gather(node, topic, writer, data, n);
	else
		r = publish_alone(node, topic, writer, data, n);
	if (r == 0) {
		p->published = node->now;
		p->published_bytes = n;
		p->waiting = false;
	}
	return r;
}

static struct batch *copy_of(struct source *source, const struct batch *b)
{
	struct batch *copy = batch_new(source, source->next, b->count, b->bytes);
	if (!copy)
		return NULL;
	copy->topic = b->topic;
	copy->denied = true; // readers here have had it, or will
	copy->count = b->count;
	copy->bytes = b->bytes;
	memcpy(copy->lengths, b->lengths, b->count * sizeof *b->lengths);
	memcpy(copy->data, b->data, b->bytes);
	return copy;
}

void publisher_move(struct node *node, struct source *to, bool all)
{
	struct publisher *p = &node->publisher;
	struct source *from = p->own;

	p->own = to;
	for (struct batch *b = from->oldest, *next; b; b = next) {
		next = b->newer;
		if (b->sent && !all)
			continue;
		struct batch *copy = copy_of(to, b);
		// Publishing trims what nobody holds, this one among it.
		log_hold(&node->log, b);
		bool moved = copy && publish_batch(node, copy) == 0;
		if (moved) {
			node->counters.messages_published -= b->count; // counted before
			publisher_sent(node, b);
		}
		next = b->newer;
		log_unhold(&node->log, b);
		// What there is no memory for stays where it is, and is called lost in the end.
		if (!moved) {
			batch_free(copy);
			return;
		}
	}
}

static void report(struct node *node, const char *reason)
{
	struct publisher *p = &node->publisher;
	if (p->lost_messages == 0)
		return;
	node->counters.messages_lost += p->lost_messages;
	NODE_EVENT(node, "lost", "messages=%" PRIu64 " bytes=%" PRIu64 " reason=%s",
		p->lost_messages, p->lost_bytes, reason);
	p->lost_messages = p->lost_bytes = 0;
}

void publisher_report(struct node *node)
{
	report(node, "no-peer");
}

static void give_up(struct publisher *p, const struct batch *b)
{
	p->lost_messages += b->count;
	p->lost_bytes += b->bytes;
}

void publisher_end(struct node *node)
{
	struct publisher *p = &node->publisher;
	struct batch *b;

	publisher_report(node);
	if (p->ended)
		return;
	p->ended = true;
	for (b = p->own->newest; b && !b->sent; b = b->older)
		give_up(p, b);
	if (p->open)
		give_up(p, p->open);
	report(node, "shutdown");
}

uint64_t publisher_frontier(const struct node *node, const struct source *s)
{
	const struct batch *b = s->newest;
	uint64_t next = s->next;
	if (s != node->publisher.own)
		return next;
	for (; b && !b->sent; b = b->older)
		next = b->first;
	return next;
}

void publisher_sent(struct node *node, struct batch *b)
{
	if (b->own && !b->sent) {
		node->publisher.unsent -= batch_charge(b);
		node->log_changed = true;
	}
	b->sent = true;
}
