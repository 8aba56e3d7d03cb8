// SPDX-License-Identifier: MIT
// Bugs for the simulator to catch, one at a time. In the product MUTANT() is false and nothing of
// it is compiled.
#pragma once

#define MUTANTS(X)                                            \
	X(twice, "a message is delivered twice")              \
	X(skip, "a message is passed over in silence")        \
	X(crowd, "max_peers is not looked at")                \
	X(miser, "credit is never given back")                \
	X(shared, "one credit for all sources of a link")     \
	X(deaf, "what arrives is not relayed, nor told of")   \
	X(stranger, "who is not listed may link")             \
	X(forgetful, "a link that comes up repairs nothing")  \
	X(ghost, "a beacon never runs out")                   \
	X(gossip, "lazy links are sent everything")           \
	X(hermit, "too few peers are enough")                 \
	X(hasty, "our own stops count as the peers' silence") \
	X(patient, "silence is never the end of a link")

#ifdef SMOKEFS_MUTANTS
enum mutant {
	MUTANT_none,
#define X(name, about) MUTANT_##name,
	MUTANTS(X)
#undef X
};
extern enum mutant mutant_active;
#define MUTANT(name) (mutant_active == MUTANT_##name)
#else
#define MUTANT(name) 0
#endif
