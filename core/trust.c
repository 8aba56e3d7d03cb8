// SPDX-License-Identifier: MIT
// Whom this node trusts, changed while it runs: the lists and the network's keys.
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"

// Members that may not link any more do not stay.
static void enforce_access(struct node *node)
{
	struct link *link;

	broadcast_enforce_access(node);
	LINK_FOREACH(node, link)
	if (link->proven && !access_permits(node->config.access, &link->id))
		link_close(link, GOODBYE_DENIED);
	node_reap(node);
}

int node_allow(struct node *node, const struct id *id)
{
	if (id_equal(id, &node->id))
		return -EINVAL;
	node->overlay.next = 0;
	return access_allow(node->config.access, id);
}

int node_deny(struct node *node, const struct id *id)
{
	if (id_equal(id, &node->id))
		return -EINVAL;
	int r = access_deny(node->config.access, id);
	if (r == 0)
		enforce_access(node);
	return r;
}

void node_set_access(struct node *node, struct access *fresh)
{
	access_fini(node->config.access);
	*node->config.access = *fresh;
	*fresh = (struct access){ 0 };
	enforce_access(node);
}

void node_rekey(struct node *node, struct keyring *fresh)
{
	struct network_name before = node->config.keyring->keys[0].name;
	keyring_replace(node->config.keyring, fresh);
	const struct network_key *key = &node->config.keyring->keys[0];
	NODE_EVENT(node, "config", "keys=%zu first=%016" PRIx64, node->config.keyring->count,
		keyring_number(&key->name));
	// What newcomers are told of us has to be signed for a network that they know.
	if (memcmp(&before, &key->name, sizeof before) != 0)
		members_announce(node);
	node_reap(node);
}
