// SPDX-License-Identifier: MIT
// Runs a target on every file of the directories given, without a fuzzer: a corpus as a test.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/input.h"

#define INPUT_MAX (1 << 20)

static int run_file(const char *path)
{
	// As long as the file and no longer, so that a sanitizer sees what is read behind its end.
	static uint8_t text[INPUT_MAX];
	FILE *f = fopen(path, "rb");
	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	size_t n = fread(text, 1, sizeof text, f);
	fclose(f);
	uint8_t *input = malloc(n ? n : 1);
	if (!input)
		return -1;
	memcpy(input, text, n);
	// A target that aborts has said which file it was.
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(input, n);
	free(input);
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_shown(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static int run_directory(const char *directory)
{
	struct dirent **entries;
	char path[4096];
	int count = scandir(directory, &entries, is_shown, by_name);
	int r = count > 0 ? 0 : -1; // an empty corpus tests nothing

	if (count <= 0)
		fprintf(stderr, "%s: no inputs\n", directory);
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
		if (run_file(path) < 0)
			r = -1;
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return r;
}

int main(int argc, char **argv)
{
	int r = argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;

	for (int i = 1; i < argc; i++)
		if (run_directory(argv[i]) < 0)
			r = EXIT_FAILURE;
	return r;
}
