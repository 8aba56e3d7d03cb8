// SPDX-License-Identifier: MIT
// Decoders of frames: what they take, its encoder gives back.
//
// The first byte is a frame's type and the rest its payload; 0: the rest are bytes as they come
// over a link; from ANNOUNCED on: the payload of an announcement.
#include <assert.h>
#include <string.h>

#include "core/wire.h"
#include "tests/fuzz/input.h"

#define ANNOUNCED 0x80

static void same(struct buffer *b, size_t skip, const uint8_t *p, size_t n)
{
	assert(!buffer_failed(b));
	assert(buffer_length(b) == n + skip);
	assert(n == 0 || memcmp(buffer_bytes(b) + skip, p, n) == 0);
}

static void hello(const uint8_t *p, size_t n)
{
	struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;
	struct frame_hello f;

	if (wire_get_hello(p, n, &f) < 0)
		return;
	assert(f.version_min <= f.version_max);
	if (f.version_min > WIRE_VERSION || f.version_max < WIRE_VERSION)
		return;
	assert(f.address_count <= HELLO_ADDRESSES && (!f.name[0] || name_valid(f.name)));
	// What newer versions append, and names that are none, are not kept.
	wire_put_hello(&once, &f);
	assert(wire_get_hello(buffer_bytes(&once) + FRAME_HEADER,
		       buffer_length(&once) - FRAME_HEADER, &f) == 0);
	wire_put_hello(&twice, &f);
	same(&twice, 0, buffer_bytes(&once), buffer_length(&once));
	buffer_fini(&once);
	buffer_fini(&twice);
}

static void proof(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_proof f;
	if (wire_get_proof(p, n, &f) == 0)
		wire_put_proof(b, &f);
}

static void goodbye(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_goodbye f;
	if (wire_get_goodbye(p, n, &f) < 0)
		return;
	assert(f.count <= HELLO_ADDRESSES && goodbye_name(f.reason)[0]);
	wire_put_goodbye(b, &f);
}

static void ping(struct buffer *b, enum frame_type type, const uint8_t *p, size_t n)
{
	uint64_t token;
	if (wire_get_ping(p, n, &token) == 0)
		wire_put_ping(b, type, token);
}

static void peers(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_peers f;
	if (wire_get_peers(p, n, &f) == 0)
		wire_put_peers(b, &f);
}

static void rewire(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_rewire f;
	if (wire_get_rewire(p, n, &f) == 0)
		wire_put_rewire(b, &f);
}

static void frontier(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_frontier f;
	if (wire_get_frontier(p, n, &f) < 0)
		return;
	size_t at = wire_begin_frontier(b, f.last, f.count);
	for (uint16_t i = 0; i < f.count; i++) {
		struct frame_position entry = wire_frontier_entry(&f, i);
		assert(entry.next > 0);
		wire_put_frontier_entry(b, &entry);
	}
	wire_end(b, at);
}

static void pull(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_position f;
	if (wire_get_pull(p, n, &f) == 0)
		wire_put_pull(b, &f);
}

static void prune(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_prune f;
	if (wire_get_prune(p, n, &f) == 0)
		wire_put_prune(b, &f);
}

static void digest_frame(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_digest f;
	if (wire_get_digest(p, n, &f) < 0)
		return;
	size_t at = wire_begin_digest(b, f.count);
	for (uint16_t i = 0; i < f.count; i++) {
		struct digest_entry entry = wire_digest_entry(&f, i);
		assert(entry.position.next > 0);
		wire_put_digest_entry(b, &entry);
	}
	wire_end(b, at);
}

static void tree(struct buffer *b, const uint8_t *p, size_t n)
{
	bool eager;
	if (wire_get_tree(p, n, &eager) == 0)
		wire_put_tree(b, eager);
}

// The signed bytes of a batch again from what was understood of them, with its signature.
static void put_batch(struct buffer *b, const struct frame_batch *f)
{
	uint32_t lengths[BATCH_COUNT];
	uint64_t sum = 0;

	assert(f->count > 0 && f->count <= BATCH_COUNT && f->bytes <= BATCH_BYTES);
	for (uint16_t i = 0; i < f->count; i++)
		sum += lengths[i] = wire_batch_length(f, i);
	assert(sum == f->bytes);
	wire_put_batch(b, f, lengths);
	buffer_append(b, f->sealed.bytes + f->sealed.n, SIGNATURE_BYTES);
}

