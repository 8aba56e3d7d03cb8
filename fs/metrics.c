// SPDX-License-Identifier: MIT
// The file `metrics`: the numbers of `status` and of the peers in Prometheus's text format, version
// 0.0.4. What is counted, and what it means, is theirs who count.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/handle.h"
#include "fs/text.h"

struct label {
	char text[2 * NAME_MAX_LENGTH + 1];
};

static struct label escape(const char *value)
{
	struct label out;
	size_t n = 0;

	for (; *value && n + 2 < sizeof out.text; value++) {
		if (*value == '\\' || *value == '"' || *value == '\n')
			out.text[n++] = '\\';
		out.text[n++] = *value == '\n' ? 'n' : *value;
	}
	out.text[n] = '\0';
	return out;
}

static void head(struct buffer *out, const char *name, const char *type, const char *help)
{
	text_print(out, "# HELP smokefs_%s %s\n# TYPE smokefs_%s %s\n", name, help, name, type);
}

static void gauge(struct buffer *out, const char *name, uint64_t value, const char *help)
{
	head(out, name, "gauge", help);
	text_print(out, "smokefs_%s %" PRIu64 "\n", name, value);
}

static void seconds(struct buffer *out, const char *name, uint64_t microseconds, const char *help)
{
	head(out, name, "gauge", help);
	text_print(out, "smokefs_%s %" PRIu64 ".%06" PRIu64 "\n", name, microseconds / SECOND,
		microseconds % SECOND);
}

static void counter(struct buffer *out, const char *name, uint64_t value, const char *help)
{
	char full[64];

	snprintf(full, sizeof full, "%s_total", name);
	head(out, full, "counter", help);
	text_print(out, "smokefs_%s %" PRIu64 "\n", full, value);
}

static void add_node(struct buffer *out, const struct node *node)
{
	const struct node_config *c = node_config(node);

	head(out, "info", "gauge", "The node; always 1.");
	text_print(out, "smokefs_info{id=\"%s\",name=\"%s\",version=\"%s\",address=\"%s\"} 1\n",
		id_format(node_id(node)).text, escape(c->name).text, SMOKEFS_VERSION,
		address_format(&c->address).text);
	head(out, "component_info", "gauge",
		"The lowest id of those whom this node can reach; always 1.");
	text_print(out, "smokefs_component_info{component=\"%s\"} 1\n",
		id_format(node_component(node)).text);
	gauge(out, "component_beacons", node_component_beacons(node),
		"Number of the latest beacon of the component.");
	gauge(out, "pid", (uint64_t)getpid(), "Process of the daemon.");
	seconds(out, "uptime_seconds", node_now(node) - node_started(node), "Age of the node.");
	gauge(out, "peers", node_peer_count(node), "Direct peers now.");
	gauge(out, "direct_links", node_direct_count(node), "Links now that do not count.");
	gauge(out, "members", node_member_count(node), "Nodes of the network, with this one, now.");
	gauge(out, "discovery", c->discovery, "1: looks for others on the local network.");
}

static void add_settings(struct buffer *out, const struct node *node)
{
	const struct node_config *c = node_config(node);

	gauge(out, "min_peers", c->min_peers, "Setting: looks for more peers below this.");
	gauge(out, "max_peers", c->max_peers, "Setting: keeps no more peers; 0: no limit.");
	seconds(out, "ping_timeout_seconds", c->ping_timeout, "Setting: silence of a lost peer.");
	seconds(out, "stall_timeout_seconds", c->stall_timeout,
		"Setting: patience with a reader that holds others up.");
	gauge(out, "min_rate_bytes_per_second", c->min_rate,
		"Setting: rate of a reader that does not.");
}

static void add_files(struct buffer *out, const struct text_context *context)
{
	const struct handles *handles = context->handles;
	const struct calls *calls = &handles->calls;
	const struct log *log = node_log(context->node);

	gauge(out, "handles", handles->count, "Files of the mount that are open now.");
	gauge(out, "parked_reads", calls->reads, "Reads that wait now.");
	gauge(out, "parked_writes", calls->writes, "Writes that wait now.");
	gauge(out, "parked_opens", calls->opens, "Opens that wait now.");
	gauge(out, "parked_bytes", calls->bytes, "Bytes of the writes that wait now.");
	counter(out, "parked_refused", calls->refused, "Calls refused with ENOBUFS.");
	gauge(out, "log_bytes", log->bytes, "Bytes of messages kept now.");
	gauge(out, "log_held_bytes", log->held, "Those that a reader or a link still needs.");
	gauge(out, "topics", node_topic_count(context->node), "Topics that are joined now.");
	gauge(out, "history_bytes", node_history(context->node)->bytes,
		"Bytes of messages that the file messages shows now.");
	counter(out, "history_lost", node_history(context->node)->lost,
		"Messages for which that file had no memory.");
	counter(out, "events_lost", node_events(context->node)->lost, "Events without memory.");
}

