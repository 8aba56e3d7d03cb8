// SPDX-License-Identifier: MIT
// Frames as bytes. docs/protocol.md gives every one; this is the same in C.
//
// A frame is its length (of what follows, 32 bits), its type (8 bits) and its payload. Numbers
// are big-endian. Decoders take one payload and check every length before they use it; they
// return -EPROTO for anything malformed, and allocate nothing.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/address.h"
#include "core/buffer.h"
#include "core/id.h"
#include "core/identity.h"
#include "core/keyring.h"
#include "core/limits.h"
#include "core/membership.h"

#define WIRE_VERSION  1
#define WIRE_FEATURES 0
#define FRAME_HEADER  5 // bytes: length and type

enum frame_type {
	FRAME_HELLO = 1,
	FRAME_ACCEPT = 2,
	FRAME_GOODBYE = 3,
	FRAME_PING = 4,
	FRAME_PONG = 5,
	FRAME_PEERS = 6,
	FRAME_REWIRE = 7,
	FRAME_FRONTIER = 8,
	FRAME_PULL = 9,
	FRAME_TRIMMED = 10,
	FRAME_BATCH = 11,
	FRAME_CHUNK = 12,
	FRAME_CREDIT = 13,
	FRAME_STREAM = 14,
	FRAME_STREAM_CREDIT = 15,
	FRAME_ANNOUNCE = 16,
	FRAME_PROOF = 17,
	FRAME_PRUNE = 18,
	FRAME_DEMOTE = 19,
	FRAME_PROMOTE = 20,
	FRAME_IDLE = 21,
	FRAME_DIGEST = 22,
	FRAME_TREE = 23,
	FRAME_PIPE = 24,
	FRAME_PIPE_END = 25,
	FRAME_PIPE_CLOSE = 26,
	FRAME_PIPE_FREE = 27,
	FRAME_STALL = 28,
};

// What a dialler wants.
enum intent {
	INTENT_JOIN = 1,    // a link that counts
	INTENT_REPLACE = 2, // one that takes the place of the acceptor's link to `replaced`
	INTENT_PROBE = 3,   // an exchange of HELLOs and no more
	INTENT_FILL = 4,    // a link that counts if it finds room, else a probe
	INTENT_DIRECT = 5,  // one for streams and pipes alone
};

// Why a link ends. The numbers are the wire's; names are in events (goodbye_name()).
#define GOODBYE_REASONS(X)                \
	X(SHUTDOWN, 1, "shutdown")        \
	X(DUPLICATE, 2, "duplicate-link") \
	X(SELF, 3, "self")                \
	X(FULL, 4, "full")                \
	X(PROTOCOL, 5, "protocol-error")  \
	X(VERSION, 6, "version")          \
	X(REPLACED, 7, "replaced")        \
	X(DROPPED, 8, "dropped")          \
	X(SLOW, 9, "slow")                \
	X(TIMEOUT, 10, "timeout")         \
	X(CLASH, 11, "duplicate-id")      \
	X(SURPLUS, 12, "surplus")         \
	X(DONE, 13, "done")               \
	X(LOST, 14, "connection-lost")    \
	X(MEMORY, 15, "out-of-memory")    \
	X(RESTARTED, 16, "restarted")     \
	X(SIGNATURE, 17, "bad-signature") \
	X(MEMBERSHIP, 18, "network-key")  \
	X(DENIED, 19, "denied")           \
	X(TLS, 20, "tls")                 \
	X(FLOOD, 21, "flood")

enum goodbye {
#define X(name, number, text) GOODBYE_##name = number,
	GOODBYE_REASONS(X)
#undef X
};
// Does it say that a link of these two is not wanted at all? That is worth an event.
bool goodbye_refuses(unsigned reason);
// "unknown" for numbers of other versions.
const char *goodbye_name(unsigned reason);

// One incarnation of one node as a source of messages.
struct source_key {
	struct id id;
	uint64_t incarnation;
};

// What everything that is signed begins with.
struct stamp {
	struct network_name network;
	struct public_key key;
	uint64_t incarnation;
};

