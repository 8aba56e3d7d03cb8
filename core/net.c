// SPDX-License-Identifier: MIT
// The driver of a node: non-blocking TCP sockets on the loop. Knows no frames and no protocol.
//
// A socket is closed the moment its link hangs up, but its memory lives until net_flush(): the
// node may hang up on any socket from within any call, also the one whose bytes are handed in.
#include "core/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "core/endpoint.h"
#include "core/limits.h"

#define READ_BYTES   (64 * KIB) // one recv(2): hundreds of signatures at worst
#define TURN_BYTES   (1 * MIB)	// of one socket per turn and direction, so that none starves others
#define TURN_TIME    (2 * MILLISECOND) // of one socket's input, likewise: signatures take their time
#define TURN_ACCEPTS 16
#define TURN_LINKS   4096	// sends per flush; what is left keeps the next turn short
#define ACCEPT_PAUSE 0.1	// seconds, after a lack of descriptors or memory
#define DISCARD_MAX  (64 * MIB) // read and thrown away at most before a close

struct net_socket {
	struct net *net;
	struct link *link; // NULL: hung up
	struct net_socket *prev, *next;
	ev_io reading;
	ev_io writing; // armed while there is more to send than the socket took, or a dial is under
		       // way
	int fd;
	int error; // sending failed, what arrived before is still to be read
	bool connecting;
};

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec / 1000;
}

uint64_t net_now(void)
{
	// Never 0, even in a container whose time namespace starts at zero.
	return read_clock(CLOCK_BOOTTIME) + 1;
}

uint64_t net_wall(void)
{
	return read_clock(CLOCK_REALTIME);
}

// Hanging up.

// Closing a socket with unread bytes makes the kernel throw away what is still to be sent, and
// that may be our goodbye.
static void discard_input(int fd)
{
	for (size_t done = 0; done < DISCARD_MAX; done += TURN_BYTES)
		if (recv(fd, NULL, TURN_BYTES, MSG_TRUNC | MSG_DONTWAIT) <= 0)
			return;
}

static void socket_hangup(struct net_socket *s)
{
	struct net *net = s->net;

	ev_io_stop(net->loop, &s->reading);
	ev_io_stop(net->loop, &s->writing);
	if (!s->connecting)
		discard_input(s->fd);
	close(s->fd);
	s->fd = -1;
	link_set_socket(s->link, NULL);
	s->link = NULL;
	DL_DELETE(net->sockets, s);
	LL_PREPEND(net->dead, s);
}

static void driver_hangup(void *context, struct link *link)
{
	struct net_socket *s = link_socket(link);
	if (s)
		socket_hangup(s);
}

static void bury_dead(struct net *net)
{
	struct net_socket *s, *next;
	LL_FOREACH_SAFE (net->dead, s, next)
		free(s);
	net->dead = NULL;
}

// Reading and writing.

// Sending failed because the other end is gone. It may have said why before it went.
static bool error_waits_for_reader(int error)
{
	return error == EPIPE || error == ECONNRESET;
}

static void socket_send_failed(struct net_socket *s, int error)
{
	ev_io_stop(s->net->loop, &s->writing);
	s->error = -error;
	if (!error_waits_for_reader(error))
		node_lost(s->net->node, s->link, -error);
}

