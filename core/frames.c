// SPDX-License-Identifier: MIT
// Every frame that arrives on a link goes through here to the module that it is for.
#include <errno.h>

#include "core/handshake.h"
#include "core/node_inner.h"

static int goodbye(struct node *node, struct link *link, const uint8_t *p, size_t n)
{
	struct frame_goodbye f;
	int r = wire_get_goodbye(p, n, &f);
	if (r < 0)
		return r;
	if (link->state == LINK_STATE_CLOSING) {
		link_kill(link, f.reason); // both have said it
		return 0;
	}
	// Whoever came and did not prove anything is worth an event, however it ends.
	bool stranger = !link->proven && !link->outgoing;
	if (!link_up(link) && (stranger || goodbye_refuses(f.reason)))
		handshake_report(link, f.reason, " by=peer");
	// A stranger may say that it does not want us, and no more.
	if (link->proven) {
		overlay_peers(node, f.contacts, f.count);
		if (f.reason == GOODBYE_FULL && f.count && link->dial &&
			link->dial->purpose == DIAL_MERGE)
			component_redirected(node, f.contacts, f.count);
		if (f.reason == GOODBYE_DROPPED || f.reason == GOODBYE_DENIED)
			overlay_hold(node, link);
		if (f.reason == GOODBYE_CLASH)
			node_clash_hint(node);
	}
	link_kill(link, f.reason);
	return 0;
}

static int pong(struct node *node, struct link *link, const uint8_t *p, size_t n)
{
	uint64_t token;
	int r = wire_get_ping(p, n, &token);
	if (r < 0 || link->ping_sent == 0 || token != link->ping_sent)
		return r;
	uint64_t sample = node->now - token;
	sample = sample ? sample : 1;
	// RFC 6298's gain.
	link->rtt = link->rtt ? link->rtt - link->rtt / 8 + sample / 8 : sample;
	link->ping_sent = 0;
	link_wake(link, link->ping_next);
	return 0;
}

static int ping(struct link *link, const uint8_t *p, size_t n)
{
	uint64_t token;
	int r = wire_get_ping(p, n, &token);
	if (r < 0)
		return r;
	wire_put_ping(&link->control, FRAME_PONG, token);
	link_touch(link);
	return 0;
}

#define DECODE(kind)                       \
	struct frame_##kind f;             \
	int r = wire_get_##kind(p, n, &f); \
	if (r < 0)                         \
		return r;

static int on_peers(struct node *node, struct link *link, const uint8_t *p, size_t n)
{
	DECODE(peers)
	overlay_peers(node, f.contacts, f.count);
	if (f.ask)
		overlay_asked(node, link);
	return 0;
}

static int on_rewire(struct node *node, struct link *link, const uint8_t *p, size_t n)
{
	DECODE(rewire)
	overlay_rewire(node, link, &f);
	return 0;
}

static int on_frontier(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(frontier)
	return broadcast_frontier(link, &f);
}

static int on_pull(struct link *link, const uint8_t *p, size_t n)
{
	struct frame_position f;
	int r = wire_get_pull(p, n, &f);
	return r < 0 ? r : broadcast_pull(link, &f);
}

static int on_trimmed(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(trimmed)
	return broadcast_trimmed(link, &f);
}

static int on_prune(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(prune)
	plumtree_prune(link, &f);
	return 0;
}

static int on_digest(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(digest)
	plumtree_digest(link, &f);
	return 0;
}

static int on_tree(struct link *link, const uint8_t *p, size_t n)
{
	bool eager;
	int r = wire_get_tree(p, n, &eager);
	if (r == 0)
		plumtree_frame(link, eager);
	return r;
}

static int on_batch(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(batch)
	return broadcast_batch(link, &f);
}

static int on_chunk(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(chunk)
	return broadcast_chunk(link, &f);
}

static int on_credit(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(credit)
	return broadcast_credited(link, &f);
}

static int on_stall(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(stall)
	stall_heard(link, &f);
	return 0;
}

static int on_stream(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(stream)
	if (f.channel != 0)
		return pipes_receive(link, &f);
	r = stream_receive(link->stream, f.data, f.bytes);
	if (r == -ENOMEM)
		link_kill(link, GOODBYE_MEMORY);
	return r == -EPROTO ? r : 0;
}

static int on_stream_credit(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(stream_credit)
	if (f.channel != 0)
		return pipes_granted(link, &f);
	r = stream_granted(link->stream, f.offset);
	link_touch(link);
	return r;
}

static int on_announce(struct node *node, struct link *link, const uint8_t *p, size_t n)
{
	DECODE(announce)
	return announce_receive(node, link, &f);
}

static int on_demote(struct link *link, const uint8_t *p, size_t n)
{
	uint8_t reason;
	int r = wire_get_demote(p, n, &reason);
	return r < 0 ? r : direct_demoted(link, reason);
}

static int on_promote(struct link *link, const uint8_t *p, size_t n)
{
	enum promote what;
	int r = wire_get_promote(p, n, &what);
	return r < 0 ? r : direct_promoted(link, what);
}

static int on_idle(struct link *link, const uint8_t *p, size_t n)
{
	bool idle;
	int r = wire_get_idle(p, n, &idle);
	return r < 0 ? r : direct_idle(link, idle);
}

