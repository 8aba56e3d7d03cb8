// SPDX-License-Identifier: MIT
// Encoders of frames; the decoders are in core/wire.c.
#include "core/wire.h"

#include <assert.h>
#include <string.h>

static void put_number(struct buffer *b, uint64_t value, size_t bytes)
{
	uint8_t *to = buffer_reserve(b, bytes);
	if (!to)
		return;
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
	buffer_commit(b, bytes);
}

static void put_id(struct buffer *b, const struct id *id)
{
	buffer_append(b, id->bytes, ID_BYTES);
}

static void put_address(struct buffer *b, const struct address *a)
{
	put_number(b, a->family, 1);
	buffer_append(b, a->bytes, a->family == 6 ? 16 : a->family == 4 ? 4 : 0);
	if (a->family)
		put_number(b, a->port, 2);
}

static void put_contact(struct buffer *b, const struct contact *c)
{
	put_id(b, &c->id);
	put_address(b, &c->address);
}

static void put_name(struct buffer *b, const char *name)
{
	size_t n = strlen(name);
	put_number(b, n, 1);
	buffer_append(b, name, n);
}

static void put_source(struct buffer *b, const struct source_key *s)
{
	put_id(b, &s->id);
	put_number(b, s->incarnation, 8);
}

// Returns where the frame begins, as an offset that survives a move of the buffer.
static size_t begin(struct buffer *b, enum frame_type type)
{
	size_t at = buffer_length(b);
	put_number(b, 0, 4);
	put_number(b, type, 1);
	return at;
}

void wire_end(struct buffer *b, size_t begun)
{
	if (buffer_failed(b))
		return;
	size_t n = buffer_length(b) - begun - 4;
	uint8_t *to = buffer_bytes(b) + begun;
	assert(n <= FRAME_MAX);
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(n >> 8 * (3 - i));
}

void wire_put_hello(struct buffer *b, const struct frame_hello *f)
{
	size_t at = begin(b, FRAME_HELLO);
	put_number(b, f->version_min, 2);
	put_number(b, f->version_max, 2);
	put_number(b, f->features, 4);
	put_number(b, f->intent, 1);
	put_number(b, f->incarnation, 8);
	put_number(b, f->instance, 8);
	put_number(b, f->peers, 2);
	put_number(b, f->room, 2);
	put_id(b, &f->replaced);
	put_contact(b, &f->offer);
	buffer_append(b, f->permit, DIGEST_BYTES);
	put_id(b, &f->component.origin);
	put_number(b, f->component.number, 8);
	put_number(b, f->component.age, 4);
	put_name(b, f->name);
	put_number(b, f->address_count, 1);
	for (int i = 0; i < f->address_count; i++)
		put_address(b, &f->addresses[i]);
	wire_end(b, at);
}

void wire_put_accept(struct buffer *b)
{
	wire_end(b, begin(b, FRAME_ACCEPT));
}

void wire_put_proof(struct buffer *b, const struct frame_proof *f)
{
	size_t at = begin(b, FRAME_PROOF);
	buffer_append(b, f->network.bytes, NETWORK_NAME_BYTES);
	buffer_append(b, f->proof, MEMBERSHIP_BYTES);
	wire_end(b, at);
}

static void put_contacts(struct buffer *b, const struct contact *contacts, uint8_t count)
{
	put_number(b, count, 1);
	for (int i = 0; i < count; i++)
		put_contact(b, &contacts[i]);
}

void wire_put_goodbye(struct buffer *b, const struct frame_goodbye *f)
{
	size_t at = begin(b, FRAME_GOODBYE);
	put_number(b, f->reason, 1);
	put_contacts(b, f->contacts, f->count);
	wire_end(b, at);
}

void wire_put_ping(struct buffer *b, enum frame_type type, uint64_t token)
{
	size_t at = begin(b, type);
	put_number(b, token, 8);
	wire_end(b, at);
}

void wire_put_peers(struct buffer *b, const struct frame_peers *f)
{
	size_t at = begin(b, FRAME_PEERS);
	put_number(b, f->ask, 1);
	put_contacts(b, f->contacts, f->count);
	wire_end(b, at);
}

void wire_put_rewire(struct buffer *b, const struct frame_rewire *f)
{
	size_t at = begin(b, FRAME_REWIRE);
	put_contact(b, &f->target);
	put_id(b, &f->replaced);
	buffer_append(b, f->permit, DIGEST_BYTES);
	put_number(b, f->leave, 1);
	wire_end(b, at);
}

size_t wire_begin_frontier(struct buffer *b, bool last, uint16_t count)
{
	size_t at = begin(b, FRAME_FRONTIER);
	put_number(b, last, 1);
	put_number(b, count, 2);
	return at;
}

void wire_put_frontier_entry(struct buffer *b, const struct frame_position *p)
{
	put_source(b, &p->source);
	put_number(b, p->next, 8);
}

void wire_put_pull(struct buffer *b, const struct frame_position *f)
{
	size_t at = begin(b, FRAME_PULL);
	put_source(b, &f->source);
	put_number(b, f->next, 8);
	wire_end(b, at);
}

void wire_put_trimmed(struct buffer *b, uint64_t next, const uint8_t *header, size_t n)
{
	size_t at = begin(b, FRAME_TRIMMED);
	put_number(b, next, 8);
	buffer_append(b, header, n);
	wire_end(b, at);
}

