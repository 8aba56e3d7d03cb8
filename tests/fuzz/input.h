// SPDX-License-Identifier: MIT
// The input of a target as a source of decisions. Behind its end everything is zero.
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct input {
	const uint8_t *at;
	size_t left;
};

// Big-endian.
static inline uint64_t input_number(struct input *in, size_t bytes)
{
	uint64_t value = 0;
	for (; bytes > 0; bytes--) {
		value = value << 8 | (in->left ? *in->at : 0);
		if (in->left) {
			in->at++;
			in->left--;
		}
	}
	return value;
}

// A byte, brought below n.
static inline size_t input_below(struct input *in, size_t n)
{
	return (size_t)input_number(in, 1) % n;
}

// The next bytes, as many as there are of n.
static inline const uint8_t *input_bytes(struct input *in, size_t *n)
{
	const uint8_t *at = in->at;
	*n = *n < in->left ? *n : in->left;
	in->at += *n;
	in->left -= *n;
	return at;
}
