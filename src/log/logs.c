/* SPDX-License-Identifier: Apache-2.0
 *
 * The logs that are configured, the bounded queue in front of the log thread, and the
 * thread itself. Submitting a record formats it, takes one lock for a moment, and never
 * waits for the disk.
 *
 * The awkward truth: a record that was taken is in memory until the next flush, some
 * milliseconds later; a process killed in between takes it along (README.md).
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "log/diag.h"
#include "log/writer.h"
#include "metrics/metrics.h"

/* Records gathered into one flush wait for at most this. */
#define GATHER_MS 10
#define GATHER_MOST 1024
#define USUAL_RECORD_BYTES 1000

#define WAITING_BYTES_MOST ((size_t)64 << 20)

static struct {
    /* shared; logs are only ever added until log_close */
    struct log *logs[LOGS_MOST];
    _Atomic size_t log_count;
    /* shared, under lock */
    pthread_mutex_t lock;
    pthread_cond_t wake; /* on CLOCK_MONOTONIC */
    struct log_entries queue;
    bool running, stopping;
    uint64_t complained_ms; /* of a record that was too large */
    size_t too_large;
    pthread_t thread;
} house = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t log_count(void) { return atomic_load_explicit(&house.log_count, memory_order_acquire); }

/* ---- submitting ---- */

bool record_is_wanted(enum record_type type)
{
    for (size_t i = 0; i < log_count(); i++)
        if (house.logs[i]->config.streams[type].enable)
            return true;
    return false;
}

static bool takes_new_mail(struct log *log)
{
    return !atomic_load(&log->below_floor) && !atomic_load(&log->failing) &&
           atomic_load(&log->waiting) < log->config.back_pressure &&
           atomic_load(&log->waiting_bytes) < WAITING_BYTES_MOST;
}

/* Records of new mail stop at the limit. What has already happened to a message may use half as
 * much again, so that a full log stops reception before it loses a delivery. */
static bool has_room(struct log *log, enum record_type type)
{
    if (type == RECORD_RECEPTION || type == RECORD_REJECTION || type == RECORD_FEEDBACK)
        return takes_new_mail(log);
    return atomic_load(&log->waiting) < log->config.back_pressure + log->config.back_pressure / 2 + 16 &&
           atomic_load(&log->waiting_bytes) < WAITING_BYTES_MOST + WAITING_BYTES_MOST / 2;
}

bool record_accepts(void)
{
    for (size_t i = 0; i < log_count(); i++)
        if (!takes_new_mail(house.logs[i]))
            return false;
    return true;
}

/* At most once a minute; the record itself is not shown. */
static void complain_too_large(const struct log *log, const struct log_submission *submission)
{
    uint64_t now_ms = clock_mono_ms();
    size_t count = 0;

    metrics_count(METRIC_LOG_RECORDS_LOST);
    pthread_mutex_lock(&house.lock);
    house.too_large++;
    if (house.complained_ms == 0 || now_ms - house.complained_ms >= 60000) {
        count = house.too_large;
        house.too_large = 0;
        house.complained_ms = now_ms;
    }
    pthread_mutex_unlock(&house.lock);
    if (count > 0)
        diag(DIAG_ERROR, NULL, "log %s: %zu records over max_record_size dropped, last: %s of %s", log->config.log_dir,
             count, record_type_name(submission->type), submission->id ? submission->id : "no message");
}

static struct log_entry *make_entry(struct log *log, const struct log_submission *submission, int64_t now_us)
{
    struct log_fields fields = {log->config.headers, log->config.meta};
    struct log_entry *entry = NULL;
    struct buf line;

    buf_init(&line, (size_t)log->config.max_record_bytes);
    /* it grows by doubling: most never have to */
    if (!buf_reserve(&line, USUAL_RECORD_BYTES) || submission->format(submission->record, &fields, now_us, &line) < 0) {
        complain_too_large(log, submission);
    } else {
        struct span text = buf_span(&line);

        entry = mem_alloc(sizeof *entry + text.len);
        *entry = (struct log_entry){.log = log, .file = log->file_of_type[submission->type], .len = text.len};
        memcpy(entry->line, text.data, text.len);
    }
    buf_done(&line);
    return entry;
}

