/* SPDX-License-Identifier: Apache-2.0
 *
 * For this folder only: a table of fields says which keys a parameter table may hold, what
 * each must look like, and where it goes. One row per documented parameter, so that the
 * list of what is not built is as plain to read as the list of what is.
 */
#ifndef GATEPOST_ROUTE_ROUTE_PRIVATE_H
#define GATEPOST_ROUTE_ROUTE_PRIVATE_H

#include "data/data.h"
#include "route/route.h"

enum field_kind {
    FIELD_STRING,   /* char * */
    FIELD_DURATION, /* uint64_t milliseconds */
    FIELD_RATE,     /* struct rate_spec, and a bool at `also` */
    FIELD_COUNT,    /* uint64_t or size_t (one width here), at least 1 */
    FIELD_BOOL,     /* bool */
    FIELD_PORT,     /* uint16_t, 1 to 65535 */
    FIELD_IP,       /* struct ip, and a bool at `also` */
    FIELD_BLOCKS,   /* struct cidr *, and a size_t at `also` */
    FIELD_CHOICE,   /* int-sized enum, or bool where `choices` hold 0 and 1 with FIELD_FLAG */
    FIELD_FLAG,     /* the same into a bool */
    FIELD_CUSTOM,   /* read by `read` */
    FIELD_TUNING,   /* about the inner life of another program: accepted, no effect */
    FIELD_UNBUILT,  /* documented, not built; refused */
    FIELD_OFF_ONLY, /* likewise, but false asks for what we do anyway */
};

struct route_choice {
    const char *name;
    int value;
};

typedef int route_read_fn(const json_t *value, void *object, struct error *error);

struct route_field {
    const char *key;
    enum field_kind kind;
    size_t at;                          /* offset in the object */
    size_t also;                        /* offset of the flag or count that goes with it */
    const struct route_choice *choices; /* ends with a NULL name */
    route_read_fn *read;
};

/* Fills `object`, which holds the defaults, from `params`. On failure some members may have
 * been set: free the object as usual. */
int route_read_fields(const struct route_field *fields, size_t count, const json_t *params, void *object,
                      struct error *error) __attribute__((warn_unused_result));

static inline void route_ref_take(unsigned *refs) { __atomic_add_fetch(refs, 1, __ATOMIC_RELAXED); }

/* True when this was the last one. */
static inline bool route_ref_drop(unsigned *refs) { return __atomic_sub_fetch(refs, 1, __ATOMIC_ACQ_REL) == 0; }

#endif
