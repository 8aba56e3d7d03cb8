// SPDX-License-Identifier: MIT
// The daemon while it lives, from its started parts to its farewell. It neither starts its parts
// nor takes them down: fs/main.c does.
#include "fs/daemon.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/keys.h"
#include "fs/ready.h"

#define ANSWER_TIMEOUT 10.0 // seconds, for a new mount to answer

// Stages.

static void stop(struct daemon *d, enum exit_code code)
{
	if (d->stage == STAGE_STOPPING) {
		ev_break(d->loop, EVBREAK_ALL);
		return;
	}
	d->stage = STAGE_STOPPING;
	d->code = code;
	d->journal.terminal = false;
	ready_notify("STOPPING=1");
	net_stop_listening(&d->net);
	discovery_stop(&d->discovery);
	// First those who wait here: they are told of our end and not of our peers'.
	session_end_calls(d->session);
	node_stop(d->node);
	ev_timer_stop(d->loop, &d->limit);
	// node_stopped() keeps to this time by itself; the timer is for a loop that it cannot end.
	ev_timer_set(&d->limit, (double)FAREWELL_TIME / SECOND + 0.1, 0.);
	ev_timer_start(d->loop, &d->limit);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *w, int events)
{
	ready_notify("WATCHDOG=1");
}

// A loop that turns is a node that lives. Twice as often as it has to be, so that one may be late.
static void start_watchdog(struct daemon *d)
{
	double limit = ready_watchdog();

	ev_timer_init(&d->watchdog, on_watchdog, limit / 2, limit / 2);
	if (limit > 0)
		ev_timer_start(d->loop, &d->watchdog);
}

static void run(struct daemon *d)
{
	ev_timer_stop(d->loop, &d->limit);
	// Pins no directory. Paths are absolute by now.
	if (d->parent >= 0 && chdir("/") < 0)
		journal_say(&d->journal, LEVEL_WARN, "/: %s", strerror(errno));
	d->stage = STAGE_RUNNING;
	d->journal.terminal = false;
	journal_say(&d->journal, LEVEL_INFO,
		"start id=%s name=%s address=%s mountpoint=%s version=%s key=%s state=%s",
		id_format(&d->identity->id).text, d->options.name,
		address_format(&d->addresses[0]).text, d->mountpoint, SMOKEFS_VERSION, d->key_path,
		d->state.ephemeral ? "-" : d->state_path);
	ready_announce(d->parent);
	d->parent = -1;
	start_watchdog(d);
}

// All that needs privileges is done. False: it goes on with none of them or not at all.
static bool give_up_privileges(struct daemon *d)
{
	int r;

	harden_bound_capabilities();
	r = user_become(&d->user);
	if (r == 0)
		r = harden_drop_capabilities();
	if (r < 0) {
		journal_say(&d->journal, LEVEL_FATAL, "cannot give up privileges%s%s: %s",
			d->user.name ? " and become " : "", d->user.name ? d->user.name : "",
			strerror(-r));
		return false;
	}
	r = harden_confine(d->options.seccomp, d->helper.pid);
	if (r == -ENOSYS)
		journal_say(&d->journal, LEVEL_WARN,
			"this kernel cannot filter system calls: running without --seccomp");
	else if (r < 0)
		journal_say(&d->journal, LEVEL_FATAL, "--seccomp: %s; --seccomp off goes without",
			strerror(-r));
	return r == 0 || r == -ENOSYS;
}

static void discover(struct daemon *d)
{
	struct address listening = d->options.address;

	listening.port = d->addresses[0].port;
	int r = discovery_start(&d->discovery, d->loop, d->node, &listening);
	if (r < 0)
		journal_say(&d->journal, LEVEL_WARN,
			"UDP port %u: %s: this node finds nobody on the local network, nor do others "
			"find it; name a seed",
			HAIL_PORT, strerror(-r));
}

