/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests of this room: a directory of their own, and reading segments back.
 */
#ifndef GATEPOST_TESTS_LOG_SUPPORT_H
#define GATEPOST_TESTS_LOG_SUPPORT_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

static char support_dir[64];

static inline int make_dir(void **state)
{
    (void)state;
    snprintf(support_dir, sizeof support_dir, "/tmp/gatepost-log-XXXXXX");
    return mkdtemp(support_dir) ? 0 : -1;
}

static inline int remove_dir(void **state)
{
    DIR *dir = opendir(support_dir);
    struct dirent *entry;

    (void)state;
    while (dir && (entry = readdir(dir))) {
        char path[512];

        snprintf(path, sizeof path, "%s/%s", support_dir, entry->d_name);
        if (unlink(path) < 0 && entry->d_name[0] != '.')
            rmdir(path);
    }
    if (dir)
        closedir(dir);
    return rmdir(support_dir);
}

static inline int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Names of the files in the directory, sorted; the caller frees them. */
static inline size_t list_files(char *names[], size_t most)
{
    DIR *dir = opendir(support_dir);
    struct dirent *entry;
    size_t count = 0;

    while (dir && (entry = readdir(dir)) && count < most)
        if (entry->d_name[0] != '.')
            names[count++] = strdup(entry->d_name);
    if (dir)
        closedir(dir);
    qsort(names, count, sizeof *names, by_name);
    return count;
}

/* All text that can be read from a segment, as a C string the caller frees. */
static inline char *read_segment(const char *name, bool *whole_out)
{
    char path[512], in_data[1 << 16], *text = calloc(1, 1 << 22);
    ZSTD_DCtx *zstd = ZSTD_createDCtx();
    ZSTD_outBuffer out = {text, (1 << 22) - 1, 0};
    size_t left = 1, got;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", support_dir, name);
    file = fopen(path, "rb");
    while (file && (got = fread(in_data, 1, sizeof in_data, file)) > 0) {
        ZSTD_inBuffer in = {in_data, got, 0};

        while (in.pos < in.size && !ZSTD_isError(left))
            left = ZSTD_decompressStream(zstd, &out, &in);
    }
    if (file)
        fclose(file);
    *whole_out = left == 0;
    ZSTD_freeDCtx(zstd);
    return text;
}

static inline mode_t mode_of(const char *name)
{
    char path[512];
    struct stat status;

    snprintf(path, sizeof path, "%s/%s", support_dir, name);
    return stat(path, &status) == 0 ? status.st_mode & 0777 : 0;
}

#endif
