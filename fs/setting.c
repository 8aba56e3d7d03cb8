// SPDX-License-Identifier: MIT
// The settings: how each value is read, and what it may be. Nothing here touches the network or a
// file, but for an address with a subnet, which asks for the interfaces.
#include "fs/setting.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/listen.h"
#include "fs/tuning.h"

// Addresses and seeds.

// An address that others could not use either way.
static int refuse_address(struct options *o, const char *shown, const char *value)
{
	return options_complain(o,
		"%s: '%.256s' is not the address of one host: unspecified, multicast, broadcast and "
		"link-local IPv6 addresses cannot be dialled",
		shown, value);
}

static int set_subnet(struct options *o, const char *shown, const char *value, const char *slash)
{
	char host[ADDRESS_TEXT];
	struct address subnet;
	long bits;
	size_t n = (size_t)(slash - value);

	if (n >= sizeof host)
		return options_complain(
			o, "%s: '%.64s' is not a subnet; write 192.168.2.0/24", shown, value);
	memcpy(host, value, n);
	host[n] = '\0';
	if (address_parse_host(&subnet, host, o->address.port) < 0)
		return options_complain(
			o, "%s: '%.64s' is not an IP address; write 192.168.2.0/24", shown, host);
	bits = setting_parse_number(
		o, shown, slash + 1, " bits of a subnet", 0, subnet.family == 6 ? 128 : 32);
	if (bits < 0)
		return (int)bits;
	if (listen_find_interface(&o->address, &subnet, (unsigned)bits) < 0)
		return options_complain(o,
			"%s: no interface of this machine has an address in %.64s; see 'ip address'",
			shown, value);
	return 0;
}

static int set_address(struct options *o, const char *shown, const char *value)
{
	const char *slash = strchr(value, '/');
	static const uint8_t none[16];
	struct address a;

	if (slash) {
		if (set_subnet(o, shown, value, slash) < 0)
			return -EINVAL;
	} else if (address_parse_host(&o->address, value, o->address.port) < 0) {
		return options_complain(o,
			"%s: '%.64s' is not an IP address or subnet; write 192.168.2.100, ::1 or "
			"192.168.2.0/24, and the port with --port",
			shown, value);
	}
	if (memcmp(o->address.bytes, none, sizeof none) == 0)
		return options_complain(o,
			"%s: '%.64s': to listen at all addresses leave the option out", shown,
			value);
	a = o->address;
	a.port = 1;
	return address_dialable(&a) ? 0 : refuse_address(o, shown, value);
}

static int set_port(struct options *o, const char *shown, const char *value)
{
	long n = setting_parse_number(o, shown, value, "", 1, UINT16_MAX);
	if (n < 0)
		return (int)n;
	o->address.port = (uint16_t)n;
	return 0;
}

static int add_seed(struct options *o, const char *shown, const char *text)
{
	struct seed *seed = &o->seeds[o->seed_count];
	struct address a;

	if (strcmp(text, "none") == 0) {
		o->none = true;
		return 0;
	}
	if (o->seed_count == SEEDS_MAX)
		return options_complain(
			o, "%s: more than %d seeds; a few are enough", shown, SEEDS_MAX);
	if (address_split(text, seed->host, &seed->port, false) < 0)
		return options_complain(o,
			"%s: '%.256s' is not a seed; write host:port, [IPv6]:port or none", shown,
			text);
	if (address_parse_host(&a, seed->host, seed->port) < 0) {
		if (!address_host_plausible(seed->host))
			return options_complain(o,
				"%s: '%.256s' is neither an address nor a host name", shown,
				seed->host);
	} else if (!address_dialable(&a)) {
		return refuse_address(o, shown, text);
	}
	o->seed_count++;
	return 0;
}

int setting_set_seeds(struct options *o, const char *shown, const char *value)
{
	char text[HOST_MAX + 16];

	for (;;) {
		size_t n = strcspn(value, ",");
		if (n >= sizeof text)
			return options_complain(
				o, "%s: '%.64s...' is too long for a host name", shown, value);
		memcpy(text, value, n);
		text[n] = '\0';
		if (add_seed(o, shown, text) < 0)
			return -EINVAL;
		if (value[n] == '\0')
			return 0;
		value += n + 1;
	}
}

bool setting_is_seeds(const char *value)
{
	struct options scratch = { 0 };
	return setting_set_seeds(&scratch, "", value) == 0;
}

// The other settings.

