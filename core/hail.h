// SPDX-License-Identifier: MIT
// A hail: the datagram by which nodes of one network find each other on a local network.
//
//     tag | asks | network | id | incarnation | counter | address | HMAC-SHA256(network key, all
//     that)
//
// Of one size, so that nothing in it is a length. Who holds no key of the network can make none;
// what is heard again can be told by its number, and by the host that it comes from.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/address.h"
#include "core/id.h"
#include "core/keyring.h"

#define HAIL_BYTES 107

struct hail {
	bool asks; // the sender has too few peers, and wants to hear of others
	struct id id;
	uint64_t incarnation, counter; // in this order higher with every hail of this id
	struct address address;	       // where the sender listens, and where it sends this from
};

// Under the first key of the ring. 0 or -ENOMEM.
int hail_encode(const struct hail *hail, const struct keyring *ring, uint8_t datagram[HAIL_BYTES]);
// 0; -EPROTO: of no use to anybody; -ENOKEY: of another network, nothing of it was looked at;
// -EBADMSG: made without the key that it names.
int hail_decode(struct hail *hail, const struct keyring *ring, const uint8_t *datagram, size_t n);
