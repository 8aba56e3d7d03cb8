// SPDX-License-Identifier: MIT
// A link's life: bytes in to frames, frames to bytes out, pings, and its end.
#include "core/link.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/handshake.h"
#include "core/mutant.h"
#include "core/node_inner.h"

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct link *link_new(struct node *node, const struct address *remote, bool outgoing)
{
	struct link *link = calloc(1, sizeof *link);
	if (!link || channel_init(&link->channel, node->channels, outgoing) < 0) {
		free(link);
		return NULL;
	}
	link->node = node;
	link->serial = ++node->last_serial;
	link->remote = *remote;
	link->outgoing = outgoing;
	link->created = link->heard = node->now;
	link->state = outgoing ? LINK_STATE_DIALLING : LINK_STATE_SECURING;
	link->deadline = node->now + (outgoing ? DIAL_TIMEOUT : HANDSHAKE_TIMEOUT);
	DL_APPEND(node->links, link);
	node->link_count++;
	link_wake(link, link->deadline);
	return link;
}

void link_free(struct link *link)
{
	struct node *node = link->node;
	assert(link->state == LINK_STATE_DEAD);
	if (link->output_queued)
		DL_DELETE2(node->output, link, output_prev, output_next);
	if (link->apart)
		DL_DELETE(node->directs, link);
	else
		DL_DELETE(node->links, link);
	node->link_count--;
	lane_free_all(link);
	channel_fini(&link->channel);
	buffer_fini(&link->in);
	buffer_fini(&link->control);
	buffer_fini(&link->wire);
	if (link->stream)
		stream_unref(link->stream);
	free(link);
}

struct link *link_first(const struct node *node)
{
	return node->links ? node->links : node->directs;
}

struct link *link_after(const struct link *link)
{
	return link->next || link->apart ? link->next : link->node->directs;
}

void link_wake(struct link *link, uint64_t at)
{
	link->node->links_due = earlier(link->node->links_due, at);
}

void link_touch(struct link *link)
{
	// What is said to everybody is not looked at where it is written.
	if (buffer_failed(&link->control) || buffer_length(&link->control) > CONTROL_BYTES)
		link_wake(link, link->node->now);
	if (link->output_queued || link->state == LINK_STATE_DEAD)
		return;
	link->output_queued = true;
	DL_APPEND2(link->node->output, link, output_prev, output_next);
}

void link_check(struct link *link)
{
	if (buffer_failed(&link->control) || buffer_failed(&link->wire))
		link_kill(link, GOODBYE_MEMORY);
	else if (buffer_length(&link->control) > CONTROL_BYTES)
		link_kill(link, GOODBYE_SLOW);
}

// What a user is told of a dial that ended for this reason.
static int reason_error(enum goodbye reason)
{
	switch (reason) {
	case GOODBYE_DUPLICATE:
	case GOODBYE_SELF:
		return -EEXIST;
	case GOODBYE_FULL:
	case GOODBYE_SURPLUS:
		return -EUSERS;
	case GOODBYE_TIMEOUT:
		return -ETIMEDOUT;
	case GOODBYE_MEMORY:
		return -ENOMEM;
	case GOODBYE_PROTOCOL:
	case GOODBYE_VERSION:
	case GOODBYE_CLASH:
	case GOODBYE_MEMBERSHIP:
	case GOODBYE_DENIED:
	case GOODBYE_TLS:
	case GOODBYE_SIGNATURE:
		return -EACCES;
	case GOODBYE_SHUTDOWN:
	case GOODBYE_REPLACED:
	case GOODBYE_DROPPED:
	case GOODBYE_SLOW:
	case GOODBYE_DONE:
	case GOODBYE_LOST:
	case GOODBYE_RESTARTED:
	case GOODBYE_FLOOD:
		break;
	}
	return -ECONNREFUSED;
}

// Takes the link out of service; what is left is the farewell.
static void end(struct link *link, enum goodbye reason)
{
	struct node *node = link->node;
	struct dial *dial = link->dial;
	bool was_up = link_up(link);

	link->state = LINK_STATE_CLOSING;
	link->deadline = node->now + FAREWELL_TIME;
	link_wake(link, link->deadline);
	node->overlay.next = 0;
	if (was_up)
		node_dispatch_down(node, link, reason);
	link->dial = NULL;
	if (dial)
		dial_failed(node, dial, reason_error(reason));
}

static void close_with(struct link *link, const struct frame_goodbye *f)
{
	if (link->state == LINK_STATE_CLOSING || link->state == LINK_STATE_DEAD)
		return;
	if (link->state == LINK_STATE_DIALLING) {
		link_kill(link, f->reason);
		return;
	}
	end(link, f->reason);
	if (link->channel.open)
		wire_put_goodbye(&link->control, f);
	else if (buffer_length(&link->wire) == 0)
		link_kill(link, f->reason);
	link_touch(link);
	link_check(link);
}

