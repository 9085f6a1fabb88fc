/* SPDX-License-Identifier: Apache-2.0
 *
 * A question on its way between the thread that asks and the lookup thread. The awkward part is its end: the asker may
 * go, loop and all, while the answer is being written. So who sends it home and who gives it up agree under its lock:
 * once given up, nothing is posted to that loop any more; what was posted before, the loop still delivers.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "credential/credential_private.h"

struct question *question_new(struct slot *slot, struct loop *home, const char *user, struct span secret,
                              const struct ip *peer)
{
    struct question *question = mem_zalloc(sizeof *question);

    atomic_init(&question->refs, 1);
    pthread_mutex_init(&question->lock, NULL);
    list_node_init(&question->node);
    question->slot = slot_ref(slot);
    question->home = home;
    question->user = user ? mem_strdup(user) : NULL;
    question->secret = secret.len ? mem_alloc(secret.len) : NULL;
    question->secret_len = secret.len;
    if (secret.len)
        memcpy(question->secret, secret.data, secret.len);
    if (peer)
        question->peer = *peer;
    return question;
}

void question_unref(struct question **question)
{
    struct question *gone = *question;

    *question = NULL;
    if (!gone || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (gone->secret)
        secret_wipe(gone->secret, gone->secret_len);
    free(gone->secret);
    free(gone->user);
    credential_unref(&gone->credential);
    json_decref(gone->fields);
    pthread_mutex_destroy(&gone->lock);
    slot_unref(&gone->slot);
    free(gone);
}

static void on_home(struct mail *mail)
{
    struct question *question = CONTAINER_OF(mail, struct question, mail);

    if (question->lookup)
        lookup_on_question(question);
    question_unref(&question);
}

void question_send_home(struct question *question)
{
    bool is_wanted;

    pthread_mutex_lock(&question->lock);
    is_wanted = question->fate == QUESTION_OUT;
    if (is_wanted) {
        question->fate = QUESTION_HOME;
        question->mail.deliver = on_home;
        /* held: it must not be freed between the post and the unlock */
        atomic_fetch_add_explicit(&question->refs, 1, memory_order_relaxed);
        loop_post(question->home, &question->mail);
    }
    pthread_mutex_unlock(&question->lock);
    question_unref(&question);
}

void question_fail(struct question *question, enum error_kind kind, const char *sentence)
{
    question->outcome = STORE_FAILED;
    error_set(&question->error, kind, "%s", sentence);
    question_send_home(question);
}

bool question_give_up(struct question *question)
{
    bool was_out;

    question->lookup = NULL;
    pthread_mutex_lock(&question->lock);
    was_out = question->fate == QUESTION_OUT;
    if (was_out) {
        question->fate = QUESTION_CANCELLED;
        atomic_fetch_add_explicit(&question->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&question->lock);
    return was_out;
}