static int on_pipe(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(pipe)
	return pipes_declared(link, &f);
}

static int on_pipe_close(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(pipe_close)
	return pipes_closed(link, &f);
}

static int on_pipe_end(struct link *link, uint8_t type, const uint8_t *p, size_t n)
{
	uint16_t channel;
	int r = wire_get_channel(p, n, &channel);
	if (r < 0)
		return r;
	return type == FRAME_PIPE_END ? pipes_ended(link, channel) : pipes_freed(link, channel);
}

// Streams and pipes, and what a link is for: on every link.
static int frame_direct(
	struct node *node, struct link *link, uint8_t type, const uint8_t *p, size_t n)
{
	switch (type) {
	case FRAME_PING:
		return ping(link, p, n);
	case FRAME_PONG:
		return pong(node, link, p, n);
	case FRAME_STREAM:
		return on_stream(link, p, n);
	case FRAME_STREAM_CREDIT:
		return on_stream_credit(link, p, n);
	case FRAME_PIPE:
		return on_pipe(link, p, n);
	case FRAME_PIPE_END:
	case FRAME_PIPE_FREE:
		return on_pipe_end(link, type, p, n);
	case FRAME_PIPE_CLOSE:
		return on_pipe_close(link, p, n);
	case FRAME_DEMOTE:
		return on_demote(link, p, n);
	case FRAME_PROMOTE:
		return on_promote(link, p, n);
	case FRAME_IDLE:
		return on_idle(link, p, n);
	}
	return 1;
}

static int frame_overlay(
	struct node *node, struct link *link, uint8_t type, const uint8_t *p, size_t n)
{
	switch (type) {
	case FRAME_PEERS:
		return on_peers(node, link, p, n);
	case FRAME_REWIRE:
		return on_rewire(node, link, p, n);
	case FRAME_FRONTIER:
		return on_frontier(link, p, n);
	case FRAME_PULL:
		return on_pull(link, p, n);
	case FRAME_TRIMMED:
		return on_trimmed(link, p, n);
	case FRAME_PRUNE:
		return on_prune(link, p, n);
	case FRAME_DIGEST:
		return on_digest(link, p, n);
	case FRAME_TREE:
		return on_tree(link, p, n);
	case FRAME_BATCH:
		return on_batch(link, p, n);
	case FRAME_CHUNK:
		return on_chunk(link, p, n);
	case FRAME_CREDIT:
		return on_credit(link, p, n);
	case FRAME_STALL:
		return on_stall(link, p, n);
	case FRAME_ANNOUNCE:
		return on_announce(node, link, p, n);
	}
	return 1;
}

// Of a newer version: skipped, and said once.
static int unknown(struct node *node, struct link *link, uint8_t type)
{
	node->counters.frames_unknown++;
	if (!link->unknown_reported)
		NODE_EVENT(node, "refused", "id=%s addr=%s reason=unknown-frame type=%u",
			id_format(&link->id).text, address_format(&link->remote).text, type);
	link->unknown_reported = true;
	return 0;
}

static bool is_of_broadcast(uint8_t type)
{
	return (type >= FRAME_PEERS && type <= FRAME_CREDIT) || type == FRAME_ANNOUNCE ||
	       type == FRAME_PRUNE || type == FRAME_DIGEST || type == FRAME_TREE ||
	       type == FRAME_STALL;
}

static int frame_up(struct node *node, struct link *link, uint8_t type, const uint8_t *p, size_t n)
{
	int r = frame_direct(node, link, type, p, n);

	if (r <= 0)
		return r;
	if (type == FRAME_HELLO || type == FRAME_ACCEPT || type == FRAME_PROOF)
		return -EPROTO;
	// What was on its way when the link was demoted here is no fault of the peer's.
	if (link->direct && is_of_broadcast(type))
		return link->parting ? 0 : -EPROTO;
	r = frame_overlay(node, link, type, p, n);
	return r <= 0 ? r : unknown(node, link, type);
}

static int on_hello(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(hello)
	return handshake_hello(link, &f);
}

static int on_proof(struct link *link, const uint8_t *p, size_t n)
{
	DECODE(proof)
	return handshake_proof(link, &f);
}

static int dispatch(struct node *node, struct link *link, uint8_t type, const uint8_t *p, size_t n)
{
	if (type == FRAME_GOODBYE)
		return goodbye(node, link, p, n);
	if (link->state == LINK_STATE_CLOSING)
		return 0;
	if (link_up(link))
		return frame_up(node, link, type, p, n);
	if (link->state == LINK_STATE_PROVING && type == FRAME_PROOF)
		return on_proof(link, p, n);
	if (link->state == LINK_STATE_GREETING && type == FRAME_HELLO)
		return on_hello(link, p, n);
	if (link->state != LINK_STATE_WAITING || type != FRAME_ACCEPT || n > 0)
		return -EPROTO;
	handshake_accepted(link);
	return 0;
}

int node_frame(struct node *node, struct link *link, uint8_t type, const uint8_t *p, size_t n)
{
	int r = dispatch(node, link, type, p, n);
	if (r == 0)
		link_check(link);
	return r;
}
