# SPDX-License-Identifier: MIT
"""The other end of a link, spoken by hand: connections of strangers, of TLS clients that are no
members, and of members that may say whatever they like. OpenSSL's library does the TLS."""

import contextlib
import ctypes
import ctypes.util
import hashlib
import hmac
import re
import select
import socket
import struct
import time

from harness import Failure, Skip, equal, slurp

HELLO, ACCEPT, GOODBYE, PING, PONG, PEERS, REWIRE, FRONTIER, PULL, TRIMMED, BATCH, CHUNK, CREDIT, \
    STREAM, STREAM_CREDIT, ANNOUNCE, PROOF = range(1, 18)
JOIN, REPLACE, PROBE = 1, 2, 3
DIALLER, ACCEPTOR = 1, 2
ZERO = bytes(16)


def frame(kind, payload=b''):
    return struct.pack('>IB', len(payload) + 1, kind) + payload


def address(port):
    return b'\x04\x7f\0\0\x01' + struct.pack('>H', port)


def hello(low=1, high=1, intent=JOIN, name=b'hostile', port=9, instance=7, incarnation=1,
          addresses=None, tail=b''):
    return frame(HELLO, struct.pack('>HHIBQQHH', low, high, 0, intent, incarnation, instance, 0, 5)
                 + ZERO + ZERO + b'\0' + bytes(32) + ZERO + struct.pack('>QI', 0, 0)
                 + bytes([len(name)]) + name
                 + (bytes([1]) + address(port) if addresses is None else addresses) + tail)


class Raw:
    """A connection that may say anything."""

    def __init__(self, node, timeout=5):
        self.socket = socket.create_connection(('127.0.0.1', node.port), timeout)
        self.local = '127.0.0.1:%d' % self.socket.getsockname()[1]
        self.data = b''

    def send(self, data):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def receive(self):
        """Some bytes; none at the end; TimeoutError."""
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b''

    def timeout(self, seconds):
        self.socket.settimeout(seconds)

    def frames(self):
        """Frames until the other end closes."""
        while True:
            while len(self.data) >= 5:
                n, kind = struct.unpack('>IB', self.data[:5])
                if len(self.data) < n + 4:
                    break
                payload, self.data = self.data[5:n + 4], self.data[n + 4:]
                yield kind, payload
            part = self.receive()
            if not part:
                return
            self.data += part

    def closed(self, seconds):
        """Waits for the other end to close, or to say that it will; what it said. None: it did
        not."""
        self.timeout(seconds)
        said = []
        try:
            for kind, payload in self.frames():
                said.append((kind, payload))
                if kind == GOODBYE:
                    break
        except TimeoutError:
            return None
        return said

    def drained(self, seconds):
        """Waits for the other end to close, whatever it says: has it?"""
        self.timeout(seconds)
        try:
            while self.receive():
                pass
        except TimeoutError:
            return False
        return True

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.socket.close()


# OpenSSL.

P, I, L, N, S = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_size_t, ctypes.c_char_p)
PROTOTYPES = {
    'EVP_PKEY_new_raw_private_key': (P, I, P, S, N),
    'EVP_PKEY_get_raw_public_key': (I, P, S, P),
    'EVP_MD_CTX_new': (P,),
    'EVP_MD_CTX_free': (None, P),
    'EVP_DigestSignInit': (I, P, P, P, P, P),
    'EVP_DigestSign': (I, P, S, P, S, N),
    'X509_new': (P,),
    'X509_set_version': (I, P, L),
    'X509_get_serialNumber': (P, P),
    'ASN1_INTEGER_set': (I, P, L),
    'X509_getm_notBefore': (P, P),
    'X509_getm_notAfter': (P, P),
    'X509_gmtime_adj': (P, P, L),
    'X509_set_pubkey': (I, P, P),
    'X509_sign': (I, P, P, P),
    'X509_get0_pubkey': (P, P),
    'X509_free': (None, P),
    'TLS_client_method': (P,),
    'SSL_CTX_new': (P, P),
    'SSL_CTX_free': (None, P),
    'SSL_CTX_ctrl': (L, P, I, L, P),
    'SSL_CTX_use_certificate': (I, P, P),
    'SSL_CTX_use_PrivateKey': (I, P, P),
    'SSL_CTX_set_alpn_protos': (I, P, S, ctypes.c_uint),
    'SSL_new': (P, P),
    'SSL_free': (None, P),
    'SSL_set_fd': (I, P, I),
    'SSL_connect': (I, P),
    'SSL_read': (I, P, P, I),
    'SSL_write': (I, P, S, I),
    'SSL_get_error': (I, P, I),
    'SSL_export_keying_material': (I, P, S, N, S, N, P, N, I),
    'SSL_get1_peer_certificate': (P, P),
    'ERR_clear_error': (None,),
}
ED25519 = 1087
SSL_CTRL_SET_MIN_PROTO_VERSION, SSL_CTRL_SET_MAX_PROTO_VERSION = 123, 124
TLS_1_2, TLS_1_3 = 0x303, 0x304
WANT_READ, WANT_WRITE = 2, 3
_library = None


