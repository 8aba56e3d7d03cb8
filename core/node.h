// SPDX-License-Identifier: MIT
// A node: one member of the network, without sockets, clock or randomness of its own.
//
// Whoever moves its bytes is its *driver* (core/net in the daemon, the tests' world in virtual
// time). Every turn the driver calls node_advance() with the time first, hands in what arrived,
// and then sends what the links of node_next_output() have to say. Whoever shows it to users is
// its *face* (fs/); it asks for changes once per turn with node_take_changes() and is never
// called.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/access.h"
#include "core/address.h"
#include "core/event.h"
#include "core/hail.h"
#include "core/history.h"
#include "core/identity.h"
#include "core/keyring.h"
#include "core/log.h"
#include "core/names.h"
#include "core/pipe.h"
#include "core/stream.h"
#include "core/topics.h"

struct link;
struct node;

// What is borrowed here outlives the node, and changes through the node alone.
struct node_config {
	const struct identity *identity; // borrowed
	struct keyring *keyring;	 // borrowed; not empty
	struct access *access;		 // borrowed
	struct names *names;		 // borrowed: who goes by which name; may be NULL
	uint64_t incarnation;		 // higher than any this id was ever used with
	// Keeps a higher incarnation for the next start, before it is used. 0 or -errno, which is
	// logged. May be NULL.
	int (*keep_incarnation)(void *context, uint64_t incarnation);
	void *keep_context;
	uint64_t seed; // for jitter and choice
	char name[NAME_MAX_LENGTH + 1];
	struct address address; // where others reach this node
	struct address others[HELLO_ADDRESSES - 1];
	uint8_t other_count; // more of such addresses
	uint32_t min_peers;
	uint32_t max_peers; // 0: no limit
	uint64_t ping_timeout;
	uint64_t stall_timeout; // of a reader that holds others up; 0: STALL_TIMEOUT
	uint64_t min_rate;	// at which it does not, bytes per second; 0: STALL_RATE
	bool discovery;		// find others on the local network
	// Does not announce itself as a member: simulated networks are too large for every node to
	// know every other.
	bool quiet;
	size_t history; // charge of what is kept for `messages`, HISTORY_BYTES; 0: nothing is
};

struct node_driver {
	void *context;
	// Starts to connect. 0: node_dialled() follows, later. -errno: failed at once.
	int (*dial)(void *context, struct link *link, const struct address *to);
	// The link is gone: close its socket and forget it. Never called from within dial().
	void (*hangup)(void *context, struct link *link);
	// Looks a host name up. 0: node_resolved() follows, later. -errno: failed at once.
	int (*resolve)(void *context, uint64_t tag, const char *host, uint16_t port);
};

// Counters of everything that was refused, skipped or lost; shown in `status` by these names.
#define NODE_COUNTERS(X)                                                           \
	X(messages_published) /* by writers here */                                \
	X(messages_received)  /* first copies of others' messages */               \
	X(batches_duplicate)  /* copies beyond the first */                        \
	X(batches_foreign)    /* signed for another network */                     \
	X(messages_lost)      /* own, trimmed before any peer took them */         \
	X(messages_missed)    /* others', in gaps */                               \
	X(messages_filtered)  /* others', of topics that are not joined here */    \
	X(messages_overrun)   /* skipped by readers here that were too slow */     \
	X(bytes_discarded)    /* cut from messages by packet-mode reads */         \
	X(stream_bytes_lost)  /* on streams whose peer went */                     \
	X(pipe_bytes_lost)    /* on pipes whose peer went, or that were removed */ \
	X(pipes_refused)      /* by who was to receive them */                     \
	X(frames_malformed)                                                        \
	X(frames_unknown)                                                          \
	X(signatures_bad)                                                          \
	X(links_refused)                                                           \
	X(links_timed_out)                                                         \
	X(links_slow)	   /* cut loose, because they kept others waiting */       \
	X(guards_ended)	   /* of neighbours that got no further */                 \
	X(accepts_refused) /* above the bound on links */                          \
	X(accepts_failed)  /* no descriptor for a connection */                    \
	X(dials_failed)                                                            \
	X(announcements_dropped) /* from unknown, stale or too many origins */     \
	X(sources_refused)	 /* above the bound on sources */                  \
	X(claims_dropped)	 /* above the bound on what may be on its way */   \
	X(calls_dropped)	 /* to dial somebody, more than are followed */    \
	X(claims_unserved)	 /* what a peer said it had and did not send */    \
	X(hails_sent)                                                              \
	X(hails_heard)                                                             \
	X(hails_foreign) /* of other networks */                                   \
	X(hails_refused) /* damaged, or forged */                                  \
	X(hails_dropped) /* copies, and more than are listened to */

struct node_counters {
#define X(name) uint64_t name;
	NODE_COUNTERS(X)
#undef X
};

struct node *node_new(const struct node_config *config, const struct node_driver *driver);
// Ends all links at once, without a goodbye.
void node_free(struct node *node);
// Says goodbye to all peers; node_stopped() once they have taken it or FAREWELL_TIME is over.
// No new link comes up from here on.
void node_stop(struct node *node);
bool node_stopped(const struct node *node);

