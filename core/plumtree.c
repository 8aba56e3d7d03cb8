// SPDX-License-Identifier: MIT
// Eager and lazy for sources, by who had their batches first. For links it is core/tree.c's.
#include "core/plumtree.h"

#include <stdlib.h>
#include <utlist.h>

#include "core/node_inner.h"

// Room for so many claims to begin with; more are rare.
#define CLAIMS_FEW 8

void plumtree_init(struct plumtree *t)
{
	*t = (struct plumtree){ .next = UINT64_MAX };
}

void plumtree_fini(struct plumtree *t)
{
	free(t->claims);
}

static void due(struct node *node, uint64_t at)
{
	if (at < node->plumtree.next)
		node->plumtree.next = at;
}

static struct link *link_of(struct node *node, uint32_t serial)
{
	struct link *link = serial ? node_link_by_serial(node, serial) : NULL;
	return link && link_up(link) && link->exchanged ? link : NULL;
}

// Digests.

void plumtree_tell(struct link *link, struct lane *lane)
{
	struct node *node = link->node;
	if (!lane->untold) {
		lane->untold = true;
		DL_APPEND2(link->untold, lane, untold_prev, untold_next);
	}
	if (link->tell_at == 0) {
		link->tell_at = node->now + DIGEST_DELAY;
		if (link->tell_at < link->told_at + DIGEST_INTERVAL)
			link->tell_at = link->told_at + DIGEST_INTERVAL;
	}
	// Also when it was to be told later: by then the log over there may be full.
	if (node->log.distance - link->told_distance >= DIGEST_AFTER)
		link->tell_at = node->now;
	due(node, link->tell_at);
}

void plumtree_tell_all(struct node *node, const struct source *s)
{
	struct link *link;
	DL_FOREACH (node->links, link) {
		struct lane *lane = link_up(link) ? lane_find(link, s) : NULL;
		if (lane)
			plumtree_tell(link, lane);
	}
}

void plumtree_untell(struct link *link, struct lane *lane)
{
	if (lane->untold)
		DL_DELETE2(link->untold, lane, untold_prev, untold_next);
	lane->untold = false;
}

static bool worth_telling(const struct link *link, const struct lane *lane)
{
	const struct source *s = lane->source;
	// To whom batches go as they come, they have said it, unless a gap has.
	bool unsaid = !lane->cursor && (!lane_eager(link, lane) || lane->peer_next < s->next);
	return lane->active && lane->told < s->next &&
	       (lane->guards || unsaid || lane_tells_sender(link, lane));
}

static void put_digest(struct link *link, struct lane **lanes, uint16_t count)
{
	uint64_t now = link->node->now;
	size_t at = wire_begin_digest(&link->control, count);

	for (uint16_t i = 0; i < count; i++) {
		const struct source *s = lanes[i]->source;
		uint64_t age = (now - s->active) / MILLISECOND;
		lanes[i]->told = s->next;
		lanes[i]->told_distance = link->node->log.distance;
		wire_put_digest_entry(
			&link->control, &(struct digest_entry){ { s->key, s->next },
						age < UINT16_MAX ? (uint16_t)age : UINT16_MAX });
	}
	wire_end(&link->control, at);
	link_touch(link);
}

static void flush_digest(struct link *link)
{
	struct lane *lanes[DIGEST_ENTRIES];
	struct lane *lane;
	uint16_t count = 0;

	link->tell_at = 0;
	link->told_at = link->node->now;
	link->told_distance = link->node->log.distance;
	while ((lane = link->untold)) {
		plumtree_untell(link, lane);
		if (worth_telling(link, lane))
			lanes[count++] = lane;
		if (count == DIGEST_ENTRIES) {
			put_digest(link, lanes, count);
			count = 0;
		}
	}
	if (count)
		put_digest(link, lanes, count);
}

// Moves.

static void stop_moving(struct node *node, struct source *s)
{
	if (s->move == MOVE_NONE)
		return;
	s->move = MOVE_NONE;
	DL_DELETE2(node->plumtree.moving, s, moving_prev, moving_next);
}

static void start_moving(struct node *node, struct source *s, enum move move, uint64_t until)
{
	if (s->move == MOVE_NONE)
		DL_APPEND2(node->plumtree.moving, s, moving_prev, moving_next);
	s->move = move;
	s->move_until = until;
	due(node, until);
}

// From here on it comes over this link, which has to show that it has what it says.
static void pull_from(struct link *link, struct source *s, uint64_t next)
{
	struct node *node = link->node;
	s->parent = link->serial;
	s->move_to = link->serial;
	s->move_next = next;
	s->move_bytes = link->channel.bytes_in;
	repair_pull(link, s);
	start_moving(node, s, MOVE_PROVING, node->now + CLAIM_TIMEOUT);
}