void link_close(struct link *link, enum goodbye reason)
{
	close_with(link, &(struct frame_goodbye){ .reason = (uint8_t)reason });
}

void link_redirect(struct link *link)
{
	struct frame_goodbye f = { .reason = GOODBYE_FULL };
	f.count = overlay_others(link->node, link, f.contacts);
	close_with(link, &f);
}

void link_kill(struct link *link, enum goodbye reason)
{
	if (link->state == LINK_STATE_DEAD)
		return;
	if (link->state != LINK_STATE_CLOSING)
		end(link, reason);
	link->state = LINK_STATE_DEAD;
	link->node->dead_links = true;
}

// Somebody talks nonsense: one event, whatever the state.
static void malformed(struct link *link)
{
	struct node *node = link->node;
	node->counters.frames_malformed++;
	if (link->state == LINK_STATE_CLOSING)
		link_kill(link, GOODBYE_PROTOCOL);
	else if (link_up(link))
		link_close(link, GOODBYE_PROTOCOL);
	else
		handshake_refuse(link, GOODBYE_PROTOCOL);
}

// Not TLS as it should be, or damaged on the way.
static void insecure(struct link *link)
{
	if (link->state == LINK_STATE_CLOSING)
		link_kill(link, GOODBYE_TLS);
	else if (link_up(link))
		link_close(link, GOODBYE_TLS);
	else
		handshake_refuse(link, GOODBYE_TLS);
}

static size_t frame_limit(const struct link *link)
{
	// The last frames before the peer has seen our goodbye are of any size.
	return link_up(link) || link->state == LINK_STATE_CLOSING ? FRAME_MAX : FRAME_MAX_EARLY;
}

void link_read(struct link *link)
{
	while (link->state != LINK_STATE_DEAD) {
		uint8_t type = 0;
		const uint8_t *frame = buffer_bytes(&link->in);
		int64_t length =
			wire_next(frame, buffer_length(&link->in), frame_limit(link), &type);
		if (length == 0)
			break;
		if (length < 0 || node_frame(link->node, link, type, frame + FRAME_HEADER,
					  (size_t)length - FRAME_HEADER) < 0) {
			malformed(link);
			break;
		}
		buffer_consume(&link->in, (size_t)length);
	}
}

void link_receive(struct link *link, const uint8_t *bytes, size_t n)
{
	link->heard = link->node->now;
	link->pardoned = false;
	if (link->state == LINK_STATE_DEAD)
		return;
	int r = channel_open(&link->channel, bytes, n, &link->in, &link->wire);
	if (buffer_length(&link->wire))
		link_touch(link);
	if (r == -ENOMEM) {
		link_kill(link, GOODBYE_MEMORY);
		return;
	}
	if (link->channel.open && link->state == LINK_STATE_SECURING)
		handshake_secured(link);
	// What came whole before the damage counts.
	link_read(link);
	if (r < 0 && link->state != LINK_STATE_DEAD)
		insecure(link);
	buffer_shrink(&link->in, 256 * KIB);
}

int link_permit(struct link *link, uint8_t permit[DIGEST_BYTES])
{
	static const char tag[] = "smokefs/1 permit";
	const struct public_key *own = &link->node->config.identity->public_key;
	uint8_t text[sizeof tag + EXPORTER_BYTES];
	struct session_binding binding;

	if (channel_binding(&link->channel, own, &binding) < 0)
		return -ENOMEM;
	memcpy(text, tag, sizeof tag);
	memcpy(text + sizeof tag, binding.exporter, EXPORTER_BYTES);
	int r = digest(text, sizeof text, permit);
	OPENSSL_cleanse(text, sizeof text);
	OPENSSL_cleanse(&binding, sizeof binding);
	return r;
}

// One frame of the direct stream, and credit for the other direction.
static bool stream_frame(struct link *link)
{
	const uint8_t *bytes;
	size_t n = stream_output(link->stream, CHUNK_BYTES, &bytes);
	if (n == 0)
		return false;
	wire_put_stream(&link->control, 0, bytes, n);
	stream_sent(link->stream, n);
	return true;
}

// Stream, pipes and broadcast take turns, frame by frame, so that none starves.
static bool data_frame(struct link *link)
{
	static bool (*const kinds[])(
		struct link * link) = { stream_frame, pipes_output, lane_output };
	static const uint8_t count = sizeof kinds / sizeof *kinds;

	for (uint8_t i = 0; i < count; i++) {
		link->turn = (link->turn + 1) % count;
		if (kinds[link->turn](link))
			return true;
	}
	return false;
}

