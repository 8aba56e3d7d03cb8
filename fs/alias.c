// SPDX-License-Identifier: MIT
// Aliases of peers and other members. What they lead to can be found in peers/ for as long as the
// alias is listed.
#include "fs/alias.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

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

struct search {
	const struct node *node;
	enum alias_kind kind;
	const char *text; // [n]
	size_t n;
	const char *mark; // what of an id follows it; NULL: nothing
	uint32_t serial;  // found
};

// 1: found.
static int compare(void *context, const struct peer *peer)
{
	struct search *search = context;
	struct alias alias = plain(search->kind, peer);

	if (strlen(alias.text) != search->n || memcmp(alias.text, search->text, search->n) != 0)
		return 0;
	if (search->mark ? strncmp(id_format(&peer->id).text, search->mark, ALIAS_ID) != 0
			 : search->kind == ALIAS_NAME && !owns_name(search->node, peer))
		return 0;
	search->serial = peer->serial;
	return 1;
}

// Of a name that somebody has to himself; false: nobody has.
static bool find_holder(const struct node *node, const char *name, struct peer *peer)
{
	const struct names *names = node_config(node)->names;
	const struct id *holder = names ? names_holder(names, name) : NULL;

	return holder && node_find_peer_id(node, holder, peer);
}

uint32_t alias_find(const struct node *node, enum alias_kind kind, const char *text)
{
	const char *at = strchr(text, ALIAS_MARK);
	size_t n = at ? (size_t)(at - text) : strlen(text);
	struct search search = { node, kind, text, n, at ? at + 1 : NULL, 0 };
	struct peer peer;

	if (n == 0 || (at && strlen(at + 1) != ALIAS_ID))
		return 0;
	if (at || kind == ALIAS_ADDRESS)
		node_each_known(node, compare, &search);
	else if (find_holder(node, text, &peer))
		compare(&search, &peer);
	return search.serial;
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

struct listing {
	const struct node *node;
	enum alias_kind kind;
	struct taken *taken;
	int (*each)(void *context, const struct alias *alias);
	void *context;
};

static int list(void *context, const struct peer *peer)
{
	struct listing *l = context;
	struct alias alias = plain(l->kind, peer);

	if (!alias.text[0])
		return 0;
	int first = l->kind == ALIAS_ADDRESS ? take(&l->taken, &peer->address)
					     : owns_name(l->node, peer);
	if (first == 0)
		mark(&alias, peer);
	return first < 0 ? first : l->each(l->context, &alias);
}

int alias_each(const struct node *node, enum alias_kind kind,
	int (*each)(void *context, const struct alias *alias), void *context)
{
	struct listing l = { node, kind, NULL, each, context };
	int r = node_each_known(node, list, &l);

	free_taken(l.taken);
	return r;
}