def openssl():
    global _library
    if _library is None:
        names = [ctypes.util.find_library(n) for n in ('crypto', 'ssl')]
        if not all(names):
            raise Skip("OpenSSL's library is missing")
        found = {}
        for name in names:
            library = ctypes.CDLL(name)
            for function, (result, *arguments) in PROTOTYPES.items():
                with contextlib.suppress(AttributeError):
                    f = getattr(library, function)
                    f.restype, f.argtypes = result, arguments
                    found.setdefault(function, f)
        missing = set(PROTOTYPES) - set(found)
        if missing:
            raise Skip("OpenSSL's library has no %s" % ', '.join(sorted(missing)))
        _library = type('OpenSSL', (), {n: staticmethod(f) for n, f in found.items()})
    return _library


def must(result):
    if not result or (isinstance(result, int) and result < 0):
        raise Failure('OpenSSL: a call failed')
    return result


class Identity:
    """An Ed25519 key and what shows it."""

    def __init__(self, secret):
        ssl = openssl()
        self.key = must(ssl.EVP_PKEY_new_raw_private_key(ED25519, None, secret, 32))
        self.public = public_key(self.key)
        self.ident = hashlib.sha256(self.public).digest()[:16]
        self.certificate = must(ssl.X509_new())
        ssl.X509_set_version(self.certificate, 2)
        ssl.ASN1_INTEGER_set(ssl.X509_get_serialNumber(self.certificate), 1)
        ssl.X509_gmtime_adj(ssl.X509_getm_notBefore(self.certificate), 0)
        ssl.X509_gmtime_adj(ssl.X509_getm_notAfter(self.certificate), 86400)
        must(ssl.X509_set_pubkey(self.certificate, self.key))
        must(ssl.X509_sign(self.certificate, self.key, None))

    @classmethod
    def of(cls, node):
        """That of a node: somebody has stolen its state directory."""
        return cls(bytes.fromhex(slurp(node.state + '/node.key')))

    def sign(self, tag, data):
        ssl = openssl()
        context = must(ssl.EVP_MD_CTX_new())
        out, n = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
        text = tag + b'\0' + data
        must(ssl.EVP_DigestSignInit(context, None, None, None, self.key))
        must(ssl.EVP_DigestSign(context, out, ctypes.byref(n), text, len(text)))
        ssl.EVP_MD_CTX_free(context)
        return data + out.raw


def public_key(key):
    out, n = ctypes.create_string_buffer(32), ctypes.c_size_t(32)
    must(openssl().EVP_PKEY_get_raw_public_key(key, out, ctypes.byref(n)))
    return out.raw


def first_key(path):
    """The first key of a key file."""
    return bytes.fromhex(re.search('(?m)^[0-9a-fA-F]{64}', slurp(path)).group())


def key_name(key):
    return hashlib.sha256(b'smokefs/1 network key name\0' + key).digest()[:8]


def identity(number):
    """The same for the same number."""
    return Identity(hashlib.sha256(b'member %d' % number).digest())