// No copy comes of a move: first the old parent finishes, then the new one begins. One that does
// not answer is not waited for.
static void move_to(struct link *link, struct source *s, uint64_t next)
{
	struct node *node = link->node;
	struct link *parent = link_of(node, s->parent);
	struct lane *old = parent ? lane_get(parent, s) : NULL;

	const struct lane *lane = lane_find(link, s);
	// Who waits for us has nothing sooner than we have.
	bool waits = next <= s->next && lane && lane->mode == LANE_WANTED;
	if (parent == link || s->move == MOVE_ASKED || waits)
		return;
	s->move_next = next;
	s->moved = node->now;
	s->moves++;
	if (!old) {
		pull_from(link, s, next);
		return;
	}
	s->move_to = link->serial;
	wire_put_prune(&parent->control, &(struct frame_prune){ s->key, PRUNE_FINISH });
	link_touch(parent);
	lane_turn_lazy(parent, old);
	start_moving(node, s, MOVE_ASKED, node->now + parent->rtt * 3 / 2 + MOVE_PATIENCE);
}

static void finish_move(struct node *node, struct source *s)
{
	struct link *link = link_of(node, s->move_to);
	stop_moving(node, s);
	if (link)
		pull_from(link, s, s->move_next);
	else
		plumtree_adopt(node, s, NULL);
}

// Time enough to begin: a link that brought so little in the meantime was not busy with other
// things.
static void judge_claim(struct node *node, struct source *s)
{
	struct link *link = link_of(node, s->move_to);
	const struct lane *lane = link ? lane_find(link, s) : NULL;
	bool served = s->next >= s->move_next || (s->partial && s->partial_from == s->move_to);

	stop_moving(node, s);
	if (served || !lane || lane->trimmed || link->channel.bytes_in - s->move_bytes > CLAIM_BUSY)
		return;
	node->counters.claims_unserved++;
	link->claims_unserved++;
	plumtree_adopt(node, s, link);
}

static void tick_move(struct node *node, struct source *s)
{
	if (node->now < s->move_until) {
		due(node, s->move_until);
		return;
	}
	switch (s->move) {
	case MOVE_ASKED:
		finish_move(node, s);
		return;
	case MOVE_PROVING:
		judge_claim(node, s);
		return;
	case MOVE_NONE:
		return;
	}
}

// One that had its own way to the source, if there is one: not one to which we send.
static bool better(const struct link *link, const struct lane *lane, const struct link *best,
	const struct lane *best_lane, const struct source *s)
{
	if (!best)
		return true;
	bool has = lane->peer_next > s->next && lane->trimmed <= s->next;
	bool best_has = best_lane->peer_next > s->next && best_lane->trimmed <= s->next;
	if (has != best_has)
		return has;
	bool child = lane_eager(link, lane), best_child = lane_eager(best, best_lane);
	if (child != best_child)
		return !child;
	return link->rtt < best->rtt;
}

void plumtree_adopt(struct node *node, struct source *s, const struct link *except)
{
	struct link *link, *best = NULL;
	struct lane *best_lane = NULL;

	stop_moving(node, s);
	s->parent = 0;
	if (s == node->publisher.own)
		return;
	DL_FOREACH (node->links, link) {
		struct lane *lane = link_up(link) && link->exchanged && link != except
					    ? lane_get(link, s)
					    : NULL;
		if (lane && better(link, lane, best, best_lane, s)) {
			best = link;
			best_lane = lane;
		}
	}
	if (!best)
		return;
	pull_from(best, s, best_lane->peer_next);
}

void plumtree_forget(struct node *node, struct source *s)
{
	struct link *link;
	stop_moving(node, s);
	DL_FOREACH (node->links, link) {
		struct lane *lane = lane_find(link, s);
		if (lane)
			plumtree_untell(link, lane);
	}
}

void plumtree_link_down(struct node *node, const struct link *link)
{
	struct source *s, *next;

	if (node->plumtree.parent == link->serial)
		plumtree_parent_lost(node);
	HASH_ITER (hh, node->broadcast.sources, s, next) {
		bool arriving = s->partial && s->partial_from == link->serial;
		bool lively = s->newest || s->partial;
		if (arriving)
			repair_interrupted(node, s);
		if (s->move == MOVE_ASKED && s->move_to == link->serial)
			plumtree_adopt(node, s, link);
		else if (s->move == MOVE_ASKED && s->parent == link->serial)
			finish_move(node, s);
		else if ((s->parent == link->serial && lively) || arriving)
			plumtree_adopt(node, s, link);
		else if (s->parent == link->serial)
			s->parent = 0;
	}
}

