// SPDX-License-Identifier: MIT
// A duplex byte stream to a direct peer: in order, no loss, with a window of STREAM_WINDOW bytes
// each way that the slowest reader governs.
//
// Shared between its link and the open handles, hence counted. After the link is gone readers
// drain what arrived and then see the end; writers get -EPIPE.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/buffer.h"

struct stream_reader {
	struct stream *stream; // counted
	struct stream_reader *prev, *next;
	uint64_t offset; // of the next byte, since the start of the stream
	bool bound;	 // has read, hence gates
};

struct stream {
	uint32_t references;
	bool gone;	  // the link is down
	bool fresh;	  // changed since handles were last told
	struct buffer in; // received, [in_base, in_head)
	uint64_t in_base; // offset of the first byte kept
	uint64_t in_head;
	uint64_t in_granted; // the peer may send up to this offset
	struct buffer out;   // written here, not yet in a frame
	uint64_t out_head;   // offset past the last byte written
	uint64_t out_sent;
	uint64_t out_granted;	       // we may send up to this offset
	struct stream_reader *readers; // the bound ones
	uint32_t writers;	       // handles open for writing
	uint32_t handles;	       // handles open
	void *context;
	void (*writable)(void *context); // there is something to send or to grant; NULL once gone
	bool *changed; // set whenever `fresh` is: one flag for all streams of a node
};

struct stream *stream_new(void *context, void (*writable)(void *context), bool *changed);
struct stream *stream_ref(struct stream *s);
void stream_unref(struct stream *s);

// For handles.
//
// Accepts up to n bytes: the count, -EAGAIN when there is no room, -EPIPE when the peer is gone.
ssize_t stream_write(struct stream *s, const void *data, size_t n);
bool stream_has_room(const struct stream *s);
void stream_reader_open(struct stream_reader *r, struct stream *s); // takes a reference
void stream_reader_close(struct stream_reader *r);
// Up to `size` bytes as one vector that holds until the next call: the count, 0 at the end (the
// peer is gone and all is read), -EAGAIN when there is nothing yet. Binds the reader.
ssize_t stream_peek(struct stream_reader *r, size_t size, struct iovec *iov);
void stream_consume(struct stream_reader *r, size_t n);
// Would stream_peek() return bytes? Does not bind.
bool stream_ready(const struct stream_reader *r);

// For the link.
//
// Bytes to send now, at most `size`, and within the window.
size_t stream_output(struct stream *s, size_t size, const uint8_t **bytes);
void stream_sent(struct stream *s, size_t n);
// -EPROTO when the peer exceeds its window, -ENOMEM.
int stream_receive(struct stream *s, const uint8_t *data, size_t n);
// The offset to grant, or 0 when there is no news worth a frame.
uint64_t stream_grant(struct stream *s);
// -EPROTO when the peer takes back what it granted or grants absurdly much.
int stream_granted(struct stream *s, uint64_t offset);
// The link is down.
void stream_end(struct stream *s);
// Written here and not yet read at the other end / arrived and not yet read here.
uint64_t stream_unacknowledged(const struct stream *s);
uint64_t stream_unread(const struct stream *s);
