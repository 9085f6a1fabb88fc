/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a segment: pure functions, no I/O. A segment is a 4096-byte header page
 * and then frames, each on an 8-byte boundary. Numbers are little-endian. README.md draws
 * it; tests/fuzz/spool_reader.c attacks segment_scan.
 */
#ifndef GATEPOST_SPOOL_FORMAT_H
#define GATEPOST_SPOOL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define SPOOL_FORMAT_VERSION 1
#define SEGMENT_HEADER_BYTES 4096 /* holds the header twice, half a page apart */
#define FRAME_HEADER_BYTES 32
#define ITEM_BYTES 32
#define MARK_BYTES 16
#define FRAME_LIMIT_BYTES (1u << 30)

static inline uint64_t round_up_8(uint64_t n) { return (n + 7) & ~(uint64_t)7; }

/* ---- the segment's header ---- */

struct segment_header {
    bool in_use;             /* false: nothing in this file counts */
    uint32_t sequence;       /* order of segments in the log; never used twice */
    uint32_t prior_sequence; /* the segment written before this one, 0 if none */
    uint64_t prior_end;      /* nothing of it counts from here on: it was never synced */
    uint64_t generation;     /* random; only frames that carry it belong to this use of the file */
    uint64_t base_ref;       /* every ref given out before was below */
};

enum header_verdict {
    HEADER_OK,
    HEADER_BLANK,   /* zeros, or too short: a file whose making was interrupted */
    HEADER_DAMAGED, /* neither copy is whole */
    HEADER_FOREIGN, /* intact, but of a format version we do not know */
};

void segment_header_encode(const struct segment_header *header, char out[SEGMENT_HEADER_BYTES]);

/* For HEADER_FOREIGN, `*version_out` is what it says. */
enum header_verdict segment_header_decode(struct span page, struct segment_header *header_out, uint32_t *version_out);

/* ---- frames ---- */

enum frame_type {
    FRAME_STORE = 1,  /* items with record and body: one transaction, or copies made by compaction */
    FRAME_UPDATE = 2, /* items with a new record; the body stays where it is */
    FRAME_REMOVE = 3, /* deletion marks */
    FRAME_END = 4,    /* a clean end: says how far the segment was synced */
};

struct frame_header {
    enum frame_type type;
    uint32_t count;       /* entries in the table behind the header */
    uint32_t total_bytes; /* header, table, parts; a multiple of 8 */
    uint32_t table_crc;
    uint64_t synced_to; /* offset in the segment up to which all had been synced when this was written */
};

/* One entry of a STORE or UPDATE table. Offsets are from the segment's start, multiples of 8. */
struct frame_item {
    uint64_t ref;
    uint64_t record_at, body_at;
    uint32_t record_len, body_len;
    uint32_t record_crc, body_crc;
};

/* One deletion mark: needed as long as a segment with one of these sequences exists (0: none). */
struct frame_mark {
    uint64_t ref;
    uint32_t home_sequence; /* where the body was */
    uint32_t also_sequence; /* a segment whose copies were being moved just then */
};

void frame_header_encode(const struct frame_header *frame, uint64_t generation, char out[FRAME_HEADER_BYTES]);
/* -1 when these bytes are no frame of this generation. `bytes` starts at the frame. */
int frame_header_decode(struct span bytes, uint64_t generation, struct frame_header *frame_out)
    __attribute__((warn_unused_result));

/* `frame_at`: the frame's offset in the segment. */
void frame_item_encode(const struct frame_item *item, uint64_t frame_at, char out[ITEM_BYTES]);
void frame_item_decode(const char *in, uint64_t frame_at, struct frame_item *item_out);
void frame_mark_encode(const struct frame_mark *mark, char out[MARK_BYTES]);
void frame_mark_decode(const char *in, struct frame_mark *mark_out);

/* ---- reading a segment back ---- */

struct scan_handler {
    /* `sharers`: how many items have this body, counted from the first that does */
    void (*on_store)(void *ctx, const struct frame_item *item, uint32_t sharers);
    void (*on_update)(void *ctx, const struct frame_item *item);
    void (*on_marks)(void *ctx, uint64_t frame_at); /* once per REMOVE frame, before its marks */
    void (*on_mark)(void *ctx, const struct frame_mark *mark);
};

struct scan_result {
    uint64_t end;       /* behind the last whole frame */
    uint64_t synced_to; /* what the frames themselves say, at least the caller's */
    uint64_t damaged;   /* frames and items below synced_to that could not be used */
    uint64_t unsynced;  /* the same above it: an interrupted batch, no one was answered */
};

/* Visits what can be trusted, in order. `segment` is the whole file; only frames below
 * `limit` count, and all below `synced_to` is known to have been synced. A frame that was
 * synced and is damaged loses only its damaged items; one that may never have been synced
 * counts whole or not at all. Damage does not hide what lies behind it. */
void segment_scan(struct span segment, uint64_t generation, uint64_t limit, uint64_t synced_to,
                  const struct scan_handler *handler, void *ctx, struct scan_result *result_out);

#endif