void plumtree_wake(struct node *node, struct source *s)
{
	struct link *link;

	if (node->now - s->active <= RETAIN_TIME || s->oldest || s->partial)
		return;
	s->parent = 0;
	DL_FOREACH (node->links, link) {
		struct lane *lane = lane_find(link, s);
		if (lane)
			lane->mode = LANE_AS_LINK;
	}
}

void plumtree_fed(struct link *link, struct source *s)
{
	s->parent = link->serial;
}

// Claims of what may be on its way here.

static uint64_t claim_delay(const struct source *s)
{
	return s && s->parent ? CLAIM_DELAY_KNOWN : CLAIM_DELAY;
}

// For one more; false: there are too many, or memory is out.
static bool claim_room(struct plumtree *t)
{
	uint32_t count = t->claim_count;
	if (count == CLAIMS_MAX)
		return false;
	// Full at the powers of two.
	if (t->claims && (count < CLAIMS_FEW || count & (count - 1)))
		return true;
	uint32_t room = count < CLAIMS_FEW ? CLAIMS_FEW : 2 * count;
	struct claim *claims = realloc(t->claims, room * sizeof *claims);
	if (claims)
		t->claims = claims;
	return claims;
}

static void note_claim(struct link *link, const struct source_key *key, uint64_t next)
{
	struct node *node = link->node;
	struct plumtree *t = &node->plumtree;
	const struct source *s = source_find(node, key);

	for (uint32_t i = 0; i < t->claim_count; i++) {
		struct claim *c = &t->claims[i];
		if (memcmp(&c->source, key, sizeof *key) != 0)
			continue;
		if (next > c->next) {
			c->next = next;
			c->link = link->serial;
		}
		return;
	}
	if (!claim_room(t)) {
		node->counters.claims_dropped++; // the next digest repeats it
		return;
	}
	uint64_t at = node->now + claim_delay(s);
	t->claims[t->claim_count++] =
		(struct claim){ *key, next, s ? s->next : 0, at, link->serial };
	due(node, at);
}

bool plumtree_hole(struct link *link, struct lane *lane, uint64_t first)
{
	struct source *s = lane->source;
	struct link *parent = link_of(link->node, s->parent);

	if (!parent)
		s->parent = link->serial;
	if (!parent || parent == link)
		return true;
	// It comes from the parent, or will be missed.
	note_claim(link, &s->key, first);
	plumtree_copy(link, lane);
	return false;
}

void plumtree_pulled(struct link *link, struct source *s)
{
	struct node *node = link->node;
	if (s->parent == link->serial && id_compare(&node->id, &link->id) < 0)
		plumtree_adopt(node, s, link);
}

void plumtree_copy(struct link *link, struct lane *lane)
{
	struct node *node = link->node;
	const struct source *s = lane->source;

	// What was asked for may have come from elsewhere meanwhile.
	if (s->parent == link->serial || lane->pulling || node->now - lane->stopped < PRUNE_PAUSE)
		return;
	lane->stopped = node->now;
	lane->stopping = true;
	wire_put_prune(&link->control, &(struct frame_prune){ s->key, PRUNE_STOP });
	link_touch(link);
}

bool plumtree_unwanted(const struct link *link, const struct lane *lane)
{
	uint32_t parent = lane->source->parent;
	return lane->stopping && parent != link->serial && link_of(link->node, parent);
}

// Does a batch of it come, and has it moved of late?
static bool arriving(const struct node *node, const struct source *s)
{
	return s->partial && s->partial_from && node->now - s->partial_at < PARTIAL_PATIENCE;
}

// What was claimed is still missing: it shall come from who has it.
static void fetch(struct node *node, struct link *link, struct source *s, uint64_t next)
{
	if (s->partial && s->partial_from)
		repair_interrupted(node, s);
	if (!link)
		plumtree_adopt(node, s, NULL);
	else if (s->parent == link->serial)
		pull_from(link, s, next);
	else
		move_to(link, s, next);
}

// True: it is looked at again.
static bool settle_claim(struct node *node, struct claim *c)
{
	struct link *link = link_of(node, c->link);
	struct source *s = source_find(node, &c->source);

	if (s && s->next < c->next) {
		bool goes_on = s->next > c->had || arriving(node, s);
		c->had = s->next;
		if (goes_on || s->move == MOVE_ASKED)
			return true;
		fetch(node, link, s, c->next);
	} else if (!s && link) {
		// It has said what we should have. Until it is here and proven, a name makes no
		// source.
		wire_put_pull(&link->control, &(struct frame_position){ c->source, 1 });
		link_touch(link);
	}
	return false;
}

