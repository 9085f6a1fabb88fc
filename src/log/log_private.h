/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share among themselves.
 */
#ifndef GATEPOST_LOG_LOG_PRIVATE_H
#define GATEPOST_LOG_LOG_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"
#include "log/json_writer.h"
#include "log/record.h"
#include "log/segment.h"

/* One event is one line of at most this, newline included. */
#define DIAG_LINE_BYTES 8192

enum escape_style {
    ESCAPE_TEXT,   /* for a terminal: no control character, no line break, no broken UTF-8 */
    ESCAPE_QUOTED, /* the same between double quotes */
    ESCAPE_JSON,   /* the inside of a JSON string (RFC 8259, section 7) */
};

/* No byte becomes more than this many. */
#define ESCAPE_GROWTH 6

/* Writes as much of `text` as fits into `room` bytes, in whole characters, and returns how
 * many bytes it wrote. NUL and bytes that are not UTF-8 become \xHH (in JSON \\xHH). */
size_t escape_into(struct span text, enum escape_style style, char *out, size_t room);

/* ---- record.c, fields.c: a record as one line of JSON, newline included ---- */

struct log_fields {
    char *const *headers; /* as in struct log_config */
    char *const *meta;
};

/* -1 when `out` (its ceiling is max_record_bytes) cannot hold it. */
int record_format(const struct record *record, const struct log_fields *fields, const char *node_id, int64_t now_us,
                  struct buf *out) __attribute__((warn_unused_result));

const char *log_node_id(void);

/* ---- logs.c: any record on its way into the queue ---- */

struct log_submission {
    enum record_type type;
    const void *record;
    const char *id; /* that a complaint about it names; may be NULL */
    int (*format)(const void *record, const struct log_fields *fields, int64_t now_us, struct buf *out);
};

int log_submit(const struct log_submission *submission, struct error *error);

/* ---- fields.c ---- */

/* The members of `meta`, and the headers of a header section, whose names are asked for. */
void fields_write_meta(struct json_writer *writer, const json_t *meta, char *const *names);
void fields_write_headers(struct json_writer *writer, struct span header_block, char *const *names);

/* ---- segment.c: one open file; used by the log thread alone ---- */

struct segment;

struct segment_options {
    const char *log_dir;
    const char *suffix;
    const char *header;
    int compression_level;
};

/* A new file, locked while open. NULL on failure. */
struct segment *segment_open(const struct segment_options *options, struct error *error);

/* Whole lines. After a failure of add or flush only segment_abandon is allowed. */
int log_segment_add(struct segment *segment, struct span lines, struct error *error)
    __attribute__((warn_unused_result));

/* What was added is in the kernel's hands and can be read from the file. */
int segment_flush(struct segment *segment, struct error *error) __attribute__((warn_unused_result));

/* Ends the frame, syncs, makes the file read-only (which says: finished), frees. NULL is fine. On
 * failure what was flushed before is kept, as after segment_abandon. */
int segment_finish(struct segment *segment, struct error *error);

/* Cuts the file back to what the last flush put there and ends it; without any flush the file
 * goes. Frees. */
void segment_abandon(struct segment *segment);

uint64_t segment_raw_bytes(const struct segment *segment);

/* YYYYMMDD-HHMMSS at the start of a name: a segment, and not a stranger's file. */
bool segment_is_name(const char *name);

/* ---- config.c ---- */

void log_config_copy(struct log_config *to, const struct log_config *from);

/* ---- recover.c: what a crash left open ---- */

/* Ends every unfinished segment in the directory that no living process holds. A line cut by the crash
 * is dropped. Returns how many were mended. */
unsigned recover_directory(const char *log_dir);

#endif
