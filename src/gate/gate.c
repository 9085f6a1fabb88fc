/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate as a whole: what is started once per process, the work it has in the password pool, and logins, which
 * sessions keep.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "credential/lookup.h"
#include "credential/used.h"
#include "credential/used_file.h"
#include "gate/gate_private.h"
#include "gate/guess_private.h"
#include "log/diag.h"
#include "password/pool.h"

static atomic_size_t working;

int gate_start(struct error *error)
{
    gate_remember_start();
    return lookup_start(error);
}

void gate_save(void)
{
    struct error error;

    if (used_file_save(&error))
        diag_error(NULL, &error, "when secrets were last used");
}

void gate_stop(void)
{
    gate_save();
    used_file_use(NULL);
    guess_webhook_stop();
    lookup_stop();
    gate_remember_stop();
    credential_forget_used();
}

bool gate_is_working(void) { return atomic_load(&working) > 0; }

int gate_work_begin(struct job *job)
{
    atomic_fetch_add(&working, 1);
    if (!jobs_submit(password_pool(), job, NULL))
        return 0;
    atomic_fetch_sub(&working, 1);
    return -1;
}

void gate_work_goes_on(void) { atomic_fetch_add(&working, 1); }

void gate_work_ended(void) { atomic_fetch_sub(&working, 1); }

size_t gate_purge(struct gate_rules *rules, const char *user)
{
    size_t entries;

    gate_forget(user);
    entries = stores_purge(rules->stores, user);
    gate_purged_note(user); /* last: who looks into the caches from now on finds nothing old */
    return entries;
}

bool gate_login_is_purged(const struct gate_login *login)
{
    const char *name = login->credential ? login->credential->name : login->authcid;

    return login->is_by_gate && gate_purged_since(login->purges, login->authcid, name);
}

/* ---- logins ---- */

struct gate_login *gate_login_of(struct gate_rules *rules, const char *authcid, const char *authzid)
{
    struct gate_login *login = mem_zalloc(sizeof *login);

    atomic_init(&login->refs, 1);
    login->rules = rules ? gate_rules_ref(rules) : NULL;
    login->authcid = mem_strdup(authcid);
    login->authzid = mem_strdup(authzid);
    login->store = mem_strdup("");
    login->label = mem_strdup("");
    return login;
}

struct gate_login *gate_login_ref(struct gate_login *login)
{
    if (login)
        atomic_fetch_add_explicit(&login->refs, 1, memory_order_relaxed);
    return login;
}

void gate_login_unref(struct gate_login **login_at)
{
    struct gate_login *login = *login_at;

    *login_at = NULL;
    if (!login || atomic_fetch_sub_explicit(&login->refs, 1, memory_order_acq_rel) > 1)
        return;
    gate_rules_unref(&login->rules);
    credential_unref(&login->credential);
    json_decref(login->claims);
    free(login->authcid);
    free(login->authzid);
    free(login->store);
    free(login->label);
    free(login);
}
