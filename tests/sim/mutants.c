// SPDX-License-Identifier: MIT
#include "tests/sim/mutants.h"

#include <stdio.h>
#include <string.h>

#include "core/mutant.h"

enum mutant mutant_active;

static const struct {
	const char *name, *about;
} mutants[] = {
#define X(name, about) { #name, about },
	MUTANTS(X)
#undef X
};

bool mutant_choose(const char *name)
{
	for (size_t i = 0; i < sizeof mutants / sizeof mutants[0]; i++)
		if (strcmp(mutants[i].name, name) == 0) {
			mutant_active = (enum mutant)(i + 1);
			return true;
		}
	return false;
}

int mutant_list(void)
{
	for (size_t i = 0; i < sizeof mutants / sizeof mutants[0]; i++)
		printf("%-16s %s\n", mutants[i].name, mutants[i].about);
	return 0;
}
