// SPDX-License-Identifier: MIT
// A node among peers that do what the input says: connect, get through the handshake or not, say
// well-formed and truly signed frames, damaged ones and bytes of any kind, read what the node
// says or leave it, while time passes and users write and read.
//
// The input is a list of steps: a byte for what, one for with whom, and what the step takes. The
// channel is tests/fuzz/clear.c's. What the node says is looked at by tests/fuzz/hearer.c, what it
// delivers here, what it keeps by tests/fuzz/bounds.c.
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/node_inner.h"
#include "tests/fuzz/bounds.h"
#include "tests/fuzz/peers.h"

#define STEPS_MAX 400

static void step_publish(struct world *w, struct end *e, struct input *in)
{
	static const uint8_t zeros[MESSAGE_MAX];
	static const size_t sizes[] = { 1, 100, 16000, 70000, MESSAGE_MAX };
	size_t n = sizes[input_below(in, 5)];

	for (size_t times = 1 + input_below(in, 10); times > 0; times--) {
		const struct topic *topic = times % 2 ? NULL : node_next_topic(w->node, NULL);
		int r = node_publish_to(w->node, topic, times % 3, zeros, n);
		assert(r == 0 || r == -EAGAIN);
		w->traffic += r == 0 ? n : 0;
	}
}

static void step_stream_use(struct world *w, struct end *e, struct input *in)
{
	static const uint8_t zeros[100000];
	struct stream *s = e->link ? e->link->stream : NULL;
	struct iovec iov;
	size_t what = input_below(in, 3);

	if (what == 0 && s) {
		stream_write(s, zeros, 1 + input_number(in, 3) % sizeof zeros);
	} else if (what == 1 && w->reader.stream) {
		ssize_t n = stream_peek(&w->reader, SIZE_MAX, &iov);
		if (n > 0)
			stream_consume(&w->reader, 1 + input_number(in, 3) % (size_t)n);
	} else if (w->reader.stream) {
		world_stop_reading_stream(w);
	} else if (s) {
		stream_reader_open(&w->reader, s);
		s->handles++;
	}
}

static void step_command(struct world *w, struct end *e, struct input *in)
{
	const struct id *id = some_id(in);
	struct keyring fresh = *forge_keyring();
	size_t what = input_below(in, 9);

	if (what == 0)
		w->token = node_connect(w->node, "127.0.0.1", FIRST_PORT + 1);
	else if (what == 1)
		w->token = node_connect(w->node, input_below(in, 2) ? "host" : "nowhere", 1);
	else if (what == 2)
		w->token = node_connect_id(w->node, id);
	else if (what == 3)
		node_connect_cancel(w->node, w->token);
	else if (what == 4)
		node_connect_result(w->node, w->token);
	else if (what == 5)
		node_drop(w->node, id);
	else if (what == 6)
		node_allow(w->node, id);
	else if (what == 7)
		node_deny(w->node, id);
	else
		node_rekey(w->node, &fresh);
}

static void step_resolved(struct world *w, struct end *e, struct input *in)
{
	struct address found[RESOLVE_MAX];
	size_t count = input_below(in, RESOLVE_MAX + 1);

	for (size_t i = 0; i < count; i++)
		found[i] = world_address(1 + i);
	if (w->resolving)
		node_resolved(w->node, w->resolving, count ? 0 : -ENOENT, found, count);
	w->resolving = 0;
}

static void step_time(struct world *w, struct end *e, struct input *in)
{
	static const uint64_t times[] = { 1, MILLISECOND, 50 * MILLISECOND, 500 * MILLISECOND,
		SECOND, 3 * SECOND, 11 * SECOND, 31 * SECOND };
	size_t times_index = input_below(in, 16);

	if (times_index < 8) {
		world_advance(w, times[times_index]);
		return;
	}
	// On to what is due next.
	uint64_t due = node_deadline(w->node);
	if (due != UINT64_MAX && due > w->now)
		world_advance(w, due - w->now);
}

static void step_reading(struct world *w, struct end *e, struct input *in)
{
	w->reading = !w->reading;
}

static void step_seed(struct world *w, struct end *e, struct input *in)
{
	node_add_seed(w->node, "127.0.0.1", (uint16_t)(FIRST_PORT + input_below(in, 8)));
}

static void step_stop(struct world *w, struct end *e, struct input *in)
{
	node_stop(w->node);
}

// Corpora depend on the order.
static step_take *const steps[] = { step_time, step_join, step_connect, step_secure, step_prove,
	step_hello, step_accept, step_frontier, step_header, step_data, step_batch, step_pull,
	step_trimmed, step_credit, step_stream, step_stream_credit, step_announce, step_ping,
	step_goodbye, step_peers, step_rewire, step_raw, step_damage, step_lost, step_deaf,
	step_reading, step_publish, step_stream_use, step_command, step_resolved, step_seed,
	step_stop, step_prune, step_digest, step_tree, step_stall };
#define STEPS (sizeof steps / sizeof *steps)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct input in = { bytes, n };
	static struct world w; // large
	w = (struct world){ 0 };

	forge_reset();
	world_start(&w, &in);
	for (int i = 0; i < STEPS_MAX && in.left > 0 && w.traffic < TRAFFIC_MAX; i++) {
		step_take *step = steps[input_below(&in, STEPS)];
		step(&w, &w.ends[input_below(&in, ENDS)], &in);
		world_settle(&w);
		// To look at many sources after every step takes too long.
		if (HASH_COUNT(w.node->broadcast.sources) < SOURCES_MAX / 16)
			bounds_check(w.node);
	}
	bounds_check(w.node);
	world_finish(&w);
	return 0;
}
