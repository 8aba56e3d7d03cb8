// SPDX-License-Identifier: MIT
// What mount(8) and fstab(5) pass on. Settings of ours among it are fs/options.c's.
#include "fs/fstab.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof(a)[0])
#define HELPER	      "mount.smokefs"

// What mount(8), fstab(5) and users pass with -o that is no setting of ours: these go to the mount,
static const char *const mount_names[] = { "allow_other", "allow_root", "default_permissions", "ro",
	"rw", "nodev", "dev", "nosuid", "suid", "noexec", "exec", "noatime", "sync", "async",
	"dirsync" };
// and these are meant for mount(8) alone.
static const char *const dropped_names[] = { "_netdev", "nofail", "auto", "noauto", "user",
	"nouser", "users", "owner", "group", "defaults", "atime", "relatime", "norelatime",
	"strictatime", "diratime", "nodiratime", "lazytime", "nolazytime", "silent", "loud" };
static const char *const dropped_prefixes[] = { "x-", "X-", "comment=" };

const char *fstab_name(size_t i)
{
	if (i < ARRAY_SIZE(mount_names))
		return mount_names[i];
	i -= ARRAY_SIZE(mount_names);
	return i < ARRAY_SIZE(dropped_names) ? dropped_names[i] : NULL;
}

bool fstab_has_option(const struct options *o, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = o->mount_options; (p = strstr(p, name)); p += n)
		if ((p == o->mount_options || p[-1] == ',') && (p[n] == ',' || p[n] == '\0'))
			return true;
	return false;
}

// Every name of the table fits into mount_options together, and each is there once.
void fstab_add_option(struct options *o, const char *name)
{
	size_t n = strlen(o->mount_options);
	if (!fstab_has_option(o, name))
		snprintf(o->mount_options + n, sizeof o->mount_options - n, "%s%s", n ? "," : "",
			name);
}

static bool is_listed(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

bool fstab_take_option(struct options *o, const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(dropped_prefixes); i++)
		if (strncmp(word, dropped_prefixes[i], strlen(dropped_prefixes[i])) == 0)
			return true;
	if (is_listed(dropped_names, ARRAY_SIZE(dropped_names), word))
		return true;
	if (!is_listed(mount_names, ARRAY_SIZE(mount_names), word))
		return false;
	fstab_add_option(o, word);
	// Others are let in by the kernel's own checks, not by ours.
	if (strncmp(word, "allow_", 6) == 0)
		fstab_add_option(o, "default_permissions");
	return true;
}

bool fstab_is_helper(const char *program)
{
	const char *slash = program ? strrchr(program, '/') : NULL;

	return program && strcmp(slash ? slash + 1 : program, HELPER) == 0;
}

// SOURCE DIRECTORY [-sfnv] [-o OPTIONS] [-t TYPE]: the letters are not those of our command line.
int fstab_take_call(
	struct options *o, int argc, char **argv, int (*take)(struct options *o, const char *list))
{
	int c, r = 0;

	// 0 makes glibc forget what an earlier call left.
	optind = 0;
	opterr = 0;
	while (r == 0 && (c = getopt(argc, argv, ":sfnvo:t:hV")) != -1) {
		switch (c) {
		case 'f':
			o->outcome = OPTIONS_FAKE;
			break;
		case 'o':
			r = take(o, optarg);
			break;
		case 's': // what is unknown
			o->sloppy = true;
			break;
		case 'n': // no /etc/mtab
		case 'v':
		case 't': // fuse.smokefs or smokefs
			break;
		case 'h':
			o->outcome = OPTIONS_HELP;
			break;
		case 'V':
			o->outcome = OPTIONS_VERSION;
			break;
		default:
			return options_complain(o,
				c == ':' ? HELPER ": -%c: needs a value"
					 : HELPER ": -%c: unknown option; see mount(8)",
				optopt);
		}
	}
	return r;
}
