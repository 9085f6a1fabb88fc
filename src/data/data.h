/* SPDX-License-Identifier: Apache-2.0
 *
 * Data files as operators write them: JSON with comments, and TOML; both become jansson
 * values. Everything is a pure function of bytes except data_read_file and data_load_file,
 * which block and belong in the jobs pool.
 */
#ifndef GATEPOST_DATA_DATA_H
#define GATEPOST_DATA_DATA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"

#define DATA_FILE_LIMIT_BYTES ((size_t)64 << 20)

/* JSON (RFC 8259) with what people put into it by hand: line comments after two slashes or
 * a hash, block comments, and a comma behind the last element. Any value may be at the top.
 * A new reference, or NULL with "<name>:<line>:<column>: what is wrong". */
json_t *data_parse_json(struct span text, const char *name, struct error *error);

/* TOML 1.0. Dates and times become strings in the form of RFC 3339; infinities and NaN,
 * which JSON cannot hold, are refused. The result is an object. */
json_t *data_parse_toml(struct span text, const char *name, struct error *error);

/* Writes an object as TOML; `pretty` puts the elements of an array on lines of their own. -1
 * for what TOML cannot say (null, another type at the top), naming the key, or when `out`
 * is full. */
int data_write_toml(const json_t *value, bool pretty, struct buf *out, struct error *error)
    __attribute__((warn_unused_result));

/* Appends the whole file. Never more than `limit_bytes`; a directory, a device or a fifo is
 * refused. Errors name the path and are ERROR_TEMP: a file may be there tomorrow. */
int data_read_file(const char *path, size_t limit_bytes, struct buf *out, struct error *error)
    __attribute__((warn_unused_result));

/* For refusals: "a table", "a number", "nil". */
const char *data_type_name(const json_t *value);

/* An empty table of Lua may be meant as either. */
bool data_is_list(const json_t *value);
bool data_is_table(const json_t *value);

enum data_format { DATA_JSON, DATA_TOML };

/* By the name alone: TOML when it ends in ".toml", otherwise JSON. */
enum data_format data_format_of(const char *path);

json_t *data_load_file(const char *path, enum data_format format, struct error *error);

#endif
