// SPDX-License-Identifier: MIT
// What mount(8) and fstab(5) pass on: options of theirs, and the call of a mount helper.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/options.h"

// One name after the other of the options that are mount(8)'s and no settings; NULL behind the
// last.
const char *fstab_name(size_t i);
// Is this word of -o one of them? Then what the mount needs is in `mount_options`.
bool fstab_take_option(struct options *o, const char *word);
bool fstab_has_option(const struct options *o, const char *name);
// The same as passing it with -o.
void fstab_add_option(struct options *o, const char *name);
// Is the program called as mount.smokefs, by the helper's rules of mount(8)?
bool fstab_is_helper(const char *program);
// Takes argv apart by these rules: the options of -o go to `take`, and optind is left at the
// source. 0 or -EINVAL with `error` filled in.
int fstab_take_call(
	struct options *o, int argc, char **argv, int (*take)(struct options *o, const char *list));
