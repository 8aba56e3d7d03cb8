// SPDX-License-Identifier: MIT
// What arrives of a source: headers, chunks, and word of what will not.
#include "core/broadcast.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/mutant.h"
#include "core/node_inner.h"
#include "core/signing.h"

// The first proof of a source that was hearsay: there it begins, if not where others said.
static void prove(struct node *node, struct source *s, uint64_t first)
{
	if (!s->hearsay)
		return;
	s->hearsay = false;
	node->broadcast.hearsay--;
	if (first < s->next)
		s->next = s->origin = first;
}

// Room for a batch that begins to arrive. False: memory or the bound on such is out.
static bool partial_begin(struct link *link, struct source *s, const struct frame_batch *f)
{
	struct node *node = link->node;
	plumtree_wake(node, s);
	broadcast_speaks(node, s);
	repair_make_room(node, f->bytes);
	struct batch *b = node->broadcast.partial_bytes + f->bytes <= PARTIAL_BYTES
				  ? batch_new(s, f->first, f->count, f->bytes)
				  : NULL;
	if (!b)
		return false;
	node->broadcast.partial_bytes += f->bytes;
	b->count = f->count;
	b->bytes = f->bytes;
	b->topic = f->topic;
	b->from = link->serial;
	b->denied = access_denied(node->config.access, &s->key.id);
	for (uint16_t i = 0; i < f->count; i++)
		b->lengths[i] = wire_batch_length(f, i);
	memcpy(b->header, f->sealed.bytes, f->sealed.n + SIGNATURE_BYTES);
	s->partial = b;
	s->partial_from = link->serial;
	s->partial_bytes = s->partial_checked = 0;
	s->partial_at = node->now;
	return true;
}

// The same batch, of which a part has come over another link: it goes on behind what is checked.
static bool partial_resume(struct link *link, struct source *s, const struct frame_batch *f)
{
	struct batch *b = s->partial;

	if (!b || s->partial_from || b->first != f->first || b->bytes != f->bytes ||
		b->count != f->count ||
		memcmp(b->header, f->sealed.bytes, f->sealed.n + SIGNATURE_BYTES) != 0)
		return false;
	b->from = link->serial;
	s->partial_from = link->serial;
	s->partial_bytes = s->partial_checked;
	s->partial_at = link->node->now;
	return true;
}

// Cut through: what arrives goes on before it is whole.
static void partial_relay(struct node *node, struct source *s, const struct link *from)
{
	struct link *link;
	DL_FOREACH (node->links, link) {
		struct lane *lane = link != from && link_up(link) ? lane_get(link, s) : NULL;
		if (lane && !MUTANT(deaf))
			lane_offer(link, lane, s->partial);
	}
}

// Decides what becomes of a batch that begins to arrive. Nothing but its being a copy of what is
// here already is taken from it unproven.
static enum lane_receiving receive_as(struct link *link, struct source *s, struct lane *lane,
	const struct frame_batch *f, enum judgement judgement)
{
	struct node *node = link->node;

	if (judgement != SIGNING_GOOD)
		return LANE_DISCARD;
	prove(node, s, f->first);
	if (f->first > s->next) {
		// What is before it may be arriving elsewhere: asked for when that is there. After
		// TRIMMED the rest has to come from others, or be called a gap.
		lane->missed = true;
		repair_note(node, s);
		if (plumtree_hole(link, lane, f->first) && !s->partial && !lane->pulling &&
			!lane->trimmed)
			repair_pull(link, s);
		return LANE_DISCARD;
	}
	lane->pulling = false;
	if (plumtree_unwanted(link, lane))
		return LANE_DISCARD;
	if (s->partial && s->partial_from && s->partial_from != link->serial) {
		node->counters.batches_duplicate++;
		return LANE_DISCARD;
	}
	if (lane->stalled && repair_others(node, link, s)) {
		lane->missed = true;
		return LANE_DISCARD;
	}
	plumtree_fed(link, s);
	bool resumed = partial_resume(link, s, f);
	if (!resumed)
		repair_drop_partial(node, s);
	if (resumed || partial_begin(link, s, f)) {
		partial_relay(node, s, link);
		return LANE_KEEP;
	}
	// Asked for again when time is up, or sooner, when the next one shows the hole.
	repair_note(node, s);
	return LANE_DISCARD;
}

