// SPDX-License-Identifier: MIT
// One pipe: generations, positions and their windows. Which pipes there are is core/pipes'.
#include "core/pipe.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/pipes.h"

// Writing.

static size_t end_count(const struct pipe_out *out)
{
	return buffer_length(&out->ends) / sizeof(uint32_t);
}

static uint32_t first_end(const struct pipe_out *out)
{
	uint32_t bytes;
	memcpy(&bytes, buffer_bytes(&out->ends), sizeof bytes);
	return bytes;
}

// Every generation that is begun has room for its end.
static size_t room(const struct pipe_out *out)
{
	size_t ends = end_count(out) + (out->writers > 0);
	size_t taken = buffer_length(&out->bytes) + ends * PIPE_END_CHARGE;
	return taken < PIPE_WINDOW ? PIPE_WINDOW - taken : 0;
}

void pipe_writer_open(struct pipe_writer *w, struct pipe *p)
{
	p->handles++;
	*w = (struct pipe_writer){ .pipe = p };
}

int pipe_writer_begin(struct pipe_writer *w)
{
	struct pipe *p = w->pipe;

	if (w->begun)
		return 0;
	if (p->out.writers == 0 && room(&p->out) < PIPE_END_CHARGE)
		return -ENOBUFS;
	int r = pipes_declare(p);
	if (r < 0)
		return r;
	p->out.writers++;
	w->begun = true;
	w->epoch = p->out.epoch;
	return 0;
}

// Bytes of the generation of now: those behind the last end.
static uint32_t open_bytes(const struct pipe_out *out)
{
	size_t total = buffer_length(&out->bytes);
	for (size_t i = 0; i < end_count(out); i++) {
		uint32_t bytes;
		memcpy(&bytes, buffer_bytes(&out->ends) + i * sizeof bytes, sizeof bytes);
		total -= bytes;
	}
	return (uint32_t)total;
}

void pipe_writer_close(struct pipe_writer *w)
{
	struct pipe *p = w->pipe;

	p->handles--;
	if (w->begun && !pipe_broken(w) && --p->out.writers == 0) {
		uint32_t bytes = open_bytes(&p->out);
		buffer_append(&p->out.ends, &bytes, sizeof bytes);
		// Without its end it would be joined to the next one.
		if (buffer_failed(&p->out.ends))
			pipes_abandon(p);
		else
			pipes_touch(p);
	}
	w->pipe = NULL;
	pipes_settle(p);
}

ssize_t pipe_write(struct pipe_writer *w, const void *data, size_t n)
{
	struct pipe_out *out = &w->pipe->out;
	int r = pipe_writer_begin(w);

	if (r < 0)
		return r;
	if (pipe_broken(w))
		return out->error;
	size_t space = room(out);
	if (space == 0 || (n <= PIPE_ATOMIC && n > space))
		return -EAGAIN;
	n = n < space ? n : space;
	buffer_append(&out->bytes, data, n);
	if (buffer_failed(&out->bytes)) {
		out->bytes.failed = false;
		return -ENOMEM;
	}
	pipes_touch(w->pipe);
	return (ssize_t)n;
}

bool pipe_broken(const struct pipe_writer *w)
{
	return w->begun && w->epoch != w->pipe->out.epoch;
}

bool pipe_writable(const struct pipe_writer *w)
{
	return pipe_broken(w) || room(&w->pipe->out) >= PIPE_ATOMIC;
}

bool pipe_unsent(const struct pipe *p)
{
	return buffer_length(&p->out.bytes) || end_count(&p->out);
}

uint64_t pipe_unacknowledged(const struct pipe *p)
{
	const struct pipe_out *out = &p->out;
	uint64_t waiting = buffer_length(&out->bytes);
	return out->channel ? waiting + out->sent + PIPE_WINDOW - out->granted : waiting;
}

size_t pipe_output(struct pipe *p, size_t size, const uint8_t **bytes, bool *end)
{
	struct pipe_out *out = &p->out;
	uint64_t credit = out->granted - out->sent;
	size_t n = buffer_length(&out->bytes);

	*end = false;
	if (end_count(out)) {
		n = first_end(out);
		*end = n == 0 && credit >= PIPE_END_CHARGE;
	}
	*bytes = buffer_bytes(&out->bytes);
	n = n < credit ? n : (size_t)credit;
	return n < size ? n : size;
}

void pipe_sent(struct pipe *p, size_t n, bool end)
{
	struct pipe_out *out = &p->out;

	if (end) {
		buffer_consume(&out->ends, sizeof(uint32_t));
		out->sent += PIPE_END_CHARGE;
		return;
	}
	if (end_count(out)) {
		uint32_t left = first_end(out) - (uint32_t)n;
		memcpy(buffer_bytes(&out->ends), &left, sizeof left);
	}
	buffer_consume(&out->bytes, n);
	buffer_shrink(&out->bytes, 0);
	out->sent += n;
}

int pipe_granted(struct pipe *p, uint64_t position)
{
	if (position < p->out.granted || position > p->out.sent + PIPE_WINDOW)
		return -EPROTO;
	p->out.granted = position;
	return 0;
}

void pipe_break(struct pipe *p, int error)
{
	struct pipe_out *out = &p->out;

	buffer_fini(&out->bytes);
	buffer_fini(&out->ends);
	out->sent = out->granted = 0;
	out->channel = 0;
	if (out->writers == 0)
		return;
	out->writers = 0;
	out->epoch++;
	out->error = error;
}

// Reading.

void pipe_reader_open(struct pipe_reader *r, struct pipe *p)
{
	p->handles++;
	*r = (struct pipe_reader){ .pipe = p, .epoch = pipes_epoch(p) };
}

static void generation_unref(struct generation *g)
{
	if (g->queued || g->readers)
		return;
	buffer_fini(&g->bytes);
	free(g);
}