static void fill(struct link *link)
{
	if (link_up(link)) {
		lane_answer(link);
		lane_credit(link);
		pipes_credit(link);
		uint64_t grant = stream_grant(link->stream);
		if (grant)
			wire_put_stream_credit(&link->control, 0, grant);
		while (buffer_length(&link->control) < OUTPUT_BYTES && data_frame(link))
			;
	}
	if (buffer_length(&link->control) && link->channel.open &&
		channel_seal(&link->channel, &link->control, &link->wire) < 0)
		link_kill(link, GOODBYE_MEMORY);
	else
		link_check(link);
}

size_t link_output(struct link *link, const uint8_t **bytes)
{
	if (link->state == LINK_STATE_DIALLING || link->state == LINK_STATE_DEAD)
		return 0;
	if (buffer_length(&link->wire) == 0)
		fill(link);
	if (link->state == LINK_STATE_DEAD)
		return 0;
	*bytes = buffer_bytes(&link->wire);
	return buffer_length(&link->wire);
}

void link_sent(struct link *link, size_t n)
{
	buffer_consume(&link->wire, n);
	// Nobody to wait for: this one does not know what a goodbye is.
	if (link->state == LINK_STATE_CLOSING && !link->channel.open && !buffer_length(&link->wire))
		link_kill(link, GOODBYE_TLS);
	buffer_shrink(&link->wire, 2 * OUTPUT_BYTES);
	buffer_shrink(&link->control, 2 * OUTPUT_BYTES);
}

// What was large enough for something large is kept until there is a pause.
static void rest(struct link *link)
{
	buffer_shrink(&link->in, 0);
	buffer_shrink(&link->wire, 0);
	buffer_shrink(&link->control, 0);
}

static uint64_t ping(struct link *link)
{
	struct node *node = link->node;
	uint64_t timeout = node->config.ping_timeout;
	uint64_t interval = earlier(timeout / 4, PING_INTERVAL_MAX);

	if (link->ping_sent) {
		uint64_t alive = link->heard > link->ping_sent ? link->heard : link->ping_sent;
		if (node->now >= alive + timeout && !MUTANT(patient)) {
			node->counters.links_timed_out++;
			link_kill(link, GOODBYE_TIMEOUT);
			return UINT64_MAX;
		}
		return alive + timeout;
	}
	if (node->now >= link->ping_next) {
		link->ping_sent = node->now;
		link->ping_next = node->now + interval;
		rest(link);
		wire_put_ping(&link->control, FRAME_PING, node->now);
		link_touch(link);
		return node->now + timeout;
	}
	return link->ping_next;
}

uint64_t link_tick(struct link *link)
{
	struct node *node = link->node;

	if (link->state == LINK_STATE_DEAD)
		return UINT64_MAX;
	if (link_up(link)) {
		link_check(link);
		return link_up(link) ? ping(link) : UINT64_MAX;
	}
	if (node->now < link->deadline)
		return link->deadline;
	if (link->state != LINK_STATE_CLOSING) {
		node->counters.links_timed_out++;
		if (!link->outgoing)
			handshake_report(link, GOODBYE_TIMEOUT, "");
	}
	link_kill(link, GOODBYE_TIMEOUT);
	return UINT64_MAX;
}

void link_foreign(struct link *link)
{
	if (!link->foreign_reported)
		NODE_EVENT(link->node, "refused", "id=%s addr=%s reason=%s by=signature",
			id_format(&link->id).text, address_format(&link->remote).text,
			goodbye_name(GOODBYE_MEMBERSHIP));
	link->foreign_reported = true;
}

void link_forgive(struct link *link)
{
	uint64_t now = link->node->now;
	link->heard = now;
	// What is unanswered was asked before: another ping decides.
	link->ping_sent = 0;
	link->ping_next = now;
	for (uint32_t i = 0; i < link->lane_count; i++)
		if (link->lanes[i] && link->lanes[i]->blocked)
			link->lanes[i]->blocked = now;
	if (link->state != LINK_STATE_UP && link->state != LINK_STATE_CLOSING)
		link->deadline = now + HANDSHAKE_TIMEOUT;
	link_wake(link, now);
}

void link_pardon(struct link *link, uint64_t late)
{
	uint64_t now = link->node->now;
	uint64_t alive = link->heard > link->ping_sent ? link->heard : link->ping_sent;
	// And, once in a silence, time enough to look at what has come meanwhile.
	link->heard = earlier(now, alive + late + (link->pardoned ? 0 : LOOP_LATE));
	link->pardoned = true;
}

bool link_in_use(const struct link *link)
{
	const struct stream *s = link->stream;
	return s && (s->handles > 0 || stream_unread(s) > 0 || stream_unacknowledged(s) > 0 ||
			    pipes_in_use(link));
}

struct contact link_contact(const struct link *link)
{
	return (struct contact){ .id = link->id, .address = link->address };
}
