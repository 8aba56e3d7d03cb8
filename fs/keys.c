// SPDX-License-Identifier: MIT
// The network's key from the daemon's side: which file, when one is made, and what a user without
// one has to do. How a file is read is core/keyfile.c's.
#include "fs/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/keyfile.h"
#include "fs/path.h"

static enum exit_code find_path(struct daemon *d)
{
	char path[PATH_MAX] = "";
	int r = d->options.key ? 0 : keyfile_default_path(path, sizeof path);

	if (r == -ENOENT) {
		journal_say(&d->journal, LEVEL_FATAL,
			"no place for the network key: HOME is not set; name a file with --key");
		return CODE_SYSTEM;
	}
	if (r == 0 && d->options.key)
		r = path_absolute(path, d->options.key);
	// Its directory may be missing, and is made with the key.
	if (r == 0 && path_resolve_parent(d->key_path, path) < 0)
		memcpy(d->key_path, path, sizeof path);
	if (r < 0) {
		journal_say(&d->journal, LEVEL_FATAL, "--key: %s", strerror(-r));
		return CODE_SYSTEM;
	}
	// It is read again while the mount is up, and nobody may wait for himself.
	if (!path_is_inside(d->key_path, d->mountpoint))
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL,
		"--key: %s: is inside of the mount point; choose another place", d->key_path);
	return CODE_USAGE;
}

// How the file is called over there: below the home of whoever copies, if it is so here.
static const char *remote_path(const char *path)
{
	const char *home = getenv("HOME");
	size_t n = home ? strlen(home) : 0;

	return n > 1 && strncmp(path, home, n) == 0 && path[n] == '/' ? path + n + 1 : path;
}

static enum exit_code complain_missing(struct daemon *d)
{
	const char *path = d->key_path, *host = d->options.seeds[0].host;
	bool six = strchr(host, ':');

	journal_say(&d->journal, LEVEL_FATAL,
		"%s: there is no network key; copy this file from a machine of the network, e.g. "
		"mkdir -p %.*s && scp -p %s%s%s:%s %s",
		path, (int)(strrchr(path, '/') - path), path, six ? "[" : "", host, six ? "]" : "",
		remote_path(path), path);
	return CODE_USAGE;
}

// Somebody else who starts at the same moment may have been faster: that is as good, unless a new
// network was asked for.
static enum exit_code make_key(struct daemon *d, char why[KEYFILE_WHY])
{
	int r = keyfile_create(d->key_path, why);

	if (r == 0) {
		journal_say(&d->journal, LEVEL_WARN,
			"%s: created the key of a new network; copy this file to the other machines",
			d->key_path);
		return CODE_CLEAN;
	}
	if (r != -EEXIST) {
		journal_say(&d->journal, LEVEL_FATAL, "%s", why);
		return CODE_SYSTEM;
	}
	if (!d->options.new_key)
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL,
		"--new-key: %s: there is a key already, and it is not overwritten; leave --new-key "
		"out to use it, or move it away",
		d->key_path);
	return CODE_USAGE;
}

enum exit_code keys_start(struct daemon *d)
{
	char why[KEYFILE_WHY];
	enum exit_code code = find_path(d);
	int r;

	if (code == CODE_CLEAN && d->options.new_key)
		code = make_key(d, why);
	if (code != CODE_CLEAN)
		return code;
	r = keyfile_load(&d->keyring, d->key_path, d->owner, why);
	if (r == -ENOENT && d->options.seed_count > 0)
		return complain_missing(d);
	if (r == -ENOENT) {
		code = make_key(d, why);
		if (code != CODE_CLEAN)
			return code;
		r = keyfile_load(&d->keyring, d->key_path, d->owner, why);
	}
	if (r == 0)
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL, "%s", why);
	return CODE_SYSTEM;
}

static void reload_ring(struct daemon *d)
{
	char why[KEYFILE_WHY];
	struct keyring fresh = { 0 };

	if (keyfile_load(&fresh, d->key_path, d->owner, why) == 0)
		node_rekey(d->node, &fresh);
	else
		journal_say(&d->journal, LEVEL_ERROR, "%s; the keys stay as they were", why);
}

static void reload_access(struct daemon *d)
{
	char why[KEYFILE_WHY];
	struct access fresh = { 0 };

	if (state_read_access(&d->state, &fresh, why) == 0)
		node_set_access(d->node, &fresh);
	else
		journal_say(&d->journal, LEVEL_ERROR, "%s; the lists stay as they were", why);
}

void keys_reload(struct daemon *d)
{
	reload_ring(d);
	reload_access(d);
}