class Session(Raw):
    """A TLS connection. refused: the other end did not want it."""

    def __init__(self, node, who=None, alpn=b'smokefs/1', version=TLS_1_3, timeout=5):
        super().__init__(node, timeout)
        ssl = openssl()
        self.who = who
        self.context = must(ssl.SSL_CTX_new(ssl.TLS_client_method()))
        for what in (SSL_CTRL_SET_MIN_PROTO_VERSION, SSL_CTRL_SET_MAX_PROTO_VERSION):
            ssl.SSL_CTX_ctrl(self.context, what, version, None)
        if who:
            must(ssl.SSL_CTX_use_certificate(self.context, who.certificate))
            must(ssl.SSL_CTX_use_PrivateKey(self.context, who.key))
        if alpn:
            protocols = bytes([len(alpn)]) + alpn
            equal(ssl.SSL_CTX_set_alpn_protos(self.context, protocols, len(protocols)), 0, 'ALPN')
        self.tls = must(ssl.SSL_new(self.context))
        self.patience = timeout
        self.socket.setblocking(False)
        must(ssl.SSL_set_fd(self.tls, self.socket.fileno()))
        self.refused = self.repeat(ssl.SSL_connect) is None

    def repeat(self, function, *arguments):
        """A call until it is done: what it returned. None: the connection is no more."""
        end = time.monotonic() + self.patience
        while self.tls:
            openssl().ERR_clear_error()
            result = function(self.tls, *arguments)
            if result > 0:
                return result
            error = openssl().SSL_get_error(self.tls, result)
            if error not in (WANT_READ, WANT_WRITE):
                return None
            sets = ([self.socket], []) if error == WANT_READ else ([], [self.socket])
            left = end - time.monotonic()
            if left <= 0 or not any(select.select(*sets, [], left)):
                raise TimeoutError('TLS')
        return None

    def timeout(self, seconds):
        self.patience = seconds

    def send(self, data):
        if data:
            self.repeat(openssl().SSL_write, data, len(data))

    def receive(self):
        part = ctypes.create_string_buffer(65536)
        n = self.repeat(openssl().SSL_read, part, len(part))
        return part.raw[:n] if n else b''

    def peer(self):
        certificate = must(openssl().SSL_get1_peer_certificate(self.tls))
        key = public_key(openssl().X509_get0_pubkey(certificate))
        openssl().X509_free(certificate)
        return key

    def proof(self, key, role=DIALLER, name=None, exporter=None, own=None):
        """The payload of a PROOF."""
        if exporter is None:
            out = ctypes.create_string_buffer(32)
            label = b'EXPORTER-smokefs-membership'
            equal(openssl().SSL_export_keying_material(
                self.tls, out, 32, label, len(label), None, 0, 0), 1, 'exporter')
            exporter = out.raw
        text = b'smokefs/1 membership\0' + bytes([role]) + exporter + (
            own or self.who.public) + self.peer()
        return (name or key_name(key)) + hmac.new(key, text, 'sha256').digest()

    def free(self):
        if self.tls:
            openssl().SSL_free(self.tls)
            openssl().SSL_CTX_free(self.context)
        self.tls = None

    def close(self):
        self.free()
        super().close()

    def reset(self):
        self.free()
        super().reset()


class Member(Session):
    """A session whose dialler has proven that it holds the key of the node's network."""

    def __init__(self, node, who, **keys):
        super().__init__(node, who, **keys)
        if self.refused:
            raise Failure('TLS with %s was refused' % node.name)
        key = first_key(node.key)
        self.send(frame(PROOF, self.proof(key)))
        for kind, payload in self.frames():
            equal((kind, payload), (PROOF, self.proof(key, ACCEPTOR)), 'the answer to PROOF')
            break

    def join(self, **keys):
        """The rest of the handshake of one who dials."""
        self.send(hello(**keys))
        for kind, _ in self.frames():
            equal(kind, HELLO, 'the answer to HELLO')
            break
        self.send(frame(ACCEPT))
        return self