// Off the queue: the next reader gets the next one.
static void retire(struct pipe *p, struct generation *g)
{
	if (!g->queued)
		return;
	DL_DELETE(p->in.queue, g);
	g->queued = false;
	uint64_t end = g->state == GENERATION_OPEN ? 0 : PIPE_END_CHARGE;
	if (g->charged)
		p->in.base += buffer_length(&g->bytes) + end;
	else
		pipes_unkeep(p, buffer_length(&g->bytes) + end);
	pipes_touch(p);
}

void pipe_reader_close(struct pipe_reader *r)
{
	struct generation *g = r->generation;
	struct pipe *p = r->pipe;

	r->pipe = NULL;
	p->handles--;
	if (g && --g->readers == 0 && g->state != GENERATION_OPEN && !buffer_length(&g->bytes))
		retire(p, g);
	if (g)
		generation_unref(g);
	pipes_settle(p);
}

ssize_t pipe_peek(struct pipe_reader *r, size_t size, struct iovec *iov)
{
	struct generation *g = r->generation;

	if (!g && !(g = r->pipe->in.queue))
		return r->epoch == pipes_epoch(r->pipe) ? -EAGAIN : -EIO;
	if (!r->generation)
		g->readers++;
	r->generation = g;
	size_t n = buffer_length(&g->bytes);
	if (n == 0 && g->state == GENERATION_OPEN)
		return -EAGAIN;
	if (n == 0) {
		retire(r->pipe, g);
		return g->state == GENERATION_ENDED ? 0 : -EIO;
	}
	iov->iov_base = buffer_bytes(&g->bytes);
	iov->iov_len = n < size ? n : size;
	return (ssize_t)iov->iov_len;
}

void pipe_consume(struct pipe_reader *r, size_t n)
{
	struct generation *g = r->generation;

	assert(g && n <= buffer_length(&g->bytes));
	buffer_consume(&g->bytes, n);
	buffer_shrink(&g->bytes, 0);
	if (g->charged)
		r->pipe->in.base += n;
	else
		pipes_unkeep(r->pipe, n);
	pipes_touch(r->pipe);
}

bool pipe_readable(const struct pipe_reader *r)
{
	const struct generation *g = r->generation ? r->generation : r->pipe->in.queue;

	if (!g)
		return r->epoch != pipes_epoch(r->pipe);
	return g->state != GENERATION_OPEN || buffer_length(&g->bytes);
}

bool pipe_kept(const struct pipe *p)
{
	return p->in.queue;
}

uint64_t pipe_unread(const struct pipe *p)
{
	const struct generation *g;
	uint64_t bytes = 0;

	DL_FOREACH (p->in.queue, g)
		bytes += buffer_length(&g->bytes);
	return bytes;
}

// The generation that is arriving, begun if need be; NULL when memory is out.
static struct generation *arriving(struct pipe *p)
{
	struct generation *last = p->in.queue ? p->in.queue->prev : NULL;

	if (last && last->state == GENERATION_OPEN)
		return last;
	last = calloc(1, sizeof *last);
	if (!last)
		return NULL;
	last->queued = last->charged = true;
	DL_APPEND(p->in.queue, last);
	return last;
}

int pipe_receive(struct pipe *p, const uint8_t *data, size_t n)
{
	if (n > p->in.granted - p->in.head)
		return -EPROTO;
	struct generation *g = arriving(p);
	if (!g)
		return -ENOMEM;
	buffer_append(&g->bytes, data, n);
	if (buffer_failed(&g->bytes)) {
		g->bytes.failed = false;
		return -ENOMEM;
	}
	p->in.head += n;
	return 0;
}

int pipe_receive_end(struct pipe *p)
{
	if (PIPE_END_CHARGE > p->in.granted - p->in.head)
		return -EPROTO;
	struct generation *g = arriving(p);
	if (!g)
		return -ENOMEM;
	g->state = GENERATION_ENDED;
	p->in.head += PIPE_END_CHARGE;
	return 0;
}

uint64_t pipe_grant(struct pipe *p)
{
	uint64_t position = p->in.base + PIPE_WINDOW;
	bool drained = p->in.base == p->in.head;

	if (position == p->in.granted || (!drained && position - p->in.granted < PIPE_WINDOW / 4))
		return 0;
	p->in.granted = position;
	return position;
}

uint64_t pipe_cut(struct pipe *p)
{
	struct generation *g, *next;
	uint64_t kept = 0;

	DL_FOREACH_SAFE (p->in.queue, g, next) {
		if (!g->charged)
			continue;
		g->charged = false;
		kept += buffer_length(&g->bytes) + PIPE_END_CHARGE;
		if (g->state != GENERATION_OPEN)
			continue;
		g->state = GENERATION_LOST;
		// Nobody has seen anything of it.
		if (g->readers || buffer_length(&g->bytes))
			continue;
		DL_DELETE(p->in.queue, g);
		free(g);
		kept -= PIPE_END_CHARGE;
	}
	p->in.base = p->in.head = p->in.granted = 0;
	p->in.channel = 0;
	return kept;
}

uint64_t pipe_drop(struct pipe *p)
{
	struct generation *g = p->in.queue;

	while (g && g->readers)
		g = g->next;
	if (!g)
		return UINT64_MAX;
	uint64_t bytes = buffer_length(&g->bytes);
	retire(p, g);
	generation_unref(g);
	return bytes;
}

// All of it.

bool pipe_busy(const struct pipe *p)
{
	return p->handles || pipe_unsent(p);
}

void pipe_free(struct pipe *p)
{
	assert(!p->handles && !p->in.queue);
	buffer_fini(&p->out.bytes);
	buffer_fini(&p->out.ends);
	free(p);
}