// Sends until the link has no more, the socket takes no more, or its turn is over; in the last
// two cases the loop calls again when the socket is writable. True: bytes went out.
static bool socket_send(struct net_socket *s)
{
	struct net *net = s->net;
	size_t done = 0;

	while (s->link && done < TURN_BYTES) {
		const uint8_t *bytes;
		size_t n = node_output(net->node, s->link, &bytes);
		if (n == 0) {
			ev_io_stop(net->loop, &s->writing);
			return done > 0;
		}
		ssize_t sent = send(s->fd, bytes, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM) {
			socket_send_failed(s, errno);
			return done > 0;
		}
		if (sent < 0)
			break;
		done += (size_t)sent;
		node_sent(net->node, s->link, (size_t)sent);
	}
	if (s->link)
		ev_io_start(net->loop, &s->writing);
	return done > 0;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
	struct net_socket *s = w->data;
	struct net *net = s->net;
	uint64_t until = net_now() + TURN_TIME;
	size_t done = 0;

	while (s->link && done < TURN_BYTES && (done == 0 || net_now() < until)) {
		ssize_t n = recv(s->fd, net->scratch, READ_BYTES, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM))
			return;
		if (n <= 0) {
			int error = s->error ? s->error : n < 0 ? -errno : 0;
			node_lost(net->node, s->link, error);
			return;
		}
		done += (size_t)n;
		node_receive(net->node, s->link, net->scratch, (size_t)n);
		if ((size_t)n < READ_BYTES)
			return;
	}
}

static void socket_connected(struct net_socket *s)
{
	struct net *net = s->net;
	int error = 0;
	socklen_t size = sizeof error;

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	s->connecting = false;
	// `writing` stays armed: the next turn asks for what the link said while it was dialling.
	if (error == 0)
		ev_io_start(net->loop, &s->reading);
	node_dialled(net->node, s->link, -error);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int events)
{
	struct net_socket *s = w->data;
	if (s->connecting)
		socket_connected(s);
	else
		socket_send(s);
}

static struct net_socket *socket_new(struct net *net, int fd)
{
	struct net_socket *s = calloc(1, sizeof *s);
	int one = 1, unsent = OUTPUT_BYTES;

	if (!s)
		return NULL;
	s->net = net;
	s->fd = fd;
	ev_io_init(&s->reading, on_readable, fd, EV_READ);
	ev_io_init(&s->writing, on_writable, fd, EV_WRITE);
	s->reading.data = s->writing.data = s;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	// What the kernel cannot send yet stays here, where a control frame can overtake it.
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
	return s;
}

static void socket_attach(struct net_socket *s, struct link *link)
{
	s->link = link;
	link_set_socket(link, s);
	DL_APPEND(s->net->sockets, s);
}

