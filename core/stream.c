// SPDX-License-Identifier: MIT
// Direct streams: two bounded buffers, the readers' offsets into one of them, and the windows.
#include "core/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "core/limits.h"

static void changed(struct stream *s)
{
	s->fresh = true;
	*s->changed = true;
}

static void wants_output(struct stream *s)
{
	if (!s->gone)
		s->writable(s->context);
}

struct stream *stream_new(void *context, void (*writable)(void *context), bool *flag)
{
	struct stream *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->references = 1;
	s->in_granted = s->out_granted = STREAM_WINDOW;
	s->context = context;
	s->writable = writable;
	s->changed = flag;
	return s;
}

struct stream *stream_ref(struct stream *s)
{
	s->references++;
	return s;
}

void stream_unref(struct stream *s)
{
	if (--s->references > 0)
		return;
	buffer_fini(&s->in);
	buffer_fini(&s->out);
	free(s);
}

bool stream_has_room(const struct stream *s)
{
	return !s->gone && buffer_length(&s->out) < STREAM_WINDOW;
}

ssize_t stream_write(struct stream *s, const void *data, size_t n)
{
	if (s->gone)
		return -EPIPE;
	size_t room = STREAM_WINDOW - buffer_length(&s->out);
	if (room == 0)
		return -EAGAIN;
	if (n > room)
		n = room;
	buffer_append(&s->out, data, n);
	if (buffer_failed(&s->out)) {
		s->out.failed = false;
		return -ENOMEM;
	}
	s->out_head += n;
	wants_output(s);
	return (ssize_t)n;
}

void stream_reader_open(struct stream_reader *r, struct stream *s)
{
	*r = (struct stream_reader){ .stream = stream_ref(s) };
}

// Gives up what every bound reader has; without one, what waits stays for the next.
static void release(struct stream *s)
{
	uint64_t lowest = s->in_head;
	struct stream_reader *r;

	if (!s->readers)
		return;
	DL_FOREACH (s->readers, r)
		lowest = r->offset < lowest ? r->offset : lowest;
	if (lowest > s->in_base) {
		buffer_consume(&s->in, (size_t)(lowest - s->in_base));
		s->in_base = lowest;
		wants_output(s);
	}
}

void stream_reader_close(struct stream_reader *r)
{
	struct stream *s = r->stream;
	if (r->bound) {
		// The last one leaves what it has not read to whoever comes next.
		bool last = s->readers == r && !r->next;
		if (last)
			release(s);
		DL_DELETE(s->readers, r);
		release(s);
	}
	r->stream = NULL;
	stream_unref(s);
}

// The first reader gets what waits, later ones start at the head.
static void bind_reader(struct stream_reader *r)
{
	struct stream *s = r->stream;
	r->offset = s->readers ? s->in_head : s->in_base;
	r->bound = true;
	DL_APPEND(s->readers, r);
}

ssize_t stream_peek(struct stream_reader *r, size_t size, struct iovec *iov)
{
	struct stream *s = r->stream;
	if (!r->bound)
		bind_reader(r);
	size_t n = (size_t)(s->in_head - r->offset);
	if (n == 0)
		return s->gone ? 0 : -EAGAIN;
	iov->iov_base = buffer_bytes(&s->in) + (r->offset - s->in_base);
	iov->iov_len = n < size ? n : size;
	return (ssize_t)iov->iov_len;
}

void stream_consume(struct stream_reader *r, size_t n)
{
	assert(r->bound && n <= r->stream->in_head - r->offset);
	r->offset += n;
	release(r->stream);
}

bool stream_ready(const struct stream_reader *r)
{
	const struct stream *s = r->stream;
	if (r->bound)
		return r->offset < s->in_head;
	return !s->readers && s->in_base < s->in_head;
}

size_t stream_output(struct stream *s, size_t size, const uint8_t **bytes)
{
	size_t n = buffer_length(&s->out);
	uint64_t credit = s->out_granted - s->out_sent;
	if (n > credit)
		n = (size_t)credit;
	*bytes = buffer_bytes(&s->out);
	return n < size ? n : size;
}

void stream_sent(struct stream *s, size_t n)
{
	buffer_consume(&s->out, n);
	s->out_sent += n;
	changed(s);
}

int stream_receive(struct stream *s, const uint8_t *data, size_t n)
{
	if (n > s->in_granted - s->in_head)
		return -EPROTO;
	buffer_append(&s->in, data, n);
	if (buffer_failed(&s->in))
		return -ENOMEM;
	s->in_head += n;
	changed(s);
	return 0;
}

uint64_t stream_grant(struct stream *s)
{
	uint64_t offset = s->in_base + STREAM_WINDOW;
	// A quarter of the window is worth a frame; so is the end of what arrived, because the
	// writer's end counts as read only what was granted again.
	bool drained = s->in_base == s->in_head;
	if (offset == s->in_granted || (!drained && offset - s->in_granted < STREAM_WINDOW / 4))
		return 0;
	s->in_granted = offset;
	return offset;
}

int stream_granted(struct stream *s, uint64_t offset)
{
	if (offset < s->out_granted || offset > s->out_sent + STREAM_WINDOW)
		return -EPROTO;
	s->out_granted = offset;
	changed(s);
	return 0;
}

void stream_end(struct stream *s)
{
	s->gone = true;
	s->writable = NULL;
	buffer_fini(&s->out);
	changed(s);
}

uint64_t stream_unacknowledged(const struct stream *s)
{
	return s->out_head + STREAM_WINDOW - s->out_granted;
}

uint64_t stream_unread(const struct stream *s)
{
	return s->in_head - s->in_base;
}