static void trimmed(const uint8_t *p, size_t n)
{
	struct buffer header = BUFFER_INIT, whole = BUFFER_INIT;
	struct frame_trimmed f;

	if (wire_get_trimmed(p, n, &f) < 0)
		return;
	assert(f.next > 0 && f.next <= f.shown.first + f.shown.count);
	put_batch(&header, &f.shown);
	wire_put_trimmed(&whole, f.next, buffer_bytes(&header), buffer_length(&header));
	same(&whole, FRAME_HEADER, p, n);
	buffer_fini(&header);
	buffer_fini(&whole);
}

static void batch(const uint8_t *p, size_t n)
{
	struct buffer b = BUFFER_INIT;
	struct frame_batch f;

	if (wire_get_batch(p, n, &f) < 0)
		return;
	assert(f.sealed.bytes == p && f.sealed.n + SIGNATURE_BYTES == n);
	put_batch(&b, &f);
	same(&b, 0, p, n);
	buffer_fini(&b);
}

static void chunk(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_chunk f;
	if (wire_get_chunk(p, n, &f) == 0)
		wire_put_chunk(b, &f.source, f.data, f.bytes);
}

static void credit(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_credit f;
	if (wire_get_credit(p, n, &f) == 0)
		wire_put_credit(b, &f);
}

static void stream(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_stream f;
	if (wire_get_stream(p, n, &f) == 0)
		wire_put_stream(b, f.channel, f.data, f.bytes);
}

static void stall(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_stall f;
	if (wire_get_stall(p, n, &f) == 0)
		wire_put_stall(b, &f);
}

static void stream_credit(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_stream_credit f;
	if (wire_get_stream_credit(p, n, &f) == 0)
		wire_put_stream_credit(b, f.channel, f.offset);
}

static void demote(struct buffer *b, const uint8_t *p, size_t n)
{
	uint8_t reason;
	if (wire_get_demote(p, n, &reason) == 0)
		wire_put_demote(b, reason);
}

static void promote(struct buffer *b, const uint8_t *p, size_t n)
{
	enum promote what;
	if (wire_get_promote(p, n, &what) == 0)
		wire_put_promote(b, what);
}

static void idle(struct buffer *b, const uint8_t *p, size_t n)
{
	bool is;
	if (wire_get_idle(p, n, &is) == 0)
		wire_put_idle(b, is);
}

static void pipe_named(const uint8_t *p, size_t n)
{
	struct buffer b = BUFFER_INIT;
	struct frame_pipe f;

	if (wire_get_pipe(p, n, &f) < 0)
		return;
	assert(f.channel > 0 && f.channel <= PIPES_MAX && name_valid(f.name));
	wire_put_pipe(&b, &f);
	same(&b, FRAME_HEADER, p, n);
	buffer_fini(&b);
}

static void channel(struct buffer *b, uint8_t type, const uint8_t *p, size_t n)
{
	uint16_t number;
	if (wire_get_channel(p, n, &number) == 0)
		wire_put_channel(b, type, number);
}

static void pipe_close(struct buffer *b, const uint8_t *p, size_t n)
{
	struct frame_pipe_close f;
	if (wire_get_pipe_close(p, n, &f) == 0)
		wire_put_pipe_close(b, &f);
}

static void announce(const uint8_t *p, size_t n)
{
	struct buffer b = BUFFER_INIT;
	struct frame_announce f;

	if (wire_get_announce(p, n, &f) < 0)
		return;
	assert(f.bytes <= ANNOUNCE_PAYLOAD && f.sealed.n + SIGNATURE_BYTES == n);
	wire_put_announce(&b, &f);
	same(&b, 0, f.sealed.bytes, f.sealed.n);
	buffer_fini(&b);
}

