/* SPDX-License-Identifier: Apache-2.0
 *
 * See sqlite_cells.h.
 */
#include "policy/modules/sqlite_cells.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"

#define CELLS_LIMIT ((size_t)1 << 20)

void sqlite_cells_init(struct sqlite_cells *cells)
{
    *cells = (struct sqlite_cells){0};
    buf_init(&cells->text, SQLITE_CELLS_TEXT_LIMIT);
}

void sqlite_cells_done(struct sqlite_cells *cells)
{
    if (cells->text.data)
        secret_wipe(cells->text.data, cells->text.capacity);
    buf_done(&cells->text);
    free(cells->list);
}

int sqlite_cells_add(struct sqlite_cells *cells, struct sqlite_cell cell)
{
    if (cells->count == cells->capacity) {
        size_t capacity = cells->capacity ? cells->capacity * 2 : 8;

        if (capacity > CELLS_LIMIT)
            return -1;
        cells->list = mem_realloc(cells->list, capacity * sizeof *cells->list);
        cells->capacity = capacity;
    }
    cells->list[cells->count++] = cell;
    return 0;
}

int sqlite_cells_add_text(struct sqlite_cells *cells, enum sqlite_cell_type type, const void *data, size_t len)
{
    struct sqlite_cell cell = {.type = type};

    cell.at = buf_len(&cells->text);
    cell.len = len;
    if (len && buf_append(&cells->text, data, len))
        return -1;
    return sqlite_cells_add(cells, cell);
}

struct span sqlite_cells_text(const struct sqlite_cells *cells, const struct sqlite_cell *cell)
{
    return span_head(span_from(buf_span(&cells->text), cell->at), cell->len);
}
