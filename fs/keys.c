// SPDX-License-Identifier: MIT
// The network's key from the daemon's side: which file, when one is made, and what a user without
// one has to do. How a file is read is core/keyfile.c's.
#include "fs/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

	if (d->options.seed_count == 0) {
		journal_say(&d->journal, LEVEL_FATAL,
			"%s: there is no network key; copy this file from a machine of the "
			"network, or make this the first node of a new one: smokefs none %s",
			path, d->mountpoint);
		return CODE_USAGE;
	}

	journal_say(&d->journal, LEVEL_FATAL,
		"%s: there is no network key; copy this file from a machine of the network, e.g. "
		"mkdir -p -m 700 %.*s && scp -p %s%s%s:%s %s (a node that root runs has it in "
		"/etc/smokefs/network.key, that of a user in ~/.config/smokefs/network.key)",
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

// It was read with the rights of root. 0, or -errno: no way back to these.
static int warn_unreadable(struct daemon *d)
{
	int fd = -1, r = user_enter(&d->user);

	if (r == 0)
		fd = open(d->key_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	r = user_leave(&d->user);
	if (r == 0 && fd < 0)
		journal_say(&d->journal, LEVEL_WARN,
			"%s: will not be readable for %s: after a change of the key restart this "
			"node instead of SIGHUP",
			d->key_path, d->user.name);
	return r;
}

enum exit_code keys_start(struct daemon *d)
{
	char why[KEYFILE_WHY];
	enum exit_code code = find_path(d);
	unsigned line;
	int r;

	if (code == CODE_CLEAN && d->options.new_key)
		code = make_key(d, why);
	if (code != CODE_CLEAN)
		return code;
	r = keyfile_load(&d->keyring, d->key_path, d->owner, &line, why);
	if (r == -ENOENT && (d->options.seed_count > 0 || !d->options.none))
		return complain_missing(d);
	if (r == -ENOENT) {
		code = make_key(d, why);
		if (code != CODE_CLEAN)
			return code;
		r = keyfile_load(&d->keyring, d->key_path, d->owner, &line, why);
	}
	if (r == 0 && d->user.name) {
		r = warn_unreadable(d);
		snprintf(why, sizeof why, "--user %s: %s", d->user.name, strerror(-r));
	}
	if (r == 0)
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL, "%s", why);
	return CODE_SYSTEM;
}

// To the log with the way out, and to whoever looks after the nodes by their events.
static void complain_reload(struct daemon *d, const char *path, unsigned line, int error,
	const char *why, const char *what)
{
	char number[16] = "-";

	if (line)
		snprintf(number, sizeof number, "%u", line);
	journal_say(&d->journal, LEVEL_ERROR, "%s; the %s stay as they were", why, what);
	event_emit(node_events(d->node), net_wall(), "config", "file=%s line=%s error=%s",
		event_escape(path).text, number, strerrorname_np(-error));
}

static void reload_ring(struct daemon *d)
{
	char why[KEYFILE_WHY];
	struct keyring fresh = { 0 };
	unsigned line;
	int r = keyfile_load(&fresh, d->key_path, d->owner, &line, why);

	if (r == 0)
		node_rekey(d->node, &fresh);
	else
		complain_reload(d, d->key_path, line, r, why, "keys");
}

// How many ids are on it, or -errno; -ENOENT there is no such list.
static ssize_t reload_list(struct daemon *d, enum state_list list, struct access *fresh)
{
	char why[KEYFILE_WHY], path[PATH_MAX + NAME_MAX + 2];
	unsigned line;
	ssize_t n = state_read_list(&d->state, list, fresh, &line, why);

	if (n >= 0 || n == -ENOENT)
		return n;
	snprintf(path, sizeof path, "%s/%s", d->state_path, state_list_name(list));
	complain_reload(d, path, line, (int)n, why, "lists");
	return n;
}

static void reload_access(struct daemon *d)
{
	struct access fresh = { 0 };
	char number[24] = "-";
	ssize_t authorized = reload_list(d, STATE_AUTHORIZED, &fresh);
	ssize_t denied = reload_list(d, STATE_DENIED, &fresh);

	if ((authorized < 0 && authorized != -ENOENT) || (denied < 0 && denied != -ENOENT)) {
		access_fini(&fresh);
		return;
	}
	node_set_access(d->node, &fresh);
	if (authorized >= 0)
		snprintf(number, sizeof number, "%zd", authorized);
	event_emit(node_events(d->node), net_wall(), "config", "authorized=%s denied=%zd", number,
		denied < 0 ? 0 : denied);
}

void keys_reload(struct daemon *d)
{
	reload_ring(d);
	reload_access(d);
}
