// SPDX-License-Identifier: MIT
// TLS 1.3 by OpenSSL: which of it we speak, and the way of its bytes from and to our buffers. Not
// who is welcome.
#include "core/channel.h"

#include <assert.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_BYTES	16384 // of plain text, RFC 8446, 5.1
#define RECORD_OVERHEAD 22    // header, content type, authentication tag
#define HEADERS_BYTES	9     // of a record and of the handshake message in it

struct channel_settings {
	SSL_CTX *tls;
	BIO_METHOD *method;
};

// A list of names, each behind its length (RFC 7301); ours has one.
static const unsigned char protocols[] = "\x09" CHANNEL_ALPN;
#define PROTOCOLS_BYTES (sizeof protocols - 1)
static_assert(PROTOCOLS_BYTES == 1 + 0x09, "the length is that of the name");

// TLS asks for wire bytes: those of this call, and of a stranger no more than its allowance.
static int on_read(BIO *bio, char *to, size_t room, size_t *got)
{
	struct channel *c = BIO_get_data(bio);
	uint64_t allowed = c->open ? UINT64_MAX : CHANNEL_HANDSHAKE_MAX - c->keyed_in;
	size_t n = c->source_left;

	BIO_clear_retry_flags(bio);
	if (n == 0)
		BIO_set_retry_read(bio);
	if (n > allowed)
		n = (size_t)allowed;
	if (n > room)
		n = room;
	if (n == 0 || c->failed)
		return 0;
	memcpy(to, c->source, n);
	c->source += n;
	c->source_left -= n;
	c->keyed_in += n;
	*got = n;
	return 1;
}

static int on_write(BIO *bio, const char *bytes, size_t n, size_t *written)
{
	struct channel *c = BIO_get_data(bio);

	buffer_append(c->sink, bytes, n);
	if (buffer_failed(c->sink))
		return 0;
	c->bytes_out += n;
	c->keyed_out += n;
	*written = n;
	return 1;
}

static long on_control(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH;
}

static int on_hello(SSL *tls, int *alert, void *unused)
{
	const unsigned char *names;
	size_t n;

	if (SSL_client_hello_get0_ext(
		    tls, TLSEXT_TYPE_application_layer_protocol_negotiation, &names, &n))
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	return SSL_CLIENT_HELLO_ERROR;
}

static int on_protocols(SSL *tls, const unsigned char **out, unsigned char *length,
	const unsigned char *in, unsigned n, void *unused)
{
	unsigned char *selected;
	if (SSL_select_next_proto(&selected, length, protocols, PROTOCOLS_BYTES, in, n) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = selected;
	return SSL_TLSEXT_ERR_OK;
}

static bool get_key(X509 *certificate, struct public_key *key)
{
	EVP_PKEY *pkey = certificate ? X509_get0_pubkey(certificate) : NULL;
	size_t n = PUBLIC_KEY_BYTES;
	return pkey && EVP_PKEY_is_a(pkey, "ED25519") &&
	       EVP_PKEY_get_raw_public_key(pkey, key->bytes, &n) && n == PUBLIC_KEY_BYTES;
}

// One certificate with a key of our kind. Names, dates and who signed it mean nothing: TLS has the
// other end prove that it holds the key, and the key is all that we ask for.
static int on_certificate(X509_STORE_CTX *context, void *unused)
{
	SSL *tls = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct public_key key;
	const unsigned char *selected;
	unsigned n;

	SSL_get0_alpn_selected(tls, &selected, &n);
	if (n == protocols[0] && memcmp(selected, protocols + 1, n) == 0 &&
		sk_X509_num(X509_STORE_CTX_get0_untrusted(context)) == 1 &&
		get_key(X509_STORE_CTX_get0_cert(context), &key)) {
		X509_STORE_CTX_set_error(context, X509_V_OK);
		return 1;
	}
	X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_REJECTED);
	return 0;
}

// After the handshake a peer may change its key, now and then, and nothing else.
static void on_message(
	int sent, int version, int type, const void *bytes, size_t n, SSL *tls, void *argument)
{
	struct channel *c = argument;
	const uint8_t *message = bytes;

	if (sent || !c->open || type != SSL3_RT_HANDSHAKE)
		return;
	if (n && message[0] == SSL3_MT_KEY_UPDATE && c->keyed_in >= CHANNEL_REKEY_MIN)
		c->keyed_in = 0;
	else
		c->failed = true;
}

