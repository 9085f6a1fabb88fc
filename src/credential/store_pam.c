/* SPDX-License-Identifier: Apache-2.0
 *
 * driver = "pam": the system judges the password. Modules block as they please, so each question runs on a thread of
 * this store; a module that never returns keeps its thread, and when all are kept those who ask wait in a short queue
 * until their time is up.
 *
 * The daemon runs without privileges, and modules run with the daemon's rights. What works: modules that ask somebody
 * else (pam_sss, pam_ldap, pam_krb5, pam_radius, pam_winbind, pam_exec with a program of the operator's, pam_userdb on
 * a file we may read). What does not: pam_unix, whose helper tells nobody but root about other users' passwords.
 */
#include <security/pam_appl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "credential/credential_private.h"
#include "credential/pooled_ask.h"

#define SERVICE_USUAL "gatepost"
#define THREADS_USUAL 4
#define THREADS_MOST 64
#define QUEUE_LIMIT_USUAL 64

struct store {
    /* fixed after opening */
    char *service;
    char *confdir; /* NULL: the system's */
    size_t threads;
    size_t queue_limit;

    /* owned by the lookup thread */
    struct store_pool *pool;
};

struct question_at_work {
    struct pooled_ask pooled;

    /* copies, since the store may be gone before a module returns */
    char *service;
    char *confdir;
    char *user;
    char *password;
    char rhost[INET6_ADDRSTRLEN];
};

/* ---- on a thread of the pool ---- */

static void free_responses(struct pam_response *responses, int count)
{
    for (int i = 0; i < count; i++)
        secret_free(responses[i].resp);
    free(responses);
}

/* PAM frees what it is given, with free: so it must come from malloc, and not from ours. */
static int converse(int count, const struct pam_message **messages, struct pam_response **responses_out, void *ctx)
{
    const struct question_at_work *question = ctx;
    struct pam_response *responses;

    if (count <= 0 || count > PAM_MAX_NUM_MSG)
        return PAM_CONV_ERR;
    responses = calloc((size_t)count, sizeof *responses);
    if (!responses)
        return PAM_BUF_ERR;
    for (int i = 0; i < count; i++) {
        int style = messages[i]->msg_style;

        if (style == PAM_PROMPT_ECHO_OFF)
            responses[i].resp = strdup(question->password);
        if (style == PAM_PROMPT_ECHO_ON || (style == PAM_PROMPT_ECHO_OFF && !responses[i].resp)) {
            free_responses(responses, count);
            return PAM_CONV_ERR;
        }
    }
    *responses_out = responses;
    return PAM_SUCCESS;
}

/* Modules ask for seconds of delay after a wrong password. Holding a thread for that would let guessing close the
 * store to everybody; slowing down guessers is the gate's. */
static void no_delay(int status, unsigned microseconds, void *ctx)
{
    (void)status;
    (void)microseconds;
    (void)ctx;
}

static int set_items(pam_handle_t *pam, const struct question_at_work *question)
{
    union {
        void (*function)(int, unsigned, void *);
        const void *item;
    } delay = {.function = no_delay};
    int status = pam_set_item(pam, PAM_FAIL_DELAY, delay.item);

    if (status == PAM_SUCCESS)
        status = pam_set_item(pam, PAM_RHOST, question->rhost);
    return status;
}

