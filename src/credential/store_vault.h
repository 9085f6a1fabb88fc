/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the files of the Vault store: the keeper of the token that every question carries. It logs in once for all
 * who wait, renews before the lease ends, and logs in anew when that fails.
 */
#ifndef GATEPOST_CREDENTIAL_STORE_VAULT_H
#define GATEPOST_CREDENTIAL_STORE_VAULT_H

#include "base/list.h"
#include "credential/store.h"
#include "http/http.h"
#include "http/vault_login.h"

/* ---- the lease: pure ---- */

struct vault_lease {
    uint64_t granted_ms; /* on the loop's clock */
    uint64_t lease_ms;   /* 0: it never ends */
    uint64_t login_ms;   /* what the login had given, before any renewal; 0: unknown */
    bool is_renewable;
};

enum vault_step { VAULT_STEP_NONE, VAULT_STEP_RENEW, VAULT_STEP_LOGIN };

/* What to do about the lease next, and when: at two thirds of it. */
enum vault_step vault_lease_next(const struct vault_lease *lease, bool can_login, uint64_t *due_ms_out);
bool vault_lease_holds(const struct vault_lease *lease, uint64_t now_ms);

/* ---- the keeper ---- */

struct vault_keeper;

/* One who wants the token. `token` is NULL when there is none, and `error` says why; borrowed for the call. */
struct vault_wait {
    struct list_node node;
    void (*on_token)(struct vault_wait *wait, const char *token, const struct error *error);
};

/* Everything is taken; `account` borrows from the store, which outlives the keeper. */
struct vault_keeper *vault_keeper_new(const struct vault_account *account, char *token, const char *token_file,
                                      const char *jwt_file);
void vault_keeper_start(struct vault_keeper *keeper, const struct store_house *house);
void vault_keeper_free(struct vault_keeper *keeper); /* nobody waits any more; NULL is fine */

/* on_token runs now or later, once. */
void vault_keeper_get(struct vault_keeper *keeper, struct vault_wait *wait);
/* Counts the tokens there have been: to be kept with a request, for vault_keeper_doubt. */
unsigned vault_keeper_generation(const struct vault_keeper *keeper);
/* The token of `generation` was answered with 403. False when there is no better one to be had; else on_token runs,
 * now or later, with another. */
bool vault_keeper_doubt(struct vault_keeper *keeper, unsigned generation, struct vault_wait *wait);
void vault_keeper_leave(struct vault_keeper *keeper, struct vault_wait *wait); /* also who does not wait */

#endif
