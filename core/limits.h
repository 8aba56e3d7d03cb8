// SPDX-License-Identifier: MIT
// Every limit, timeout and size of the protocol and the node, with its unit and its reason.
#pragma once

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

// All times are microseconds (uint64_t) on a monotonic clock that counts suspend.
#define MILLISECOND ((uint64_t)1000)
#define SECOND	    (1000 * MILLISECOND)

// A message: what one write(2) carries at any alignment of its buffer. The kernel takes 256
// pages at most, and an unaligned buffer costs one of them.
#define MESSAGE_MAX (1 * MIB - 4 * KIB)
// Charged for each message beside its bytes, so that empty-looking messages are not free.
#define MESSAGE_CHARGE ((size_t)128)
// A batch gathers messages up to this: what a write of 1 MiB comes to, which the kernel cuts in
// two. A signature is checked in about 110 us: with 64 KiB for each that alone would take more time
// than everything else.
#define BATCH_BYTES MIB
#define BATCH_COUNT 1024
// Room for messages that begin to gather, until there are more.
#define BATCH_ROOM (64 * KIB)
// Longest time that a message may wait for others to share its batch, and its signature: at first,
// and while batch follows batch.
#define BATCH_DELAY_FIRST (1 * MILLISECOND)
#define BATCH_DELAY	  (5 * MILLISECOND)
// Two publishes closer than this, and than their bytes take at 64 MB/s, are "under load": the
// second one gathers. Several times what a signature costs, so that signing lone messages leaves
// most of the time to other things.
#define BATCH_IDLE ((uint64_t)150)
#define BATCH_PACE 64 // bytes for each microsecond more
// With less room than this a batch goes out: nothing of use will join it.
#define BATCH_LEAST (4 * KIB)

// What the log keeps for those who were away: this much or this long, whichever ends first.
#define RETAIN_BYTES (16 * MIB)
#define RETAIN_TIME  (30 * SECOND)
// A reader further behind is cut loose at once.
#define LOG_BYTES (64 * MIB)
// What may be held, beyond which whoever keeps most is cut loose at once. Of this the windows of
// all sources that speak are WINDOWS_BYTES, as long as the least of windows is not more for so
// many.
#define HELD_BYTES    (128 * MIB)
#define WINDOWS_BYTES (32 * MIB)
// What a source may have under way on one link: two of the largest batches, so that the second one
// keeps the pipe full while the first is read; and at least, as at first, the charge of most
// messages and what keeps a link busy until more is granted.
#define SOURCE_WINDOW	    (2 * MIB)
#define SOURCE_WINDOW_LEAST (BATCH_COUNT * MESSAGE_CHARGE + 256 * KIB)
// What this node may have published and not yet handed to every link.
#define PUBLISH_WINDOW (2 * MIB)
// Alone, a writer parks when this much waits unsent: half of what is retained.
#define UNSENT_BYTES (RETAIN_BYTES / 2)
// Batches that are being received, of all sources.
#define PARTIAL_BYTES (64 * MIB)
#define SOURCES_MAX   16384
// Sources that a peer may show us for the first time: so many at once, and then so often.
#define NEW_SOURCE_BURST    1024
#define NEW_SOURCE_INTERVAL (100 * MILLISECOND)

// A reader that keeps others waiting has this long to move at STALL_RATE.
#define STALL_TIMEOUT (3 * SECOND)
#define STALL_RATE    (64 * KIB) // bytes per second
// What a user may make of these. In less time than ten looks take, a loaded processor does as much.
#define STALL_TIMEOUT_MIN (10 * POLICE_INTERVAL)
#define STALL_TIMEOUT_MAX (600 * SECOND)
#define STALL_RATE_MAX	  (256 * MIB)
#define POLICE_INTERVAL	  (100 * MILLISECOND)
// Nodes in a row that wait for each other. More are a circle.
#define STALL_DEPTH_MAX 32
// A link that was cut loose and has not caught up by now ends.
#define LOOSE_TIMEOUT (30 * SECOND)
// A cut-loose reader gates again within this distance of the head.
#define REATTACH_BYTES (1 * MIB)
// Word of what a lazy link is not sent: gathered for this long.
#define DIGEST_DELAY (40 * MILLISECOND)
// Between two on a link: a source that never pauses costs no more than this makes of it.
#define DIGEST_INTERVAL (100 * MILLISECOND)
// But when so much has come since the last one it goes at once: whoever keeps it for us waits.
#define DIGEST_AFTER (RETAIN_BYTES / 8)
// Sooner by this, a batch is worth another parent; more than timers and a loaded processor move it.
#define TREE_GAIN	(3 * MILLISECOND)
#define TREE_GAIN_LARGE (10 * MILLISECOND) // without a second look
// Between two moves of a source, so that one can show what it was worth.
#define TREE_PAUSE (200 * MILLISECOND)
// An old parent that has not answered after a round trip and a half, and this, is not waited for.
#define MOVE_PATIENCE (20 * MILLISECOND)
// What a neighbour has and we have not may be on its way for as long as a message takes through a
// large network; of a source that has found its tree, not that long.
#define CLAIM_DELAY	  (300 * MILLISECOND)
#define CLAIM_DELAY_KNOWN (100 * MILLISECOND)
#define CLAIMS_MAX	  256
// Who has been asked for what it claims has this long to begin; so many that it did not serve, and
// its link ends. One that brought so many bytes meanwhile was busy.
#define CLAIM_TIMEOUT	    (2 * SECOND)
#define CLAIMS_UNSERVED_MAX 8
#define CLAIM_BUSY	    (64 * KIB)
// A batch that has not come further for this long may come from elsewhere.
#define PARTIAL_PATIENCE (1 * SECOND)
// A peer is asked once in this time to stop sending copies.
#define PRUNE_PAUSE (1 * SECOND)
// A missing range is asked of the other links for this long before it is called a gap.
#define PULL_TIMEOUT (3 * SECOND)

