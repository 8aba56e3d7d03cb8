// SPDX-License-Identifier: MIT
// Paths.
#include "fs/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int path_absolute(char out[PATH_MAX], const char *path)
{
	char directory[PATH_MAX] = "";
	int n;

	if (*path != '/' && !getcwd(directory, sizeof directory))
		return -errno;
	n = snprintf(out, PATH_MAX, "%s%s%s", directory, *directory ? "/" : "", path);
	return n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int path_resolve_parent(char out[PATH_MAX], const char *given)
{
	char copy[PATH_MAX], parent[PATH_MAX];
	size_t n = strlen(given);
	const char *base;
	char *slash;

	if (n == 0)
		return -ENOENT;
	if (n >= sizeof copy)
		return -ENAMETOOLONG;
	memcpy(copy, given, n + 1);
	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = '\0';
	slash = strrchr(copy, '/');
	base = slash ? slash + 1 : copy;
	if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return realpath(copy, out) ? 0 : -errno;
	if (slash)
		*slash = '\0';
	if (!realpath(!slash ? "." : *copy ? copy : "/", parent))
		return -errno;
	int length = snprintf(out, PATH_MAX, "%s/%s", parent[1] ? parent : "", base);
	return length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

bool path_is_inside(const char *path, const char *directory)
{
	size_t n = strlen(directory);
	return strncmp(path, directory, n) == 0 && path[n] == '/';
}
