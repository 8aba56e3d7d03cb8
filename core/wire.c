// SPDX-License-Identifier: MIT
// Decoders of frames; the encoders are in core/encode.c. What a frame means is its module's
// business.
#include "core/wire.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

const char *goodbye_name(unsigned reason)
{
	switch (reason) {
#define X(name, number, text) \
	case number:          \
		return text;
		GOODBYE_REASONS(X)
#undef X
	default:
		return "unknown";
	}
}

bool goodbye_refuses(unsigned reason)
{
	return reason == GOODBYE_VERSION || reason == GOODBYE_CLASH ||
	       reason == GOODBYE_MEMBERSHIP || reason == GOODBYE_DENIED;
}

bool name_valid(const char *name)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t n = strlen(name);
	if (n == 0 || n > NAME_MAX_LENGTH || !strchr(letters, name[0]))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!strchr(letters, name[i]) && !strchr("._-", name[i]))
			return false;
	return true;
}

// A payload being read; once it ran short, every further value is zero and `bad` stays.
struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static const uint8_t *get_bytes(struct reader *r, size_t n)
{
	if (r->bad || r->left < n) {
		r->bad = true;
		return NULL;
	}
	r->at += n;
	r->left -= n;
	return r->at - n;
}

static uint64_t number_at(const uint8_t *p, size_t bytes)
{
	uint64_t value = 0;
	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | p[i];
	return value;
}

static uint64_t get_number(struct reader *r, size_t bytes)
{
	const uint8_t *p = get_bytes(r, bytes);
	return p ? number_at(p, bytes) : 0;
}

static void get_copy(struct reader *r, void *to, size_t n)
{
	const uint8_t *p = get_bytes(r, n);
	if (p)
		memcpy(to, p, n);
}

static struct id get_id(struct reader *r)
{
	struct id id = { { 0 } };
	get_copy(r, id.bytes, ID_BYTES);
	return id;
}

static struct address get_address(struct reader *r)
{
	struct address a = { .family = (uint8_t)get_number(r, 1) };
	if (a.family == 0)
		return a;
	if (a.family != 4 && a.family != 6)
		r->bad = true;
	get_copy(r, a.bytes, a.family == 6 ? 16 : 4);
	a.port = (uint16_t)get_number(r, 2);
	if (a.port == 0)
		r->bad = true;
	return a;
}

static struct contact get_contact(struct reader *r)
{
	struct contact c;
	c.id = get_id(r);
	c.address = get_address(r);
	return c;
}

// A name that is too long is malformed; one with other letters is no name.
static void get_name(struct reader *r, char *name)
{
	size_t n = (size_t)get_number(r, 1);
	const uint8_t *p = n <= NAME_MAX_LENGTH ? get_bytes(r, n) : NULL;
	name[0] = '\0';
	if (!p) {
		r->bad = true;
		return;
	}
	memcpy(name, p, n);
	name[n] = '\0';
	if (strlen(name) != n || !name_valid(name))
		name[0] = '\0';
}

static struct source_key get_source(struct reader *r)
{
	struct source_key s;
	s.id = get_id(r);
	s.incarnation = get_number(r, 8);
	return s;
}

static struct stamp get_stamp(struct reader *r)
{
	struct stamp s = { 0 };
	get_copy(r, s.network.bytes, NETWORK_NAME_BYTES);
	get_copy(r, s.key.bytes, PUBLIC_KEY_BYTES);
	s.incarnation = get_number(r, 8);
	return s;
}

static bool get_flag(struct reader *r)
{
	uint64_t value = get_number(r, 1);
	if (value > 1)
		r->bad = true;
	return value == 1;
}

static int get_end(const struct reader *r)
{
	return r->bad || r->left ? -EPROTO : 0;
}

int64_t wire_next(const uint8_t *bytes, size_t n, size_t limit, uint8_t *type)
{
	if (n < 4)
		return 0;
	uint64_t length = number_at(bytes, 4);
	if (length == 0 || length > limit)
		return -EPROTO;
	if (n < 4 + length)
		return 0;
	*type = bytes[4];
	return (int64_t)(4 + length);
}

