// SPDX-License-Identifier: MIT
// Starts the parts of the daemon in their order, lets it live, and takes everything down again.
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/listen.h"
#include "fs/daemon.h"
#include "fs/keys.h"
#include "fs/path.h"
#include "fs/place.h"
#include "fs/ready.h"

#define CLOCK_LEAST 1735689600 // 2025: before there was this program

// Each step of the start says what is wrong and gives the exit code.

static enum exit_code start_user(struct daemon *d)
{
	const char *name = d->options.user;
	int r = name ? user_find(&d->user, name) : 0;

	d->owner = d->user.name ? d->user.uid : geteuid();
	if (r == 0)
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL, "--user %s: %s", name,
		r == -EPERM    ? "only root can become another user"
		: r == -EINVAL ? "has root's number; name another user, or leave it out"
		: r == -ENOENT ? "there is no such user; see 'getent passwd'"
			       : strerror(-r));
	return CODE_USAGE;
}

// The log has to be one that the daemon can open again as the user it will be.
static int open_journal(struct daemon *d, enum log_target target, const char *path)
{
	int r = 0;

	for (int made = 0; made < 2; made++) {
		r = user_enter(&d->user);
		if (r == 0)
			r = journal_open(&d->journal, target, path, d->options.log_level);
		int left = user_leave(&d->user);
		if (left < 0)
			return left;
		if (r != -EACCES || !d->user.name || made || target != LOG_TO_FILE ||
			user_make_file(&d->user, path) < 0)
			break;
	}
	return r;
}

static enum exit_code start_journal(struct daemon *d)
{
	enum log_target target = d->options.log_target;
	char path[PATH_MAX] = "";
	int r = 0;

	if (target == LOG_TO_AUTO)
		target = d->options.foreground ? LOG_TO_STDERR : LOG_TO_SYSLOG;
	if (target == LOG_TO_FILE)
		r = path_absolute(path, d->options.log_file);
	if (r == 0 && path_is_inside(path, d->mountpoint)) {
		journal_say(&d->journal, LEVEL_FATAL,
			"--log: %s: is inside of the mount point; choose another place", path);
		return CODE_USAGE;
	}
	if (r == 0)
		r = open_journal(d, target, path);
	if (r == 0)
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL, "--log: %s: %s%s%s",
		d->options.log_file ? d->options.log_file : "syslog", strerror(-r),
		r == -EACCES && d->user.name ? " for user " : "",
		r == -EACCES && d->user.name ? d->user.name : "");
	return CODE_SYSTEM;
}

// A machine without a battery begins at 1970 until it has heard of the time. Nothing but what
// people read depends on it.
static void warn_clock(struct daemon *d)
{
	char day[16];
	struct tm tm;
	time_t now = time(NULL);

	if (now >= CLOCK_LEAST || !gmtime_r(&now, &tm))
		return;
	strftime(day, sizeof day, "%Y-%m-%d", &tm);
	journal_say(&d->journal, LEVEL_WARN,
		"the clock of this machine is at %s: set it; until then the times in events are "
		"wrong",
		day);
}

// As the user whose it is to be. What is not root's to give, that user may be able to make.
static int open_state(struct daemon *d, char why[KEYFILE_WHY])
{
	int r = user_give_state(&d->user, d->state_path);

	if (r == -ENOTEMPTY)
		snprintf(why, KEYFILE_WHY,
			"%s: holds more than the state of a node, and is not given to %s; name an "
			"empty or a new directory with --state",
			d->state_path, d->user.name);
	else if (r < 0)
		snprintf(why, KEYFILE_WHY, "%s: cannot be given to %s: %s", d->state_path,
			d->user.name, strerror(-r));
	if (r < 0 && r != -EACCES)
		return r;
	r = user_enter(&d->user);
	if (r == 0)
		r = state_open(&d->state, d->state_path, d->owner, net_wall(), why);
	int left = user_leave(&d->user);
	return left < 0 ? left : r;
}

static enum exit_code start_state(struct daemon *d)
{
	char why[KEYFILE_WHY];
	int r;