static void enqueue(struct log_entry *entry)
{
    bool is_due;

    atomic_fetch_add(&entry->log->waiting, 1);
    atomic_fetch_add(&entry->log->waiting_bytes, entry->len);
    pthread_mutex_lock(&house.lock);
    log_entries_add(&house.queue, entry);
    is_due = house.queue.count == 1 || house.queue.count == GATHER_MOST;
    pthread_mutex_unlock(&house.lock);
    if (is_due)
        pthread_cond_signal(&house.wake);
}

int log_submit(const struct log_submission *submission, struct error *error)
{
    size_t count = log_count();
    int64_t now_us = clock_wall_us();

    for (size_t i = 0; i < count; i++) {
        struct log *log = house.logs[i];

        if (log->config.streams[submission->type].enable && !has_room(log, submission->type)) {
            metrics_count(METRIC_LOG_RECORDS_LOST);
            return error_set(error, ERROR_AGAIN, "log %s takes no more records now", log->config.log_dir);
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct log *log = house.logs[i];
        struct log_entry *entry =
            log->config.streams[submission->type].enable ? make_entry(log, submission, now_us) : NULL;

        if (entry)
            enqueue(entry);
    }
    return 0;
}

static int format_record(const void *record, const struct log_fields *fields, int64_t now_us, struct buf *out)
{
    return record_format(record, fields, log_node_id(), now_us, out);
}

int record_submit(const struct record *record, struct error *error)
{
    struct log_submission submission = {record->type, record, record->id, format_record};

    return log_submit(&submission, error);
}

/* ---- the thread ---- */

static void wait_until(uint64_t deadline_ms, uint64_t now_ms)
{
    uint64_t wait_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    struct timespec until;

    if (deadline_ms == UINT64_MAX) {
        pthread_cond_wait(&house.wake, &house.lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&house.wake, &house.lock, &until);
}

/* Under the lock. The first record wakes the thread; it lets others gather, so that a busy log is
 * flushed some hundred times a second and not once per record. */
static void wait_for_work(uint64_t deadline_ms, size_t logs_known)
{
    while (!house.stopping && !house.queue.first && log_count() == logs_known && clock_mono_ms() < deadline_ms)
        wait_until(deadline_ms, clock_mono_ms());
    if (!house.stopping && house.queue.first && house.queue.count < GATHER_MOST)
        wait_until(GATHER_MS, 0);
}

static void move_all(struct log_entries *to, struct log_entries *from)
{
    if (from->first) {
        *to->last = from->first;
        to->last = from->last;
        to->count += from->count;
    }
    log_entries_init(from);
}

/* Logs that were added are recovered here, before the first line is written to them, and away
 * from the start of the daemon, which does not wait for it. */
static void recover(const struct log *log)
{
    for (size_t i = 0; i < log->file_count; i++) {
        unsigned mended = recover_directory(log->files[i].log_dir);

        if (mended > 0)
            diag(DIAG_INFO, NULL, "log %s: %u segments left open by a crash are finished now", log->files[i].log_dir,
                 mended);
    }
}

static void *thread_main(void *arg)
{
    uint64_t deadline_ms = UINT64_MAX;
    size_t recovered = 0;
    bool stopping = false;

    (void)arg;
    while (!stopping) {
        struct log_entries batch;

        log_entries_init(&batch);
        pthread_mutex_lock(&house.lock);
        wait_for_work(deadline_ms, recovered);
        stopping = house.stopping;
        move_all(&batch, &house.queue);
        pthread_mutex_unlock(&house.lock);

        for (; recovered < log_count(); recovered++)
            recover(house.logs[recovered]);
        writer_take(&batch);
        deadline_ms = UINT64_MAX;
        for (size_t i = 0; i < log_count(); i++) {
            uint64_t next_ms = writer_tend(house.logs[i], clock_mono_ms());

            deadline_ms = next_ms < deadline_ms ? next_ms : deadline_ms;
        }
    }
    for (size_t i = 0; i < log_count(); i++)
        writer_finish(house.logs[i]);
    return NULL;
}

/* Signals are for the main thread. */
static int start_thread(struct error *error)
{
    pthread_condattr_t attr;
    sigset_t all, before;
    int result;

    log_entries_init(&house.queue);
    house.stopping = false;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&house.wake, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&house.thread, NULL, thread_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0) {
        pthread_cond_destroy(&house.wake);
        return error_set_errno(error, ERROR_TEMP, result, "starting the log thread");
    }
    pthread_setname_np(house.thread, "log");
    house.running = true;
    return 0;
}

/* ---- opening and closing ---- */

static int make_directory(const char *path, struct error *error)
{
    char *part = mem_strdup(path);

    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0755); /* one that cannot be made is noticed below */
        *slash = '/';
    }
    free(part);
    if (mkdir(path, 0750) < 0 && errno != EEXIST)
        return error_set_errno(error, ERROR_PERM, errno, "log_dir %s", path);
    if (access(path, W_OK | X_OK) < 0)
        return error_set_errno(error, ERROR_PERM, errno, "log_dir %s cannot be written", path);
    return 0;
}

