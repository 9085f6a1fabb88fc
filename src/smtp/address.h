/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths, mailboxes and domains as RFC 5321, section 4.1.2 writes them, with the UTF-8 of
 * RFC 6531 where the caller allows it. Nothing is copied: what is found are spans of the
 * text that was given.
 *
 * Where we differ from the letter: a domain's labels may hold '_' (hosts with such names
 * send mail), a source route is read and dropped, an address literal must be IPv4 or IPv6.
 */
#ifndef GATEPOST_SMTP_ADDRESS_H
#define GATEPOST_SMTP_ADDRESS_H

#include <stdbool.h>

#include "base/cidr.h"
#include "base/span.h"

/* RFC 5321, section 4.5.3.1, in octets. */
#define SMTP_LOCAL_LIMIT 64
#define SMTP_DOMAIN_LIMIT 255
#define SMTP_PATH_LIMIT 256 /* with the angle brackets */

enum smtp_address_fault {
    SMTP_ADDRESS_FINE = 0,
    SMTP_ADDRESS_NO_BRACKETS, /* a path is <...> */
    SMTP_ADDRESS_SYNTAX,      /* not local@domain */
    SMTP_ADDRESS_LOCAL,       /* a character that the local part cannot have */
    SMTP_ADDRESS_DOMAIN,
    SMTP_ADDRESS_LITERAL, /* [...] that is not an IP address */
    SMTP_ADDRESS_LOCAL_TOO_LONG,
    SMTP_ADDRESS_DOMAIN_TOO_LONG,
    SMTP_ADDRESS_PATH_TOO_LONG,
    SMTP_ADDRESS_NULL,     /* <> where it is not allowed */
    SMTP_ADDRESS_NOT_UTF8, /* 8-bit bytes that are not UTF-8 */
    SMTP_ADDRESS_8BIT,     /* UTF-8 where only ASCII is allowed */
};

/* One short phrase for a reply or an operator: "local part is too long". */
const char *smtp_address_fault_text(enum smtp_address_fault fault);

enum {
    SMTP_ADDRESS_ALLOW_NULL = 1,       /* "" or <> */
    SMTP_ADDRESS_ALLOW_UTF8 = 2,       /* SMTPUTF8 */
    SMTP_ADDRESS_ALLOW_POSTMASTER = 4, /* "postmaster" without a domain */
};

struct smtp_mailbox {
    struct span text;   /* local@domain as written, without brackets and source route */
    struct span local;  /* as written: quotes stay */
    struct span domain; /* an address literal keeps its brackets; empty: null or postmaster */
    bool is_8bit;
};

/* The whole of `text` as local@domain. */
enum smtp_address_fault smtp_mailbox_parse(struct span text, unsigned allow, struct smtp_mailbox *mailbox_out);

/* A path at the start of `text`; `*used_out` bytes belong to it. What follows must be the
 * end or a space: that is checked. */
enum smtp_address_fault smtp_path_parse(struct span text, unsigned allow, struct smtp_mailbox *mailbox_out,
                                        size_t *used_out);

/* A domain name, as in EHLO: no literal. */
enum smtp_address_fault smtp_domain_check(struct span domain, bool allow_utf8);

/* A domain name or an address literal. */
enum smtp_address_fault smtp_host_check(struct span host, bool allow_utf8);

/* "[192.0.2.1]", "[IPv6:2001:db8::1]". 0 or -1. */
int smtp_literal_parse(struct span literal, struct ip *ip_out) __attribute__((warn_unused_result));

/* The local part without its quoting: "f\oo" (quoted) and foo are the same user. `out` has
 * room for local.len + 1 bytes. */
size_t smtp_local_unquote(struct span local, char *out);

#endif
