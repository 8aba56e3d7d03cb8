// SPDX-License-Identifier: MIT
// Multicast sockets. Datagrams go to the node as they are; what does not fit is the kernel's to
// count.
#include "core/discovery.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/endpoint.h"

// Room for what the kernel says beside a datagram.
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint32_t))];
};

static bool is_six(const struct discovery_group *g)
{
	return g->address.family == 6;
}

static int level_of(const struct discovery_group *g)
{
	return is_six(g) ? IPPROTO_IPV6 : IPPROTO_IP;
}

// Reading.

// True: it was sent to the group. A socket of IPv4 is bound to it; one of IPv6 cannot be without
// being bound to one interface, too.
static bool look_at_control(struct discovery_group *g, struct msghdr *message)
{
	bool to_group = !is_six(g);
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		struct in6_pktinfo info;
		uint32_t lost;
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&lost, CMSG_DATA(c), sizeof lost);
			node_hails_lost(g->discovery->node, lost - g->lost);
			g->lost = lost;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&info, CMSG_DATA(c), sizeof info);
			to_group = memcmp(&info.ipi6_addr, g->address.bytes, 16) == 0;
		}
	}
	return to_group;
}

// One datagram; false: there is none.
static bool receive(struct discovery_group *g)
{
	uint8_t datagram[HAIL_BYTES + 1]; // one that is too long shows it
	union control control;
	union endpoint from;
	struct iovec part = { datagram, sizeof datagram };
	struct msghdr message = { .msg_name = &from,
		.msg_namelen = sizeof from,
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control };
	ssize_t n = recvmsg(g->fd, &message, 0);

	if (n < 0)
		return errno != EAGAIN;
	if (look_at_control(g, &message)) {
		struct address address = endpoint_get(&from);
		node_hailed(g->discovery->node, &address, datagram, (size_t)n);
	}
	return true;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
	struct discovery_group *g = w->data;

	for (int i = 0; i < HAIL_TURN; i++)
		if (!receive(g))
			return;
	// A flood of them costs no more than this.
	ev_io_stop(loop, &g->reading);
	ev_timer_set(&g->pause, (double)HAIL_PAUSE / SECOND, 0.);
	ev_timer_start(loop, &g->pause);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *w, int events)
{
	struct discovery_group *g = w->data;
	ev_io_start(loop, &g->reading);
}

// Interfaces.

static int change_membership(const struct discovery_group *g, int change, unsigned index)
{
	struct group_req request = { .gr_interface = index };
	union endpoint e;

	memcpy(&request.gr_group, &e, endpoint_set(&e, &g->address));
	return setsockopt(g->fd, level_of(g), change, &request, sizeof request);
}

static bool is_listed(
	const struct interface_address *list, size_t count, uint8_t family, unsigned index)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].index == index && list[i].address.family == family)
			return true;
	return false;
}

static bool has_joined(const struct discovery_group *g, unsigned index)
{
	for (size_t i = 0; i < g->joined_count; i++)
		if (g->joined[i] == index)
			return true;
	return false;
}

// Interfaces come and go, and a membership that outlives its interface counts until it is given up.
static void update_memberships(
	struct discovery_group *g, const struct interface_address *list, size_t count)
{
	uint8_t family = g->address.family;

	for (size_t i = g->joined_count; i-- > 0;) {
		if (is_listed(list, count, family, g->joined[i]))
			continue;
		change_membership(g, MCAST_LEAVE_GROUP, g->joined[i]);
		g->joined[i] = g->joined[--g->joined_count];
	}
	for (size_t i = 0; i < count; i++)
		if (list[i].address.family == family && !has_joined(g, list[i].index) &&
			change_membership(g, MCAST_JOIN_GROUP, list[i].index) == 0)
			g->joined[g->joined_count++] = list[i].index;
}

// Hailing.

// Through this interface, and from this address.
static void set_source(
	struct msghdr *message, union control *control, const struct interface_address *from)
{
	struct in6_pktinfo info_six = { .ipi6_ifindex = from->index };
	struct in_pktinfo info_four = { .ipi_ifindex = (int)from->index };
	bool six = from->address.family == 6;
	size_t n = six ? sizeof info_six : sizeof info_four;
	struct cmsghdr *c;

	memset(control, 0, sizeof *control);
	message->msg_control = control;
	message->msg_controllen = CMSG_SPACE(n);
	c = CMSG_FIRSTHDR(message);
	c->cmsg_level = six ? IPPROTO_IPV6 : IPPROTO_IP;
	c->cmsg_type = six ? IPV6_PKTINFO : IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(&info_six.ipi6_addr, from->address.bytes, 16);
	memcpy(&info_four.ipi_spec_dst, from->address.bytes, 4);
	memcpy(CMSG_DATA(c), six ? (const void *)&info_six : (const void *)&info_four, n);
}