// Only now: nothing of a stranger's is looked at with privileges.
static void meet_others(struct daemon *d)
{
	net_start_accepting(&d->net);
	if (options_discovery(&d->options))
		discover(d);
	for (size_t i = 0; i < d->options.seed_count; i++)
		node_add_seed(d->node, d->options.seeds[i].host, d->options.seeds[i].port);
}

// The mount answers.
static void run_or_wait(struct daemon *d)
{
	ev_timer_stop(d->loop, &d->limit);
	// Only the manager's own process group could come this far.
	if (d->automount && d->parent >= 0)
		setsid();
	if (!give_up_privileges(d)) {
		stop(d, CODE_SYSTEM);
		return;
	}
	meet_others(d);
	if (!d->options.wait) {
		run(d);
		return;
	}
	d->stage = STAGE_WAITING;
	if (d->options.wait_time == 0)
		return;
	ev_timer_set(&d->limit, (double)d->options.wait_time / SECOND, 0.);
	ev_timer_start(d->loop, &d->limit);
}

// Why there is no peer.

struct setback {
	struct event_text address; // of a seed
	struct event_text reason;  // for which one end refused, or empty
	struct event_text error;   // by its name
	bool by_peer;
};

static bool has_words(const char *line, size_t n, const char *words)
{
	return memmem(line, n, words, strlen(words));
}

// `key` is " name=".
static struct event_text read_field(const char *line, size_t n, const char *key)
{
	struct event_text out = { "" };
	const char *at = memmem(line, n, key, strlen(key)), *end = line + n;

	if (!at)
		return out;
	at += strlen(key);
	for (size_t i = 0; at < end && *at != ' ' && i + 1 < sizeof out.text; i++)
		out.text[i] = *at++;
	return out;
}

// Of one event; false: it tells nothing new about a seed.
static bool take_setback(struct setback *s, const char *line, size_t n)
{
	bool refused = has_words(line, n, " refused ") && has_words(line, n, " dir=out ") &&
		       !has_words(line, n, " by=connect");
	// A refusal says why; the retry that follows it does not.
	bool retried = has_words(line, n, " seed-retry ") && !has_words(line, n, " error=EACCES ");

	if (refused || retried)
		*s = (struct setback){ read_field(line, n, " addr="),
			read_field(line, n, " reason="), read_field(line, n, " error="),
			has_words(line, n, " by=peer") };
	return refused || retried;
}

static bool find_setback(struct daemon *d, struct setback *last)
{
	const struct event_log *log = node_events(d->node);
	const char *line = NULL;
	size_t left = event_log_read(log, log->tail, &line);
	bool found = false;

	while (left > 0) {
		size_t n = (size_t)((const char *)memchr(line, '\n', left) - line);
		found |= take_setback(last, line, n);
		line += n + 1;
		left -= n + 1;
	}
	return found;
}

static int error_of_name(const char *name)
{
	for (int error = 1; error < 256; error++) {
		const char *known = strerrorname_np(error);
		if (known && strcmp(known, name) == 0)
			return error;
	}
	return 0;
}

static void explain_refusal(char *out, size_t size, const struct daemon *d, const struct setback *s)
{
	const char *address = s->address.text, *reason = s->reason.text;

	if (strcmp(reason, "network-key") == 0)
		snprintf(out, size,
			"%s is in a network with another key; copy its network.key to %s", address,
			d->key_path);
	else if (strcmp(reason, "denied") == 0 && s->by_peer)
		snprintf(out, size, "%s does not let this node link; write 'allow %s' to ctl there",
			address, id_format(&d->identity->id).text);
	else if (strcmp(reason, "denied") == 0)
		snprintf(out, size, "%s is not let in by the lists in %s", address, d->state_path);
	else if (strcmp(reason, "self") == 0)
		snprintf(out, size, "%s is this node itself; name another one", address);
	else if (strcmp(reason, "duplicate-id") == 0)
		snprintf(out, size,
			"%s is linked to another node with this node's key; remove node.key from "
			"the state directory of one of them",
			address);
	else if (strcmp(reason, "tls") == 0)
		snprintf(out, size, "%s does not speak as a node does; check its port", address);
	else
		snprintf(out, size, "%s: refused: %s", address, reason);
}

