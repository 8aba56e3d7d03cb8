// SPDX-License-Identifier: MIT
// uthash, with tables that are small at first: most of a node's have one entry or two. They double
// when that is not enough.
#pragma once

#include <uthash.h>

#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#define HASH_INITIAL_NUM_BUCKETS      4U
#define HASH_INITIAL_NUM_BUCKETS_LOG2 2U