// For the driver.
//
// `now`: microseconds, monotonic, counting suspend, never 0. `wall`: microseconds since the
// epoch, for event lines only. Runs every timer that is due.
void node_advance(struct node *node, uint64_t now, uint64_t wall);
// When node_advance() is due at the latest: asked after anything was handed in, before the next
// node_advance(), which does nothing sooner.
uint64_t node_deadline(struct node *node);
// A connection came in: its link, or NULL (close it; counted).
struct link *node_accept(struct node *node, const struct address *from);
// A dial has ended: error is 0 or -errno. On an error the link is freed; hangup is called.
void node_dialled(struct node *node, struct link *link, int error);
void node_resolved(
	struct node *node, uint64_t tag, int error, const struct address *addresses, size_t count);
// Bytes arrived. The link may be gone afterwards; hangup has been called then.
void node_receive(struct node *node, struct link *link, const uint8_t *bytes, size_t n);
// The connection is closed or broken: error 0 for an end of file. hangup is called.
void node_lost(struct node *node, struct link *link, int error);
// The next link that may have something to send since it was last returned here; NULL: none.
struct link *node_next_output(struct node *node);
// Bytes to send on a link; they hold until link_sent() or the next call for the node. 0: none.
size_t node_output(struct node *node, struct link *link, const uint8_t **bytes);
// The socket took n of them. May call hangup, when these were a goodbye.
void node_sent(struct node *node, struct link *link, size_t n);
void node_accept_failed(struct node *node, int error);
// The driver's own mark on a link.
void link_set_socket(struct link *link, void *socket);
void *link_socket(const struct link *link);

// Whom this node could dial, as text, see core/contacts. Returns how many lines are damaged.
size_t node_read_contacts(struct node *node, const char *text, size_t n);
// 0 or -ENOMEM; what was new is not any more.
int node_write_contacts(struct node *node, struct buffer *out);
// Is there anybody who was not there when they were last written?
bool node_contacts_changed(const struct node *node);
void node_add_seed(struct node *node, const char *host, uint16_t port);

// For discovery on the local network (core/discovery).
//
// When this node wants to hail; UINT64_MAX: never.
uint64_t node_hail_due(const struct node *node);
// It is time, and taken as done: one node_hail() for each address is to follow.
bool node_hail_begin(struct node *node);
// The datagram to send from an address at which this node listens. 0 or -ENOMEM.
int node_hail(struct node *node, const struct address *address, uint8_t datagram[HAIL_BYTES]);
// A datagram has come.
void node_hailed(struct node *node, const struct address *from, const uint8_t *bytes, size_t n);
// So many more had no room in the socket.
void node_hails_lost(struct node *node, uint64_t count);

// For the face.
//
enum node_change {
	NODE_CHANGED_LOG = 1,	  // something to read, or room to publish
	NODE_CHANGED_STREAMS = 2, // a stream with `fresh` set
	NODE_CHANGED_EVENTS = 4,
	NODE_CHANGED_PEERS = 8,
	NODE_CHANGED_CONNECTS = 16, // a node_connect() has ended
};
// What changed since the last call, as a set of enum node_change.
unsigned node_take_changes(struct node *node);

// One message to everyone. 0; -EAGAIN when there is no room now; -EMSGSIZE; -ENOMEM.
int node_publish(struct node *node, const void *data, size_t n);
// The same to a topic (NULL: to everyone), -EPIPE when it was left. `writer` does not read it back,
// see struct cursor; 0: nobody does not.
int node_publish_to(
	struct node *node, const struct topic *topic, uint32_t writer, const void *data, size_t n);
// Is there room for a message of n bytes?
bool node_has_room(const struct node *node, size_t n);
struct log *node_log(struct node *node);
struct event_log *node_events(struct node *node);
struct history *node_history(struct node *node);
struct node_counters *node_counters(struct node *node);
const struct node_config *node_config(const struct node *node);
const struct id *node_id(const struct node *node);
uint64_t node_now(const struct node *node);
uint64_t node_started(const struct node *node);
size_t node_member_count(const struct node *node);
// The component that this node is in goes by its lowest id, whose beacons are numbered.
const struct id *node_component(const struct node *node);
uint64_t node_component_beacons(const struct node *node);

// Everybody in the network, as far as this node has heard.
enum member_state {
	MEMBER_SELF,
	MEMBER_PEER,  // linked to this node
	MEMBER_OTHER, // known by its announcements
};
struct member_info {
	struct id id;
	char name[NAME_MAX_LENGTH + 1]; // empty: none
	struct address address;		// family 0: it does not say
	uint64_t since_wall;		// first heard, microseconds since the epoch
	enum member_state state;
	const char *topics; // that it has joined, with commas; NULL: none; borrowed
};
// Calls back for each one once, this node first and then as they came, until that gives something
// other than 0, and returns it. The node is left alone meanwhile.
int node_each_member(const struct node *node,
	int (*each)(void *context, const struct member_info *member), void *context);