static bool is_name_byte(char c)
{
	return isalnum((unsigned char)c) || c == '.' || c == '_' || c == '-';
}

static int set_name(struct options *o, const char *shown, const char *value)
{
	size_t n = strlen(value);
	bool valid = n > 0 && n <= NAME_MAX_LENGTH && isalnum((unsigned char)value[0]);

	for (size_t i = 0; valid && i < n; i++)
		valid = is_name_byte(value[i]);
	if (!valid)
		return options_complain(o,
			"%s: '%.80s' is not a name; use up to %d letters, digits, '.', '_' and '-', "
			"and begin with a letter or digit",
			shown, value, NAME_MAX_LENGTH);
	memcpy(o->name, value, n + 1);
	return 0;
}

void setting_default_name(struct options *o)
{
	char host[HOST_MAX + 1] = "";
	const char *from = host;
	size_t n = 0;

	if (gethostname(host, sizeof host - 1) < 0)
		host[0] = '\0';
	while (*from && !isalnum((unsigned char)*from))
		from++;
	for (; *from && n < NAME_MAX_LENGTH; from++)
		o->name[n++] = is_name_byte(*from) ? *from : '-';
	o->name[n] = '\0';
	if (n == 0)
		snprintf(o->name, sizeof o->name, "node");
}

static int set_key(struct options *o, const char *shown, const char *value)
{
	if (*value == '\0')
		return options_complain(o, "%s: needs the path of a file", shown);
	o->key = value;
	return 0;
}

static int set_new_key(struct options *o, const char *shown, const char *value)
{
	o->new_key = true;
	return 0;
}

static int set_no_discovery(struct options *o, const char *shown, const char *value)
{
	o->no_discovery = true;
	return 0;
}

static int set_loopback(struct options *o, const char *shown, const char *value)
{
	o->loopback = true;
	return 0;
}

static int set_state(struct options *o, const char *shown, const char *value)
{
	if (*value == '\0')
		return options_complain(o, "%s: needs the path of a directory", shown);
	o->state = value;
	return 0;
}

static int set_log(struct options *o, const char *shown, const char *value)
{
	if (*value == '\0')
		return options_complain(
			o, "%s: needs auto, stderr, syslog or the path of a file", shown);
	o->log_file = NULL;
	if (strcmp(value, "auto") == 0) {
		o->log_target = LOG_TO_AUTO;
	} else if (strcmp(value, "stderr") == 0) {
		o->log_target = LOG_TO_STDERR;
	} else if (strcmp(value, "syslog") == 0) {
		o->log_target = LOG_TO_SYSLOG;
	} else {
		o->log_target = LOG_TO_FILE;
		o->log_file = value;
	}
	return 0;
}

static int set_wait(struct options *o, const char *shown, const char *value)
{
	long n = value ? setting_parse_number(o, shown, value, " seconds", 1, WAIT_SECONDS_MAX) : 0;
	if (n < 0)
		return (int)n;
	o->wait = true;
	o->wait_time = (uint64_t)n * SECOND;
	return 0;
}

static int set_foreground(struct options *o, const char *shown, const char *value)
{
	o->foreground = true;
	return 0;
}

static int set_debug(struct options *o, const char *shown, const char *value)
{
	o->debug = o->foreground = true;
	return 0;
}

static int set_user(struct options *o, const char *shown, const char *value)
{
	if (*value == '\0')
		return options_complain(o, "%s: needs the name of a user", shown);
	o->user = value;
	return 0;
}

static int set_gid(struct options *o, const char *shown, const char *value)
{
	const struct group *group = getgrnam(value);
	long n;

	if (group) {
		o->gid = group->gr_gid;
		return 0;
	}
	if (!isdigit((unsigned char)*value))
		return options_complain(
			o, "%s: '%.64s': there is no such group; see 'getent group'", shown, value);
	n = setting_parse_number(o, shown, value, ", nor the name of a group", 0, 999999999);
	if (n < 0)
		return (int)n;
	o->gid = (gid_t)n;
	return 0;
}

static int set_umask(struct options *o, const char *shown, const char *value)
{
	size_t n = strspn(value, "01234567");

	if (n == 0 || n > 4 || value[n] || strtol(value, NULL, 8) > 0777)
		return options_complain(
			o, "%s: '%.64s' is not an octal mode such as 007", shown, value);
	o->mask = (mode_t)strtol(value, NULL, 8);
	if (!(o->mask & 0700))
		return 0;
	return options_complain(
		o, "%s: '%.64s' shuts the owner out; use 077 or less", shown, value);
}

