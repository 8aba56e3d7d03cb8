// SPDX-License-Identifier: MIT
// The command line: takes it apart into settings. One table of them serves the long options and
// -o; what their values may be is up to fs/setting.c.
#include "fs/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fstab.h"
#include "fs/setting.h"
#include "fs/tuning.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof(a)[0])
#define ADVICE	      "see smokefs --help"

int options_complain(struct options *o, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(o->error, sizeof o->error, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

// Unknown names.

#define WORD_MAX SETTING_NAME

// Edits (insert, delete, replace, swap of neighbours) between two words; '-' and '_' are one.
static unsigned edit_distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *row = rows[i % 3], *up = rows[(i + 2) % 3], *upper = rows[(i + 1) % 3];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			char x = a[i - 1] == '_' ? '-' : a[i - 1];
			char y = b[j - 1] == '_' ? '-' : b[j - 1];
			unsigned best = up[j - 1] + (x != y);
			best = up[j] + 1 < best ? up[j] + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				upper[j - 2] + 1 < best)
				best = upper[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[n % 3][m];
}

static void suggest(const char *word, const char *name, unsigned *best, const char **found)
{
	unsigned distance = edit_distance(word, name);
	if (distance >= *best)
		return;
	*best = distance;
	*found = name;
}

static int complain_unknown(struct options *o, const char *word, bool in_o)
{
	// A third of a word may be wrong, or it is another word.
	unsigned best = (unsigned)strlen(word) / 3 + 1;
	const char *found = NULL;
	char name[SETTING_NAME];

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		if (in_o && settings[i].command_line)
			continue;
		if (!in_o || !settings[i].alias_only)
			suggest(word, settings[i].name, &best, &found);
		if (in_o && settings[i].alias)
			suggest(word, settings[i].alias, &best, &found);
	}
	for (size_t i = 0; in_o && fstab_name(i); i++)
		suggest(word, fstab_name(i), &best, &found);
	if (!found)
		return options_complain(
			o, "%s%.64s: unknown option; " ADVICE, in_o ? "-o " : "--", word);
	setting_spell(name, found);
	return options_complain(o, "%s%.64s: unknown option; did you mean '%s%s'?",
		in_o ? "-o " : "--", word, in_o ? "-o " : "--", in_o ? name : found);
}

// -o.

static int take_word(struct options *o, char *word)
{
	char shown[WORD_MAX + 4];
	char *equals = strchr(word, '=');
	const struct setting *s;

	if (fstab_take_option(o, word))
		return 0;
	if (strcmp(word, "remount") == 0)
		return options_complain(
			o, "-o remount: a mount cannot be changed; unmount it and mount it again");
	if (equals)
		*equals = '\0';
	s = setting_find(word);
	if (!s)
		return o->sloppy ? 0 : complain_unknown(o, word, true);
	snprintf(shown, sizeof shown, "-o %.*s", WORD_MAX, word);
	if (equals && s->value == VALUE_NONE)
		return options_complain(o, "%s: takes no value", shown);
	if (!equals && s->value == VALUE_REQUIRED)
		return options_complain(o, "%s: needs a value; write %s=VALUE", shown, word);
	return s->set(o, shown, equals ? equals + 1 : NULL);
}

// Splits at commas; a backslash makes the next byte, comma or not, part of a value.
static int take_words(struct options *o, const char *list)
{
	char *copy, *to;

	if (o->word_count == ARRAY_SIZE(o->words))
		return options_complain(o, "-o: given more than %zu times", ARRAY_SIZE(o->words));
	copy = malloc(strlen(list) + 1);
	if (!copy)
		return options_complain(o, "-o: %s", strerror(ENOMEM));
	// Values stay where they are: the options point into them.
	o->words[o->word_count++] = copy;
	for (to = copy; *list;) {
		char *word = to;
		for (; *list && *list != ','; list++) {
			if (*list == '\\' && list[1])
				list++;
			*to++ = *list;
		}
		*to++ = '\0';
		list += *list == ',';
		if (*word && take_word(o, word) < 0)
			return -EINVAL;
	}
	return 0;
}

// The command line as a whole.

#define OPTION_FIRST 257

static void fill_getopt(struct option longs[SETTING_COUNT + 1], char *shorts)
{
	static const int arguments[] = {
		[VALUE_NONE] = no_argument,
		[VALUE_REQUIRED] = required_argument,
		[VALUE_OPTIONAL] = optional_argument,
	};
	*shorts++ = ':';
	*shorts++ = 'o';
	*shorts++ = ':';
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting *s = &settings[i];
		longs[i] = (struct option){ s->name, arguments[s->value], NULL,
			OPTION_FIRST + (int)i };
		if (!s->letter)
			continue;
		*shorts++ = s->letter;
		if (s->value == VALUE_REQUIRED)
			*shorts++ = ':';
	}
	*shorts = '\0';
	longs[SETTING_COUNT] = (struct option){ 0 };
}

// `c` is what getopt_long() gave: the index of a long option, or a letter.
static const struct setting *setting_of(int c)
{
	if (c >= OPTION_FIRST)
		return &settings[c - OPTION_FIRST];
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (settings[i].letter == c)
			return &settings[i];
	return NULL;
}

static int complain_option(struct options *o, int c, const char *word)
{
	char name[WORD_MAX + 33];
	const struct setting *s = optopt ? setting_of(optopt) : NULL;

	if (c == ':')
		return s ? options_complain(o, "--%s: needs a value; " ADVICE, s->name)
			 : options_complain(o, "-%c: needs a value; " ADVICE, optopt);
	if (s)
		return options_complain(o, "--%s: takes no value", s->name);
	if (optopt)
		return options_complain(o, "-%c: unknown option; " ADVICE, optopt);
	snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
	return complain_unknown(o, name, false);
}