static void member(const uint8_t *p, size_t n)
{
	struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;
	struct announce_member m;

	if (wire_get_member(p, n, &m) < 0)
		return;
	assert(!m.name[0] || name_valid(m.name));
	wire_put_member(&once, &m);
	assert(wire_get_member(buffer_bytes(&once), buffer_length(&once), &m) == 0);
	wire_put_member(&twice, &m);
	same(&twice, 0, buffer_bytes(&once), buffer_length(&once));
	buffer_fini(&once);
	buffer_fini(&twice);
}

static void call(const uint8_t *p, size_t n)
{
	struct buffer b = BUFFER_INIT;
	struct contact c;

	if (wire_get_call(p, n, &c) < 0)
		return;
	assert(c.address.family && c.address.port);
	wire_put_call(&b, &c);
	same(&b, 0, p, n);
	buffer_fini(&b);
}

static void announced(uint8_t type, const uint8_t *p, size_t n)
{
	uint64_t number;
	struct id id;

	if (type == ANNOUNCE_BEACON)
		assert((wire_get_beacon(p, n, &number) == 0) == (n == 8));
	else if (type == ANNOUNCE_MEMBER)
		member(p, n);
	else if (type == ANNOUNCE_CALL)
		call(p, n);
	else
		assert((wire_get_id(p, n, &id) == 0) == (n == ID_BYTES));
}

static void frame(uint8_t type, const uint8_t *p, size_t n)
{
	struct buffer b = BUFFER_INIT;

	switch (type) {
	case FRAME_HELLO:
		hello(p, n);
		break;
	case FRAME_PROOF:
		proof(&b, p, n);
		break;
	case FRAME_GOODBYE:
		goodbye(&b, p, n);
		break;
	case FRAME_PING:
	case FRAME_PONG:
		ping(&b, type, p, n);
		break;
	case FRAME_PEERS:
		peers(&b, p, n);
		break;
	case FRAME_REWIRE:
		rewire(&b, p, n);
		break;
	case FRAME_FRONTIER:
		frontier(&b, p, n);
		break;
	case FRAME_PULL:
		pull(&b, p, n);
		break;
	case FRAME_PRUNE:
		prune(&b, p, n);
		break;
	case FRAME_DIGEST:
		digest_frame(&b, p, n);
		break;
	case FRAME_TREE:
		tree(&b, p, n);
		break;
	case FRAME_DEMOTE:
		demote(&b, p, n);
		break;
	case FRAME_PROMOTE:
		promote(&b, p, n);
		break;
	case FRAME_IDLE:
		idle(&b, p, n);
		break;
	case FRAME_PIPE:
		pipe_named(p, n);
		break;
	case FRAME_PIPE_END:
	case FRAME_PIPE_FREE:
		channel(&b, type, p, n);
		break;
	case FRAME_PIPE_CLOSE:
		pipe_close(&b, p, n);
		break;
	case FRAME_TRIMMED:
		trimmed(p, n);
		break;
	case FRAME_BATCH:
		batch(p, n);
		break;
	case FRAME_CHUNK:
		chunk(&b, p, n);
		break;
	case FRAME_CREDIT:
		credit(&b, p, n);
		break;
	case FRAME_STREAM:
		stream(&b, p, n);
		break;
	case FRAME_STALL:
		stall(&b, p, n);
		break;
	case FRAME_STREAM_CREDIT:
		stream_credit(&b, p, n);
		break;
	case FRAME_ANNOUNCE:
		announce(p, n);
		break;
	}
	if (buffer_length(&b) > 0)
		same(&b, FRAME_HEADER, p, n);
	buffer_fini(&b);
}

static void every_frame(const uint8_t *bytes, size_t n)
{
	uint8_t type = 0;
	int64_t length;

	while ((length = wire_next(bytes, n, FRAME_MAX, &type)) > 0) {
		assert(length >= FRAME_HEADER && (uint64_t)length <= n &&
			length <= 4 + (int64_t)FRAME_MAX);
		frame(type, bytes + FRAME_HEADER, (size_t)length - FRAME_HEADER);
		bytes += length;
		n -= (size_t)length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	if (n == 0)
		return 0;
	if (bytes[0] == 0)
		every_frame(bytes + 1, n - 1);
	else if (bytes[0] >= ANNOUNCED)
		announced(bytes[0] - ANNOUNCED, bytes + 1, n - 1);
	else
		frame(bytes[0], bytes + 1, n - 1);
	return 0;
}