static int driver_dial(void *context, struct link *link, const struct address *to)
{
	struct net *net = context;
	struct net_socket *s;
	union endpoint e;
	socklen_t size = endpoint_set(&e, to);
	int fd, r;

	if (!address_dialable(to))
		return -EINVAL;
	fd = socket(e.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = -ENOMEM;
	s = socket_new(net, fd);
	if (!s)
		goto out;
	r = 0;
	if (connect(fd, &e.any, size) < 0 && errno != EINPROGRESS)
		r = -errno;
	if (r < 0)
		goto out;
	s->connecting = true;
	socket_attach(s, link);
	// Also a connection made at once is reported from the loop, never from here.
	ev_io_start(net->loop, &s->writing);
	return 0;
out:
	free(s);
	close(fd);
	return r;
}

static int driver_resolve(void *context, uint64_t tag, const char *host, uint16_t port)
{
	struct net *net = context;
	return resolver_start(net->resolver, tag, host, port);
}

static void on_resolved(
	void *context, uint64_t tag, int error, const struct address *addresses, size_t count)
{
	struct net *net = context;
	node_resolved(net->node, tag, error, addresses, count);
}

// Accepting.

static void accept_connection(struct net *net, int fd, const union endpoint *e)
{
	struct address from = endpoint_get(e);
	struct net_socket *s = NULL;
	struct link *link;

	s = socket_new(net, fd);
	if (!s) {
		node_accept_failed(net->node, -ENOMEM);
		goto out;
	}
	link = node_accept(net->node, &from);
	if (!link)
		goto out;
	socket_attach(s, link);
	ev_io_start(net->loop, &s->reading);
	return;
out:
	free(s);
	close(fd);
}

// Out of descriptors, the first in the queue is turned away with the one held in reserve, so
// that it need not wait to learn it.
static void shed_connection(struct net *net)
{
	if (net->reserve >= 0)
		close(net->reserve);
	int fd = accept4(net->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	net->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_failed(struct net *net, int error)
{
	node_accept_failed(net->node, -error);
	if (error == EMFILE || error == ENFILE)
		shed_connection(net);
	ev_io_stop(net->loop, &net->accepting);
	ev_timer_set(&net->accept_again, ACCEPT_PAUSE, 0.);
	ev_timer_start(net->loop, &net->accept_again);
}

static void on_acceptable(struct ev_loop *loop, ev_io *w, int events)
{
	struct net *net = w->data;

	for (int i = 0; i < TURN_ACCEPTS; i++) {
		union endpoint e;
		socklen_t size = sizeof e;
		int fd = accept4(net->listener, &e.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			accept_connection(net, fd, &e);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			accept_failed(net, errno);
			return;
		}
		// Any other error is of a connection that is gone already: accept(2) says to retry.
	}
}

static void on_accept_again(struct ev_loop *loop, ev_timer *w, int events)
{
	struct net *net = w->data;
	ev_io_start(net->loop, &net->accepting);
}

// The deadline only has to end the wait: node_advance() comes first in every turn.
static void on_deadline(struct ev_loop *loop, ev_timer *w, int events)
{
}

// The whole.

int net_init(struct net *net, struct ev_loop *loop, int listener)
{
	memset(net, 0, sizeof *net);
	net->loop = loop;
	net->listener = listener;
	net->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ev_io_init(&net->accepting, on_acceptable, listener, EV_READ);
	ev_init(&net->accept_again, on_accept_again);
	ev_init(&net->timer, on_deadline);
	net->accepting.data = net->accept_again.data = net->timer.data = net;
	net->scratch = malloc(READ_BYTES);
	net->resolver = resolver_new(loop, net, on_resolved);
	if (net->scratch && net->resolver)
		return 0;
	net_fini(net);
	return -ENOMEM;
}

void net_fini(struct net *net)
{
	struct net_socket *s, *next;

	net_stop_listening(net);
	ev_timer_stop(net->loop, &net->timer);
	DL_FOREACH_SAFE (net->sockets, s, next)
		socket_hangup(s);
	bury_dead(net);
	resolver_free(net->resolver);
	net->resolver = NULL;
	free(net->scratch);
	net->scratch = NULL;
	if (net->reserve >= 0)
		close(net->reserve);
	net->reserve = -1;
}

struct node_driver net_driver(struct net *net)
{
	return (struct node_driver){
		.context = net,
		.dial = driver_dial,
		.hangup = driver_hangup,
		.resolve = driver_resolve,
	};
}

void net_start(struct net *net, struct node *node)
{
	net->node = node;
}

void net_start_accepting(struct net *net)
{
	ev_io_start(net->loop, &net->accepting);
}

void net_stop_listening(struct net *net)
{
	ev_io_stop(net->loop, &net->accepting);
	ev_timer_stop(net->loop, &net->accept_again);
	if (net->listener >= 0)
		close(net->listener);
	net->listener = -1;
}

static void set_timer(struct net *net)
{
	uint64_t deadline = node_deadline(net->node), now = node_now(net->node);

	if (ev_is_active(&net->timer) && deadline == net->deadline)
		return;
	net->deadline = deadline;
	ev_timer_stop(net->loop, &net->timer);
	// The node's time and the loop's were read in the same moment, at the start of this turn.
	ev_timer_set(&net->timer, deadline > now ? (double)(deadline - now) / SECOND : 0., 0.);
	ev_timer_start(net->loop, &net->timer);
}

bool net_flush(struct net *net)
{
	bool sent = false;
	struct link *link;

	for (int i = 0; i < TURN_LINKS && (link = node_next_output(net->node)); i++) {
		struct net_socket *s = link_socket(link);
		// A socket that is waited for asks for the rest by itself.
		if (s && !s->error && !ev_is_active(&s->writing))
			sent |= socket_send(s);
	}
	bury_dead(net);
	set_timer(net);
	return sent;
}
