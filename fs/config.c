// SPDX-License-Identifier: MIT
// From the text of a write to a setting of the running node. What values there may be is
// fs/tuning's, as it is for the command line.
#include "fs/config.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/net.h"
#include "fs/tuning.h"

static const struct setting *find(const char *key)
{
	const struct setting *s = setting_find(key);
	assert(s && s->show);
	return s;
}

int config_read(const struct config *config, const char *key, struct buffer *out)
{
	char text[SETTING_SHOWN];

	find(key)->show(config->options, text);
	buffer_append(out, text, strlen(text));
	buffer_append(out, "\n", 1);
	return buffer_failed(out) ? -ENOMEM : 0;
}

// What is written, without its newline.
static int take_value(char value[SETTING_SHOWN], const char *text, size_t n)
{
	if (n > 0 && text[n - 1] == '\n')
		n--;
	if (n == 0 || n >= SETTING_SHOWN || memchr(text, '\n', n) || memchr(text, '\0', n))
		return -EINVAL;
	memcpy(value, text, n);
	value[n] = '\0';
	return 0;
}

static void apply(const struct config *config, struct node *node)
{
	const struct options *o = config->options;
	struct node_config fresh = *node_config(node);

	fresh.min_peers = o->min_peers;
	fresh.max_peers = o->max_peers;
	fresh.ping_timeout = o->ping_timeout;
	fresh.stall_timeout = o->stall_timeout;
	fresh.min_rate = o->min_rate;
	node_retune(node, &fresh);
	*config->log_level = o->log_level;
}

int config_write(
	struct config *config, struct node *node, const char *key, const void *text, size_t n)
{
	const struct setting *s = find(key);
	struct options fresh = *config->options;
	char value[SETTING_SHOWN], from[SETTING_SHOWN], to[SETTING_SHOWN];
	int r = take_value(value, text, n);

	if (r == 0)
		r = s->set(&fresh, key, value);
	if (r == 0 && !tuning_agrees(&fresh))
		r = -EINVAL;
	if (r < 0)
		return r;
	s->show(config->options, from);
	s->show(&fresh, to);
	if (strcmp(from, to) == 0)
		return 0;
	// Before it is less that is logged, so that the log has it, too.
	event_emit(node_events(node), net_wall(), "config", "key=%s from=%s to=%s", key, from, to);
	*config->options = fresh;
	apply(config, node);
	return 0;
}