// One direction of a direct stream.
#define STREAM_WINDOW (256 * KIB)

// Pipes. What a peer may leave unread of one, and the kernel's own promise for a FIFO: writes of up
// to PIPE_ATOMIC bytes are not mixed with others.
#define PIPE_WINDOW (256 * KIB)
#define PIPE_ATOMIC 4096
#define PIPES_MAX   64 // of one peer, in one direction
// What the end of a generation costs, so that empty ones are not free.
#define PIPE_END_CHARGE 512
// Generations of peers that are not linked, kept until somebody reads them: in all.
#define PIPES_KEPT (64 * MIB)

// Frames. The payload of a data frame is a chunk: small enough that a ping behind it is not late.
#define CHUNK_BYTES (16 * KIB)
#define FRAME_MAX   (20 * KIB)
// Before a link is up nobody may make us buffer more than a HELLO or a GOODBYE.
#define FRAME_MAX_EARLY (2 * KIB)
// Encoded data ready for the socket; more stays in the log, where it costs nothing.
#define OUTPUT_BYTES (128 * KIB)
// Control frames waiting for a peer that does not read.
#define CONTROL_BYTES (4 * MIB)

#define NAME_MAX_LENGTH 63 // bytes, without the terminator
#define HELLO_ADDRESSES 8
#define PEERS_ADDRESSES 16
#define HOST_MAX	253 // a host name
#define RESOLVE_MAX	16  // addresses of one name

// Links.
#define LINKS_MAX	  1024	       // all states together, of a node without a limit
#define UNPROVEN_MAX	  64	       // accepted, and not known to be a member
#define PENDING_MAX	  256	       // accepted, known to be a member, and not yet up
#define UNPROVEN_HOST_MAX 16	       // of both, from one host
#define UNPROVEN_PATIENCE (1 * SECOND) // after that, an unproven link makes room for a newcomer
// Events about strangers: so many at once, then one so often, which counts the others.
#define STRANGER_EVENTS	  2000
#define STRANGER_PAUSE	  (1 * SECOND)
#define HANDSHAKE_TIMEOUT (10 * SECOND)	      // from the connection to a link that is up
#define DIAL_TIMEOUT	  (3 * SECOND)	      // a TCP connect
#define FAREWELL_TIME	  (500 * MILLISECOND) // to flush what was promised before closing
// A silent peer is noticed at most this long after ping_timeout.
#define PING_INTERVAL_MAX (500 * MILLISECOND)
#define LOOP_LATE	  (100 * MILLISECOND) // our own loop was held up: not the peers' time
#define CLOCK_JUMP	  (5 * SECOND)	      // our own loop slept: ping first, judge later

// Overlay.
#define MIN_PEERS_DEFAULT    3
#define MAX_PEERS_DEFAULT    5
#define PEERS_BOUND	     1000 // highest value that min_peers and max_peers take
#define PING_TIMEOUT_DEFAULT (3000 * MILLISECOND)
#define PING_TIMEOUT_MIN     (100 * MILLISECOND)
#define PING_TIMEOUT_MAX     (600 * SECOND)
#define VIEW_MAX	     256
#define DIALS_MAX	     4
#define DIALS_MAX_ALONE	     16
#define BACKOFF_MIN	     (200 * MILLISECOND)
#define BACKOFF_MAX	     (10 * SECOND)
#define BACKOFF_BUSY	     (1 * SECOND) // of a node that is there, and has no time or place for us
#define DROP_HOLD	     (30 * SECOND) // a peer dropped by hand is not dialled for this long
#define REWIRE_TIMEOUT	     (3 * SECOND)  // one link above max may last this long
#define REDIRECT_RECENT	     (30 * SECOND) // who was heard of since is worth a newcomer's try
#define SHUFFLE_INTERVAL     (10 * SECOND)
#define ASK_INTERVAL	     (1 * SECOND) // of who has too few peers and knows nobody else
#define ASK_BURST	     4
#define PROBE_INTERVAL	     (5 * SECOND)
#define MERGE_INTERVAL	     (2 * SECOND)
#define BEACON_INTERVAL	     (5 * SECOND)
#define BEACON_FRESH	     (7 * SECOND) // younger than this, a beacon speaks for the present
#define BEACON_EXPIRE	     (15 * SECOND)
#define BEACON_ESTABLISHED   3		   // beacons after which a component is no newcomer
#define SPLIT_CONFIRM	     (5 * SECOND)  // between two mismatches that make a netsplit
#define SPLIT_FORGET	     (60 * SECOND) // without evidence either way
#define MEETING_PATIENCE     (10 * SECOND) // of a node that has only begun, with another component