// Where the unit is not at its end already, a metric has another name than its counter.
static const struct {
	const char *counter;
	const char *help;
	const char *metric; // NULL: the same
} helps[] = {
	{ "messages_published", "Messages written here." },
	{ "messages_received", "Messages of others, each once." },
	{ "batches_duplicate", "Copies of batches beyond the first." },
	{ "batches_foreign", "Batches signed for another network." },
	{ "messages_lost", "Own messages trimmed before any peer took them." },
	{ "messages_missed", "Messages of others in gaps." },
	{ "messages_filtered", "Messages of others, of topics that are not joined here." },
	{ "messages_overrun", "Messages skipped by readers here that were too slow." },
	{ "bytes_discarded", "Cut off messages by O_DIRECT reads.", "discarded_bytes" },
	{ "stream_bytes_lost", "On streams whose peer went.", "stream_lost_bytes" },
	{ "pipe_bytes_lost", "On pipes whose peer went, or that were removed.", "pipe_lost_bytes" },
	{ "pipes_refused", "Pipes without room, here or there." },
	{ "frames_malformed", "Frames that broke the protocol." },
	{ "frames_unknown", "Frames of types that this version does not know." },
	{ "signatures_bad", "Wrong signatures and hashes." },
	{ "links_refused", "Links refused." },
	{ "links_timed_out", "Links ended because the other end was silent." },
	{ "links_slow", "Links ended because the other end held others up." },
	{ "guards_ended", "Neighbours that messages were kept for, and are not any more." },
	{ "accepts_refused", "Connections above the bound on links." },
	{ "accepts_failed", "Connections without a descriptor." },
	{ "dials_failed", "Dials without success." },
	{ "announcements_dropped", "News of unknown, stale or too many nodes." },
	{ "sources_refused", "Sources of messages above the bound." },
	{ "claims_dropped", "Words of peers about messages, above the bound." },
	{ "calls_dropped", "Wishes of nodes to be dialled, above the bound." },
	{ "claims_unserved", "Messages that a peer said it had and did not send." },
	{ "hails_sent", "Datagrams of discovery sent." },
	{ "hails_heard", "Datagrams of discovery of others, each once." },
	{ "hails_foreign", "Datagrams of discovery of other networks." },
	{ "hails_refused", "Datagrams of discovery that were damaged or forged." },
	{ "hails_dropped", "Datagrams of discovery heard before, or too many." },
};

static void add_counter(struct buffer *out, const char *name, uint64_t value)
{
	size_t i = 0;

	while (i < sizeof helps / sizeof *helps && strcmp(helps[i].counter, name) != 0)
		i++;
	if (i == sizeof helps / sizeof *helps)
		counter(out, name, value, "See smokefs(1).");
	else
		counter(out, helps[i].metric ? helps[i].metric : name, value, helps[i].help);
}

// Lines of one metric have to stand together: each has a buffer, and the peers are gone through
// once.
enum { PEER_RECEIVED, PEER_SENT, PEER_RTT, PEER_QUEUED, PEER_METRICS };

static void add_peer(struct buffer outs[PEER_METRICS], const struct peer *peer)
{
	struct label name = escape(peer->name);
	char labels[TEXT_LINE / 2];

	snprintf(labels, sizeof labels, "{peer=\"%s\",name=\"%s\"}", id_format(&peer->id).text,
		name.text);
	text_print(&outs[PEER_RECEIVED], "smokefs_peer_received_bytes_total%s %" PRIu64 "\n",
		labels, peer->bytes_in);
	text_print(&outs[PEER_SENT], "smokefs_peer_sent_bytes_total%s %" PRIu64 "\n", labels,
		peer->bytes_out);
	if (peer->rtt)
		text_print(&outs[PEER_RTT],
			"smokefs_peer_rtt_seconds%s %" PRIu64 ".%06" PRIu64 "\n", labels,
			peer->rtt / SECOND, peer->rtt % SECOND);
	text_print(&outs[PEER_QUEUED], "smokefs_peer_queued_bytes%s %" PRIu64 "\n", labels,
		peer->queued);
}

static void add_peers(struct buffer *out, const struct node *node)
{
	struct buffer outs[PEER_METRICS] = { BUFFER_INIT, BUFFER_INIT, BUFFER_INIT, BUFFER_INIT };
	struct peer peer;

	head(&outs[PEER_RECEIVED], "peer_received_bytes_total", "counter",
		"Bytes received over the link.");
	head(&outs[PEER_SENT], "peer_sent_bytes_total", "counter", "Bytes sent over the link.");
	head(&outs[PEER_RTT], "peer_rtt_seconds", "gauge", "Round trip, smoothed.");
	head(&outs[PEER_QUEUED], "peer_queued_bytes", "gauge", "Bytes that wait to be sent now.");
	for (uint32_t at = 0; node_next_peer(node, at, &peer); at = peer.serial)
		add_peer(outs, &peer);
	for (size_t i = 0; i < PEER_METRICS; i++) {
		if (buffer_failed(&outs[i]))
			out->failed = true;
		else
			buffer_append(out, buffer_bytes(&outs[i]), buffer_length(&outs[i]));
		buffer_fini(&outs[i]);
	}
}

int text_metrics(struct buffer *out, const struct text_context *context)
{
	const struct node_counters *counters = node_counters(context->node);

	add_node(out, context->node);
	add_settings(out, context->node);
	add_files(out, context);
#define X(name) add_counter(out, #name, counters->name);
	NODE_COUNTERS(X)
#undef X
	add_peers(out, context->node);
	return buffer_failed(out) ? -ENOMEM : 0;
}