static void hail_from(struct discovery_group *g, const struct interface_address *from)
{
	struct address address = from->address;
	uint8_t datagram[HAIL_BYTES];
	struct iovec part = { datagram, sizeof datagram };
	union control control;
	union endpoint to;
	struct msghdr message = { .msg_name = &to,
		.msg_namelen = endpoint_set(&to, &g->address),
		.msg_iov = &part,
		.msg_iovlen = 1 };

	address.port = g->discovery->listening.port;
	if (g->fd < 0 || node_hail(g->discovery->node, &address, datagram) < 0)
		return;
	set_source(&message, &control, from);
	// An interface without a way out is nothing to complain of: the next one may have it, and
	// there will be a next hail.
	sendmsg(g->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool is_listening(const struct discovery *d, const struct address *a)
{
	return d->listening.family == 0 || address_same_host(&d->listening, a);
}

static void hail(struct discovery *d)
{
	struct interface_address list[HAIL_ADDRESSES];
	size_t count = 0;
	size_t all = interface_list(list, HAIL_ADDRESSES, d->four.fd < 0 ? d->six.fd : d->four.fd);

	for (size_t i = 0; i < all; i++)
		if (is_listening(d, &list[i].address))
			list[count++] = list[i];
	update_memberships(&d->four, list, count);
	update_memberships(&d->six, list, count);
	for (size_t i = 0; i < count; i++)
		hail_from(list[i].address.family == 6 ? &d->six : &d->four, &list[i]);
}

static void on_due(struct ev_loop *loop, ev_timer *w, int events)
{
	// It only has to end the wait: discovery_turn() comes at the end of every turn.
}

void discovery_turn(struct discovery *d)
{
	uint64_t now, due;

	if (!d->node)
		return;
	if (node_hail_begin(d->node))
		hail(d);
	now = node_now(d->node);
	due = node_hail_due(d->node);
	if (ev_is_active(&d->timer) && due == d->due)
		return;
	d->due = due;
	ev_timer_stop(d->loop, &d->timer);
	if (due == UINT64_MAX)
		return;
	ev_timer_set(&d->timer, due > now ? (double)(due - now) / SECOND : 0., 0.);
	ev_timer_start(d->loop, &d->timer);
}

// Sockets.

static int set_option(const struct discovery_group *g, int level, int name, int value)
{
	return setsockopt(g->fd, level, name, &value, sizeof value);
}

// Several nodes of one machine share the port, and each gets what is sent to the group. What others
// on this machine have joined is no business of ours (the ALL); routers pass nothing on (a hop
// limit of 1).
static int set_options(const struct discovery_group *g)
{
	int r = set_option(g, SOL_SOCKET, SO_REUSEADDR, 1);

	if (r == 0)
		r = set_option(g, SOL_SOCKET, SO_RXQ_OVFL, 1);
	if (is_six(g)) {
		if (r == 0)
			r = set_option(g, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		if (r == 0)
			r = set_option(g, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
		if (r == 0)
			r = set_option(g, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1);
		if (r == 0)
			r = set_option(g, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
		return r;
	}
	if (r == 0)
		r = set_option(g, IPPROTO_IP, IP_MULTICAST_TTL, 1);
	if (r == 0)
		r = set_option(g, IPPROTO_IP, IP_MULTICAST_ALL, 0);
	return r;
}

static int open_group(struct discovery *d, struct discovery_group *g, const char *address)
{
	union endpoint e;
	int r;

	g->discovery = d;
	if (address_parse_host(&g->address, address, HAIL_PORT) < 0)
		return -EINVAL;
	struct address at = g->address;
	if (is_six(g))
		memset(at.bytes, 0, sizeof at.bytes);
	socklen_t size = endpoint_set(&e, &at);
	g->fd = socket(e.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (g->fd < 0)
		return -errno;
	r = set_options(g);
	if (r == 0)
		r = bind(g->fd, &e.any, size);
	if (r < 0) {
		r = -errno;
		close(g->fd);
		g->fd = -1;
		return r;
	}
	ev_io_init(&g->reading, on_readable, g->fd, EV_READ);
	ev_init(&g->pause, on_pause_over);
	g->reading.data = g->pause.data = g;
	ev_io_start(d->loop, &g->reading);
	return 0;
}

int discovery_start(struct discovery *d, struct ev_loop *loop, struct node *node,
	const struct address *listening)
{
	int four, six;

	*d = (struct discovery){ .loop = loop, .listening = *listening };
	four = open_group(d, &d->four, HAIL_GROUP_FOUR);
	six = open_group(d, &d->six, HAIL_GROUP_SIX);
	if (four < 0 && six < 0)
		return four;
	d->node = node;
	ev_init(&d->timer, on_due);
	return 0;
}

static void close_group(struct discovery *d, struct discovery_group *g)
{
	if (g->fd < 0)
		return;
	ev_io_stop(d->loop, &g->reading);
	ev_timer_stop(d->loop, &g->pause);
	close(g->fd);
	g->fd = -1;
}

void discovery_stop(struct discovery *d)
{
	if (!d->node)
		return;
	ev_timer_stop(d->loop, &d->timer);
	close_group(d, &d->four);
	close_group(d, &d->six);
	d->node = NULL;
}
