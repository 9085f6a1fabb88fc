/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is logged in just now, over all workers: to be listed, and to be shown the door. A session belongs to its
 * worker's thread, so whoever wants one closed sends word there; by then it may be gone, which is as well.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/span.h"
#include "receive/receive_private.h"

struct live {
    /* fixed */
    struct session *session; /* touched on the loop's thread alone */
    struct loop *loop;
    char *user, *authzid;
    char peer[SOCKADDR_TEXT_BYTES], via[SOCKADDR_TEXT_BYTES];
    char id[RECEIVE_SESSION_ID_CHARS + 1];
    int64_t since_ms; /* wall clock */
};

static struct {
    pthread_mutex_t lock;
    /* under lock */
    struct map sessions; /* by id */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

void session_register(struct session *session)
{
    struct receive_connection *connection = session->connection;
    struct live *live = mem_zalloc(sizeof *live);

    *live = (struct live){
        .session = session,
        .loop = session->listener->loop,
        .user = mem_strdup(connection->authn_id),
        .authzid = mem_strdup(connection->authz_id),
        .since_ms = clock_wall_ms(),
    };
    receive_connection_from(connection, live->peer);
    receive_connection_via(connection, live->via);
    memcpy(live->id, receive_connection_session_id(connection), sizeof live->id);
    pthread_mutex_lock(&all.lock);
    map_put(&all.sessions, span_of(live->id), live);
    pthread_mutex_unlock(&all.lock);
    session->live = live;
}

void session_unregister(struct session *session)
{
    struct live *live = session->live;

    if (!live)
        return;
    session->live = NULL;
    pthread_mutex_lock(&all.lock);
    map_remove(&all.sessions, span_of(live->id));
    if (!all.sessions.count)
        map_done(&all.sessions, NULL);
    pthread_mutex_unlock(&all.lock);
    free(live->user);
    free(live->authzid);
    free(live);
}

/* ---- the list ---- */

/* Whatever the case, as records are purged and guesses are counted. */
static bool is_of(const struct live *live, const char *user)
{
    return !user || span_ieq(span_of(live->user), span_of(user)) || span_ieq(span_of(live->authzid), span_of(user));
}

static json_t *describe(const struct live *live)
{
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:I}", "user", live->user, "peer", live->peer, "listener", live->via,
                            "id", live->id, "since", (json_int_t)(live->since_ms / 1000));

    if (strcmp(live->authzid, live->user) != 0)
        json_object_set_new(row, "acting_as", json_string(live->authzid));
    return row;
}

json_t *receive_sessions_list(const char *user, size_t most)
{
    struct map_cursor cursor = {0};
    json_t *rows = json_array();
    struct span id;
    void *live;

    pthread_mutex_lock(&all.lock);
    while (json_array_size(rows) < most && map_next(&all.sessions, &cursor, &id, &live))
        if (is_of(live, user))
            json_array_append_new(rows, describe(live));
    pthread_mutex_unlock(&all.lock);
    return rows;
}

/* ---- the door ---- */

struct word {
    struct mail mail;
    char id[RECEIVE_SESSION_ID_CHARS + 1];
};

static void close_it(struct mail *mail)
{
    struct word *word = CONTAINER_OF(mail, struct word, mail);
    struct live *live;
    struct session *session;

    pthread_mutex_lock(&all.lock);
    live = map_find(&all.sessions, span_of(word->id));
    session = live ? live->session : NULL; /* it cannot go meanwhile: this is its thread */
    pthread_mutex_unlock(&all.lock);
    free(word);
    if (session)
        session_dismiss(session);
}

/* Under the lock: whoever is in the list has a loop that still runs. */
static void send_word(const struct live *live)
{
    struct word *word = mem_zalloc(sizeof *word);

    memcpy(word->id, live->id, sizeof word->id);
    word->mail.deliver = close_it;
    loop_post(live->loop, &word->mail);
}

size_t receive_sessions_close(const char *user, const char *id)
{
    struct map_cursor cursor = {0};
    size_t told = 0;
    struct span key;
    void *value;

    pthread_mutex_lock(&all.lock);
    while (map_next(&all.sessions, &cursor, &key, &value)) {
        const struct live *live = value;

        if (!is_of(live, user) || (id && strcmp(live->id, id) != 0))
            continue;
        send_word(live);
        told++;
    }
    pthread_mutex_unlock(&all.lock);
    return told;
}

void session_say_dismissed(struct session *session)
{
    session_replyf_close(session, 421, "4.7.0 %s this session was closed by the operator",
                         session->connection->params->hostname);
}

/* Whatever it waits for has to come first; what it was about is not stored any more. */
void session_dismiss(struct session *session)
{
    session->is_dismissed = true;
    if (session->waiting != WAITING_NOT)
        return;
    diag(DIAG_INFO, &session->scope, "closed by the operator");
    session_drop_transaction(session);
    if (session->state == SESSION_HANDSHAKE)
        session_close(session, "closed by the operator");
    else
        session_say_dismissed(session);
}