// A direct peer, by its serial number: counts up, never reused by this process, never 0.
struct peer {
	uint32_t serial;
	struct id id;
	bool linked;			// else a member that is not, and nothing is known of a link
	bool direct;			// for streams and pipes alone
	char name[NAME_MAX_LENGTH + 1]; // empty: none
	struct address address;		// where it listens; family 0: it does not say
	struct address remote;		// the other end of the connection
	bool outgoing;			// we dialled
	uint64_t since;			// node time
	uint64_t since_wall;		// microseconds since the epoch
	uint64_t rtt;			// smoothed, microseconds; 0: not measured yet
	uint64_t bytes_in, bytes_out;
	uint64_t queued;	// bytes waiting to be sent
	uint64_t stream_credit; // bytes that may be written to the stream's peer now
	struct stream *stream;	// borrowed; NULL: not linked
};
size_t node_peer_count(const struct node *node);
size_t node_direct_count(const struct node *node);
// The peer with the lowest serial above `after` (0: the first). False: no more.
bool node_next_peer(const struct node *node, uint32_t after, struct peer *peer);
// One of these, or somebody who is known and not linked: files may be opened of both.
bool node_find_peer(const struct node *node, uint32_t serial, struct peer *peer);
bool node_find_peer_id(const struct node *node, const struct id *id, struct peer *peer);
// Calls back for everybody of whom files may be opened, those linked first, until that gives
// something other than 0, and returns it.
int node_each_known(const struct node *node, int (*each)(void *context, const struct peer *peer),
	void *context);

// Pipes, see core/pipe. They are found by their numbers, which are never used again.
//
// 0; -EINVAL no name, -EEXIST, -EUSERS, -ENOMEM.
int node_pipe_make(struct node *node, const struct id *id, const char *name);
// It is gone when nobody has it open any more. 0; -ENOENT.
int node_pipe_remove(struct node *node, const struct id *id, const char *name);
// To whom it leads, and whether there is a link.
const struct id *node_pipe_owner(const struct pipe *pipe);
bool node_pipe_linked(const struct pipe *pipe);
struct pipe *node_find_pipe(const struct node *node, uint32_t serial);
// The pipe after one (NULL: the first) in the listing of a peer.
struct pipe *node_next_pipe(const struct node *node, const struct id *id, const struct pipe *after);

// Topics, see core/topics. They are found by their numbers, which are never used again, and
// borrowed unless they are counted (topic_ref()).
//
// 0; -EINVAL no name, -EEXIST, -ENOSPC too many, or too long for one announcement, -ENOMEM.
int node_topic_join(struct node *node, const char *name);
// Its readers come to their end. 0; -ENOENT.
int node_topic_leave(struct node *node, const char *name);
size_t node_topic_count(const struct node *node);
struct topic *node_find_topic(const struct node *node, uint32_t serial);
// The topic after one (NULL: the first) of those joined.
struct topic *node_next_topic(const struct node *node, const struct topic *after);

// Commands of `ctl`.
//
// Connects by hand: a token > 0 for node_connect_result(), or -errno (-EEXIST already a peer or
// this node itself, -EINVAL not an address this node may dial, -EUSERS, -ENOENT unknown id).
int64_t node_connect(struct node *node, const char *host, uint16_t port);
int64_t node_connect_id(struct node *node, const struct id *id);
// For streams and pipes: 0 when there is a link, a token for node_connect_result(), or -errno
// (-ENOENT not known, -EACCES not permitted, -ECANCELED, -ENOMEM). Whom this node cannot dial is
// asked to dial it. Who does not wait gets -EAGAIN, and the link, perhaps, later.
int64_t node_reach(struct node *node, const struct id *id, bool wait);
// -EINPROGRESS, or the outcome, and the token is spent: 0, -ECONNREFUSED, -ETIMEDOUT,
// -EHOSTUNREACH, -EACCES, -EEXIST, -EUSERS, -ENOENT (no such host), -ECANCELED.
int node_connect_result(struct node *node, int64_t token);
void node_connect_cancel(struct node *node, int64_t token);
// -ENOENT: no such peer.
int node_drop(struct node *node, const struct id *id);
// Who may link to this node, see core/access. A peer that may not any more is dropped at once, and
// what the denied say is not delivered here. 0; -EINVAL this node itself, -ENOSPC, -ENOMEM.
int node_allow(struct node *node, const struct id *id);
int node_deny(struct node *node, const struct id *id);

// Settings that change while the node runs.
//
// Takes min_peers, max_peers, ping_timeout, stall_timeout and min_rate, and nothing else. More
// peers are dialled soon; those above max_peers are given up one after the other, once each had the
// time to find another one; a silence is measured from the next ping on.
void node_retune(struct node *node, const struct node_config *config);
// The keys from now on; cleanses `fresh`. Links that are up stay.
void node_rekey(struct node *node, struct keyring *fresh);
// The lists from now on; empties `fresh`.
void node_set_access(struct node *node, struct access *fresh);
