// SPDX-License-Identifier: MIT
// Starts the parts of the daemon in their order, lets it live, and takes everything down again.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/daemon.h"
#include "fs/ready.h"

// Each step of the start says what is wrong and gives the exit code.

static enum exit_code check_mountpoint(struct daemon *d)
{
	const char *path = d->mountpoint;
	struct stat st;
	int r = mount_resolve(d->mountpoint, d->options.mountpoint);

	if (r < 0) {
		journal_say(&d->journal, LEVEL_FATAL, "%s: %s; create the directory first",
			d->options.mountpoint, strerror(-r));
		return CODE_MOUNT;
	}
	switch (mount_look(path)) {
	case MOUNT_NONE:
		break;
	case MOUNT_DEAD:
		r = mount_clean(path);
		if (r == 0)
			break;
		journal_say(&d->journal, LEVEL_FATAL,
			"%s: a dead mount is in the way: %s; try umount -l %s", path, strerror(-r),
			path);
		return CODE_MOUNT;
	case MOUNT_LIVE:
		journal_say(&d->journal, LEVEL_FATAL,
			"%s: already mounted; unmount it with fusermount3 -u %s", path, path);
		return CODE_MOUNT;
	case MOUNT_UNKNOWN:
		journal_say(&d->journal, LEVEL_FATAL,
			"%s: already mounted, and its daemon does not answer; continue it, or end it "
			"with kill -9",
			path);
		return CODE_MOUNT;
	}
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL, "%s: %s; name an existing directory", path,
		strerror(access(path, F_OK) < 0 ? errno : ENOTDIR));
	return CODE_MOUNT;
}

// Makes a path survive the way to "/".
static int make_absolute(char out[PATH_MAX], const char *path)
{
	char directory[PATH_MAX] = "";
	int n;

	if (*path != '/' && !getcwd(directory, sizeof directory))
		return -errno;
	n = snprintf(out, PATH_MAX, "%s%s%s", directory, *directory ? "/" : "", path);
	return n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static enum exit_code start_journal(struct daemon *d)
{
	enum log_target target = d->options.log_target;
	size_t n = strlen(d->mountpoint);
	char path[PATH_MAX] = "";
	int r = 0;

	if (target == LOG_TO_AUTO)
		target = d->options.foreground ? LOG_TO_STDERR : LOG_TO_SYSLOG;
	if (target == LOG_TO_FILE)
		r = make_absolute(path, d->options.log_file);
	if (r == 0 && strncmp(path, d->mountpoint, n) == 0 && path[n] == '/') {
		journal_say(&d->journal, LEVEL_FATAL,
			"--log: %s: is inside of the mount point; choose another place", path);
		return CODE_USAGE;
	}
	if (r == 0)
		r = journal_open(&d->journal, target, path, d->options.log_level);
	if (r == 0)
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL, "--log: %s: %s",
		d->options.log_file ? d->options.log_file : "syslog", strerror(-r));
	return CODE_SYSTEM;
}

static enum exit_code start_state(struct daemon *d)
{
	const char *path = d->state_path, *culprit;
	pid_t holder;
	int r;

	if (d->options.state)
		r = make_absolute(d->state_path, d->options.state);
	else
		r = state_default_path(d->state_path, sizeof d->state_path, d->mountpoint);
	if (r < 0) {
		journal_say(&d->journal, LEVEL_FATAL,
			"no place for the state directory: %s; name one with --state",
			r == -ENOENT ? "HOME is not set" : strerror(-r));
		return CODE_SYSTEM;
	}
	r = state_open(&d->state, path, net_wall(), &holder, &culprit);
	if (r == 0 && d->state.ephemeral)
		journal_say(&d->journal, LEVEL_WARN,
			"%s: cannot be written to: this node's id will not outlive this run", path);
	if (r == 0)
		return CODE_CLEAN;
	if (r == -EBUSY)
		journal_say(&d->journal, LEVEL_FATAL,
			"%s: in use by process %d; stop it, or choose another directory with --state",
			path, (int)holder);
	else if (r == -EINVAL && culprit)
		journal_say(&d->journal, LEVEL_FATAL,
			"%s/%s: is damaged; restore it, or remove the directory to become a new node",
			path, culprit);
	else
		journal_say(&d->journal, LEVEL_FATAL, "%s%s%s: %s", path, culprit ? "/" : "",
			culprit ? culprit : "", strerror(-r));
	return CODE_SYSTEM;
}

static enum exit_code start_listening(struct daemon *d)
{
	int fd;

