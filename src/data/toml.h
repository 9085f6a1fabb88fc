/* SPDX-License-Identifier: Apache-2.0
 *
 * The seam to the one C++ file. No exception crosses it.
 */
#ifndef GATEPOST_DATA_TOML_H
#define GATEPOST_DATA_TOML_H

#include <jansson.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TOML_FAULT_BYTES 192

struct toml_fault {
    unsigned line; /* 0 when the fault has no place */
    unsigned column;
    char text[TOML_FAULT_BYTES];
};

/* A new reference, or NULL with `*fault_out` filled. */
json_t *toml_read(const char *text, size_t len, struct toml_fault *fault_out);

/* A place in a text as one number, so that comparing two tells which is written first. */
#define TOML_PLACE_LINE_SHIFT 16
#define TOML_PLACE_COLUMN_MOST 0xffff

/* The same, with where everything is written in `*places_out` (a new reference): the tree again, each node an
 * object with "at", a place, and for tables and arrays "in", the places of what they hold. */
json_t *toml_read_with_places(const char *text, size_t len, json_t **places_out, struct toml_fault *fault_out);

#ifdef __cplusplus
}
#endif

#endif
