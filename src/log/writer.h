/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to this room: the log thread's objects, between logs.c, which fills the queue,
 * and writer.c, which empties it.
 */
#ifndef GATEPOST_LOG_WRITER_H
#define GATEPOST_LOG_WRITER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "log/log_private.h"

struct log;

/* One formatted line on its way to a file. */
struct log_entry {
    struct log_entry *next;
    struct log *log;
    size_t file; /* index in log->files */
    size_t len;
    char line[];
};

struct log_entries {
    struct log_entry *first;
    struct log_entry **last; /* where the next one is hooked in */
    size_t count;
};

void log_entries_init(struct log_entries *entries);
void log_entries_add(struct log_entries *entries, struct log_entry *entry);

/* One stream of segments: a directory and a suffix. */
struct log_file {
    /* fixed after log_open */
    const char *log_dir;
    const char *suffix;
    const char *header;
    /* owned by the log thread */
    struct segment *segment; /* NULL between segments */
    uint64_t expires_ms;
    uint64_t retry_ms;            /* not before this; 0: nothing is wrong */
    struct log_entries unwritten; /* not yet flushed; kept for another try when writing fails */
};

struct log {
    /* fixed after log_open */
    struct log_config config;
    size_t file_of_type[RECORD_TYPE_COUNT];
    struct log_file files[RECORD_TYPE_COUNT];
    size_t file_count;
    /* owned by the log thread */
    uint64_t floor_checked_ms;
    /* shared */
    _Atomic size_t waiting; /* records not yet flushed */
    _Atomic size_t waiting_bytes;
    _Atomic bool below_floor;
    _Atomic bool failing;
};

/* Whether the file systems of the log are above their floors. Tells the operator on a change. */
void writer_check_floors(struct log *log);

/* Distributes `entries` (taken) to their files. */
void writer_take(struct log_entries *entries);

/* Writes and flushes what waits, ends segments that are due, and returns when it must be called
 * again (monotonic ms), or UINT64_MAX. */
uint64_t writer_tend(struct log *log, uint64_t now_ms);

/* A last try, then everything is closed. What cannot be written is lost, and said to be. */
void writer_finish(struct log *log);

#endif