static bool set_up(SSL_CTX *tls, const struct identity *identity)
{
	uint64_t options = SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION // since OpenSSL 3.2
	options |= SSL_OP_NO_RX_CERTIFICATE_COMPRESSION | SSL_OP_NO_TX_CERTIFICATE_COMPRESSION;
#endif
	SSL_CTX_set_options(tls, options);
	SSL_CTX_clear_options(tls, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_security_level(tls, 3); // 128 bits, whatever the system's default is
	SSL_CTX_set_max_cert_list(tls, CHANNEL_CERTIFICATE_MAX);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(tls, on_certificate, NULL);
	SSL_CTX_set_client_hello_cb(tls, on_hello, NULL);
	SSL_CTX_set_alpn_select_cb(tls, on_protocols, NULL);
	SSL_CTX_set_msg_callback(tls, on_message);
	return SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) &&
	       SSL_CTX_set_max_proto_version(tls, TLS1_3_VERSION) &&
	       SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:"
					     "TLS_AES_256_GCM_SHA384") &&
	       SSL_CTX_set1_groups_list(tls, "X25519") &&
	       SSL_CTX_set1_sigalgs_list(tls, "ed25519") &&
	       SSL_CTX_set1_client_sigalgs_list(tls, "ed25519") &&
	       SSL_CTX_set_alpn_protos(tls, protocols, PROTOCOLS_BYTES) == 0 && // 0 is success
	       SSL_CTX_set_num_tickets(tls, 0) && SSL_CTX_set_max_early_data(tls, 0) &&
	       SSL_CTX_set_recv_max_early_data(tls, 0) &&
	       SSL_CTX_use_certificate(tls, identity->certificate) &&
	       SSL_CTX_use_PrivateKey(tls, identity->key);
}

struct channel_settings *channel_settings_new(const struct identity *identity)
{
	struct channel_settings *settings = calloc(1, sizeof *settings);
	if (!settings)
		return NULL;
	// No file of the system's changes what we speak.
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	settings->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "channel");
	settings->tls = SSL_CTX_new(TLS_method());
	if (settings->method && settings->tls && BIO_meth_set_read_ex(settings->method, on_read) &&
		BIO_meth_set_write_ex(settings->method, on_write) &&
		BIO_meth_set_ctrl(settings->method, on_control) && set_up(settings->tls, identity))
		return settings;
	ERR_clear_error();
	channel_settings_free(settings);
	return NULL;
}

void channel_settings_free(struct channel_settings *settings)
{
	if (!settings)
		return;
	SSL_CTX_free(settings->tls);
	BIO_meth_free(settings->method);
	free(settings);
}

int channel_init(struct channel *c, struct channel_settings *settings, bool dialler)
{
	*c = (struct channel){ .tls = SSL_new(settings->tls), .dialler = dialler };
	BIO *bio = c->tls ? BIO_new(settings->method) : NULL;

	if (!bio) {
		ERR_clear_error();
		channel_fini(c);
		return -ENOMEM;
	}
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	SSL_set_bio(c->tls, bio, bio); // takes it
	SSL_set_msg_callback_arg(c->tls, c);
	if (dialler)
		SSL_set_connect_state(c->tls);
	else
		SSL_set_accept_state(c->tls);
	return 0;
}

void channel_fini(struct channel *c)
{
	SSL_free(c->tls);
	*c = (struct channel){ 0 };
}

// The end of it. The queue of errors is the thread's, not the channel's: it is left empty.
static int fail(struct channel *c)
{
	bool memory = (c->sink && buffer_failed(c->sink)) ||
		      ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE;
	ERR_clear_error();
	c->failed = true;
	return memory ? -ENOMEM : -EPROTO;
}

static bool wants_more(struct channel *c, int result)
{
	return SSL_get_error(c->tls, result) == SSL_ERROR_WANT_READ && !c->failed &&
	       c->source_left == 0;
}

// Starts or goes on with the handshake. 0: whether it is done, c->open says.
static int handshake(struct channel *c)
{
	int r = SSL_do_handshake(c->tls);
	if (r != 1)
		return wants_more(c, r) ? 0 : fail(c);
	if (!get_key(SSL_get0_peer_certificate(c->tls), &c->peer))
		return fail(c);
	c->open = true;
	c->keyed_in = c->keyed_out = 0;
	return 0;
}