// Accounts for received bytes; -EPROTO when the window is exceeded.
static int account(struct link *link, struct lane *lane, uint64_t bytes)
{
	lane_take(link, lane, bytes);
	if (lane->outstanding > SOURCE_WINDOW)
		return -EPROTO;
	if (lane->receiving == LANE_DISCARD)
		lane_owe(link, lane, bytes);
	return 0;
}

// Of a source that is not kept here: given back at once, so that the sender's lane goes on.
static int pass_over(struct link *link, const struct source_key *key, uint64_t bytes)
{
	struct frame_credit f = { *key, (uint32_t)bytes };
	wire_put_credit(&link->control, &f);
	link_touch(link);
	return 0;
}

// An earlier life of somebody who has begun another one: replayed, if not very late.
static bool is_past(const struct node *node, const struct source_key *key)
{
	return announce_incarnation(&node->announce, &key->id) > key->incarnation;
}

// May this link show us a source that we do not know? Asked before its signature is looked at.
static bool may_meet(struct link *link, const struct source_key *key)
{
	struct node *node = link->node;
	if (is_past(node, key) || !allowance_take(&link->new_sources, node->now,
					  NEW_SOURCE_INTERVAL, NEW_SOURCE_BURST)) {
		node->counters.sources_refused++;
		return false;
	}
	return true;
}

static void bad_signature(struct link *link)
{
	link->node->counters.signatures_bad++;
	link_close(link, GOODBYE_SIGNATURE);
}

int broadcast_batch(struct link *link, const struct frame_batch *f)
{
	struct node *node = link->node;
	struct source_key key = { identity_of(&f->stamp.key), f->stamp.incarnation };
	uint64_t charge = lane_header_charge(f->count);
	enum judgement judgement = SIGNING_UNSEEN;

	if (!link->exchanged)
		return -EPROTO;
	struct source *s = source_find(node, &key);
	bool known = s && (!s->hearsay || is_past(node, &key));
	bool copy = known && (s == node->publisher.own || f->first < s->next);
	bool arriving = s && s->partial && s->partial_from && s->partial_from != link->serial &&
			s->partial->first == f->first;
	if (copy)
		node->counters.batches_duplicate++;
	else if (arriving)
		judgement = SIGNING_GOOD; // and discarded: not worth the time
	else if (s || may_meet(link, &key))
		judgement = signing_judge(node, BATCH_TAG, &f->stamp, &f->sealed);
	if (judgement == SIGNING_BAD) {
		bad_signature(link);
		return 0;
	}
	if (judgement == SIGNING_FOREIGN) {
		node->counters.batches_foreign++;
		link_foreign(link);
	}
	if (!s && judgement == SIGNING_GOOD)
		s = source_new(node, &key, 1);
	struct lane *lane = s ? lane_get(link, s) : NULL;
	if (!lane)
		return pass_over(link, &key, charge);
	// What was asked for came from elsewhere first, and this is the end of it.
	if (copy && f->first + f->count >= s->next)
		lane->pulling = false;
	if (copy || arriving)
		plumtree_copy(link, lane);
	// Begun again: what is checked of it stands.
	if (s->partial && s->partial_from == link->serial)
		repair_interrupted(node, s);
	lane->receiving = receive_as(link, s, lane, f, judgement);
	lane->batch_next = f->first + f->count;
	lane->batch_left = f->bytes;
	int r = account(link, lane, charge);
	if (r == 0)
		lane_expect(link, lane);
	return r;
}