	if (d->options.state)
		r = path_absolute(d->state_path, d->options.state);
	else
		r = state_default_path(d->state_path, sizeof d->state_path, d->mountpoint);
	if (r < 0) {
		journal_say(&d->journal, LEVEL_FATAL,
			"no place for the state directory: %s; name one with --state",
			r == -ENOENT ? "HOME is not set" : strerror(-r));
		return CODE_SYSTEM;
	}
	r = open_state(d, why);
	if (r == 0 && d->state.ephemeral)
		journal_say(&d->journal, LEVEL_WARN,
			"%s: cannot be written to: this node's id will not outlive this run",
			d->state_path);
	if (r == 0)
		r = state_read_access(&d->state, &d->access, why);
	if (r == 0) {
		kept_read_names(d);
		return CODE_CLEAN;
	}
	journal_say(&d->journal, LEVEL_FATAL, "%s", why);
	return CODE_SYSTEM;
}

static enum exit_code start_identity(struct daemon *d)
{
	d->identity = identity_new(d->state.secret);
	explicit_bzero(d->state.secret, sizeof d->state.secret);
	if (d->identity)
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL, "the node's key: %s", strerror(ENOMEM));
	return CODE_SYSTEM;
}

static void complain_listen(struct daemon *d, const struct address *address, int error)
{
	struct address_text text = address_format_host(address);
	const char *host = address->family ? text.text : "this machine";

	if (error == -EADDRINUSE)
		journal_say(&d->journal, LEVEL_FATAL,
			"port %u: already in use at %s; choose another with --port, or leave it out",
			address->port, host);
	else if (error == -EADDRNOTAVAIL)
		journal_say(&d->journal, LEVEL_FATAL,
			"--address %s: no interface of this machine has this address; see 'ip "
			"address', or leave it out",
			host);
	else if (error == -EACCES && address->port < IPPORT_RESERVED)
		journal_say(&d->journal, LEVEL_FATAL,
			"port %u: only root may listen below %d; choose another with --port",
			address->port, IPPORT_RESERVED);
	else
		journal_say(&d->journal, LEVEL_FATAL, "%s port %u: cannot listen: %s", host,
			address->port, strerror(-error));
}

// The first seed that is an address elsewhere; family 0: there is none.
static struct address find_remote_seed(const struct options *o)
{
	struct address a;

	for (size_t i = 0; i < o->seed_count; i++)
		if (address_parse_host(&a, o->seeds[i].host, o->seeds[i].port) == 0 &&
			!address_is_loopback(&a))
			return a;
	return (struct address){ 0 };
}

static enum exit_code start_listening(struct daemon *d)
{
	struct address address = d->options.address, seed = find_remote_seed(&d->options);
	int fd = listen_open(&address);

	if (fd < 0) {
		complain_listen(d, &address, fd);
		return CODE_SYSTEM;
	}
	d->addresses[0] = address;
	d->address_count = 1;
	if (address.family == 0)
		d->address_count = listen_detect(d->addresses, HELLO_ADDRESSES, fd, &seed);
	// Not the default loop, which would reap children that libfuse waits for.
	d->loop = ev_loop_new(EVFLAG_AUTO);
	if (d->loop && net_init(&d->net, d->loop, fd) == 0)
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL, "the event loop: %s", strerror(ENOMEM));
	if (!d->loop)
		close(fd);
	else
		ev_loop_destroy(d->loop);
	d->loop = NULL;
	return CODE_SYSTEM;
}

static int keep_incarnation(void *context, uint64_t incarnation)
{
	struct daemon *d = context;
	return state_keep_incarnation(&d->state, incarnation);
}

static enum exit_code start_node(struct daemon *d)
{
	struct node_driver driver = net_driver(&d->net);
	struct node_config config = {
		.identity = d->identity,
		.keyring = &d->keyring,
		.access = &d->access,
		.names = &d->names,
		.incarnation = d->state.incarnation,
		.keep_incarnation = keep_incarnation,
		.keep_context = d,
		.address = d->addresses[0],
		.other_count = (uint8_t)(d->address_count - 1),
		.min_peers = d->options.min_peers,
		.max_peers = d->options.max_peers,
		.ping_timeout = d->options.ping_timeout,
		.stall_timeout = d->options.stall_timeout,
		.min_rate = d->options.min_rate,
		.discovery = options_discovery(&d->options),
		.history = HISTORY_BYTES,
	};