// Bytes under a signature, as they came; relayed as they are.
struct sealed {
	const uint8_t *bytes; // [n], the signature follows
	size_t n;
};
#define BATCH_TAG    "smokefs/1 batch"
#define ANNOUNCE_TAG "smokefs/1 announce"

struct contact {
	struct id id; // zero: not known
	struct address address;
};

// The component that a node believes to be in: its lowest id.
struct component_mark {
	struct id origin;
	uint64_t number; // beacons that the origin has sent as the lowest
	uint32_t age;	 // milliseconds since the last of them was heard
};

#define ROOM_UNLIMITED 0xffff

struct frame_hello {
	uint16_t version_min, version_max;
	uint32_t features;
	uint8_t intent;
	uint64_t incarnation;
	uint64_t instance;	      // random for each process: tells oneself from a double
	uint16_t peers;		      // links that count
	uint16_t room;		      // for more of them
	struct id replaced;	      // for INTENT_REPLACE
	struct contact offer;	      // a neighbour that the dialler would give up; zero: none
	uint8_t permit[DIGEST_BYTES]; // to take the place of `replaced`, or the dialler's at
				      // `offer`
	struct component_mark component;
	char name[NAME_MAX_LENGTH + 1];
	uint8_t address_count;
	struct address addresses[HELLO_ADDRESSES];
};

// Of membership, see core/membership.
struct frame_proof {
	struct network_name network; // names the key
	uint8_t proof[MEMBERSHIP_BYTES];
};

struct frame_goodbye {
	uint8_t reason;
	uint8_t count;
	struct contact contacts[HELLO_ADDRESSES]; // to try instead
};

struct frame_peers {
	bool ask; // and who do you know?
	uint8_t count;
	struct contact contacts[PEERS_ADDRESSES];
};

// "Dial `target` and take the place of its link to `replaced`."
struct frame_rewire {
	struct contact target;
	struct id replaced;
	uint8_t permit[DIGEST_BYTES]; // to take its place
	bool leave;		      // then end the link that this frame came over
};

struct frame_frontier {
	bool last; // of the list that opens a link
	uint16_t count;
	const uint8_t *entries; // [count] of FRONTIER_ENTRY bytes: frontier_entry()
};
#define FRONTIER_ENTRY	 32
#define FRONTIER_ENTRIES 512 // in one frame

// PULL: send from `next` on.
struct frame_position {
	struct source_key source;
	uint64_t next;
};

struct frame_batch {
	struct stamp stamp;
	uint64_t first;
	uint64_t topic; // of all its messages, by its number; 0: to everyone
	uint32_t bytes;
	uint16_t count;
	const uint8_t *lengths; // [count] of 32 bits
	const uint8_t *hashes;	// [batch_chunks(bytes)] of DIGEST_BYTES
	struct sealed sealed;
};

// Each chunk of a batch has a hash of its own under the signature.
static inline uint32_t batch_chunks(uint32_t bytes)
{
	return (uint32_t)((bytes + CHUNK_BYTES - 1) / CHUNK_BYTES);
}

// Nothing below `next` is kept, and that there was something shows the signed header of a batch
// that reaches at least to there.
struct frame_trimmed {
	uint64_t next;
	struct frame_batch shown;
};

// What becomes of a source on a link, as its receiver wants it; see core/plumtree.
enum prune {
	PRUNE_STOP = 1,	   // at once: it comes from elsewhere
	PRUNE_FINISH = 2,  // after the batch under way, and say so
	PRUNE_STOPPED = 3, // the answer: nothing more comes
};

struct frame_prune {
	struct source_key source;
	uint8_t kind; // enum prune
};

// Word of what a peer need not be sent.
struct frame_digest {
	uint16_t count;
	const uint8_t *entries; // [count] of DIGEST_ENTRY bytes: wire_digest_entry()
};
#define DIGEST_ENTRY   34
#define DIGEST_ENTRIES 512 // in one frame

struct digest_entry {
	struct frame_position position;
	uint16_t age; // milliseconds since the message before `next` was whole at the sender
};

struct frame_chunk {
	struct source_key source;
	const uint8_t *data;
	uint32_t bytes;
};

struct frame_credit {
	struct source_key source;
	uint32_t bytes;
};