/* Types with the same directory and suffix share a file. */
static void assign_files(struct log *log)
{
    for (size_t type = 0; type < RECORD_TYPE_COUNT; type++) {
        const struct log_stream *stream = &log->config.streams[type];
        const char *log_dir = stream->log_dir ? stream->log_dir : log->config.log_dir;
        size_t i = 0;

        while (i < log->file_count &&
               (strcmp(log->files[i].log_dir, log_dir) != 0 || strcmp(log->files[i].suffix, stream->suffix) != 0))
            i++;
        log->file_of_type[type] = i;
        if (i == log->file_count) {
            log->files[i] = (struct log_file){.log_dir = log_dir, .suffix = stream->suffix, .header = ""};
            log_entries_init(&log->files[i].unwritten);
            log->file_count++;
        }
        if (!*log->files[i].header)
            log->files[i].header = stream->segment_header;
    }
}

static struct log *log_new(const struct log_config *config)
{
    struct log *log = mem_zalloc(sizeof *log);

    log_config_copy(&log->config, config);
    assign_files(log);
    return log;
}

static void log_free(struct log *log)
{
    log_config_done(&log->config);
    free(log);
}

static int prepare(struct log *log, struct error *error)
{
    for (size_t i = 0; i < log_count(); i++) {
        if (log->config.is_accounting && house.logs[i]->config.is_accounting)
            return error_set(error, ERROR_PERM, "there is an accounting log already, in %s",
                             house.logs[i]->config.log_dir);
        if (strcmp(house.logs[i]->config.log_dir, log->config.log_dir) == 0)
            return error_set(error, ERROR_PERM, "log_dir %s is used by another log", log->config.log_dir);
    }
    if (log_count() == LOGS_MOST)
        return error_set(error, ERROR_PERM, "more than %d logs", LOGS_MOST);
    for (size_t i = 0; i < log->file_count; i++)
        if (make_directory(log->files[i].log_dir, error) < 0)
            return -1;
    writer_check_floors(log);
    log->floor_checked_ms = clock_mono_ms();
    return 0;
}

int log_open(const struct log_config *config, struct error *error)
{
    struct log *log = log_new(config);
    int result;

    pthread_mutex_lock(&house.lock);
    result = prepare(log, error);
    if (result == 0 && !house.running)
        result = start_thread(error);
    if (result == 0) {
        house.logs[log_count()] = log;
        atomic_fetch_add_explicit(&house.log_count, 1, memory_order_release);
        pthread_cond_signal(&house.wake);
    }
    pthread_mutex_unlock(&house.lock);
    if (result < 0)
        log_free(log);
    return result;
}

void log_close(void)
{
    size_t count = log_count();

    if (!house.running)
        return;
    pthread_mutex_lock(&house.lock);
    house.stopping = true;
    pthread_cond_signal(&house.wake);
    pthread_mutex_unlock(&house.lock);
    pthread_join(house.thread, NULL);
    pthread_cond_destroy(&house.wake);
    house.running = false;
    atomic_store(&house.log_count, 0);
    for (size_t i = 0; i < count; i++)
        log_free(house.logs[i]);
}