	memcpy(config.name, d->options.name, sizeof config.name);
	memcpy(config.others, d->addresses + 1, sizeof config.others);
	if (getrandom(&config.seed, sizeof config.seed, 0) == sizeof config.seed)
		d->node = node_new(&config, &driver);
	if (!d->node) {
		journal_say(&d->journal, LEVEL_FATAL, "the node: %s", strerror(ENOMEM));
		return CODE_SYSTEM;
	}
	node_events(d->node)->mirror = journal_event;
	node_events(d->node)->mirror_context = &d->journal;
	node_advance(d->node, net_now(), net_wall());
	net_start(&d->net, d->node);
	kept_read_peers(d);
	return CODE_CLEAN;
}

static enum exit_code start(struct daemon *d)
{
	enum exit_code code = place_check(d);

	// Before this, nothing is worth a second process.
	if (code == CODE_CLEAN && !d->options.foreground) {
		d->parent = ready_fork(d->automount);
		if (d->parent < 0) {
			journal_say(&d->journal, LEVEL_FATAL, "fork: %s", strerror(-d->parent));
			return CODE_SYSTEM;
		}
	}
	daemon_hold_signals();
	if (code == CODE_CLEAN)
		code = start_user(d);
	if (code == CODE_CLEAN)
		code = start_journal(d);
	// Before any key is read: the copy of this process must have none.
	if (code == CODE_CLEAN)
		code = place_watch(d);
	if (code == CODE_CLEAN)
		warn_clock(d);
	if (code == CODE_CLEAN)
		code = keys_start(d);
	if (code == CODE_CLEAN)
		code = start_state(d);
	if (code == CODE_CLEAN)
		code = start_identity(d);
	if (code == CODE_CLEAN)
		code = start_listening(d);
	if (code == CODE_CLEAN)
		code = start_node(d);
	if (code == CODE_CLEAN)
		code = place_mount(d);
	return code;
}

// In the order that leaves nobody waiting: the mount first, the lock last.
static void finish(struct daemon *d)
{
	if (d->session)
		session_free(d->session);
	mount_helper_stop(&d->helper, d->mountpoint);
	discovery_stop(&d->discovery);
	kept_store(d);
	if (d->node)
		node_free(d->node);
	if (d->loop) {
		net_fini(&d->net);
		ev_loop_destroy(d->loop);
	}
	identity_free(d->identity);
	keyring_fini(&d->keyring);
	access_fini(&d->access);
	names_fini(&d->names);
	state_close(&d->state);
	journal_close(&d->journal);
	options_fini(&d->options);
}

static enum exit_code serve(struct daemon *d)
{
	d->code = start(d);
	if (d->code == CODE_CLEAN)
		daemon_live(d);
	finish(d);
	return d->code;
}

int main(int argc, char **argv)
{
	static struct daemon d = {
		.journal = { .fd = -1, .terminal = true },
		.parent = -1,
		.helper = { .pipe = -1 },
		.device = -1,
		.state = { .directory = -1, .lock = -1 },
	};

	harden_start();
	switch (options_parse(&d.options, argc, argv)) {
	case OPTIONS_RUN:
		if (d.options.foreground)
			d.device = ready_take(READY_MOUNT);
		ready_prepare(d.options.foreground);
		return serve(&d);
	case OPTIONS_SERVICE_MOUNT:
		ready_prepare(true);
		return place_hand_over(&d);
	case OPTIONS_SERVICE_UNMOUNT:
		return place_clear(&d);
	case OPTIONS_FAKE:
		return CODE_CLEAN;
	case OPTIONS_HELP:
		fputs(options_usage(), stdout);
		return fflush(stdout) == 0 ? CODE_CLEAN : CODE_SYSTEM;
	case OPTIONS_VERSION:
		printf("smokefs %s\n", SMOKEFS_VERSION);
		return fflush(stdout) == 0 ? CODE_CLEAN : CODE_SYSTEM;
	}
	journal_say(&d.journal, LEVEL_FATAL, "%s", d.options.error);
	return CODE_USAGE;
}
