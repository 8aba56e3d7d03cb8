// SPDX-License-Identifier: MIT
// Files that hold keys, or say who may link: read only when nobody but their owner and root can
// have had a hand in them. What is wrong with one is told as a sentence, with the command that
// puts it right.
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/keyring.h"

enum keyfile_kind {
	KEYFILE_SECRET, // nobody else may read it
	KEYFILE_LIST,	// nobody else may write it
};

struct keyfile {
	int directory; // where `name` is looked up; AT_FDCWD
	const char *name;
	const char *path; // of the file, for the sentence
	enum keyfile_kind kind;
	uid_t owner; // whom it may belong to, beside root
};

#define KEYFILE_WHY (2 * PATH_MAX + 256) // bytes of a sentence: a path, and a command with it
#define KEY_TEXT    64			 // digits of a key, without the terminator

// Reads a regular file, never through a symbolic link as its last component and never waiting: its
// length, or -errno with the sentence in `why`; -EFBIG: it does not fit. Text that holds a secret
// is the caller's to cleanse, also after an error.
ssize_t keyfile_read(const struct keyfile *f, char *text, size_t size, char why[KEYFILE_WHY]);
// May what is in this open directory be trusted? 0, or -EPERM with the sentence.
int keyfile_check_directory(int fd, const char *path, uid_t owner, char why[KEYFILE_WHY]);
// Opens a directory, making it and its parents (mode 0700) where they are missing. Its
// descriptor or -errno.
int keyfile_open_directory(const char *path);

// 64 hexadecimal digits of either case, and no more, are a key.
bool keyfile_decode(uint8_t secret[NETWORK_KEY_BYTES], const char *text, size_t n);
void keyfile_encode(char text[KEY_TEXT + 1], const uint8_t secret[NETWORK_KEY_BYTES]);

// The network's key file.
//
// Where it is when nobody says otherwise: below $XDG_CONFIG_HOME or ~/.config, for root below
// /etc. 0, -ENAMETOOLONG, or -ENOENT without a home.
int keyfile_default_path(char *path, size_t size);
// Reads it into an empty ring. 0; -errno with the sentence: -ENOENT there is none, -EINVAL what is
// in it is no ring of keys. *line: the line at fault (1-based), 0: none in particular.
int keyfile_load(
	struct keyring *ring, const char *path, uid_t owner, unsigned *line, char why[KEYFILE_WHY]);
// Makes one with a new key at an absolute path; parents, too. It is there whole or not at all, and
// of several who try at once one succeeds. 0; -errno with the sentence: -EEXIST there is one.
int keyfile_create(const char *path, char why[KEYFILE_WHY]);
