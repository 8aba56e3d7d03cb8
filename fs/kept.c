// SPDX-License-Identifier: MIT
#include "fs/kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/contacts.h"
#include "fs/daemon.h"

static size_t parse_names(struct daemon *d, const char *text, size_t n)
{
	return names_parse(&d->names, text, n);
}

static size_t parse_peers(struct daemon *d, const char *text, size_t n)
{
	return node_read_contacts(d->node, text, n);
}

static void read_text(struct daemon *d, const char *name, size_t max,
	size_t (*parse)(struct daemon *d, const char *text, size_t n))
{
	char *text;
	ssize_t n = state_read_text(&d->state, name, max, &text);
	size_t bad = n > 0 ? parse(d, text, (size_t)n) : 0;

	free(text);
	if (n < 0 && n != -ENOENT)
		journal_say(&d->journal, LEVEL_WARN, "%s/%s: %s: begins anew", d->state_path, name,
			strerror(-(int)n));
	else if (bad)
		journal_say(&d->journal, LEVEL_WARN,
			"%s/%s: %zu lines are damaged, and passed over", d->state_path, name, bad);
}

// Takes what is in `out`; `r`: whether it is all.
static void store(struct daemon *d, const char *name, struct buffer *out, int r)
{
	if (r == 0)
		r = state_write_text(&d->state, name, buffer_bytes(out), buffer_length(out));
	buffer_fini(out);
	if (r < 0 && !d->kept.said)
		journal_say(&d->journal, LEVEL_WARN, "%s/%s: %s: only until this node stops",
			d->state_path, name, strerror(-r));
	d->kept.said |= r < 0;
}

void kept_read_names(struct daemon *d)
{
	read_text(d, STATE_NAMES, NAMES_TEXT_MAX, parse_names);
}

void kept_read_peers(struct daemon *d)
{
	read_text(d, STATE_PEERS, CONTACTS_TEXT_MAX, parse_peers);
}

static void store_names(struct daemon *d)
{
	struct buffer out = BUFFER_INIT;

	d->names.changed = false;
	d->kept.names_due = 0;
	store(d, STATE_NAMES, &out, names_write(&d->names, &out));
}

static void store_peers(struct daemon *d)
{
	struct buffer out = BUFFER_INIT;

	d->kept.peers_due = 0;
	d->kept.peers_stored = true;
	store(d, STATE_PEERS, &out, node_write_contacts(d->node, &out));
}

void kept_turn(struct daemon *d)
{
	struct kept *k = &d->kept;
	uint64_t now = node_now(d->node);

	if (d->names.changed && !k->names_due)
		k->names_due = now + KEPT_STORE_DELAY;
	if (k->names_due && now >= k->names_due)
		store_names(d);
	if (node_contacts_changed(d->node) && !k->peers_due)
		k->peers_due = now + (k->peers_stored ? PEERS_STORE_INTERVAL : KEPT_STORE_DELAY);
	if (k->peers_due && now >= k->peers_due)
		store_peers(d);
}

void kept_store(struct daemon *d)
{
	if (d->names.changed)
		store_names(d);
	if (d->node && node_contacts_changed(d->node))
		store_peers(d);
}