// A name that no server has answered for fails as a host does that is out of reach.
static bool may_be_unresolved(const struct setback *s)
{
	struct address a;

	return address_parse(&a, s->address.text) < 0 &&
	       (strcmp(s->error.text, "EHOSTUNREACH") == 0 ||
		       strcmp(s->error.text, "ETIMEDOUT") == 0);
}

// In words, with what to do about it.
static void explain_loneliness(char *out, size_t size, struct daemon *d)
{
	struct setback s;

	bool setback = find_setback(d, &s);

	if (!setback && node_config(d->node)->discovery)
		snprintf(out, size,
			"nobody with this network's key was found on the local network; name a "
			"seed");
	else if (!setback && d->options.seed_count == 0)
		snprintf(out, size, "name a seed, or leave --no-discovery out");
	else if (!setback)
		snprintf(out, size, "check that a seed runs and can be reached");
	else if (*s.reason.text)
		explain_refusal(out, size, d, &s);
	else if (strcmp(s.error.text, "ENOENT") == 0)
		snprintf(out, size, "%s: no such host; check the name", s.address.text);
	else
		snprintf(out, size, "%s: %s; check %sthat a node listens there", s.address.text,
			strerror(error_of_name(s.error.text)),
			may_be_unresolved(&s) ? "the name server in /etc/resolv.conf, and " : "");
}

static void on_limit(struct ev_loop *loop, ev_timer *w, int events)
{
	struct daemon *d = w->data;
	char why[2 * PATH_MAX];

	switch (d->stage) {
	case STAGE_STARTING:
		journal_say(
			&d->journal, LEVEL_FATAL, "%s: the mount does not answer", d->mountpoint);
		stop(d, CODE_MOUNT);
		break;
	case STAGE_WAITING:
		explain_loneliness(why, sizeof why, d);
		journal_say(&d->journal, LEVEL_FATAL, "--wait: no peer after %llu s: %s",
			(unsigned long long)(d->options.wait_time / SECOND), why);
		stop(d, CODE_SYSTEM);
		break;
	case STAGE_RUNNING:
		break;
	case STAGE_STOPPING:
		ev_break(loop, EVBREAK_ALL);
		break;
	}
}

static void on_probed(struct ev_loop *loop, ev_io *w, int events)
{
	struct daemon *d = w->data;
	int status = 0;

	ev_io_stop(loop, w);
	close(w->fd);
	waitpid(d->probe, &status, 0);
	if (d->stage != STAGE_STARTING)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		run_or_wait(d);
		return;
	}
	journal_say(&d->journal, LEVEL_FATAL, "%s: the mount does not answer: %s", d->mountpoint,
		WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "the test was killed");
	stop(d, CODE_MOUNT);
}

// A child looks, because this process must never touch its own mount.
void daemon_session_ready(void *context)
{
	struct daemon *d = context;
	int fd;

	d->probe = mount_probe(d->mountpoint, &fd);
	if (d->probe < 0) {
		journal_say(&d->journal, LEVEL_FATAL, "fork: %s", strerror(-d->probe));
		stop(d, CODE_SYSTEM);
		return;
	}
	ev_io_init(&d->probed, on_probed, fd, EV_READ);
	d->probed.data = d;
	ev_io_start(d->loop, &d->probed);
}

void daemon_session_ended(void *context, int error)
{
	struct daemon *d = context;

	if (d->stage == STAGE_STOPPING)
		return;
	if (error)
		journal_say(&d->journal, LEVEL_FATAL, "%s: the connection to the kernel broke: %s",
			d->mountpoint, strerror(-error));
	else if (d->stage != STAGE_RUNNING)
		journal_say(&d->journal, LEVEL_FATAL, "%s: unmounted before it was ready",
			d->mountpoint);
	stop(d, d->stage != STAGE_RUNNING ? CODE_MOUNT : error ? CODE_SYSTEM : CODE_CLEAN);
}

