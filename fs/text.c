// SPDX-License-Identifier: MIT
// What the small text files say: one value and a newline, or lines of `key value`.
#include "fs/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "fs/handle.h"

void text_print(struct buffer *out, const char *format, ...)
{
	char line[TEXT_LINE];
	va_list arguments;

	va_start(arguments, format);
	int n = vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	buffer_append(out, line, n < TEXT_LINE ? (size_t)n : TEXT_LINE - 1);
}

static int finish(const struct buffer *out)
{
	return buffer_failed(out) ? -ENOMEM : 0;
}

static const char *or_dash(const char *value)
{
	return *value ? value : "-";
}

static void print_node(struct buffer *out, const struct node *node)
{
	const struct node_config *config = node_config(node);

	text_print(out, "id %s\n", id_format(node_id(node)).text);
	text_print(out, "name %s\n", or_dash(config->name));
	text_print(out, "address %s\n", address_format(&config->address).text);
	text_print(out, "version %s\n", SMOKEFS_VERSION);
	text_print(out, "pid %d\n", (int)getpid());
	text_print(out, "peers %zu\n", node_peer_count(node));
	text_print(out, "direct_links %zu\n", node_direct_count(node));
	text_print(out, "min_peers %" PRIu32 "\n", config->min_peers);
	text_print(out, "max_peers %" PRIu32 "\n", config->max_peers);
	text_print(out, "members %zu\n", node_member_count(node));
	text_print(out, "topics %zu\n", node_topic_count(node));
	text_print(out, "component %s\n", id_format(node_component(node)).text);
	text_print(out, "component_beacons %" PRIu64 "\n", node_component_beacons(node));
	text_print(out, "discovery %s\n", config->discovery ? "on" : "off");
	text_print(out, "uptime %" PRIu64 "\n", (node_now(node) - node_started(node)) / SECOND);
}

static void print_handles(struct buffer *out, const struct handles *handles)
{
	text_print(out, "handles %" PRIu32 "\n", handles->count);
	text_print(out, "parked_reads %" PRIu32 "\n", handles->calls.reads);
	text_print(out, "parked_writes %" PRIu32 "\n", handles->calls.writes);
	text_print(out, "parked_opens %" PRIu32 "\n", handles->calls.opens);
	text_print(out, "parked_bytes %zu\n", handles->calls.bytes);
	text_print(out, "parked_refused %" PRIu64 "\n", handles->calls.refused);
}

int text_status(struct buffer *out, const struct text_context *context)
{
	const struct node_counters *counters = node_counters(context->node);
	const struct log *log = node_log(context->node);

	print_node(out, context->node);
	print_handles(out, context->handles);
	text_print(out, "log_bytes %zu\n", log->bytes);
	text_print(out, "log_held %zu\n", log->held);
	text_print(out, "history_bytes %zu\n", node_history(context->node)->bytes);
	text_print(out, "history_lost %" PRIu64 "\n", node_history(context->node)->lost);
	text_print(out, "events_lost %" PRIu64 "\n", node_events(context->node)->lost);
#define X(name) text_print(out, #name " %" PRIu64 "\n", counters->name);
	NODE_COUNTERS(X)
#undef X
	return finish(out);
}

int text_id(struct buffer *out, const struct text_context *context)
{
	text_print(out, "%s\n", id_format(node_id(context->node)).text);
	return finish(out);
}

int text_version(struct buffer *out, const struct text_context *context)
{
	text_print(out, "%s\n", SMOKEFS_VERSION);
	return finish(out);
}

int text_peer_address(struct buffer *out, const struct text_context *context)
{
	struct peer peer;

	if (!node_find_peer(context->node, context->serial, &peer))
		return -ESTALE;
	text_print(out, "%s\n", address_format(&peer.address).text);
	return finish(out);
}

int text_peer_name(struct buffer *out, const struct text_context *context)
{
	struct peer peer;

	if (!node_find_peer(context->node, context->serial, &peer))
		return -ESTALE;
	text_print(out, "%s\n", peer.name);
	return finish(out);
}

// RFC 3339, UTC, milliseconds.
static void print_time(struct buffer *out, const char *key, uint64_t wall)
{
	time_t seconds = (time_t)(wall / SECOND);
	char day[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
	text_print(out, "%s %s.%03uZ\n", key, day, (unsigned)(wall % SECOND / MILLISECOND));
}

// Milliseconds.
static void print_duration(struct buffer *out, const char *key, uint64_t microseconds)
{
	if (microseconds == 0)
		text_print(out, "%s -\n", key);
	else
		text_print(out, "%s %" PRIu64 ".%03u\n", key, microseconds / MILLISECOND,
			(unsigned)(microseconds % MILLISECOND));
}

int text_peer_status(struct buffer *out, const struct text_context *context)
{
	struct peer peer;

	if (!node_find_peer(context->node, context->serial, &peer))
		return -ESTALE;
	text_print(out, "kind %s\n", !peer.linked ? "member" : peer.direct ? "direct" : "overlay");
	if (!peer.linked)
		return finish(out);
	text_print(out, "direction %s\n", peer.outgoing ? "out" : "in");
	print_time(out, "since", peer.since_wall);
	print_duration(out, "rtt", peer.rtt);
	text_print(out, "bytes_in %" PRIu64 "\n", peer.bytes_in);
	text_print(out, "bytes_out %" PRIu64 "\n", peer.bytes_out);
	text_print(out, "queued %" PRIu64 "\n", peer.queued);
	text_print(out, "credits %" PRIu64 "\n", peer.stream_credit);
	return finish(out);
}