int wire_get_hello(const uint8_t *p, size_t n, struct frame_hello *f)
{
	struct reader r = { p, n, false };
	*f = (struct frame_hello){ 0 };
	f->version_min = (uint16_t)get_number(&r, 2);
	f->version_max = (uint16_t)get_number(&r, 2);
	f->features = (uint32_t)get_number(&r, 4);
	// Another version may go on as it likes; its numbers are all that we may judge.
	if (!r.bad && f->version_min <= f->version_max &&
		(f->version_min > WIRE_VERSION || f->version_max < WIRE_VERSION))
		return 0;
	f->intent = (uint8_t)get_number(&r, 1);
	f->incarnation = get_number(&r, 8);
	f->instance = get_number(&r, 8);
	f->peers = (uint16_t)get_number(&r, 2);
	f->room = (uint16_t)get_number(&r, 2);
	f->replaced = get_id(&r);
	f->offer = get_contact(&r);
	get_copy(&r, f->permit, DIGEST_BYTES);
	f->component.origin = get_id(&r);
	f->component.number = get_number(&r, 8);
	f->component.age = (uint32_t)get_number(&r, 4);
	get_name(&r, f->name);
	f->address_count = (uint8_t)get_number(&r, 1);
	if (f->address_count > HELLO_ADDRESSES)
		return -EPROTO;
	for (int i = 0; i < f->address_count; i++)
		f->addresses[i] = get_address(&r);
	// What a newer minor feature appends is skipped.
	if (r.bad || f->version_min > f->version_max || f->intent < INTENT_JOIN ||
		f->intent > INTENT_DIRECT)
		return -EPROTO;
	return 0;
}

int wire_get_proof(const uint8_t *p, size_t n, struct frame_proof *f)
{
	struct reader r = { p, n, false };
	get_copy(&r, f->network.bytes, NETWORK_NAME_BYTES);
	get_copy(&r, f->proof, MEMBERSHIP_BYTES);
	return get_end(&r);
}

static void get_contacts(struct reader *r, struct contact *contacts, uint8_t *count, uint8_t max)
{
	*count = (uint8_t)get_number(r, 1);
	if (*count > max) {
		r->bad = true;
		*count = 0;
	}
	for (int i = 0; i < *count; i++)
		contacts[i] = get_contact(r);
}

int wire_get_goodbye(const uint8_t *p, size_t n, struct frame_goodbye *f)
{
	struct reader r = { p, n, false };
	f->reason = (uint8_t)get_number(&r, 1);
	get_contacts(&r, f->contacts, &f->count, HELLO_ADDRESSES);
	return get_end(&r);
}

int wire_get_ping(const uint8_t *p, size_t n, uint64_t *token)
{
	struct reader r = { p, n, false };
	*token = get_number(&r, 8);
	return get_end(&r);
}

int wire_get_peers(const uint8_t *p, size_t n, struct frame_peers *f)
{
	struct reader r = { p, n, false };
	f->ask = get_flag(&r);
	get_contacts(&r, f->contacts, &f->count, PEERS_ADDRESSES);
	return get_end(&r);
}

int wire_get_rewire(const uint8_t *p, size_t n, struct frame_rewire *f)
{
	struct reader r = { p, n, false };
	f->target = get_contact(&r);
	f->replaced = get_id(&r);
	get_copy(&r, f->permit, DIGEST_BYTES);
	f->leave = get_flag(&r);
	return get_end(&r);
}

int wire_get_frontier(const uint8_t *p, size_t n, struct frame_frontier *f)
{
	struct reader r = { p, n, false };
	f->last = get_flag(&r);
	f->count = (uint16_t)get_number(&r, 2);
	if (f->count > FRONTIER_ENTRIES)
		return -EPROTO;
	f->entries = get_bytes(&r, (size_t)f->count * FRONTIER_ENTRY);
	for (uint16_t i = 0; !r.bad && i < f->count; i++)
		if (wire_frontier_entry(f, i).next == 0)
			return -EPROTO;
	return get_end(&r);
}

static struct frame_position get_position(struct reader *r)
{
	struct frame_position position;
	position.source = get_source(r);
	position.next = get_number(r, 8);
	return position;
}

struct frame_position wire_frontier_entry(const struct frame_frontier *f, uint16_t i)
{
	struct reader r = { f->entries + (size_t)i * FRONTIER_ENTRY, FRONTIER_ENTRY, false };
	return get_position(&r);
}

int wire_get_prune(const uint8_t *p, size_t n, struct frame_prune *f)
{
	struct reader r = { p, n, false };
	f->source = get_source(&r);
	f->kind = (uint8_t)get_number(&r, 1);
	return f->kind < PRUNE_STOP || f->kind > PRUNE_STOPPED ? -EPROTO : get_end(&r);
}

