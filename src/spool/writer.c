/* SPDX-License-Identifier: Apache-2.0
 *
 * The one thread that appends. While it waits for a sync, requests gather in its inbox; the next batch is all of them,
 * and those that come in the moments granted to them: that is the whole of group commit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/must.h"
#include "spool/spool_private.h"

#define RETRY_AFTER_MS 1000
#define REMOVES_WAIT_MS 10
#define MOMENT_US 1000
#define MOMENTS_MOST 5
#define CROWD 16         /* so many share a sync well enough */
#define REGULARS_MOST 64 /* batches */

/* ---- the inbox ---- */

/* The lock sees to it that the thread has looked before, or waits; woken under it, it would have to wait for it. */
void writer_wake(struct spool *spool)
{
    pthread_mutex_lock(&spool->wake_lock);
    pthread_mutex_unlock(&spool->wake_lock);
    pthread_cond_signal(&spool->wake);
}

void writer_post(struct spool *spool, struct mail *mail)
{
    struct mail *newest = atomic_load_explicit(&spool->inbox, memory_order_relaxed);

    do
        mail->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&spool->inbox, &newest, mail, memory_order_acq_rel,
                                                  memory_order_relaxed));
    if (!newest)
        writer_wake(spool);
}

/* Until there is mail, the end is asked for, or the time is over (0: there is no limit). */
static void wait_for_mail(struct spool *spool, uint64_t limit_ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(limit_ms % 1000) * 1000000;
    until.tv_sec += (time_t)(limit_ms / 1000) + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&spool->wake_lock);
    while (!atomic_load(&spool->inbox) && !atomic_load(&spool->ending)) {
        if (!limit_ms)
            pthread_cond_wait(&spool->wake, &spool->wake_lock);
        else if (pthread_cond_timedwait(&spool->wake, &spool->wake_lock, &until) == ETIMEDOUT)
            break;
    }
    pthread_mutex_unlock(&spool->wake_lock);
}

static size_t take_requests(struct spool *spool)
{
    return mail_deliver_all(atomic_exchange_explicit(&spool->inbox, NULL, memory_order_acq_rel));
}

void writer_retry_later(struct spool *spool) { spool->retry_at_ms = clock_mono_ms() + RETRY_AFTER_MS; }

/* ---- going on in another segment ---- */

static void close_current(struct spool *spool)
{
    struct segment *segment = spool->current;

    if (!segment)
        return;
    spool->prior_sequence = segment->sequence;
    spool->prior_end = segment->end;
    spool->current = NULL;
    pthread_mutex_lock(&spool->lock);
    segment->state = SEGMENT_CLOSED;
    spool->may_be_dead = true;
    pthread_mutex_unlock(&spool->lock);
}

/* One free segment is kept back for deletion marks, new records and compaction: they are
 * what makes room again when the disk is full. */
static int choose_segment(struct spool *spool, uint64_t size, bool for_store, struct segment **out, struct error *error)
{
    size_t reserve = for_store ? 1 : 0;
    struct segment *made;

    if (size > spool->segment_bytes)
        return segment_make(spool, (size + 4095) & ~(uint64_t)4095, out, error);
    while (segment_count_free(spool, out) <= reserve)
        if (segment_make(spool, spool->segment_bytes, &made, error))
            return -1;
    return 0;
}

int writer_rotate(struct spool *spool, uint64_t bytes, bool for_store, struct error *error)
{
    struct segment *next = NULL;

    if (for_store && atomic_load(&spool->stuck) && clock_mono_ms() < spool->retry_at_ms) {
        *error = spool->stuck_error;
        return -1;
    }
    MUST(spool->batch.bytes == 0 && spool->batch.remove_count == 0);
    if (!choose_segment(spool, SEGMENT_HEADER_BYTES + bytes, for_store, &next, error)) {
        close_current(spool);
        if (!segment_begin(spool, next, error)) {
            spool->current = next;
            if (for_store)
                atomic_store(&spool->stuck, false);
            return 0;
        }
    }
    if (for_store) {
        spool->stuck_error = *error;
        atomic_store(&spool->stuck, true);
    }
    writer_retry_later(spool);
    return -1;
}

/* ---- housekeeping between batches ---- */

static struct segment *next_dead(struct spool *spool)
{
    struct segment *dead = NULL;

    pthread_mutex_lock(&spool->lock);
    for (size_t i = 0; spool->may_be_dead && i < spool->sequence_count && !dead; i++)
        if (ledger_is_dead(spool, spool->by_sequence[i]))
            dead = spool->by_sequence[i];
    if (!dead)
        spool->may_be_dead = false;
    pthread_mutex_unlock(&spool->lock);
    return dead;
}