// Is that, as far as it goes, the start of a ClientHello that we would read to its end?
static bool plausible(const uint8_t *first, size_t n)
{
	static const uint8_t expected[] = { SSL3_RT_HANDSHAKE, SSL3_VERSION_MAJOR };
	size_t known = n < sizeof expected ? n : sizeof expected;

	if (memcmp(first, expected, known) != 0)
		return false;
	if (n >= 5 && (first[3] << 8 | first[4]) < HEADERS_BYTES - 5)
		return false; // the length of the message is in the first record
	if (n >= 6 && first[5] != SSL3_MT_CLIENT_HELLO)
		return false;
	return n < HEADERS_BYTES ||
	       (first[6] << 16 | first[7] << 8 | first[8]) <= CHANNEL_HELLO_MAX;
}

// OpenSSL makes room for a message when it has read its header, so that is read before.
static bool inspect(struct channel *c, const uint8_t *bytes, size_t n)
{
	size_t more = HEADERS_BYTES - c->first_length;
	if (more > n)
		more = n;
	memcpy(c->first + c->first_length, bytes, more);
	c->first_length += (uint8_t)more;
	return plausible(c->first, c->first_length);
}

static int decrypt(struct channel *c, struct buffer *plain)
{
	// What comes out of the bytes of this call. TLS holds at most one record of earlier ones,
	// and says how much that is when it is complete.
	size_t room = c->source_left;

	while (c->source_left || room) {
		uint8_t *to = buffer_reserve(plain, room ? room : 1);
		size_t n = 0;
		if (!to)
			return -ENOMEM;
		int r = SSL_read_ex(c->tls, to, plain->capacity - plain->end, &n);
		buffer_commit(plain, n);
		if (c->failed || (r != 1 && !wants_more(c, r)))
			return fail(c);
		room = (size_t)SSL_pending(c->tls);
	}
	return 0;
}

int channel_begin(struct channel *c, struct buffer *wire)
{
	assert(c->dialler && !c->open);
	c->sink = wire;
	int r = handshake(c);
	c->sink = NULL;
	return r;
}

int channel_open(struct channel *c, const uint8_t *bytes, size_t n, struct buffer *plain,
	struct buffer *wire)
{
	int r = 0;

	if (c->failed)
		return -EPROTO;
	if (n == 0)
		return 0;
	c->bytes_in += n;
	if (!c->dialler && !inspect(c, bytes, n)) {
		c->failed = true;
		return -EPROTO;
	}
	c->source = bytes;
	c->source_left = n;
	c->sink = wire;
	if (!c->open)
		r = handshake(c);
	if (r == 0 && c->open)
		r = decrypt(c, plain);
	c->source = NULL;
	c->source_left = 0;
	c->sink = NULL;
	if (r < 0)
		c->failed = true;
	return r;
}

int channel_seal(struct channel *c, struct buffer *plain, struct buffer *wire)
{
	size_t n = buffer_length(plain), written;

	if (!c->open || c->failed)
		return -EPROTO;
	if (buffer_failed(plain))
		return -ENOMEM;
	if (n == 0)
		return 0;
	if (!buffer_reserve(wire, n + (n / RECORD_BYTES + 2) * RECORD_OVERHEAD))
		return -ENOMEM;
	c->sink = wire;
	int r = 0;
	if (c->keyed_out >= CHANNEL_REKEY_BYTES) {
		c->keyed_out = 0;
		if (!SSL_key_update(c->tls, SSL_KEY_UPDATE_NOT_REQUESTED))
			r = fail(c);
	}
	if (r == 0 && !SSL_write_ex(c->tls, buffer_bytes(plain), n, &written))
		r = fail(c);
	if (r == 0)
		buffer_consume(plain, n);
	c->sink = NULL;
	return r;
}

int channel_binding(struct channel *c, const struct public_key *own, struct session_binding *b)
{
	static const char label[] = "EXPORTER-smokefs-membership";

	assert(c->open);
	b->dialler = c->dialler ? *own : c->peer;
	b->acceptor = c->dialler ? c->peer : *own;
	if (SSL_export_keying_material(
		    c->tls, b->exporter, EXPORTER_BYTES, label, sizeof label - 1, NULL, 0, 0) == 1)
		return 0;
	ERR_clear_error();
	return -ENOMEM;
}