// Between two peers that are asked to go because max_peers was lowered, unless the first has gone:
// all at once they would crowd the place that they are told of.
#define SURPLUS_PAUSE (500 * MILLISECOND)

// Direct links: no peers that count, and no broadcast.
#define DIRECT_MAX  64		  // that others have dialled
#define DIRECT_IDLE (60 * SECOND) // in use by neither end for so long, one ends
// A peer that cannot be dialled and is asked to dial has this long; and it does so this often.
#define CALL_TIMEOUT  (3 * SECOND)
#define CALL_INTERVAL (500 * MILLISECOND)
#define CALL_BURST    16
#define PROMOTE_PAUSE (2 * SECOND) // between two wishes to make a link one that counts

// Discovery on the local network. A private network may use any group of 239.255.0.0/16 as long as
// routers keep to its scope (RFC 2365), and ff12:: is of one link and given to nobody for good
// (RFC 4291, 2.7). The port and the ends of the groups are ours, 8495.
#define HAIL_PORT	      8495
#define HAIL_GROUP_FOUR	      "239.255.84.95"
#define HAIL_GROUP_SIX	      "ff12::8495"
#define HAIL_BURST	      3 // at the start: a datagram may get lost
#define HAIL_BURST_INTERVAL   (300 * MILLISECOND)
#define HAIL_INTERVAL_SEEKING (10 * SECOND) // with fewer than min_peers
#define HAIL_INTERVAL	      (60 * SECOND) // for others, and for netsplits
// Whoever asks is answered within this, by about so many, however many hear it; and one node does
// so no more often than this.
#define HAIL_ANSWER_DELAY    (500 * MILLISECOND)
#define HAIL_ANSWERS	     3
#define HAIL_ANSWER_INTERVAL (1 * SECOND)
#define HAIL_HEARD	     64 // nodes whose last hail is known; older ones can be played again
// Hails that are listened to: so many at once, and then so often.
#define HAIL_NEWS_BURST	   64
#define HAIL_NEWS_INTERVAL (50 * MILLISECOND)
// Addresses hailed from. The kernel lets a socket be in 20 groups (igmp_max_memberships).
#define HAIL_ADDRESSES 16
// Datagrams read at a time, and the pause after so many: 1,280 a second, of some 5 us each.
#define HAIL_TURN  64
#define HAIL_PAUSE (50 * MILLISECOND)

// Members: announcements of everyone to everyone.
#define MEMBERS_MAX	 16384
#define LEASE_RENEW	 (300 * SECOND)
#define LEASE_EXPIRE	 (900 * SECOND)
#define ALONE_DOUBT	 BACKOFF_MAX // after it was alone, a node does not trust dials that failed
#define GONE_FAILURES	 2	     // dials in a row, and a member counts as gone
#define ANNOUNCE_PAYLOAD 512	     // bytes
// Topics that a node has joined, and their names with commas between them: what is left in the
// payload of a MEMBER beside the longest name and address.
#define TOPICS_MAX	64
#define TOPICS_TEXT	(ANNOUNCE_PAYLOAD - (1 + NAME_MAX_LENGTH) - 19 - 2)
#define TOPICS_INTERVAL (1 * SECOND) // between two announcements because of them
// News that a link may bring: a whole network at once, and then so often. One that goes on when
// as much again was dropped is closed.
#define ANNOUNCE_BURST	  8192
#define ANNOUNCE_INTERVAL (5 * MILLISECOND)
#define REFUTE_INTERVAL	  (1 * SECOND) // between two answers to word that we are gone
// Two of one id: heard so often within this time, one of them has to go.
#define CLASH_COUNT 3
#define CLASH_TIME  (60 * SECOND)

// Names that are remembered: each member may have one. They are stored this long after a new one.
#define NAMES_MAX	 MEMBERS_MAX
#define KEPT_STORE_DELAY (5 * SECOND)
// A view changes all the time; its first store does not wait for this.
#define PEERS_STORE_INTERVAL (60 * SECOND)

// Logs in the mount.
#define EVENTS_BYTES (1 * MIB)
#define EVENT_LINE   1024

// The file `messages`: messages kept for it beyond the log's time, each batch charged as in the log
// and with what remembers it.
#define HISTORY_BYTES (4 * MIB)

// The file system.
#define CTL_LINE_MAX (4 * KIB)
#define PARKED_BYTES (64 * MIB) // of waiting writes in all
