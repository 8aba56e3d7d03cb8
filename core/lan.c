// SPDX-License-Identifier: MIT
// Hails in time. No hail ever makes this node do more than note an address and, now and then, say
// that it is there as well: whom it dials, and how often, is the overlay's to decide.
#include "core/lan.h"

#include <errno.h>
#include <stdlib.h>

#include "core/hail.h"
#include "core/node_inner.h"

struct lan *lan_new(void)
{
	return calloc(1, sizeof(struct lan));
}

static bool seeks(const struct node *node)
{
	return overlay_count(node) < node->config.min_peers;
}

uint64_t node_hail_due(const struct node *node)
{
	const struct lan *lan = node->lan;
	uint64_t due;

	if (!lan || node->stopping)
		return UINT64_MAX;
	due = lan->hailed < HAIL_BURST || seeks(node) ? lan->soon : lan->late;
	return lan->answer && lan->answer < due ? lan->answer : due;
}

bool node_hail_begin(struct node *node)
{
	struct lan *lan = node->lan;

	if (node_hail_due(node) > node->now)
		return false;
	if (lan->hailed < HAIL_BURST)
		lan->hailed++;
	lan->soon = node->now + random_jitter(&node->random, lan->hailed < HAIL_BURST
								     ? HAIL_BURST_INTERVAL
								     : HAIL_INTERVAL_SEEKING);
	lan->late = node->now + random_jitter(&node->random, HAIL_INTERVAL);
	lan->answer = 0;
	return true;
}

// Started before its machine had an address, a node has told others of none but loopback.
static void adopt_address(struct node *node, const struct address *address)
{
	if (address_is_loopback(address) || !address_is_loopback(&node->config.address))
		return;
	node->config.address = *address;
	members_announce(node);
}

int node_hail(struct node *node, const struct address *address, uint8_t datagram[HAIL_BYTES])
{
	adopt_address(node, address);
	const struct hail hail = {
		.asks = seeks(node),
		.id = node->id,
		.incarnation = node->config.incarnation,
		.counter = ++node->lan->counter,
		.address = *address,
	};
	int r = hail_encode(&hail, node->config.keyring, datagram);

	node->counters.hails_sent += r == 0;
	return r;
}

static void refuse(struct node *node, const struct address *from, const char *reason)
{
	node->counters.hails_refused++;
	if (!node->lan->damage_said)
		NODE_EVENT(node, "refused", "addr=%s dir=in reason=%s by=hail",
			address_format(from).text, reason);
	node->lan->damage_said = true;
}

// Of those it has heard lately a node is known by its id: a new one takes the oldest's place.
static bool is_copy(struct lan *lan, const struct hail *hail)
{
	size_t at = 0;

	while (at < HAIL_HEARD && !id_equal(&lan->heard[at].id, &hail->id))
		at++;
	if (at == HAIL_HEARD) {
		at = lan->heard_at;
		lan->heard_at = (at + 1) % HAIL_HEARD;
	} else if (hail->incarnation < lan->heard[at].incarnation ||
		   (hail->incarnation == lan->heard[at].incarnation &&
			   hail->counter <= lan->counters[at])) {
		return true;
	}
	lan->heard[at] = (struct source_key){ hail->id, hail->incarnation };
	lan->counters[at] = hail->counter;
	return false;
}

// Not at once, or all who hear it would answer together; and not when enough others have.
static void consider_answer(struct node *node, const struct hail *hail)
{
	struct lan *lan = node->lan;

	if (lan->answer && ++lan->answered >= HAIL_ANSWERS)
		lan->answer = 0;
	if (!hail->asks || lan->answer || node_link_by_id(node, &hail->id) ||
		!allowance_take(&lan->answers, node->now, HAIL_ANSWER_INTERVAL, HAIL_ANSWERS))
		return;
	lan->answer = node->now + 1 + random_below(&node->random, HAIL_ANSWER_DELAY);
	lan->answered = 0;
}

static void heard(struct node *node, const struct address *from, const struct hail *hail)
{
	struct lan *lan = node->lan;

	// Whoever repeats it from elsewhere may as well forge where it comes from; but he has to.
	if (!address_same_host(from, &hail->address)) {
		refuse(node, from, "address");
		return;
	}
	if (id_equal(&hail->id, &node->id))
		return;
	if (is_copy(lan, hail) ||
		!allowance_take(&lan->news, node->now, HAIL_NEWS_INTERVAL, HAIL_NEWS_BURST)) {
		node->counters.hails_dropped++;
		return;
	}
	node->counters.hails_heard++;
	consider_answer(node, hail);
	if (!node_link_by_id(node, &hail->id))
		overlay_peers(node, &(struct contact){ hail->id, hail->address }, 1);
}

void node_hailed(struct node *node, const struct address *from, const uint8_t *bytes, size_t n)
{
	struct hail hail;

	if (!node->lan || node->stopping)
		return;
	switch (hail_decode(&hail, node->config.keyring, bytes, n)) {
	case 0:
		heard(node, from, &hail);
		break;
	case -ENOKEY:
		node->counters.hails_foreign++;
		break;
	case -EBADMSG:
		refuse(node, from, "network-key");
		break;
	default:
		refuse(node, from, "protocol-error");
	}
}

void node_hails_lost(struct node *node, uint64_t count)
{
	node->counters.hails_dropped += count;
}