// Why no more credit comes: 0 the sender itself, else so many nodes further on.
struct frame_stall {
	struct source_key source;
	uint8_t depth; // up to STALL_DEPTH_MAX + 1, which is a circle
};

struct frame_stream {
	uint16_t channel; // 0: the direct stream, else a pipe's
	const uint8_t *data;
	uint32_t bytes;
};

struct frame_stream_credit {
	uint16_t channel;
	uint64_t offset;
};

// May a direct link become one that counts?
enum promote { PROMOTE_ASK = 0, PROMOTE_YES = 1, PROMOTE_NO = 2 };

// "What comes over `channel` belongs to this pipe."
struct frame_pipe {
	uint16_t channel; // from 1 to PIPES_MAX
	char name[NAME_MAX_LENGTH + 1];
};

// Why a pipe's receiver takes no more.
enum pipe_reason {
	PIPE_REASON_REMOVED = 1, // it was removed there
	PIPE_REASON_MEMORY = 2,	 // there is none to keep it
};

struct frame_pipe_close {
	uint16_t channel;
	uint8_t reason; // enum pipe_reason
};

enum announcement {
	ANNOUNCE_BEACON = 1,
	ANNOUNCE_MEMBER = 2,
	ANNOUNCE_LEAVE = 3,
	ANNOUNCE_NETSPLIT = 4,
	ANNOUNCE_HEALED = 5,
	ANNOUNCE_GONE = 6, // a neighbour of the origin has died; itself may refute it
	ANNOUNCE_CALL = 7, // the origin cannot dial somebody, who may dial it
};

struct frame_announce {
	struct stamp stamp;
	uint64_t counter; // rises with every announcement of this origin
	uint8_t type;	  // enum announcement, or a newer one: relayed all the same
	uint16_t bytes;
	const uint8_t *payload;
	struct sealed sealed;
};

struct announce_member {
	char name[NAME_MAX_LENGTH + 1];
	struct address address;
	char topics[TOPICS_TEXT + 1]; // that it has joined, separated by commas; empty: none
};

// Encoders append one whole frame to a buffer.
void wire_put_hello(struct buffer *b, const struct frame_hello *f);
void wire_put_accept(struct buffer *b);
void wire_put_proof(struct buffer *b, const struct frame_proof *f);
void wire_put_goodbye(struct buffer *b, const struct frame_goodbye *f);
void wire_put_ping(struct buffer *b, enum frame_type type, uint64_t token); // PING or PONG
void wire_put_peers(struct buffer *b, const struct frame_peers *f);
void wire_put_rewire(struct buffer *b, const struct frame_rewire *f);
// A FRONTIER is begun, gets its entries, and is ended.
size_t wire_begin_frontier(struct buffer *b, bool last, uint16_t count);
void wire_put_frontier_entry(struct buffer *b, const struct frame_position *p);
void wire_end(struct buffer *b, size_t begun);
void wire_put_pull(struct buffer *b, const struct frame_position *f);
void wire_put_trimmed(struct buffer *b, uint64_t next, const uint8_t *header, size_t n);
void wire_put_prune(struct buffer *b, const struct frame_prune *f);
// A DIGEST is begun, gets its entries, and is ended.
size_t wire_begin_digest(struct buffer *b, uint16_t count);
void wire_put_digest_entry(struct buffer *b, const struct digest_entry *e);
void wire_put_tree(struct buffer *b, bool eager);
// 0: it is in use; else why the other end may end it.
void wire_put_demote(struct buffer *b, uint8_t reason);
void wire_put_promote(struct buffer *b, enum promote what);
void wire_put_idle(struct buffer *b, bool idle);
void wire_put_pipe(struct buffer *b, const struct frame_pipe *f);
// PIPE_END or PIPE_FREE.
void wire_put_channel(struct buffer *b, enum frame_type type, uint16_t channel);
void wire_put_pipe_close(struct buffer *b, const struct frame_pipe_close *f);
// A BATCH or ANNOUNCE of signed bytes and their signature, n in all.
void wire_put_sealed(struct buffer *b, enum frame_type type, const uint8_t *bytes, size_t n);
void wire_put_chunk(
	struct buffer *b, const struct source_key *source, const uint8_t *data, size_t n);