int wire_get_digest(const uint8_t *p, size_t n, struct frame_digest *f)
{
	struct reader r = { p, n, false };
	f->count = (uint16_t)get_number(&r, 2);
	if (f->count == 0 || f->count > DIGEST_ENTRIES)
		return -EPROTO;
	f->entries = get_bytes(&r, (size_t)f->count * DIGEST_ENTRY);
	for (uint16_t i = 0; !r.bad && i < f->count; i++)
		if (wire_digest_entry(f, i).position.next == 0)
			return -EPROTO;
	return get_end(&r);
}

struct digest_entry wire_digest_entry(const struct frame_digest *f, uint16_t i)
{
	struct reader r = { f->entries + (size_t)i * DIGEST_ENTRY, DIGEST_ENTRY, false };
	struct digest_entry e;
	e.position = get_position(&r);
	e.age = (uint16_t)get_number(&r, 2);
	return e;
}

int wire_get_tree(const uint8_t *p, size_t n, bool *eager)
{
	struct reader r = { p, n, false };
	*eager = get_flag(&r);
	return get_end(&r);
}

int wire_get_demote(const uint8_t *p, size_t n, uint8_t *reason)
{
	struct reader r = { p, n, false };
	*reason = (uint8_t)get_number(&r, 1);
	return get_end(&r);
}

int wire_get_promote(const uint8_t *p, size_t n, enum promote *what)
{
	struct reader r = { p, n, false };
	uint64_t value = get_number(&r, 1);
	*what = (enum promote)value;
	return value > PROMOTE_NO ? -EPROTO : get_end(&r);
}

int wire_get_idle(const uint8_t *p, size_t n, bool *idle)
{
	struct reader r = { p, n, false };
	*idle = get_flag(&r);
	return get_end(&r);
}

// One of a pipe: 0 is the direct stream's.
static uint16_t get_channel(struct reader *r)
{
	uint16_t channel = (uint16_t)get_number(r, 2);
	if (channel == 0 || channel > PIPES_MAX)
		r->bad = true;
	return channel;
}

int wire_get_pipe(const uint8_t *p, size_t n, struct frame_pipe *f)
{
	struct reader r = { p, n, false };
	f->channel = get_channel(&r);
	get_name(&r, f->name);
	return f->name[0] ? get_end(&r) : -EPROTO;
}

int wire_get_channel(const uint8_t *p, size_t n, uint16_t *channel)
{
	struct reader r = { p, n, false };
	*channel = get_channel(&r);
	return get_end(&r);
}

int wire_get_pipe_close(const uint8_t *p, size_t n, struct frame_pipe_close *f)
{
	struct reader r = { p, n, false };
	f->channel = get_channel(&r);
	f->reason = (uint8_t)get_number(&r, 1);
	return f->reason == 0 ? -EPROTO : get_end(&r);
}

int wire_get_pull(const uint8_t *p, size_t n, struct frame_position *f)
{
	struct reader r = { p, n, false };
	*f = get_position(&r);
	return f->next == 0 ? -EPROTO : get_end(&r);
}

// Everything so far is what the signature that follows is for.
static struct sealed get_sealed(struct reader *r, const uint8_t *from)
{
	const uint8_t *signature = get_bytes(r, SIGNATURE_BYTES);
	return (struct sealed){ from, signature ? (size_t)(signature - from) : 0 };
}

uint32_t wire_batch_length(const struct frame_batch *f, uint16_t i)
{
	return (uint32_t)number_at(f->lengths + (size_t)i * 4, 4);
}

int wire_get_trimmed(const uint8_t *p, size_t n, struct frame_trimmed *f)
{
	struct reader r = { p, n, false };
	f->next = get_number(&r, 8);
	if (r.bad || wire_get_batch(r.at, r.left, &f->shown) < 0)
		return -EPROTO;
	return f->next == 0 || f->next > f->shown.first + f->shown.count ? -EPROTO : 0;
}

int wire_get_batch(const uint8_t *p, size_t n, struct frame_batch *f)
{
	struct reader r = { p, n, false };
	uint64_t sum = 0;
	f->stamp = get_stamp(&r);
	f->first = get_number(&r, 8);
	f->topic = get_number(&r, 8);
	f->bytes = (uint32_t)get_number(&r, 4);
	f->count = (uint16_t)get_number(&r, 2);
	f->lengths = get_bytes(&r, (size_t)f->count * 4);
	if (r.bad || f->count == 0 || f->count > BATCH_COUNT || f->first == 0 ||
		f->first > UINT64_MAX - f->count)
		return -EPROTO;
	for (uint16_t i = 0; i < f->count; i++) {
		// The kernel never sends an empty write, hence nobody publishes one.
		if (wire_batch_length(f, i) == 0 || wire_batch_length(f, i) > MESSAGE_MAX)
			return -EPROTO;
		sum += wire_batch_length(f, i);
	}
	if (sum != f->bytes || f->bytes > BATCH_BYTES)
		return -EPROTO;
	f->hashes = get_bytes(&r, (size_t)batch_chunks(f->bytes) * DIGEST_BYTES);
	f->sealed = get_sealed(&r, p);
	return get_end(&r);
}