void wire_put_prune(struct buffer *b, const struct frame_prune *f)
{
	size_t at = begin(b, FRAME_PRUNE);
	put_source(b, &f->source);
	put_number(b, f->kind, 1);
	wire_end(b, at);
}

size_t wire_begin_digest(struct buffer *b, uint16_t count)
{
	size_t at = begin(b, FRAME_DIGEST);
	put_number(b, count, 2);
	return at;
}

void wire_put_digest_entry(struct buffer *b, const struct digest_entry *e)
{
	wire_put_frontier_entry(b, &e->position);
	put_number(b, e->age, 2);
}

void wire_put_tree(struct buffer *b, bool eager)
{
	size_t at = begin(b, FRAME_TREE);
	put_number(b, eager, 1);
	wire_end(b, at);
}

void wire_put_demote(struct buffer *b, uint8_t reason)
{
	size_t at = begin(b, FRAME_DEMOTE);
	put_number(b, reason, 1);
	wire_end(b, at);
}

void wire_put_promote(struct buffer *b, enum promote what)
{
	size_t at = begin(b, FRAME_PROMOTE);
	put_number(b, what, 1);
	wire_end(b, at);
}

void wire_put_idle(struct buffer *b, bool idle)
{
	size_t at = begin(b, FRAME_IDLE);
	put_number(b, idle, 1);
	wire_end(b, at);
}

void wire_put_pipe(struct buffer *b, const struct frame_pipe *f)
{
	size_t at = begin(b, FRAME_PIPE);
	put_number(b, f->channel, 2);
	put_name(b, f->name);
	wire_end(b, at);
}

void wire_put_channel(struct buffer *b, enum frame_type type, uint16_t channel)
{
	size_t at = begin(b, type);
	put_number(b, channel, 2);
	wire_end(b, at);
}

void wire_put_pipe_close(struct buffer *b, const struct frame_pipe_close *f)
{
	size_t at = begin(b, FRAME_PIPE_CLOSE);
	put_number(b, f->channel, 2);
	put_number(b, f->reason, 1);
	wire_end(b, at);
}

void wire_put_sealed(struct buffer *b, enum frame_type type, const uint8_t *bytes, size_t n)
{
	size_t at = begin(b, type);
	buffer_append(b, bytes, n);
	wire_end(b, at);
}

static void put_stamp(struct buffer *b, const struct stamp *s)
{
	buffer_append(b, s->network.bytes, NETWORK_NAME_BYTES);
	buffer_append(b, s->key.bytes, PUBLIC_KEY_BYTES);
	put_number(b, s->incarnation, 8);
}

void wire_put_batch(struct buffer *b, const struct frame_batch *f, const uint32_t *lengths)
{
	put_stamp(b, &f->stamp);
	put_number(b, f->first, 8);
	put_number(b, f->topic, 8);
	put_number(b, f->bytes, 4);
	put_number(b, f->count, 2);
	for (int i = 0; i < f->count; i++)
		put_number(b, lengths[i], 4);
	buffer_append(b, f->hashes, (size_t)batch_chunks(f->bytes) * DIGEST_BYTES);
}

void wire_put_chunk(
	struct buffer *b, const struct source_key *source, const uint8_t *data, size_t n)
{
	size_t at = begin(b, FRAME_CHUNK);
	put_source(b, source);
	buffer_append(b, data, n);
	wire_end(b, at);
}

void wire_put_credit(struct buffer *b, const struct frame_credit *f)
{
	size_t at = begin(b, FRAME_CREDIT);
	put_source(b, &f->source);
	put_number(b, f->bytes, 4);
	wire_end(b, at);
}

void wire_put_stall(struct buffer *b, const struct frame_stall *f)
{
	size_t at = begin(b, FRAME_STALL);
	put_source(b, &f->source);
	put_number(b, f->depth, 1);
	wire_end(b, at);
}

void wire_put_stream(struct buffer *b, uint16_t channel, const uint8_t *data, size_t n)
{
	size_t at = begin(b, FRAME_STREAM);
	put_number(b, channel, 2);
	buffer_append(b, data, n);
	wire_end(b, at);
}

void wire_put_stream_credit(struct buffer *b, uint16_t channel, uint64_t offset)
{
	size_t at = begin(b, FRAME_STREAM_CREDIT);
	put_number(b, channel, 2);
	put_number(b, offset, 8);
	wire_end(b, at);
}

void wire_put_announce(struct buffer *b, const struct frame_announce *f)
{
	put_stamp(b, &f->stamp);
	put_number(b, f->counter, 8);
	put_number(b, f->type, 1);
	put_number(b, f->bytes, 2);
	buffer_append(b, f->payload, f->bytes);
}

// A count and as many names.
static void put_topics(struct buffer *b, const char *text)
{
	uint64_t count = 1;
	for (const char *p = text; *p; p++)
		count += *p == ',';
	put_number(b, count, 1);
	for (size_t n; count > 0; count--, text += n + 1) {
		n = strcspn(text, ",");
		put_number(b, n, 1);
		buffer_append(b, text, n);
	}
}

void wire_put_member(struct buffer *b, const struct announce_member *m)
{
	put_name(b, m->name);
	put_address(b, &m->address);
	if (m->topics[0])
		put_topics(b, m->topics);
}

void wire_put_beacon(struct buffer *b, uint64_t number)
{
	put_number(b, number, 8);
}

void wire_put_call(struct buffer *b, const struct contact *call)
{
	put_contact(b, call);
}
