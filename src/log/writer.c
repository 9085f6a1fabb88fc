/* SPDX-License-Identifier: Apache-2.0
 *
 * What the log thread does with the lines it is given: into segments, flushed once per
 * batch, rotated by size and age. A line is let go only after the flush that covers it has
 * succeeded; when writing fails (the disk is full) the lines wait, a new segment is tried
 * every second, and reception is told to stop meanwhile.
 */
#include "log/writer.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "log/diag.h"
#include "metrics/metrics.h"

#define RETRY_MS 1000
#define FLOOR_CHECK_MS 1000

void log_entries_init(struct log_entries *entries)
{
    entries->first = NULL;
    entries->last = &entries->first;
    entries->count = 0;
}

void log_entries_add(struct log_entries *entries, struct log_entry *entry)
{
    entry->next = NULL;
    *entries->last = entry;
    entries->last = &entry->next;
    entries->count++;
}

void writer_take(struct log_entries *entries)
{
    struct log_entry *next;

    for (struct log_entry *entry = entries->first; entry; entry = next) {
        next = entry->next;
        log_entries_add(&entry->log->files[entry->file].unwritten, entry);
    }
    log_entries_init(entries);
}

static void release_first(struct log *log, struct log_entries *entries)
{
    struct log_entry *entry = entries->first;

    entries->first = entry->next;
    entries->count--;
    if (!entries->first)
        entries->last = &entries->first;
    atomic_fetch_sub(&log->waiting, 1);
    atomic_fetch_sub(&log->waiting_bytes, entry->len);
    free(entry);
}

static void release_until(struct log *log, struct log_file *file, const struct log_entry *end, enum metric counted)
{
    while (file->unwritten.first && file->unwritten.first != end) {
        release_first(log, &file->unwritten);
        metrics_count(counted);
    }
}

/* ---- segments ---- */

static int open_segment(const struct log *log, struct log_file *file, uint64_t now_ms, struct error *error)
{
    struct segment_options options = {file->log_dir, file->suffix, file->header, log->config.compression_level};

    if (file->segment)
        return 0;
    file->segment = segment_open(&options, error);
    file->expires_ms = log->config.max_segment_ms ? now_ms + log->config.max_segment_ms : UINT64_MAX;
    return file->segment ? 0 : -1;
}

static void abandon(struct log_file *file)
{
    if (file->segment)
        segment_abandon(file->segment);
    file->segment = NULL;
}

static int end_segment(struct log_file *file, struct error *error)
{
    struct segment *segment = file->segment;

    file->segment = NULL;
    return segment_finish(segment, error);
}

/* As many lines as fit into one segment; flushed or, when it is full, finished. */
static int write_some(struct log *log, struct log_file *file, uint64_t now_ms, struct error *error)
{
    struct log_entry *entry = file->unwritten.first;
    int result;

    if (open_segment(log, file, now_ms, error) < 0)
        return -1;
    while (entry && segment_raw_bytes(file->segment) < log->config.max_file_bytes) {
        if (log_segment_add(file->segment, span_make(entry->line, entry->len), error) < 0) {
            abandon(file);
            return -1;
        }
        entry = entry->next;
    }
    if (segment_raw_bytes(file->segment) >= log->config.max_file_bytes) {
        result = end_segment(file, error);
    } else {
        result = segment_flush(file->segment, error);
        if (result < 0)
            abandon(file);
    }
    if (result == 0)
        release_until(log, file, entry, METRIC_LOG_RECORDS);
    return result;
}

static int write_file(struct log *log, struct log_file *file, uint64_t now_ms)
{
    struct error error;

    while (file->unwritten.first) {
        if (write_some(log, file, now_ms, &error) < 0) {
            if (file->retry_ms == 0)
                diag_error(NULL, &error, "log %s cannot be written, %zu records wait", file->log_dir,
                           file->unwritten.count);
            file->retry_ms = now_ms + RETRY_MS;
            return -1;
        }
    }
    if (file->retry_ms)
        diag(DIAG_INFO, NULL, "log %s is written again", file->log_dir);
    file->retry_ms = 0;
    return 0;
}

static void end_if_due(struct log_file *file, uint64_t now_ms)
{
    struct error error;

    if (file->segment && now_ms >= file->expires_ms && end_segment(file, &error) < 0)
        diag_error(NULL, &error, "ending a log segment in %s", file->log_dir);
}

/* ---- floors ---- */

static bool is_below(const struct log_floor *floor, uint64_t free_count, uint64_t total)
{
    if (total == 0)
        return false; /* file systems that do not count inodes say 0 */
    if (floor->percent > 0)
        return (double)free_count * 100 < (double)total * floor->percent;
    return free_count < floor->count;
}

static bool is_directory_below(const struct log_config *config, const char *log_dir)
{
    struct statvfs fs;

    if (statvfs(log_dir, &fs) < 0)
        return true;
    return is_below(&config->min_free_space, (uint64_t)fs.f_bavail * fs.f_frsize,
                    (uint64_t)fs.f_blocks * fs.f_frsize) ||
           is_below(&config->min_free_inodes, fs.f_favail, fs.f_files);
}

void writer_check_floors(struct log *log)
{
    bool below = false, was;

    for (size_t i = 0; i < log->file_count; i++)
        below = below || is_directory_below(&log->config, log->files[i].log_dir);
    was = atomic_exchange(&log->below_floor, below);
    if (below && !was)
        diag(DIAG_ERROR, NULL, "log %s: free space or inodes below the configured minimum, new mail is refused",
             log->config.log_dir);
    else if (was && !below)
        diag(DIAG_INFO, NULL, "log %s: free space and inodes above the configured minimum again", log->config.log_dir);
}

/* ---- the thread's round ---- */

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint64_t writer_tend(struct log *log, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;
    bool failing = false;

    if (now_ms >= log->floor_checked_ms + FLOOR_CHECK_MS) {
        log->floor_checked_ms = now_ms;
        writer_check_floors(log);
    }
    for (size_t i = 0; i < log->file_count; i++) {
        struct log_file *file = &log->files[i];

        if (now_ms >= file->retry_ms)
            write_file(log, file, now_ms);
        end_if_due(file, now_ms);
        if (file->retry_ms)
            next_ms = earlier(next_ms, file->retry_ms);
        if (file->segment)
            next_ms = earlier(next_ms, file->expires_ms);
        failing = failing || file->retry_ms;
    }
    atomic_store(&log->failing, failing);
    if (atomic_load(&log->below_floor))
        next_ms = earlier(next_ms, now_ms + FLOOR_CHECK_MS);
    return next_ms;
}

void writer_finish(struct log *log)
{
    struct error error;

    for (size_t i = 0; i < log->file_count; i++) {
        struct log_file *file = &log->files[i];
        size_t lost;

        write_file(log, file, clock_mono_ms());
        if (end_segment(file, &error) < 0)
            diag_error(NULL, &error, "ending a log segment in %s", file->log_dir);
        lost = file->unwritten.count;
        if (lost > 0)
            diag(DIAG_ERROR, NULL, "log %s: %zu records could not be written and are lost", file->log_dir, lost);
        release_until(log, file, NULL, METRIC_LOG_RECORDS_LOST);
    }
}