int broadcast_trimmed(struct link *link, const struct frame_trimmed *f)
{
	struct node *node = link->node;
	const struct frame_batch *shown = &f->shown;
	struct source_key key = { identity_of(&shown->stamp.key), shown->stamp.incarnation };
	struct source *s = source_find(node, &key);
	struct lane *lane = s ? lane_find(link, s) : NULL;

	// What was asked for has come by itself meanwhile: the peer waits to hear where to go on.
	if (lane && !lane->pulling && f->next <= s->next && s->parent == link->serial) {
		repair_pull(link, s);
		return 0;
	}
	// What nobody asked for, or what is no news, is not worth a look at its signature.
	if (s ? !lane || !lane->pulling || s == node->publisher.own : !may_meet(link, &key))
		return 0;
	enum judgement judgement = signing_judge(node, BATCH_TAG, &shown->stamp, &shown->sealed);
	if (judgement == SIGNING_BAD)
		bad_signature(link);
	if (judgement == SIGNING_GOOD && !s)
		s = source_new(node, &key, 1);
	if (judgement != SIGNING_GOOD || !s)
		return 0;
	prove(node, s, f->next);
	source_remember(s, shown->sealed.bytes, shown->sealed.n + SIGNATURE_BYTES,
		shown->first + shown->count);
	repair_trimmed(link, s, f->next);
	return 0;
}

static void batch_complete(struct link *link, struct lane *lane)
{
	struct node *node = link->node;
	struct source *s = lane->source;
	struct batch *batch = s->partial;
	uint32_t count = batch->count;
	size_t charge = batch_charge(batch);

	s->partial = NULL;
	node->broadcast.partial_bytes -= batch->bytes;
	s->missing_since = 0;
	if (broadcast_append(node, batch) < 0) {
		// No memory to keep it: given back, and asked for again.
		lane_abandon_all(node, s, batch);
		batch_free(batch);
		lane_owe(link, lane, charge);
		repair_pull(link, s);
		return;
	}
	node->counters.messages_received += count;
	repair_resume(node, s);
}

// Bytes of the batch that is being kept: each chunk is checked as soon as it is whole.
static bool partial_take(struct source *s, uint32_t at, const struct frame_chunk *f)
{
	struct batch *b = s->partial;
	uint8_t hash[DIGEST_BYTES];
	uint32_t known = s->partial_bytes > at ? s->partial_bytes - at : 0;

	// Of a batch that came in part before, what is known already is passed over.
	if (known >= f->bytes)
		return true;
	memcpy(b->data + at + known, f->data + known, f->bytes - known);
	s->partial_bytes = at + f->bytes;
	while (s->partial_checked < b->bytes) {
		uint32_t from = s->partial_checked, to = from + CHUNK_BYTES;
		to = to < b->bytes ? to : b->bytes;
		if (to > s->partial_bytes)
			return true;
		if (digest(b->data + from, to - from, hash) < 0 ||
			memcmp(hash, batch_hash(b, from / CHUNK_BYTES), DIGEST_BYTES) != 0)
			return false;
		s->partial_checked = to;
	}
	return true;
}

int broadcast_chunk(struct link *link, const struct frame_chunk *f)
{
	struct source *s = source_find(link->node, &f->source);
	struct lane *lane = s ? lane_find(link, s) : NULL;

	if (!lane)
		return link->exchanged ? pass_over(link, &f->source, f->bytes) : -EPROTO;
	if (lane->receiving == LANE_IDLE || f->bytes > lane->batch_left)
		return -EPROTO;
	// The batch that was kept may have come from elsewhere, or was given up, since.
	if (lane->receiving == LANE_KEEP && (!s->partial || s->partial_from != link->serial))
		return -EPROTO;
	int r = account(link, lane, f->bytes);
	if (r < 0)
		return r;
	if (lane->receiving == LANE_KEEP) {
		uint32_t checked = s->partial_checked;
		s->partial_at = link->node->now;
		if (!partial_take(s, s->partial->bytes - lane->batch_left, f)) {
			bad_signature(link);
			return 0;
		}
		if (s->partial_checked > checked)
			lane_advance_all(link->node, s);
	}
	lane->batch_left -= f->bytes;
	if (lane->batch_left > 0)
		return 0;
	bool keep = lane->receiving == LANE_KEEP;
	lane->receiving = LANE_IDLE;
	lane->stalled = false;
	lane_peer_has(link, lane, lane->batch_next);
	if (keep)
		batch_complete(link, lane);
	else if (lane->missed && s->parent == link->serial && !s->partial && !lane->pulling &&
		 !lane->trimmed && lane->batch_next > s->next)
		repair_pull(link, s);
	return 0;
}