static int judge(pam_handle_t *pam, const struct question_at_work *question)
{
    int status = set_items(pam, question);

    if (status == PAM_SUCCESS)
        status = pam_authenticate(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
    if (status == PAM_SUCCESS)
        status = pam_acct_mgmt(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
    return status;
}

static enum store_outcome outcome_of(int status)
{
    switch (status) {
    case PAM_SUCCESS:
        return STORE_FOUND;
    case PAM_USER_UNKNOWN:
        return STORE_NOT_FOUND;
    case PAM_AUTH_ERR:
    case PAM_PERM_DENIED:
    case PAM_MAXTRIES:
    case PAM_ACCT_EXPIRED:
    case PAM_CRED_EXPIRED:
    case PAM_AUTHTOK_EXPIRED:
    case PAM_NEW_AUTHTOK_REQD:
        return STORE_REFUSED;
    default: /* PAM_AUTHINFO_UNAVAIL, PAM_SERVICE_ERR...: it does not know */
        return STORE_FAILED;
    }
}

/* A module may know the user by another name than the one that was given. */
static json_t *name_of(pam_handle_t *pam, const struct question_at_work *question)
{
    const void *item = NULL;
    json_t *fields = json_object();

    if (pam_get_item(pam, PAM_USER, &item) != PAM_SUCCESS || !item)
        item = question->user;
    json_object_set_new(fields, "name", json_string(item));
    return fields;
}

static bool has_file(const char *folder, const char *service)
{
    char *path = mem_printf("%s/%s", folder, service);
    bool is_there = access(path, R_OK) == 0;

    free(path);
    return is_there;
}

/* Without it PAM would fall back to the service `other`, which refuses everybody: a mistake of the operator's would
 * look like one of the users'. */
static bool has_service(const struct question_at_work *question)
{
    if (question->confdir)
        return has_file(question->confdir, question->service);
    return has_file("/etc/pam.d", question->service) || has_file("/usr/lib/pam.d", question->service);
}

static void ask_pam(struct question_at_work *question)
{
    struct pam_conv conversation = {.conv = converse, .appdata_ptr = question};
    pam_handle_t *pam = NULL;
    int status = pam_start_confdir(question->service, question->user, &conversation, question->confdir, &pam);

    if (status == PAM_SUCCESS)
        status = judge(pam, question);
    question->pooled.outcome = outcome_of(status);
    if (question->pooled.outcome == STORE_FOUND)
        question->pooled.fields = name_of(pam, question);
    if (question->pooled.outcome == STORE_FAILED)
        error_set(&question->pooled.error, ERROR_TEMP, "PAM service %s: %s", question->service,
                  pam_strerror(pam, status));
    if (pam)
        pam_end(pam, status);
}

static void run(struct store_work *work)
{
    struct question_at_work *question = CONTAINER_OF(work, struct question_at_work, pooled.work);

    if (has_service(question)) {
        ask_pam(question);
        return;
    }
    question->pooled.outcome = STORE_FAILED;
    error_set(&question->pooled.error, ERROR_TEMP, "there is no PAM service %s", question->service);
}

/* ---- on the lookup thread ---- */

static void question_free(struct question_at_work *question)
{
    pooled_ask_forget(&question->pooled);
    secret_free(question->password);
    free(question->user);
    free(question->service);
    free(question->confdir);
    free(question);
}

static void drop(struct store_work *work) { question_free(CONTAINER_OF(work, struct question_at_work, pooled.work)); }

static struct question_at_work *make_question(const struct store *store, const struct store_ask *ask)
{
    struct question_at_work *question = mem_zalloc(sizeof *question);

    question->pooled.work = (struct store_work){.run = run, .drop = drop};
    question->service = mem_strdup(store->service);
    question->confdir = store->confdir ? mem_strdup(store->confdir) : NULL;
    question->user = mem_strdup(ask->user);
    question->password = span_dup(ask->password);
    ip_format(&ask->peer, question->rhost);
    return question;
}

static void pam_ask(struct store *store, struct store_ask *ask)
{
    /* PAM's strings end at a NUL: what comes behind it would not be compared */
    if (ask->password.len && memchr(ask->password.data, '\0', ask->password.len))
        ask->on_done(ask, STORE_REFUSED, NULL, NULL);
    else
        pooled_ask_begin(store->pool, &make_question(store, ask)->pooled, ask);
}

static void pam_cancel(struct store *store, struct store_ask *ask) { pooled_ask_cancel(store->pool, ask->driver); }

/* ---- the store ---- */

static void store_free(struct store *store)
{
    free(store->service);
    free(store->confdir);
    free(store);
}

static struct store *pam_open(struct settings *settings, struct error *error)
{
    struct store *store = mem_zalloc(sizeof *store);
    const char *confdir = settings_text(settings, "confdir", NULL);

    store->service = mem_strdup(settings_text(settings, "service", SERVICE_USUAL));
    store->confdir = confdir ? mem_strdup(confdir) : NULL;
    store->threads = settings_count(settings, "threads", THREADS_USUAL, 1, THREADS_MOST);
    store->queue_limit = settings_count(settings, "queue_limit", QUEUE_LIMIT_USUAL, 1, UINT16_MAX);
    if (!store->service[0] || strchr(store->service, '/'))
        settings_fault(settings, "service", "is not the name of a PAM service");
    if (!settings_end(settings, error))
        return store;
    store_free(store);
    return NULL;
}

static void pam_start_store(struct store *store, const struct store_house *house)
{
    store->pool = store_pool_new(house->loop, "PAM store", store->threads, store->queue_limit);
}

static void pam_close(struct store *store)
{
    if (store->pool)
        store_pool_close(store->pool, NULL, NULL);
    store_free(store);
}

const struct store_driver store_pam = {
    .name = "pam",
    .kind = STORE_PASSWORDS,
    .open = pam_open,
    .start = pam_start_store,
    .ask = pam_ask,
    .cancel = pam_cancel,
    .close = pam_close,
};