int wire_get_chunk(const uint8_t *p, size_t n, struct frame_chunk *f)
{
	struct reader r = { p, n, false };
	f->source = get_source(&r);
	f->bytes = (uint32_t)r.left;
	f->data = get_bytes(&r, r.left);
	return f->bytes == 0 || f->bytes > CHUNK_BYTES ? -EPROTO : get_end(&r);
}

int wire_get_credit(const uint8_t *p, size_t n, struct frame_credit *f)
{
	struct reader r = { p, n, false };
	f->source = get_source(&r);
	f->bytes = (uint32_t)get_number(&r, 4);
	return f->bytes == 0 ? -EPROTO : get_end(&r);
}

int wire_get_stall(const uint8_t *p, size_t n, struct frame_stall *f)
{
	struct reader r = { p, n, false };
	f->source = get_source(&r);
	f->depth = (uint8_t)get_number(&r, 1);
	return f->depth > STALL_DEPTH_MAX + 1 ? -EPROTO : get_end(&r);
}

int wire_get_stream(const uint8_t *p, size_t n, struct frame_stream *f)
{
	struct reader r = { p, n, false };
	f->channel = (uint16_t)get_number(&r, 2);
	f->bytes = (uint32_t)r.left;
	f->data = get_bytes(&r, r.left);
	return f->channel > PIPES_MAX || f->bytes == 0 || f->bytes > CHUNK_BYTES ? -EPROTO
										 : get_end(&r);
}

int wire_get_stream_credit(const uint8_t *p, size_t n, struct frame_stream_credit *f)
{
	struct reader r = { p, n, false };
	f->channel = (uint16_t)get_number(&r, 2);
	f->offset = get_number(&r, 8);
	return f->channel > PIPES_MAX ? -EPROTO : get_end(&r);
}

int wire_get_announce(const uint8_t *p, size_t n, struct frame_announce *f)
{
	struct reader r = { p, n, false };
	f->stamp = get_stamp(&r);
	f->counter = get_number(&r, 8);
	f->type = (uint8_t)get_number(&r, 1);
	f->bytes = (uint16_t)get_number(&r, 2);
	f->payload = f->bytes <= ANNOUNCE_PAYLOAD ? get_bytes(&r, f->bytes) : NULL;
	if (!f->payload && f->bytes)
		return -EPROTO;
	f->sealed = get_sealed(&r, p);
	return f->type == 0 ? -EPROTO : get_end(&r);
}

// A count, which is not 0, and as many names; those that are none are left out.
static void get_topics(struct reader *r, char *text)
{
	char name[NAME_MAX_LENGTH + 1];
	uint64_t count = get_number(r, 1);
	size_t n = 0;

	if (count == 0 || count > TOPICS_MAX)
		r->bad = true;
	for (; !r->bad && count > 0; count--) {
		get_name(r, name);
		size_t length = strlen(name);
		if (length == 0)
			continue;
		if (n + length + 1 > TOPICS_TEXT) {
			r->bad = true;
			return;
		}
		if (n)
			text[n++] = ',';
		memcpy(text + n, name, length + 1);
		n += length;
	}
}

int wire_get_member(const uint8_t *p, size_t n, struct announce_member *m)
{
	struct reader r = { p, n, false };
	get_name(&r, m->name);
	m->address = get_address(&r);
	m->topics[0] = '\0';
	if (!r.bad && r.left)
		get_topics(&r, m->topics);
	return get_end(&r);
}

int wire_get_beacon(const uint8_t *p, size_t n, uint64_t *number)
{
	struct reader r = { p, n, false };
	*number = get_number(&r, 8);
	return get_end(&r);
}

int wire_get_call(const uint8_t *p, size_t n, struct contact *call)
{
	struct reader r = { p, n, false };
	*call = get_contact(&r);
	return call->address.family == 0 ? -EPROTO : get_end(&r);
}

int wire_get_id(const uint8_t *p, size_t n, struct id *id)
{
	struct reader r = { p, n, false };
	*id = get_id(&r);
	return get_end(&r);
}
