// SPDX-License-Identifier: MIT
// Parses and runs command lines. Knows nothing of files: whoever waits for a dial is fs/handle.
#include "fs/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/listen.h"
#include "fs/tree.h"

struct verb {
	const char *name;
	const char *argument;
	const char *help;
	// 0 when done, a token > 0 to wait for, or -errno.
	int64_t (*run)(const struct ctl *ctl, struct node *node, const char *argument);
};

static int64_t run_connect(const struct ctl *ctl, struct node *node, const char *argument)
{
	char host[HOST_MAX + 1];
	uint16_t port;
	struct id id;

	if (id_parse(&id, argument) == 0)
		return node_connect_id(node, &id);
	if (address_split(argument, host, &port, true) < 0)
		return -EINVAL;
	return node_connect(node, host, port ? port : LISTEN_PORT);
}

static int64_t run_drop(const struct ctl *ctl, struct node *node, const char *argument)
{
	struct peer peer;
	int r = tree_find_peer(node, argument, &peer);

	return r < 0 ? r : node_drop(node, &peer.id);
}

// It holds from here on in any case; an error of the keeper says that it will not outlive the node.
static int64_t run_allow(const struct ctl *ctl, struct node *node, const char *argument)
{
	struct id id;
	int r = id_parse(&id, argument);

	if (r == 0)
		r = node_allow(node, &id);
	return r < 0 ? r : ctl->keeper->keep(ctl->keeper->context, &id, true);
}

static int64_t run_deny(const struct ctl *ctl, struct node *node, const char *argument)
{
	struct id id;
	int r = id_parse(&id, argument);

	if (r == 0)
		r = node_deny(node, &id);
	return r < 0 ? r : ctl->keeper->keep(ctl->keeper->context, &id, false);
}

static const struct verb verbs[] = {
	{ "connect", "ADDR|ID", "dial a node and wait until it is a peer", run_connect },
	{ "drop", "ID", "end the link to a peer", run_drop },
	{ "allow", "ID", "let a node link to this one", run_allow },
	{ "deny", "ID", "never link to a node, nor hear it", run_deny },
};
#define VERBS (sizeof verbs / sizeof *verbs)

int ctl_help(struct buffer *out)
{
	char line[128];

	for (size_t i = 0; i < VERBS; i++) {
		int n = snprintf(line, sizeof line, "%-7s %-8s %s\n", verbs[i].name,
			verbs[i].argument, verbs[i].help);
		buffer_append(out, line, (size_t)n);
	}
	return buffer_failed(out) ? -ENOMEM : 0;
}

static int64_t run_words(
	const struct ctl *ctl, struct node *node, const char *verb, const char *argument)
{
	for (size_t i = 0; i < VERBS; i++)
		if (strcmp(verbs[i].name, verb) == 0)
			return argument ? verbs[i].run(ctl, node, argument) : -EINVAL;
	return -EINVAL;
}

// A line without its newline.
static int64_t run_line(const struct ctl *ctl, struct node *node, const uint8_t *text, size_t n)
{
	static const char blank[] = " \t\r";
	char line[CTL_LINE_MAX + 1], *rest;

	if (n > CTL_LINE_MAX)
		return -EMSGSIZE;
	if (memchr(text, '\0', n))
		return -EINVAL;
	memcpy(line, text, n);
	line[n] = '\0';
	const char *verb = strtok_r(line, blank, &rest);
	if (!verb || *verb == '#')
		return 0;
	const char *argument = strtok_r(NULL, blank, &rest);
	if (strtok_r(NULL, blank, &rest))
		return -EINVAL;
	return run_words(ctl, node, verb, argument);
}

// The current line: 0 when it is done, -EINPROGRESS, or why it failed.
static int run_current(struct ctl *ctl, struct node *node)
{
	const uint8_t *line = ctl->text + ctl->at;
	int r;

	if (ctl->token == 0) {
		size_t left = ctl->length - ctl->at;
		const uint8_t *newline = memchr(line, '\n', left);
		size_t n = newline ? (size_t)(newline - line) : left;
		int64_t token = run_line(ctl, node, line, n);
		ctl->next = ctl->at + n + (newline ? 1 : 0);
		if (token <= 0)
			return (int)token;
		ctl->token = token;
	}
	r = node_connect_result(node, ctl->token);
	if (r != -EINPROGRESS)
		ctl->token = 0;
	return r;
}

ssize_t ctl_run(struct ctl *ctl, struct node *node)
{
	while (ctl->at < ctl->length) {
		int r = run_current(ctl, node);
		if (r == -EINPROGRESS)
			return r;
		if (r < 0)
			return ctl->at ? (ssize_t)ctl->at : r;
		ctl->at = ctl->next;
	}
	return (ssize_t)ctl->length;
}

void ctl_cancel(struct ctl *ctl, struct node *node)
{
	if (ctl->token)
		node_connect_cancel(node, ctl->token);
	ctl->token = 0;
}
