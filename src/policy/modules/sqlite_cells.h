/* SPDX-License-Identifier: Apache-2.0
 *
 * Values on their way between Lua and SQLite, which are on different threads: parameters one way, rows the other.
 * Bounded, and wiped when done, since they may be passwords.
 */
#ifndef GATEPOST_POLICY_MODULES_SQLITE_CELLS_H
#define GATEPOST_POLICY_MODULES_SQLITE_CELLS_H

#include <sqlite3.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

#define SQLITE_CELLS_TEXT_LIMIT ((size_t)32 << 20)

enum sqlite_cell_type { SQLITE_CELL_NULL, SQLITE_CELL_INTEGER, SQLITE_CELL_REAL, SQLITE_CELL_TEXT, SQLITE_CELL_BLOB };

struct sqlite_cell {
    enum sqlite_cell_type type;
    union {
        sqlite3_int64 integer;
        double real;
        struct {
            size_t at; /* in the cells' text */
            size_t len;
        };
    };
};

struct sqlite_cells {
    struct sqlite_cell *list;
    size_t count;
    size_t capacity;
    struct buf text;
};

void sqlite_cells_init(struct sqlite_cells *cells);
void sqlite_cells_done(struct sqlite_cells *cells);

/* -1: one more would be too many, or too much text. */
int sqlite_cells_add(struct sqlite_cells *cells, struct sqlite_cell cell) __attribute__((warn_unused_result));
int sqlite_cells_add_text(struct sqlite_cells *cells, enum sqlite_cell_type type, const void *data, size_t len)
    __attribute__((warn_unused_result));

/* Of a text or a blob; borrowed. */
struct span sqlite_cells_text(const struct sqlite_cells *cells, const struct sqlite_cell *cell);

#endif
