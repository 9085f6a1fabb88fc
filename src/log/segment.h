/* SPDX-License-Identifier: Apache-2.0
 *
 * Where disposition records go: local logs, each a directory of zstd-compressed segments
 * with one JSON object per line. One thread writes them all. README.md beside this file
 * says what "logged" means when the power fails.
 */
#ifndef GATEPOST_LOG_SEGMENT_H
#define GATEPOST_LOG_SEGMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "log/record.h"

#define LOGS_MOST 16
#define LOG_NODE_ID_CHARS 36

struct log_floor {
    uint64_t count;   /* bytes or inodes; used when percent is 0 */
    unsigned percent; /* of the file system */
};

/* What is done with records of one type. */
struct log_stream {
    bool enable;
    char *log_dir;        /* NULL: the log's own */
    char *suffix;         /* added to the segment's name; "" for none */
    char *segment_header; /* text at the start of each segment; "" for none */
};

struct log_config {
    bool is_accounting; /* keeps logins, and nothing that happens to messages */
    char *log_dir;
    uint64_t max_segment_ms; /* 0: no limit */
    uint64_t max_file_bytes; /* before compression */
    uint64_t max_record_bytes;
    size_t back_pressure; /* records that may wait before reception stops */
    int compression_level;
    struct log_floor min_free_space;
    struct log_floor min_free_inodes;
    char **headers; /* names, or prefixes ending in '*'; NULL-terminated */
    char **meta;
    struct log_stream streams[RECORD_TYPE_COUNT];
};

/* From the table given to kumo.configure_local_logs. Unknown keys, wrong types and what is not
 * supported are errors that name the key. On success the config is the caller's to log_config_done. */
int log_config_from_json(const json_t *params, struct log_config *config_out, struct error *error)
    __attribute__((warn_unused_result));
/* The same from the table given to kumo.aaa.configure_acct_log. */
int log_config_from_acct_json(const json_t *params, struct log_config *config_out, struct error *error)
    __attribute__((warn_unused_result));
void log_config_done(struct log_config *config);

/* Adds a log: makes its directories, starts the log thread with the first one. The config is
 * copied. From any thread, before or while records are submitted. */
int log_open(const struct log_config *config, struct error *error) __attribute__((warn_unused_result));

/* Writes what waits, ends all segments, ends the thread, forgets all logs. Nobody may submit
 * records meanwhile. Does nothing when none is open. */
void log_close(void);

/* The `nodeid` of records: read from, or made once in, the file `node-id` in `state_dir`. Before
 * the first record; without it the process has an id of its own. */
int log_node_id_load(const char *state_dir, struct error *error) __attribute__((warn_unused_result));

/* A fresh random id (RFC 4122, version 4): also what sessions are named by. */
void log_uuid(char out[LOG_NODE_ID_CHARS + 1]);

#endif
