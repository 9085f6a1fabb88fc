/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON that is written as it is formatted, without a tree in between: each message has some.
 */
#ifndef GATEPOST_LOG_JSON_WRITER_H
#define GATEPOST_LOG_JSON_WRITER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

/* The first failure sticks; it is the ceiling of `out`. */
struct json_writer {
    struct buf *out;
    bool failed;
    bool comma; /* before the next member */
};

void json_raw(struct json_writer *writer, const char *text);
void json_key(struct json_writer *writer, struct span name);
void json_text(struct json_writer *writer, struct span text);
void json_open_object(struct json_writer *writer);
void json_close_object(struct json_writer *writer);
void json_value(struct json_writer *writer, const json_t *value);
void json_member_text(struct json_writer *writer, const char *name, const char *value); /* NULL: "" */
void json_member_text_or_null(struct json_writer *writer, const char *name, const char *value);
void json_member_number(struct json_writer *writer, const char *name, int64_t value);
void json_member_flag(struct json_writer *writer, const char *name, bool value);
void json_member_time(struct json_writer *writer, const char *name, int64_t wall_us); /* RFC 3339, UTC */

#endif
