// SPDX-License-Identifier: MIT
// Hails as bytes. When they are sent, and what is made of them, is core/lan's.
#include "core/hail.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#define MAC_BYTES 32

static const char tag[] = "smokefs/1 hail";

// Fields of the datagram, each by where it begins.
enum {
	AT_ASKS = sizeof tag,
	AT_NETWORK = AT_ASKS + 1,
	AT_ID = AT_NETWORK + NETWORK_NAME_BYTES,
	AT_INCARNATION = AT_ID + ID_BYTES,
	AT_COUNTER = AT_INCARNATION + 8,
	AT_FAMILY = AT_COUNTER + 8,
	AT_HOST = AT_FAMILY + 1,
	AT_PORT = AT_HOST + 16,
	AT_MAC = AT_PORT + 2,
};
_Static_assert(AT_MAC + MAC_BYTES == HAIL_BYTES, "docs/protocol.md gives the size");

static void put_number(uint8_t *to, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

static uint64_t get_number(const uint8_t *from, size_t bytes)
{
	uint64_t value = 0;
	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | from[i];
	return value;
}

static int authenticate(
	const struct network_key *key, const uint8_t *datagram, uint8_t mac[MAC_BYTES])
{
	size_t n = 0;

	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA2-256", NULL, key->secret, NETWORK_KEY_BYTES,
		    datagram, AT_MAC, mac, MAC_BYTES, &n))
		return 0;
	ERR_clear_error();
	return -ENOMEM;
}

int hail_encode(const struct hail *hail, const struct keyring *ring, uint8_t datagram[HAIL_BYTES])
{
	const struct network_key *key = &ring->keys[0];

	memcpy(datagram, tag, sizeof tag);
	datagram[AT_ASKS] = hail->asks;
	memcpy(datagram + AT_NETWORK, key->name.bytes, NETWORK_NAME_BYTES);
	memcpy(datagram + AT_ID, hail->id.bytes, ID_BYTES);
	put_number(datagram + AT_INCARNATION, hail->incarnation, 8);
	put_number(datagram + AT_COUNTER, hail->counter, 8);
	datagram[AT_FAMILY] = hail->address.family;
	memcpy(datagram + AT_HOST, hail->address.bytes, 16);
	put_number(datagram + AT_PORT, hail->address.port, 2);
	return authenticate(key, datagram, datagram + AT_MAC);
}

// What has the right key may still be nonsense. An IPv4 address leaves the rest of its room zero:
// one hail has one form.
static int parse(struct hail *hail, const uint8_t *datagram)
{
	static const uint8_t zero[12];
	uint8_t family = datagram[AT_FAMILY];

	*hail = (struct hail){
		.asks = datagram[AT_ASKS] == 1,
		.incarnation = get_number(datagram + AT_INCARNATION, 8),
		.counter = get_number(datagram + AT_COUNTER, 8),
		.address = { .family = family,
			.port = (uint16_t)get_number(datagram + AT_PORT, 2) },
	};
	memcpy(hail->id.bytes, datagram + AT_ID, ID_BYTES);
	memcpy(hail->address.bytes, datagram + AT_HOST, 16);
	if (datagram[AT_ASKS] > 1 || id_is_zero(&hail->id) || (family != 4 && family != 6) ||
		(family == 4 && memcmp(hail->address.bytes + 4, zero, sizeof zero) != 0) ||
		!address_dialable(&hail->address))
		return -EPROTO;
	return 0;
}

int hail_decode(struct hail *hail, const struct keyring *ring, const uint8_t *datagram, size_t n)
{
	const struct network_key *key;
	struct network_name name;
	uint8_t mac[MAC_BYTES];
	bool ok;

	if (n != HAIL_BYTES || memcmp(datagram, tag, sizeof tag) != 0)
		return -EPROTO;
	memcpy(name.bytes, datagram + AT_NETWORK, NETWORK_NAME_BYTES);
	key = keyring_find(ring, &name);
	if (!key)
		return -ENOKEY;
	ok = authenticate(key, datagram, mac) == 0 &&
	     CRYPTO_memcmp(mac, datagram + AT_MAC, MAC_BYTES) == 0;
	OPENSSL_cleanse(mac, sizeof mac);
	return ok ? parse(hail, datagram) : -EBADMSG;
}
