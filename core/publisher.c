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
	uint8_t hashes[(MESSAGE_MAX + CHUNK_BYTES - 1) / CHUNK_BYTES * DIGEST_BYTES];
	struct stamp stamp = signing_stamp(node);
	struct buffer header = BUFFER_INIT;
	int r = 0;

	for (uint32_t at = 0, i = 0; r == 0 && at < b->bytes; at += CHUNK_BYTES, i++) {
		size_t n = b->bytes - at < CHUNK_BYTES ? b->bytes - at : CHUNK_BYTES;
		r = digest(b->data + at, n, hashes + (size_t)i * DIGEST_BYTES);
	}
	wire_put_batch(&header, &stamp, b->first, b->bytes, (uint16_t)b->count, b->lengths, hashes);
	if (r == 0)
		r = signing_sign(node, BATCH_TAG, &header);
	if (r == 0)
		memcpy(b->header, buffer_bytes(&header), buffer_length(&header));
	buffer_fini(&header);
	return r;
}

static int publish_batch(struct node *node, struct batch *batch)
{
	struct publisher *p = &node->publisher;
	size_t charge = batch_charge(batch);
	uint32_t count = batch->count;
	int r = seal(node, batch);

	if (r < 0) {
		batch_free(batch);
		return r;
	}
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
	struct batch *open = p->open;
	if (!open)
		return 0;
	// Gathered with room to spare; what goes into the log is of its size.
	struct batch *exact = batch_new(p->own, p->own->next, open->count, open->bytes);
	if (!exact) {
		p->open_until = node->now + BATCH_DELAY;
		return -ENOMEM;
	}
	exact->count = open->count;
	exact->bytes = open->bytes;
	memcpy(exact->lengths, open->lengths, open->count * sizeof *open->lengths);
	memcpy(exact->data, open->data, open->bytes);
	int r = publish_batch(node, exact);
	if (r < 0) {
		// Its writers have been told that it is on its way: once more, later.
		p->open_until = node->now + BATCH_DELAY;
		return r;
	}
	p->open = NULL;
	batch_free(open);
	return 0;
}

static int publish_alone(struct node *node, const void *data, size_t n)
{
	struct source *own = node->publisher.own;
	struct batch *batch = batch_new(own, own->next, 1, (uint32_t)n);
	if (!batch)
		return -ENOMEM;
	batch->count = 1;
	batch->bytes = batch->lengths[0] = (uint32_t)n;
	memcpy(batch->data, data, n);
	return publish_batch(node, batch);
}

static bool fits_open(const struct batch *open, size_t n)
{
	return open->count < BATCH_COUNT && n <= BATCH_BYTES - open->bytes;
}

static int gather(struct node *node, const void *data, size_t n)
{
	struct publisher *p = &node->publisher;
	if (!p->open) {
		p->open = batch_new(p->own, p->own->next, BATCH_COUNT, BATCH_BYTES);
		p->open_until = node->now + BATCH_DELAY;
	}
	struct batch *open = p->open;
	if (!open)
		return -ENOMEM;
	memcpy(open->data + open->bytes, data, n);
	open->lengths[open->count++] = (uint32_t)n;
	open->bytes += (uint32_t)n;
	return 0;
}

bool publisher_has_room(const struct node *node, size_t n)
{
	const struct publisher *p = &node->publisher;
	size_t charge = n + MESSAGE_CHARGE + (p->open ? batch_charge(p->open) : 0);
	return p->held + charge <= PUBLISH_WINDOW && p->unsent + charge <= UNSENT_BYTES;
}

int publisher_publish(struct node *node, const void *data, size_t n)
{
	struct publisher *p = &node->publisher;
	int r = 0;

	if (n == 0 || n > MESSAGE_MAX)
		return -EMSGSIZE;
	if (!publisher_has_room(node, n)) {
		p->waiting = true;
		return -EAGAIN;
	}
	// A lone message leaves at once; one that follows closely waits for company.
	bool loaded = p->open || node->now - p->published < BATCH_IDLE;
	if (loaded && n <= BATCH_BYTES / 4) {
		if (p->open && !fits_open(p->open, n))
			r = publisher_flush(node);
		r = r < 0 ? r : gather(node, data, n);
	} else {
		r = publisher_flush(node);
		r = r < 0 ? r : publish_alone(node, data, n);
	}
	if (r == 0) {
		p->published = node->now;
		p->waiting = false;
	}
	return r;
}

void publisher_report(struct node *node)
{
	struct publisher *p = &node->publisher;
	if (p->lost_messages == 0)
		return;
	node->counters.messages_lost += p->lost_messages;
	NODE_EVENT(node, "lost", "messages=%" PRIu64 " bytes=%" PRIu64 " reason=no-peer",
		p->lost_messages, p->lost_bytes);
	p->lost_messages = p->lost_bytes = 0;
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
