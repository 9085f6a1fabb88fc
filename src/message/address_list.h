/* SPDX-License-Identifier: Apache-2.0
 *
 * Header fields that hold addresses (From, To, Cc, Sender, Reply-To): RFC 5322, section
 * 3.4, with comments, quoted strings, groups (which are flattened) and encoded words.
 */
#ifndef GATEPOST_MESSAGE_ADDRESS_LIST_H
#define GATEPOST_MESSAGE_ADDRESS_LIST_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"

#define ADDRESS_LIST_LIMIT 2000

struct address {
    const char *name;   /* display name in UTF-8; NULL when there is none */
    const char *local;  /* without quoting */
    const char *domain; /* literals keep their brackets */
    const char *email;  /* local@domain, quoted where it must be */
};

struct address_list {
    struct arena arena;
    struct address *items;
    size_t count;
    bool has_group;
};

int address_list_parse(struct span value, struct address_list *list_out, struct error *error)
    __attribute__((warn_unused_result));
void address_list_done(struct address_list *list);

#endif
