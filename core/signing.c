// SPDX-License-Identifier: MIT
// The node's side of core/identity's signatures.
#include "core/signing.h"

#include <errno.h>

#include "core/node_inner.h"

struct stamp signing_stamp(const struct node *node)
{
	return (struct stamp){
		.network = node->config.keyring->keys[0].name,
		.key = node->config.identity->public_key,
		.incarnation = node->config.incarnation,
	};
}

int signing_sign(const struct node *node, const char *tag, struct buffer *b)
{
	uint8_t signature[SIGNATURE_BYTES];
	if (buffer_failed(b) || identity_sign(node->config.identity, tag, buffer_bytes(b),
					buffer_length(b), signature) < 0)
		return -ENOMEM;
	buffer_append(b, signature, sizeof signature);
	return buffer_failed(b) ? -ENOMEM : 0;
}

enum judgement signing_judge(const struct node *node, const char *tag, const struct stamp *stamp,
	const struct sealed *sealed)
{
	if (!keyring_knows(node->config.keyring, &stamp->network))
		return SIGNING_FOREIGN;
	return identity_verify(
		       &stamp->key, tag, sealed->bytes, sealed->n, sealed->bytes + sealed->n)
		       ? SIGNING_GOOD
		       : SIGNING_BAD;
}