void wire_put_credit(struct buffer *b, const struct frame_credit *f);
void wire_put_stall(struct buffer *b, const struct frame_stall *f);
void wire_put_stream(struct buffer *b, uint16_t channel, const uint8_t *data, size_t n);
void wire_put_stream_credit(struct buffer *b, uint16_t channel, uint64_t offset);
// What is to be signed, without a frame. Of a batch `lengths` and not those in `f`, which are
// bytes.
void wire_put_batch(struct buffer *b, const struct frame_batch *f, const uint32_t *lengths);
void wire_put_announce(struct buffer *b, const struct frame_announce *f);
// The payload of announcements, without a frame.
void wire_put_member(struct buffer *b, const struct announce_member *m);
void wire_put_beacon(struct buffer *b, uint64_t number);
void wire_put_call(struct buffer *b, const struct contact *call);

// The first frame of n bytes: its whole length and its type, 0 when more bytes are needed,
// -EPROTO when it is empty or larger than `limit`.
int64_t wire_next(const uint8_t *bytes, size_t n, size_t limit, uint8_t *type);

int wire_get_hello(const uint8_t *p, size_t n, struct frame_hello *f);
int wire_get_proof(const uint8_t *p, size_t n, struct frame_proof *f);
int wire_get_goodbye(const uint8_t *p, size_t n, struct frame_goodbye *f);
int wire_get_ping(const uint8_t *p, size_t n, uint64_t *token);
int wire_get_peers(const uint8_t *p, size_t n, struct frame_peers *f);
int wire_get_rewire(const uint8_t *p, size_t n, struct frame_rewire *f);
int wire_get_frontier(const uint8_t *p, size_t n, struct frame_frontier *f);
struct frame_position wire_frontier_entry(const struct frame_frontier *f, uint16_t i);
int wire_get_pull(const uint8_t *p, size_t n, struct frame_position *f);
int wire_get_trimmed(const uint8_t *p, size_t n, struct frame_trimmed *f);
int wire_get_prune(const uint8_t *p, size_t n, struct frame_prune *f);
int wire_get_digest(const uint8_t *p, size_t n, struct frame_digest *f);
struct digest_entry wire_digest_entry(const struct frame_digest *f, uint16_t i);
int wire_get_tree(const uint8_t *p, size_t n, bool *eager);
int wire_get_demote(const uint8_t *p, size_t n, uint8_t *reason);
int wire_get_promote(const uint8_t *p, size_t n, enum promote *what);
int wire_get_idle(const uint8_t *p, size_t n, bool *idle);
int wire_get_pipe(const uint8_t *p, size_t n, struct frame_pipe *f);
int wire_get_channel(const uint8_t *p, size_t n, uint16_t *channel);
int wire_get_pipe_close(const uint8_t *p, size_t n, struct frame_pipe_close *f);
int wire_get_batch(const uint8_t *p, size_t n, struct frame_batch *f);
uint32_t wire_batch_length(const struct frame_batch *f, uint16_t i);
int wire_get_chunk(const uint8_t *p, size_t n, struct frame_chunk *f);
int wire_get_credit(const uint8_t *p, size_t n, struct frame_credit *f);
int wire_get_stall(const uint8_t *p, size_t n, struct frame_stall *f);
int wire_get_stream(const uint8_t *p, size_t n, struct frame_stream *f);
int wire_get_stream_credit(const uint8_t *p, size_t n, struct frame_stream_credit *f);
int wire_get_announce(const uint8_t *p, size_t n, struct frame_announce *f);
int wire_get_member(const uint8_t *p, size_t n, struct announce_member *m);
int wire_get_beacon(const uint8_t *p, size_t n, uint64_t *number);
// Whom the origin calls, and where the origin can be dialled.
int wire_get_call(const uint8_t *p, size_t n, struct contact *call);
// An id alone, the payload of NETSPLIT, HEALED and GONE.
int wire_get_id(const uint8_t *p, size_t n, struct id *id);

// Is this a name that may be shown and linked to? [A-Za-z0-9][A-Za-z0-9._-]{0,62}
bool name_valid(const char *name);
