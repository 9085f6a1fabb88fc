/* SPDX-License-Identifier: Apache-2.0
 *
 * A message: envelope, metadata and body. It belongs to one thread at a time; handing
 * it over hands over everything in it. While it waits long, body and metadata may be on
 * disk only (message_shrink), and come back before it is sent.
 */
#ifndef GATEPOST_MESSAGE_MESSAGE_H
#define GATEPOST_MESSAGE_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"
#include "loop/loop.h"

#define MESSAGE_ID_CHARS 32

struct message;

/* A new message with a new id (32 hex digits: 48 bits of wall-clock milliseconds, then
 * random bits, so that ids sort by age). No sender, no recipient, no body. */
struct message *message_new(void);
void message_free(struct message *message); /* from any thread (home.c); NULL is fine */

/* Another message with the same sender, metadata (deep copy) and body (shared), no
 * recipients and a new id. */
struct message *message_fork(const struct message *message);

const char *message_id(const struct message *message);
int64_t message_created_ms(const struct message *message); /* wall clock, from the id */

/* ---- envelope: RFC 5321 mailboxes without angle brackets; "" is the null sender ---- */

const char *message_sender(const struct message *message);
void message_set_sender(struct message *message, struct span mailbox);
size_t message_recipient_count(const struct message *message);
const char *message_recipient(const struct message *message, size_t index);
void message_add_recipient(struct message *message, struct span mailbox);
void message_clear_recipients(struct message *message);

/* The domain of the first recipient, as written. Empty when there is none. */
struct span message_recipient_domain(const struct message *message);

bool message_is_smtputf8(const struct message *message);
void message_set_smtputf8(struct message *message, bool smtputf8);

/* ---- metadata: what policy knows about it (never credentials) ---- */

/* A borrowed object, to be read only; never NULL while message_is_loaded. */
json_t *message_meta(const struct message *message);
/* Borrowed; NULL when unset. Works for tenant, campaign, routing_domain and queue even
 * while the rest is on disk. */
json_t *message_meta_get(const struct message *message, const char *key);
void message_meta_set(struct message *message, const char *key, json_t *value /* stolen */);
/* A copy of `meta`, all of it, in the place of what the message has: nothing is shared, since the message goes to other
 * threads and jansson's counts of references are not theirs to change. */
void message_inherit_meta(struct message *message, const json_t *meta);

/* ---- body: RFC 5322 header and body with CRLF line ends, not dot-stuffed ---- */

struct bytes *message_body(const struct message *message); /* borrowed; NULL while shrunk */
void message_set_body(struct message *message, struct bytes *body /* stolen */);
size_t message_body_bytes(const struct message *message); /* known even while shrunk */

/* ---- scheduling ---- */

unsigned message_attempts(const struct message *message);
void message_set_attempts(struct message *message, unsigned attempts);
int64_t message_due_ms(const struct message *message); /* wall clock; 0 = now */
void message_set_due_ms(struct message *message, int64_t due_ms);

/* Constraints set by policy (see message/schedule.h); NULL when there are none. */
struct message_schedule;
const struct message_schedule *message_schedule(const struct message *message);
void message_set_schedule(struct message *message, struct message_schedule *schedule /* stolen */);

/* ---- where it is queued: "campaign:tenant@domain!routing_domain" ---- */

/* From meta `queue` when set, else built from campaign, tenant, the recipient's domain
 * (lower case) and routing_domain. */
int message_queue_name(const struct message *message, struct buf *out) __attribute__((warn_unused_result));

/* ---- spool ---- */

/* The envelope, scheduling and metadata as one record (versioned); the body is kept
 * apart. Decoding gives a message with metadata, without body. */
int message_encode(const struct message *message, struct buf *out) __attribute__((warn_unused_result));
struct message *message_decode(struct span record, struct error *error);
/* The same, shrunk already (see message_shrink): what the queue needs to know of a message that waits in the spool. */
struct message *message_decode_waiting(struct span record, uint64_t spool_ref, struct error *error);

uint64_t message_spool_ref(const struct message *message); /* 0: not in the spool */
void message_set_spool_ref(struct message *message, uint64_t ref);

/* True once what is in memory differs from the record that the spool has, or is about to have
 * (envelope, metadata or body set since the last message_mark_clean or message_save_begin). */
bool message_is_dirty(const struct message *message);
/* The body among it: a new record is then not enough, the message must be stored anew. */
bool message_is_body_dirty(const struct message *message);
void message_mark_clean(struct message *message);

/* The record, as message_encode makes it now, is on its way to the disk. Until its end is told the message is being
 * saved, wherever it is by then: the answer finds no message but a token, since the message may be another thread's, or
 * gone. What the record does not hold, a body that was set, stays dirty. */
struct message_saving;
struct message_saving *message_save_begin(struct message *message) __attribute__((warn_unused_result));
void message_save_end(struct message_saving **saving); /* written or failed; from any thread */
/* The same, where the spool has no such message any more: what is in memory is all there is. */
void message_save_end_gone(struct message_saving **saving);
bool message_is_being_saved(const struct message *message);
bool message_is_only_here(const struct message *message);

/* Drops body and metadata from memory; only for a clean message in the spool that is not being saved: what the spool
 * gave back could be the record before. */
void message_shrink(struct message *message);
bool message_is_loaded(const struct message *message);
/* Puts back what message_shrink dropped, from the spool's record. The metadata that names its queue is what it was in
 * memory: a record that could not be written must not move the message back. */
int message_restore(struct message *message, struct span record, struct bytes *body /* stolen */, struct error *error)
    __attribute__((warn_unused_result));

/* ---- links for whoever owns it: lists, the scheduled queue's heap, mail ---- */

struct list_node *message_link(struct message *message);
struct message *message_of_link(struct list_node *node);
struct heap_node *message_heap_link(struct message *message);
struct message *message_of_heap_link(struct heap_node *node);

#endif