static void settle_claims(struct node *node)
{
	struct plumtree *t = &node->plumtree;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < t->claim_count; i++) {
		struct claim c = t->claims[i];
		bool again = node->now < c.due || settle_claim(node, &c);
		if (!again)
			continue;
		if (node->now >= c.due)
			c.due = node->now + claim_delay(source_find(node, &c.source));
		t->claims[kept++] = c;
		due(node, c.due);
	}
	t->claim_count = kept;
}

// How much sooner it was there than here, if it was.
static int64_t sooner(const struct node *node, const struct source *s, uint64_t next, uint64_t age)
{
	const struct batch *b = s->newest;
	int64_t there = (int64_t)node->now - (int64_t)age;

	if (next > s->next)
		return (int64_t)age;
	while (b && b->first >= next)
		b = b->older;
	return b && batch_next(b) == next ? (int64_t)b->arrived - there : 0;
}

// Is it worth a move? One sample may be an accident, unless it is a large one.
static bool leads(const struct source *s, struct lane *lane, int64_t sample)
{
	if (lane->lead_moves != s->moves || lane->leads == 0) {
		lane->lead_moves = s->moves;
		lane->lead = sample;
		lane->leads = 0;
	}
	lane->leads++;
	lane->lead += (sample - lane->lead) / 4;
	return lane->lead >= (int64_t)TREE_GAIN && sample >= (int64_t)TREE_GAIN &&
	       (lane->leads > 1 || sample >= (int64_t)TREE_GAIN_LARGE);
}

void plumtree_claimed(struct link *link, const struct source_key *key, uint64_t next, uint64_t age)
{
	struct node *node = link->node;
	struct source *s = source_find(node, key);
	struct lane *lane = s ? lane_get(link, s) : NULL;

	if (!s) {
		// Who has said nothing yet is not worth asking for.
		if (next > 1 && announce_incarnation(&node->announce, &key->id) <= key->incarnation)
			note_claim(link, key, next);
		return;
	}
	if (!lane)
		return;
	lane_peer_has(link, lane, next);
	if (s == node->publisher.own)
		return;
	bool missing = next > s->next, from_parent = s->parent == link->serial;
	// A source that has not spoken yet comes along the tree, where there is one.
	bool orphan = (s->parent || node->up_count == 1) && !link_of(node, s->parent);
	// What is arriving need not be looked for, nor what has been asked for: word that crossed
	// the PULL is no answer to it. What a parent tells of otherwise, it does not send.
	if (missing && (arriving(node, s) || (from_parent && lane->pulling)))
		note_claim(link, key, next);
	else if (missing && from_parent && lane->trimmed > s->next)
		plumtree_adopt(node, s, link); // it has not what is missing first
	else if (missing && (from_parent || orphan))
		fetch(node, link, s, next);
	else if (!from_parent && (s->parent || !missing) &&
		 leads(s, lane, sooner(node, s, next, age)) && node->now - s->moved >= TREE_PAUSE)
		move_to(link, s, next);
	else if (missing)
		note_claim(link, key, next);
}

void plumtree_digest(struct link *link, const struct frame_digest *f)
{
	for (uint16_t i = 0; i < f->count && link_up(link); i++) {
		struct digest_entry e = wire_digest_entry(f, i);
		plumtree_claimed(link, &e.position.source, e.position.next, e.age * MILLISECOND);
	}
}

void plumtree_prune(struct link *link, const struct frame_prune *f)
{
	struct node *node = link->node;
	struct source *s = source_find(node, &f->source);
	struct lane *lane = s ? lane_get(link, s) : NULL;

	if (!lane)
		return;
	switch ((enum prune)f->kind) {
	case PRUNE_STOP:
		lane_stop(link, lane);
		return;
	case PRUNE_FINISH:
		lane_finish_and_say(link, lane);
		return;
	case PRUNE_STOPPED:
		if (s->move == MOVE_ASKED && s->parent == link->serial)
			finish_move(node, s);
		return;
	}
}

void plumtree_tick(struct node *node)
{
	struct source *s, *next;
	struct link *link;

	if (node->now < node->plumtree.next)
		return;
	node->plumtree.next = UINT64_MAX; // what is still to come sets it again
	DL_FOREACH (node->links, link) {
		if (!link_up(link) || link->tell_at == 0)
			continue;
		if (node->now >= link->tell_at)
			flush_digest(link);
		else
			due(node, link->tell_at);
	}
	settle_claims(node);
	DL_FOREACH_SAFE2(node->plumtree.moving, s, next, moving_next)
	tick_move(node, s);
	DL_FOREACH (node->links, link)
		if (link_up(link) && link->claims_unserved >= CLAIMS_UNSERVED_MAX)
			link_close(link, GOODBYE_FLOOD);
}
