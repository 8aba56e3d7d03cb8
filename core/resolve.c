// SPDX-License-Identifier: MIT
// Host names through c-ares on the loop.
//
// The channel lives as long as there are look-ups: each burst of them reads /etc/resolv.conf and
// /etc/hosts anew, so that a machine that changes its network needs no restart. Answers are
// collected and given out by a timer, because c-ares may call back from within a look-up.
#include "core/resolve.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define QUERY_TIMEOUT 2000 // milliseconds, of the first try of one server
#define QUERY_TRIES   2

struct query {
	struct resolver *resolver;
	struct query *prev, *next;
	uint64_t tag;
	uint16_t port;
	int error;
	size_t count;
	struct address addresses[RESOLVE_MAX];
};

struct watch {
	struct resolver *resolver;
	struct watch *prev, *next;
	ev_io io;
};

struct resolver {
	struct ev_loop *loop;
	void *context;
	resolve_done *done;
	ares_channel channel; // NULL: no look-up under way
	bool ending;	      // no calls from here on
	size_t pending;	      // look-ups that c-ares has
	struct query *answered;
	struct watch *watches;
	ev_timer timeout; // of c-ares
	ev_timer deliver;
};

static void set_timeout(struct resolver *r)
{
	struct timeval tv;

	ev_timer_stop(r->loop, &r->timeout);
	if (!r->channel || !ares_timeout(r->channel, NULL, &tv))
		return;
	ev_timer_set(&r->timeout, (double)tv.tv_sec + (double)tv.tv_usec / 1e6, 0.);
	ev_timer_start(r->loop, &r->timeout);
}

static void on_timeout(struct ev_loop *loop, ev_timer *w, int events)
{
	struct resolver *r = w->data;
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timeout(r);
}

// The watch may be freed by what it causes: nothing of it is used afterwards.
static void on_socket(struct ev_loop *loop, ev_io *w, int events)
{
	struct watch *watch = w->data;
	struct resolver *r = watch->resolver;
	ares_socket_t fd = w->fd;

	ares_process_fd(r->channel, events & EV_READ ? fd : ARES_SOCKET_BAD,
		events & EV_WRITE ? fd : ARES_SOCKET_BAD);
	set_timeout(r);
}

static struct watch *find_watch(struct resolver *r, ares_socket_t fd)
{
	struct watch *watch;
	DL_FOREACH (r->watches, watch)
		if (watch->io.fd == fd)
			return watch;
	return NULL;
}

static void on_socket_state(void *context, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = context;
	struct watch *watch = find_watch(r, fd);

	if (watch) {
		ev_io_stop(r->loop, &watch->io);
	} else {
		if (!readable && !writable)
			return;
		// Without memory for a watch the look-up ends by its timeout.
		watch = calloc(1, sizeof *watch);
		if (!watch)
			return;
		watch->resolver = r;
		DL_APPEND(r->watches, watch);
	}
	if (!readable && !writable) {
		DL_DELETE(r->watches, watch);
		free(watch);
		return;
	}
	ev_io_init(&watch->io, on_socket, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	watch->io.data = watch;
	ev_io_start(r->loop, &watch->io);
}

static int channel_open(struct resolver *r)
{
	struct ares_options options = {
		.timeout = QUERY_TIMEOUT,
		.tries = QUERY_TRIES,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = r,
	};
	int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;

	if (r->channel)
		return 0;
	if (ares_init_options(&r->channel, &options, mask) == ARES_SUCCESS)
		return 0;
	r->channel = NULL;
	return -ENOMEM;
}

static int error_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
	case ARES_EBADNAME:
	case ARES_ENONAME:
		return -ENOENT;
	case ARES_ETIMEOUT:
		return -ETIMEDOUT;
	case ARES_ENOMEM:
		return -ENOMEM;
	}
	// No server, or one that cannot say.
	return -EHOSTUNREACH;
}

static void take_address(struct query *q, const struct sockaddr *from)
{
	struct address a = { .port = q->port };

	if (q->count == RESOLVE_MAX)
		return;
	if (from->sa_family == AF_INET) {
		a.family = 4;
		memcpy(a.bytes, &((const struct sockaddr_in *)from)->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		a.family = 6;
		memcpy(a.bytes, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
	} else {
		return;
	}
	for (size_t i = 0; i < q->count; i++)
		if (address_equal(&q->addresses[i], &a))
			return;
	q->addresses[q->count++] = a;
}

static void on_answer(void *context, int status, int timeouts, struct ares_addrinfo *info)
{
	struct query *q = context;
	struct resolver *r = q->resolver;

	r->pending--;
	for (struct ares_addrinfo_node *n = info ? info->nodes : NULL; n; n = n->ai_next)
		take_address(q, n->ai_addr);
	if (info)
		ares_freeaddrinfo(info);
	q->error = error_of(status);
	if (q->error == 0 && q->count == 0)
		q->error = -ENOENT;
	DL_APPEND(r->answered, q);
	if (!r->ending)
		ev_timer_start(r->loop, &r->deliver);
}

static void channel_close(struct resolver *r)
{
	if (r->channel)
		ares_destroy(r->channel);
	r->channel = NULL;
	ev_timer_stop(r->loop, &r->timeout);
}

static void on_deliver(struct ev_loop *loop, ev_timer *w, int events)
{
	struct resolver *r = w->data;
	struct query *q;

	while ((q = r->answered)) {
		DL_DELETE(r->answered, q);
		r->done(r->context, q->tag, q->error, q->addresses, q->count);
		free(q);
	}
	if (r->pending == 0)
		channel_close(r);
}

struct resolver *resolver_new(struct ev_loop *loop, void *context, resolve_done *done)
{
	struct resolver *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(r);
		return NULL;
	}
	r->loop = loop;
	r->context = context;
	r->done = done;
	ev_init(&r->timeout, on_timeout);
	ev_timer_init(&r->deliver, on_deliver, 0., 0.);
	r->timeout.data = r->deliver.data = r;
	return r;
}

void resolver_free(struct resolver *r)
{
	struct query *q, *next;

	if (!r)
		return;
	r->ending = true;
	channel_close(r);
	ev_timer_stop(r->loop, &r->deliver);
	DL_FOREACH_SAFE (r->answered, q, next)
		free(q);
	ares_library_cleanup();
	free(r);
}

int resolver_start(struct resolver *r, uint64_t tag, const char *host, uint16_t port)
{
	static const struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = ARES_AI_NOSORT,
	};
	struct query *q = calloc(1, sizeof *q);

	if (!q)
		return -ENOMEM;
	if (channel_open(r) < 0) {
		free(q);
		return -ENOMEM;
	}
	q->resolver = r;
	q->tag = tag;
	q->port = port;
	r->pending++;
	ares_getaddrinfo(r->channel, host, NULL, &hints, on_answer, q);
	set_timeout(r);
	return 0;
}