// Turns.

static void on_turn_begins(struct ev_loop *loop, ev_check *w, int events)
{
	struct daemon *d = w->data;
	ev_idle_stop(loop, &d->again);
	node_advance(d->node, net_now(), net_wall());
}

void daemon_session_flush(void *context)
{
	struct daemon *d = context;
	net_flush(&d->net);
}

int daemon_keep_access(void *context, const struct id *id, bool allowed)
{
	struct daemon *d = context;
	char why[KEYFILE_WHY];
	int r = state_keep_access(&d->state, id, allowed, why);

	if (r < 0)
		journal_say(&d->journal, LEVEL_WARN, "%s: %s: only until this node stops: %s",
			allowed ? "allow" : "deny", id_format(id).text, why);
	return r;
}

static void on_turn_ends(struct ev_loop *loop, ev_prepare *w, int events)
{
	struct daemon *d = w->data;

	discovery_turn(&d->discovery);
	session_turn(d->session);
	// What was sent made room for writers that wait, and they have something to send in turn.
	if (net_flush(&d->net)) {
		session_turn(d->session);
		if (net_flush(&d->net))
			ev_idle_start(loop, &d->again);
	}
	kept_turn(d);
	if (d->stage == STAGE_WAITING && node_peer_count(d->node) > 0)
		run(d);
	if (!node_stopped(d->node))
		return;
	if (d->stage != STAGE_STOPPING) {
		// A node ends by itself for this reason alone.
		journal_say(&d->journal, LEVEL_FATAL,
			"another node runs with this node's key (%s): remove node.key from the "
			"state directory of one of them",
			id_format(&d->identity->id).text);
		d->code = CODE_SYSTEM;
	}
	ev_break(loop, EVBREAK_ALL);
}

static void on_again(struct ev_loop *loop, ev_idle *w, int events)
{
}

static void mask_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(how, &set, NULL);
}

void daemon_hold_signals(void)
{
	mask_signals(SIG_BLOCK);
}

static void on_term(struct ev_loop *loop, ev_signal *w, int events)
{
	stop(w->data, CODE_CLEAN);
}

static void on_hangup(struct ev_loop *loop, ev_signal *w, int events)
{
	struct daemon *d = w->data;
	// Who is not ready yet must not say so by the way.
	bool told = d->stage == STAGE_RUNNING;

	if (told)
		ready_reloading();
	journal_reopen(&d->journal);
	keys_reload(d);
	if (told)
		ready_notify("READY=1");
}

void daemon_live(struct daemon *d)
{
	// Batches come and go by the megabyte: taken from the kernel and given back each time,
	// their pages cost as much as half of the copies.
	mallopt(M_MMAP_THRESHOLD, 8 * MIB);
	mallopt(M_TRIM_THRESHOLD, 2 * RETAIN_BYTES);
	ev_timer_init(&d->limit, on_limit, ANSWER_TIMEOUT, 0.);
	d->limit.data = d;
	ev_check_init(&d->turn_begins, on_turn_begins);
	ev_set_priority(&d->turn_begins, EV_MAXPRI);
	ev_prepare_init(&d->turn_ends, on_turn_ends);
	ev_idle_init(&d->again, on_again);
	ev_signal_init(&d->term, on_term, SIGTERM);
	ev_signal_init(&d->interrupt, on_term, SIGINT);
	ev_signal_init(&d->hangup, on_hangup, SIGHUP);
	d->turn_begins.data = d->turn_ends.data = d;
	d->term.data = d->interrupt.data = d->hangup.data = d;
	ev_check_start(d->loop, &d->turn_begins);
	ev_prepare_start(d->loop, &d->turn_ends);
	ev_signal_start(d->loop, &d->term);
	ev_signal_start(d->loop, &d->interrupt);
	ev_signal_start(d->loop, &d->hangup);
	mask_signals(SIG_UNBLOCK);
	ev_timer_start(d->loop, &d->limit);
	ev_run(d->loop, 0);
}
