// SPDX-License-Identifier: MIT
// The settings that may change. What follows from a change is not seen to here.
#include "fs/tuning.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A number of nine digits fits into any long; one of more is out of all bounds.
long setting_parse_number(struct options *o, const char *shown, const char *value, const char *unit,
	long low, long high)
{
	bool minus = *value == '-';
	const char *digits = value + minus;
	size_t n = strspn(digits, "0123456789");
	bool number = n > 0 && digits[n] == '\0';
	long found = number && !minus && n < 10 ? strtol(digits, NULL, 10) : -1;

	if (found >= low && found <= high && found >= 0)
		return found;
	options_complain(
		o, "%s: '%.64s' is not a number from %ld to %ld%s", shown, value, low, high, unit);
	return number ? -ERANGE : -EINVAL;
}

// 0, or why not.
static int set_peers(
	uint32_t *peers, struct options *o, const char *shown, const char *value, const char *unit)
{
	long n = setting_parse_number(o, shown, value, unit, 0, PEERS_BOUND);
	if (n < 0)
		return (int)n;
	*peers = (uint32_t)n;
	return 0;
}

int tuning_set_min_peers(struct options *o, const char *shown, const char *value)
{
	return set_peers(&o->min_peers, o, shown, value, "");
}

int tuning_set_max_peers(struct options *o, const char *shown, const char *value)
{
	return set_peers(&o->max_peers, o, shown, value, " (0: no limit)");
}

static int set_time(uint64_t *time, struct options *o, const char *shown, const char *value,
	uint64_t least, uint64_t most)
{
	long n = setting_parse_number(o, shown, value, " milliseconds", (long)(least / MILLISECOND),
		(long)(most / MILLISECOND));
	if (n < 0)
		return (int)n;
	*time = (uint64_t)n * MILLISECOND;
	return 0;
}

int tuning_set_ping_timeout(struct options *o, const char *shown, const char *value)
{
	return set_time(&o->ping_timeout, o, shown, value, PING_TIMEOUT_MIN, PING_TIMEOUT_MAX);
}

int tuning_set_stall_timeout(struct options *o, const char *shown, const char *value)
{
	return set_time(&o->stall_timeout, o, shown, value, STALL_TIMEOUT_MIN, STALL_TIMEOUT_MAX);
}

int tuning_set_min_rate(struct options *o, const char *shown, const char *value)
{
	long n = setting_parse_number(o, shown, value, " bytes per second", 1, STALL_RATE_MAX);
	if (n < 0)
		return (int)n;
	o->min_rate = (uint64_t)n;
	return 0;
}

static const char *const levels[] = {
	[LEVEL_TRACE] = "trace",
	[LEVEL_DEBUG] = "debug",
	[LEVEL_INFO] = "info",
	[LEVEL_WARN] = "warn",
	[LEVEL_ERROR] = "error",
	[LEVEL_FATAL] = "fatal",
};

int tuning_set_log_level(struct options *o, const char *shown, const char *value)
{
	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
		if (strcmp(value, levels[i]) != 0)
			continue;
		o->log_level = (enum log_level)i;
		return 0;
	}
	return options_complain(o,
		"%s: '%.64s' is not one of trace, debug, info, warn, error and fatal", shown,
		value);
}

static void show_number(char text[SETTING_SHOWN], uint64_t n)
{
	snprintf(text, SETTING_SHOWN, "%" PRIu64, n);
}

void tuning_show_min_peers(const struct options *o, char text[SETTING_SHOWN])
{
	show_number(text, o->min_peers);
}

void tuning_show_max_peers(const struct options *o, char text[SETTING_SHOWN])
{
	show_number(text, o->max_peers);
}

void tuning_show_ping_timeout(const struct options *o, char text[SETTING_SHOWN])
{
	show_number(text, o->ping_timeout / MILLISECOND);
}

void tuning_show_stall_timeout(const struct options *o, char text[SETTING_SHOWN])
{
	show_number(text, o->stall_timeout / MILLISECOND);
}

void tuning_show_min_rate(const struct options *o, char text[SETTING_SHOWN])
{
	show_number(text, o->min_rate);
}

void tuning_show_log_level(const struct options *o, char text[SETTING_SHOWN])
{
	snprintf(text, SETTING_SHOWN, "%s", levels[o->log_level]);
}

bool tuning_agrees(const struct options *o)
{
	return o->max_peers == 0 || o->min_peers <= o->max_peers;
}
