/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the lines of all segments in a directory, and those that come later.
 */
#ifndef GATEPOST_CTL_LOG_READER_H
#define GATEPOST_CTL_LOG_READER_H

#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

struct log_reader;

typedef void log_line_fn(void *ctx, struct span line);

/* `since`: finished segments last written before this (unix seconds) are passed over; 0: none. */
struct log_reader *log_reader_new(const char *dir, int64_t since, struct error *error);
void log_reader_free(struct log_reader *reader);

/* Every line that is there and was not shown yet, segments in the order of their names. Later calls
 * show what has come since. -1 when the directory cannot be read. */
int log_reader_read(struct log_reader *reader, log_line_fn *on_line, void *ctx, struct error *error)
    __attribute__((warn_unused_result));

/* Waits until something in the directory has changed, or a second. The first call only begins to watch: what has
 * changed before it must be read first. */
void log_reader_wait(struct log_reader *reader);

#endif
