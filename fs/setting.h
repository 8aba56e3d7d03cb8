// SPDX-License-Identifier: MIT
// The settings of the daemon: how each is called, and how its value gets into struct options.
#pragma once

#include <stdbool.h>

#include "fs/options.h"

#define SETTING_COUNT 27
#define SETTING_NAME  32 // with its end
#define SETTING_SHOWN 32 // a value of config/, with its end

enum setting_value { VALUE_NONE, VALUE_REQUIRED, VALUE_OPTIONAL };

// `shown` is the setting as the user spelt it, `value` may be NULL only for VALUE_NONE and
// VALUE_OPTIONAL. A value may be pointed into until options_fini(). 0, or -EINVAL or -ERANGE after
// options_complain().
typedef int setting_set(struct options *o, const char *shown, const char *value);

struct setting {
	const char *name;
	char letter; // or 0
	enum setting_value value;
	setting_set *set;
	const char *alias; // within -o only
	bool command_line; // not within -o
	bool alias_only;   // within -o by its alias and not by its name
	// Can be read and changed while the node runs, in config/: the value, spelt as set() takes
	// it. NULL: it cannot.
	void (*show)(const struct options *o, char text[SETTING_SHOWN]);
};

extern const struct setting settings[]; // SETTING_COUNT of them

// As within -o: '_' for '-'.
void setting_spell(char out[SETTING_NAME], const char *name);
// The setting of such a name or alias that may stand within -o, or NULL.
const struct setting *setting_find(const char *spelt);
// A number of digits alone; -EINVAL: it is none; -ERANGE: it is not from `low` to `high`. Both have
// been complained of. `unit` ends that sentence.
long setting_parse_number(struct options *o, const char *shown, const char *value, const char *unit,
	long low, long high);

// The positional list of seeds is set like the setting is.
setting_set setting_set_seeds;
// Is it such a list?
bool setting_is_seeds(const char *value);
// The host name, as far as it can be the name of a node.
void setting_default_name(struct options *o);