static int set_seccomp(struct options *o, const char *shown, const char *value)
{
	static const char *const names[] = {
		[SECCOMP_ENFORCE] = "enforce",
		[SECCOMP_LOG] = "log",
		[SECCOMP_OFF] = "off",
	};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (strcmp(value, names[i]) != 0)
			continue;
		o->seccomp = (enum seccomp_mode)i;
		return 0;
	}
	return options_complain(o, "%s: '%.64s' is not one of enforce, log and off", shown, value);
}

static int set_service_mount(struct options *o, const char *shown, const char *value)
{
	o->outcome = OPTIONS_SERVICE_MOUNT;
	return 0;
}

static int set_service_unmount(struct options *o, const char *shown, const char *value)
{
	o->outcome = OPTIONS_SERVICE_UNMOUNT;
	return 0;
}

static int set_help(struct options *o, const char *shown, const char *value)
{
	if (o->outcome != OPTIONS_VERSION)
		o->outcome = OPTIONS_HELP;
	return 0;
}

static int set_version(struct options *o, const char *shown, const char *value)
{
	if (o->outcome != OPTIONS_HELP)
		o->outcome = OPTIONS_VERSION;
	return 0;
}

const struct setting settings[] = {
	{ "address", 'a', VALUE_REQUIRED, set_address },
	{ "port", 'p', VALUE_REQUIRED, set_port },
	{ "seed", 's', VALUE_REQUIRED, setting_set_seeds, .alias = "seeds" },
	{ "no-discovery", 0, VALUE_NONE, set_no_discovery },
	{ "loopback", 0, VALUE_NONE, set_loopback },
	{ "min-peers", 0, VALUE_REQUIRED, tuning_set_min_peers, .alias = "minPeerNo",
		.show = tuning_show_min_peers },
	{ "max-peers", 0, VALUE_REQUIRED, tuning_set_max_peers, .alias = "maxPeerNo",
		.show = tuning_show_max_peers },
	{ "ping-timeout", 0, VALUE_REQUIRED, tuning_set_ping_timeout, .alias = "pingTimeout",
		.show = tuning_show_ping_timeout },
	{ "stall-timeout", 0, VALUE_REQUIRED, tuning_set_stall_timeout,
		.show = tuning_show_stall_timeout },
	{ "min-rate", 0, VALUE_REQUIRED, tuning_set_min_rate, .show = tuning_show_min_rate },
	{ "name", 0, VALUE_REQUIRED, set_name },
	{ "key", 0, VALUE_REQUIRED, set_key },
	{ "new-key", 0, VALUE_NONE, set_new_key },
	{ "state", 0, VALUE_REQUIRED, set_state },
	{ "log-level", 0, VALUE_REQUIRED, tuning_set_log_level, .show = tuning_show_log_level },
	{ "log", 0, VALUE_REQUIRED, set_log },
	{ "wait", 0, VALUE_OPTIONAL, set_wait },
	{ "foreground", 'f', VALUE_NONE, set_foreground },
	{ "debug", 'd', VALUE_NONE, set_debug },
	// To mount(8), user and user=NAME say who may mount.
	{ "user", 0, VALUE_REQUIRED, set_user, .alias = "run_as", .alias_only = true },
	{ "gid", 0, VALUE_REQUIRED, set_gid },
	{ "umask", 0, VALUE_REQUIRED, set_umask },
	{ "seccomp", 0, VALUE_REQUIRED, set_seccomp },
	{ "service-mount", 0, VALUE_NONE, set_service_mount, .command_line = true },
	{ "service-unmount", 0, VALUE_NONE, set_service_unmount, .command_line = true },
	{ "help", 'h', VALUE_NONE, set_help, .command_line = true },
	{ "version", 'V', VALUE_NONE, set_version, .command_line = true },
};

_Static_assert(sizeof settings / sizeof settings[0] == SETTING_COUNT, "setting.h counts them");

void setting_spell(char out[SETTING_NAME], const char *name)
{
	snprintf(out, SETTING_NAME, "%s", name);
	for (char *p = out; *p; p++)
		if (*p == '-')
			*p = '_';
}

const struct setting *setting_find(const char *spelt)
{
	char name[SETTING_NAME];

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting *s = &settings[i];
		setting_spell(name, s->name);
		if (!s->command_line && ((!s->alias_only && strcmp(spelt, name) == 0) ||
						(s->alias && strcmp(spelt, s->alias) == 0)))
			return s;
	}
	return NULL;
}
