/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading TZif: a list of moments and the offset that holds from each on. Debian's files
 * list the moments up to 2037; after the last one its offset is kept.
 */
#include "message/zone.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

#define FOLDER "/usr/share/zoneinfo/"
#define FILE_LIMIT_BYTES 65536
#define NAME_LIMIT 64
#define HEADER_BYTES 44
#define TRANSITIONS_LIMIT 4096

struct zone {
    char *name;
    size_t count;
    int64_t *since_s;
    int32_t *offset_s;
    int32_t first_offset_s;
};

/* shared, under lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map zones;

static int64_t get_be(const unsigned char *at, int bytes)
{
    uint64_t value = at[0] & 0x80 ? UINT64_MAX : 0;

    for (int i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return (int64_t)value;
}

struct counts {
    size_t isut, isstd, leap, transitions, types, chars;
};

/* Reads one header; false when it is none, or claims more than a zone can have. */
static bool read_header(const unsigned char *file, size_t len, struct counts *counts_out)
{
    size_t numbers[6];

    if (len < HEADER_BYTES || memcmp(file, "TZif", 4) != 0)
        return false;
    for (size_t i = 0; i < 6; i++) {
        int64_t number = get_be(file + 20 + 4 * i, 4);

        if (number < 0 || number > TRANSITIONS_LIMIT)
            return false;
        numbers[i] = (size_t)number;
    }
    *counts_out = (struct counts){numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]};
    return counts_out->types > 0;
}

static size_t block_bytes(const struct counts *counts, size_t time_bytes)
{
    return counts->transitions * (time_bytes + 1) + counts->types * 6 + counts->chars +
           counts->leap * (time_bytes + 4) + counts->isstd + counts->isut;
}

static bool fill(struct zone *zone, const unsigned char *block, const struct counts *counts)
{
    const unsigned char *indexes = block + counts->transitions * 8;
    const unsigned char *types = indexes + counts->transitions;

    zone->first_offset_s = (int32_t)get_be(types, 4);
    zone->count = counts->transitions;
    zone->since_s = mem_alloc((zone->count + 1) * sizeof *zone->since_s);
    zone->offset_s = mem_alloc((zone->count + 1) * sizeof *zone->offset_s);
    for (size_t i = 0; i < zone->count; i++) {
        if (indexes[i] >= counts->types)
            return false;
        zone->since_s[i] = get_be(block + 8 * i, 8);
        zone->offset_s[i] = (int32_t)get_be(types + 6 * indexes[i], 4);
    }
    return true;
}

/* The first block has 32-bit times and is skipped; the second, since version 2, 64-bit. */
static bool parse(struct zone *zone, const unsigned char *file, size_t len)
{
    struct counts counts;
    size_t skip;

    if (!read_header(file, len, &counts) || file[4] < '2')
        return false;
    skip = HEADER_BYTES + block_bytes(&counts, 4);
    if (skip > len || !read_header(file + skip, len - skip, &counts))
        return false;
    skip += HEADER_BYTES;
    return block_bytes(&counts, 8) <= len - skip && fill(zone, file + skip, &counts);
}

static void zone_free(struct zone *zone)
{
    free(zone->name);
    free(zone->since_s);
    free(zone->offset_s);
    free(zone);
}

static struct zone *load(const char *name, struct error *error)
{
    unsigned char file[FILE_LIMIT_BYTES];
    struct zone *zone;
    char path[sizeof FOLDER + NAME_LIMIT];
    size_t len;
    FILE *stream;

    snprintf(path, sizeof path, FOLDER "%s", name);
    stream = fopen(path, "rbe");
    if (!stream) {
        error_set_errno(error, ERROR_PERM, errno, "no time zone %s", name);
        return NULL;
    }
    len = fread(file, 1, sizeof file, stream);
    fclose(stream);
    zone = mem_zalloc(sizeof *zone);
    zone->name = mem_strdup(name);
    if (!parse(zone, file, len)) {
        zone_free(zone);
        error_set(error, ERROR_PERM, "%s is not a time zone file", path);
        return NULL;
    }
    return zone;
}

/* Names come from policies and headers: they must not be able to name other files. */
static bool is_name(struct span name)
{
    if (name.len == 0 || name.len >= NAME_LIMIT || name.data[0] == '/')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.data[i]);

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && !(c != '\0' && strchr("_+-/", c)))
            return false;
    }
    return true;
}

const struct zone *zone_find(struct span name, struct error *error)
{
    char copy[NAME_LIMIT];
    struct zone *zone;

    if (!is_name(name)) {
        error_set(error, ERROR_PERM, "not the name of a time zone");
        return NULL;
    }
    memcpy(copy, name.data, name.len);
    copy[name.len] = '\0';
    pthread_mutex_lock(&lock);
    zone = map_find(&zones, name);
    if (!zone) {
        zone = load(copy, error);
        if (zone)
            map_put(&zones, name, zone);
    }
    pthread_mutex_unlock(&lock);
    return zone;
}

const char *zone_name(const struct zone *zone) { return zone->name; }

int32_t zone_offset_s(const struct zone *zone, int64_t utc_s)
{
    size_t low = 0;
    size_t high = zone->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (zone->since_s[middle] <= utc_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? zone->first_offset_s : zone->offset_s[low - 1];
}