static int take_options(struct options *o, int argc, char **argv)
{
	struct option longs[SETTING_COUNT + 1];
	char shorts[2 * SETTING_COUNT + 4], shown[WORD_MAX];
	int c, r = 0;

	fill_getopt(longs, shorts);
	// 0 makes glibc forget what an earlier call left.
	optind = 0;
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			return complain_option(o, c, argv[optind - 1]);
		if (c == 'o') {
			r = take_words(o, optarg);
			continue;
		}
		const struct setting *s = setting_of(c);
		snprintf(shown, sizeof shown, "--%s", s->name);
		r = s->set(o, shown, optarg);
	}
	return r;
}

static bool is_number(const char *word)
{
	return *word && word[strspn(word, "0123456789")] == '\0';
}

static int take_positionals(struct options *o, int count, char **words)
{
	// A value that may be left out is part of the same word.
	if (count > 1 && o->wait && o->wait_time == 0 && is_number(words[0]))
		return options_complain(o,
			"'%.64s' is not a seed; a number of seconds is written --wait=%.64s",
			words[0], words[0]);
	if (count == 0)
		return options_complain(o, "no mount point given; usage: smokefs [options] "
					   "[SEED[,SEED...]] MOUNTPOINT");
	if (count > 2)
		return options_complain(o,
			"'%.64s': one argument too many; seeds are separated by commas: "
			"smokefs [options] [SEED[,SEED...]] MOUNTPOINT",
			words[2]);
	if (count == 2 && setting_set_seeds(o, "SEED", words[0]) < 0)
		return -EINVAL;
	o->source = count == 2 ? words[0] : NULL;
	o->mountpoint = words[count - 1];
	if (*o->mountpoint == '\0')
		return options_complain(o, "the mount point is empty; name a directory");
	return 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
	memset(o, 0, sizeof *o);
	o->min_peers = MIN_PEERS_DEFAULT;
	o->max_peers = MAX_PEERS_DEFAULT;
	o->ping_timeout = PING_TIMEOUT_DEFAULT;
	o->stall_timeout = STALL_TIMEOUT;
	o->min_rate = STALL_RATE;
	o->log_level = LEVEL_INFO;
	o->gid = (gid_t)-1;
	o->mask = 077;
	bool helper = fstab_is_helper(argv[0]);
	if ((helper ? fstab_take_call(o, argc, argv, take_words) : take_options(o, argc, argv)) < 0)
		return -EINVAL;
	if (o->outcome == OPTIONS_HELP || o->outcome == OPTIONS_VERSION)
		return o->outcome;
	if (take_positionals(o, argc - optind, argv + optind) < 0)
		return -EINVAL;
	if (!tuning_agrees(o))
		return options_complain(o,
			"--min-peers %u is more than --max-peers %u; raise the one or lower the "
			"other (--max-peers 0: no limit)",
			o->min_peers, o->max_peers);
	if (!o->name[0])
		setting_default_name(o);
	// Nobody but root could use the mount that root makes for a daemon of another user.
	if (o->user && !fstab_has_option(o, "allow_other")) {
		fstab_add_option(o, "allow_other");
		fstab_add_option(o, "default_permissions");
	}
	return o->outcome;
}

void options_fini(struct options *o)
{
	while (o->word_count)
		free(o->words[--o->word_count]);
}

bool options_discovery(const struct options *o)
{
	return o->seed_count == 0 && !o->no_discovery;
}

const char *options_usage(void)
{
	return "Usage: smokefs [options] [SEED[,SEED...]] MOUNTPOINT\n"
	       "Joins a peer-to-peer network and mounts it. SEED is host:port; without one, nodes of\n"
	       "the local network are found. With none this is, if need be, the first node.\n"
	       "\n"
	       "  -a, --address ADDR       address to listen at, or a subnet (all addresses)\n"
	       "  -p, --port PORT          port to listen at (8495, or the next free one)\n"
	       "  -s, --seed HOST:PORT     a node to join by; may be repeated\n"
	       "      --no-discovery       do not look for others on the local network\n"
	       "      --loopback           read back here what is written here\n"
	       "      --min-peers N        look for more peers below this (3)\n"
	       "      --max-peers N        keep no more peers than this; 0: no limit (5)\n"
	       "      --ping-timeout MS    a peer silent for this long is gone (3000)\n"
	       "      --stall-timeout MS   a reader that holds others up this long is cut loose (3000)\n"
	       "      --min-rate BYTES     ... unless it reads so many a second (65536)\n"
	       "      --name NAME          name of this node (the host name)\n"
	       "      --key FILE           the key of the network\n"
	       "      --new-key            make that file: a new network\n"
	       "      --state DIR          where this node keeps its own key\n"
	       "      --log-level LEVEL    trace, debug, info, warn, error or fatal (info)\n"
	       "      --log TARGET         auto, stderr, syslog or a file (auto)\n"
	       "      --wait[=SECONDS]     return only when there is a peer\n"
	       "      --user NAME          the user to be once the mount is there (root only)\n"
	       "      --gid GROUP          group of the files (that of the user)\n"
	       "      --umask MODE         what group and others may not do with them (077)\n"
	       "      --seccomp MODE       system calls of no use: enforce (kill), log or off\n"
	       "  -f, --foreground         stay in the foreground\n"
	       "  -d, --debug              foreground, with a trace of every request\n"
	       "  -o OPT[,OPT...]          the same by mount(8)'s spelling: min_peers=3,allow_other\n"
	       "  -h, --help               this text\n"
	       "  -V, --version            version\n"
	       "\n"
	       "Unmount with: umount MOUNTPOINT, or fusermount3 -u MOUNTPOINT\n";
}