	d->address = d->options.address;
	fd = net_listen(&d->address);
	if (fd == -EADDRINUSE) {
		journal_say(&d->journal, LEVEL_FATAL,
			"port %u: already in use at %s; choose another with --port, or leave it out",
			d->address.port, address_format_host(&d->address).text);
		return CODE_SYSTEM;
	}
	if (fd < 0) {
		journal_say(&d->journal, LEVEL_FATAL, "%s: cannot listen: %s",
			address_format(&d->address).text, strerror(-fd));
		return CODE_SYSTEM;
	}
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

static enum exit_code start_node(struct daemon *d)
{
	struct node_driver driver = net_driver(&d->net);
	struct node_config config = {
		.id = d->state.id,
		.incarnation = d->state.incarnation,
		.address = d->address,
		.min_peers = d->options.min_peers,
		.max_peers = d->options.max_peers,
		.ping_timeout = d->options.ping_timeout,
	};

	memcpy(config.name, d->options.name, sizeof config.name);
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
	for (size_t i = 0; i < d->options.seed_count; i++)
		node_add_seed(d->node, d->options.seeds[i].host, d->options.seeds[i].port);
	return CODE_CLEAN;
}

static enum exit_code start_session(struct daemon *d)
{
	struct session_config config = {
		.mountpoint = d->mountpoint,
		.mount_options = *d->options.mount_options ? d->options.mount_options : NULL,
		.debug = d->options.debug,
		.context = d,
		.ready = daemon_session_ready,
		.ended = daemon_session_ended,
		.flush = daemon_session_flush,
	};
	int r;

	mount_helper_expect(&d->helper, d->mountpoint);
	r = session_new(&d->session, &config, d->loop, d->node);

	if (r < 0) {
		d->session = NULL;
		journal_say(&d->journal, LEVEL_FATAL, "%s: cannot be mounted: %s", d->mountpoint,
			strerror(-r));
		return CODE_MOUNT;
	}
	r = mount_helper_watch(&d->helper, d->mountpoint);
	if (r < 0)
		journal_say(&d->journal, LEVEL_WARN,
			"%s: would stay mounted if this daemon were killed: %s", d->mountpoint,
			strerror(-r));
	return CODE_CLEAN;
}

static void warn_request_limit(struct daemon *d)
{
	if (mount_has_request_limit())
		journal_say(&d->journal, LEVEL_WARN,
			"%s is not 0: the kernel ends a mount whose reader waits longer than that; "
			"set it to 0",
			MOUNT_REQUEST_LIMIT);
}

static enum exit_code start(struct daemon *d)
{
	enum exit_code code = check_mountpoint(d);

	// Before this, nothing is worth a second process.
	if (code == CODE_CLEAN && !d->options.foreground) {
		d->parent = ready_fork();
		if (d->parent < 0) {
			journal_say(&d->journal, LEVEL_FATAL, "fork: %s", strerror(-d->parent));
			return CODE_SYSTEM;
		}
	}
	daemon_hold_signals();
	if (code == CODE_CLEAN)
		code = start_journal(d);
	if (code == CODE_CLEAN)
		code = start_state(d);
	if (code == CODE_CLEAN && mount_helper_start(&d->helper) < 0)
		journal_say(&d->journal, LEVEL_WARN, "fork: %s: would stay mounted if killed",
			strerror(errno));
	if (code == CODE_CLEAN)
		code = start_listening(d);
	if (code == CODE_CLEAN)
		code = start_node(d);
	if (code == CODE_CLEAN)
		code = start_session(d);
	if (code == CODE_CLEAN)
		warn_request_limit(d);
	return code;
}

// In the order that leaves nobody waiting: the mount first, the lock last.
static void finish(struct daemon *d)
{
	if (d->session)
		session_free(d->session);
	mount_helper_stop(&d->helper, d->mountpoint);
	if (d->node)
		node_free(d->node);
	if (d->loop) {
		net_fini(&d->net);
		ev_loop_destroy(d->loop);
	}
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
		.state = { .directory = -1, .lock = -1 },
	};

	switch (options_parse(&d.options, argc, argv)) {
	case OPTIONS_RUN:
		ready_prepare(d.options.foreground);
		return serve(&d);
	case OPTIONS_HELP:
		fputs(options_usage(), stdout);
		return fflush(stdout) == 0 ? CODE_CLEAN : CODE_SYSTEM;
	case OPTIONS_VERSION:
		printf("smokefs %s\n", SMOKEFS_VERSION);
		return fflush(stdout) == 0 ? CODE_CLEAN : CODE_SYSTEM;
	}
	fprintf(stderr, "smokefs: %s\n", d.options.error);
	return CODE_USAGE;
}
