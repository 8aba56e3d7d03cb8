// SPDX-License-Identifier: MIT
// Aliases of peers. What they lead to is in peers/ for as long as the alias is listed.
#include "fs/alias.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

// All nodes that peers/ has. Whoever is to have an alias comes from here.
static bool next_node(const struct node *node, uint32_t after, struct peer *peer)
{
	return node_next_peer(node, after, peer);
}

// Does it have the name to itself?
static bool owns_name(const struct node *node, const struct peer *peer)
{
	const struct names *names = node_config(node)->names;
	const struct id *holder = names ? names_holder(names, peer->name) : NULL;

	return holder && id_equal(holder, &peer->id) &&
	       strcmp(peer->name, node_config(node)->name) != 0;
}

// What it goes by if nobody else does; empty: by nothing.
static struct alias plain(enum alias_kind kind, const struct peer *peer)
{
	struct alias alias = { .serial = peer->serial };

	switch (kind) {
	case ALIAS_NAME:
		memcpy(alias.text, peer->name, sizeof peer->name);
		break;
	case ALIAS_ADDRESS:
		if (peer->address.family)
			memcpy(alias.text, address_format(&peer->address).text, ADDRESS_TEXT);
		break;
	}
	return alias;
}

static void mark(struct alias *alias, const struct peer *peer)
{
	size_t n = strlen(alias->text);

	snprintf(alias->text + n, sizeof alias->text - n, "%c%.*s", ALIAS_MARK, ALIAS_ID,
		id_format(&peer->id).text);
}

uint32_t alias_find(const struct node *node, enum alias_kind kind, const char *text)
{
	const char *at = strchr(text, ALIAS_MARK);
	size_t n = at ? (size_t)(at - text) : strlen(text);
	struct peer peer;

	if (n == 0 || (at && strlen(at + 1) != ALIAS_ID))
		return 0;
	for (uint32_t after = 0; next_node(node, after, &peer); after = peer.serial) {
		struct alias alias = plain(kind, &peer);
		if (strlen(alias.text) != n || memcmp(alias.text, text, n) != 0)
			continue;
		if (at ? strncmp(id_format(&peer.id).text, at + 1, ALIAS_ID) == 0
		       : kind == ALIAS_ADDRESS || owns_name(node, &peer))
			return peer.serial;
	}
	return 0;
}

// An address that has been listed.
struct taken {
	UT_hash_handle hh;
	struct address address;
};

static void free_taken(struct taken *table)
{
	struct taken *t, *next;

	HASH_ITER (hh, table, t, next) {
		HASH_DEL(table, t);
		free(t);
	}
}

// 1: it is the first at that address. 0: it is not. -ENOMEM.
static int take(struct taken **table, const struct address *address)
{
	struct taken *t, key = { .address = { .family = address->family, .port = address->port } };

	// A key without padding that nobody has set.
	memcpy(key.address.bytes, address->bytes, sizeof key.address.bytes);
	HASH_FIND(hh, *table, &key.address, sizeof key.address, t);
	if (t)
		return 0;
	t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	memcpy(&t->address, &key.address, sizeof t->address);
	HASH_ADD(hh, *table, address, sizeof t->address, t);
	if (!t->hh.tbl) {
		free(t);
		return -ENOMEM;
	}
	return 1;
}

int alias_each(const struct node *node, enum alias_kind kind,
	int (*each)(void *context, const struct alias *alias), void *context)
{
	struct taken *taken = NULL;
	struct peer peer;
	int r = 0;

	for (uint32_t at = 0; r == 0 && next_node(node, at, &peer); at = peer.serial) {
		struct alias alias = plain(kind, &peer);
		if (!alias.text[0])
			continue;
		int first = kind == ALIAS_ADDRESS ? take(&taken, &peer.address)
						  : owns_name(node, &peer);
		if (first == 0)
			mark(&alias, &peer);
		r = first < 0 ? first : each(context, &alias);
	}
	free_taken(taken);
	return r;
}