static void release_dead(struct spool *spool)
{
    struct segment *dead;

    while ((dead = next_dead(spool)))
        if (segment_release(spool, dead)) {
            writer_retry_later(spool);
            pthread_mutex_lock(&spool->lock);
            spool->may_be_dead = false;
            pthread_mutex_unlock(&spool->lock);
            return;
        }
}

/* What failed for want of a working disk or of space. */
static void retry(struct spool *spool)
{
    struct error error = {0};
    struct segment *next;

    if (!spool->retry_at_ms || clock_mono_ms() < spool->retry_at_ms)
        return;
    spool->retry_at_ms = 0;
    pthread_mutex_lock(&spool->lock);
    spool->may_be_dead = true;
    pthread_mutex_unlock(&spool->lock);
    requests_retry_removes(spool);
    (void)batch_commit(spool);
    release_dead(spool);
    if (!atomic_load(&spool->stuck))
        return;
    if (choose_segment(spool, 0, true, &next, &error) || (!spool->current && writer_rotate(spool, 0, true, &error))) {
        writer_retry_later(spool);
        return;
    }
    atomic_store(&spool->stuck, false);
    diag(DIAG_WARN, NULL, "spool %s: writing again", spool->name);
}

/* True while there is more to do at once. */
static bool housekeep(struct spool *spool)
{
    retry(spool);
    if (spool->late_count && !spool->retry_at_ms)
        writer_retry_later(spool);
    release_dead(spool);
    if (atomic_load(&spool->below_floor))
        segment_unlink_free(spool, 1);
    return compact_step(spool);
}

static void finish(struct spool *spool)
{
    requests_retry_removes(spool);
    (void)batch_commit(spool);
    if (!spool->current || spool->end_is_marked || spool->current->end + FRAME_HEADER_BYTES > spool->current->size)
        return;
    batch_add_end(spool);
    (void)batch_commit(spool);
}

static bool has_marks_alone(const struct batch *batch)
{
    return batch->remove_count > 0 && !batch->bytes && !batch->answer_count;
}

/* Nobody waits for a deletion mark, so marks alone are no reason for a sync just yet. A crash meanwhile makes twice
 * what they are for. */
static void let_removes_ride_along(struct spool *spool)
{
    uint64_t now_ms = clock_mono_ms();
    uint64_t until_ms = now_ms + REMOVES_WAIT_MS;

    while (has_marks_alone(&spool->batch) && now_ms < until_ms && !atomic_load(&spool->ending)) {
        wait_for_mail(spool, until_ms - now_ms);
        (void)take_requests(spool);
        now_ms = clock_mono_ms();
    }
}

static bool wants_company(const struct batch *batch) { return batch->answer_count > 0 && batch->answer_count < CROWD; }

/* True when somebody came. */
static bool spend_moment(struct spool *spool)
{
    static const struct timespec moment = {.tv_nsec = MOMENT_US * 1000};
    uint64_t asked = spool->batch.asked;

    nanosleep(&moment, NULL);
    (void)take_requests(spool);
    pthread_mutex_lock(&spool->lock);
    spool->stats.moments++;
    pthread_mutex_unlock(&spool->lock);
    return spool->batch.asked != asked;
}

/* Nobody came for a moment: so many are all there are. Each time that proves true it is believed for longer. */
static void note_regulars(struct spool *spool)
{
    size_t count = spool->batch.answer_count;
    unsigned longer = 2 * spool->regulars_span;

    spool->regulars_span = count != spool->regulars ? 1 : longer < REGULARS_MOST ? longer : REGULARS_MOST;
    spool->regulars = count;
    spool->regulars_for = spool->regulars_span;
}

/* A sync costs the same for many as for one. So a moment is spent on waiting for others, and another one as long as
 * somebody came in the last, but not for more than were there when nobody else came: whoever is alone, or in a small
 * circle of clients that all wait for their answers, is seldom made to wait in vain. */
static void let_others_join(struct spool *spool)
{
    const struct batch *batch = &spool->batch;

    for (int i = 0; spool->flush && i < MOMENTS_MOST && wants_company(batch); i++) {
        if (batch->answer_count == spool->regulars && spool->regulars_for > 0) {
            spool->regulars_for--;
            return;
        }
        if (!spend_moment(spool)) {
            note_regulars(spool);
            return;
        }
    }
}

void *writer_main(void *arg)
{
    struct spool *spool = arg;
    bool busy = false;

    for (;;) {
        bool ending = atomic_load(&spool->ending);

        if (!busy)
            wait_for_mail(spool, spool->retry_at_ms ? RETRY_AFTER_MS : 0);
        if (!take_requests(spool) && ending)
            break;
        let_removes_ride_along(spool);
        let_others_join(spool);
        (void)batch_commit(spool);
        busy = housekeep(spool);
    }
    finish(spool);
    return NULL;
}
