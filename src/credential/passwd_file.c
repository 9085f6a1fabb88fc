/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines stay text in the one buffer they were read into; a map leads from a name to its first line, lines of one name
 * hang together. A line becomes a row, and rows a record, only when somebody asks; once for each user at loading, so
 * that what cannot be used is not taken.
 */
#include "credential/passwd_file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/secret.h"
#include "credential/credential_private.h"
#include "credential/store_fields.h"
#include "data/data.h"

#define READ_AHEAD_BYTES ((size_t)128 << 10) /* for what is added while it is read */
#define SETTLED_AFTER_S 2                    /* the coarsest clock of a file system in use */

struct line {
    struct line *next; /* of the same user */
    size_t number;
    struct span rest; /* behind "user:" */
};

struct passwd_file {
    struct buf text;
    struct map users; /* to struct line */
    struct passwd_stamp stamp;
};

/* ---- stamps ---- */

int passwd_stamp_of(const char *path, struct passwd_stamp *stamp_out, struct error *error)
{
    struct stat status;
    int64_t now_s = clock_wall_ms() / 1000;

    if (stat(path, &status))
        return error_set_errno(error, ERROR_TEMP, errno, "cannot look at %s", path);
    *stamp_out = (struct passwd_stamp){
        .device = status.st_dev,
        .inode = status.st_ino,
        .size = status.st_size,
        .modified = status.st_mtim,
        .changed = status.st_ctim,
        .is_settled = now_s - status.st_ctim.tv_sec >= SETTLED_AFTER_S,
    };
    return 0;
}

static bool same_time(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

bool passwd_stamp_equal(const struct passwd_stamp *known, const struct passwd_stamp *now)
{
    return known->is_settled && known->device == now->device && known->inode == now->inode &&
           known->size == now->size && same_time(known->modified, now->modified) &&
           same_time(known->changed, now->changed);
}

/* ---- one line ---- */

/* Dovecot's names for what we have. */
static struct span our_name(struct span key)
{
    if (span_eq(key, SPAN_LIT("allow_nets")))
        return SPAN_LIT("networks");
    if (span_eq(key, SPAN_LIT("nologin")))
        return SPAN_LIT("disabled");
    return key;
}

static int read_extra(struct span extra, json_t *row, struct error *error)
{
    struct span field;

    while (span_split(&extra, ' ', &field)) {
        size_t at = span_find(field, '=');
        struct span key = span_head(field, at);
        struct span value = at < field.len ? span_from(field, at + 1) : SPAN_LIT("yes");

        if (span_eq(key, SPAN_LIT("nopassword")))
            return error_set(error, ERROR_PERM, "nopassword would let anybody in");
        if (store_fields_set(row, our_name(key), value, error))
            return -1;
    }
    return 0;
}

/* uid, gid, gecos, home and shell are not ours, but what is meant for us and stands there is a mistake. */
static int skip_others(struct span *rest, struct error *error)
{
    for (int i = 0; i < 5; i++) {
        struct span field;

        if (!span_split(rest, ':', &field))
            return 0;
        if (i < 2 && span_find(field, '=') < field.len)
            return error_set(error, ERROR_PERM, "extra fields stand behind the seventh colon");
    }
    return 0;
}

static int read_line(const struct line *line, json_t *row, struct error *error)
{
    struct span rest = line->rest;
    struct span password = {NULL, 0};

    span_split(&rest, ':', &password);
    if (span_starts_with(password, SPAN_LIT("SCRAM-SHA-")))
        return error_set(error, ERROR_PERM, "SCRAM keys with colons do not fit here; {SCRAM-SHA-256} has commas");
    if (store_fields_set(row, SPAN_LIT("password"), password, error))
        return -1;
    if (skip_others(&rest, error))
        return -1;
    return rest.data ? read_extra(span_trim(rest), row, error) : 0;
}

/* ---- one user ---- */

/* On failure `*number_out` is the line at fault. */
static json_t *read_user(const struct line *first, size_t *number_out, struct error *error)
{
    json_t *rows = json_array();

    for (const struct line *line = first; line; line = line->next) {
        json_t *row = json_object();

        *number_out = line->number;
        json_array_append_new(rows, row);
        if (read_line(line, row, error)) {
            store_fields_free(rows);
            return NULL;
        }
    }
    return store_fields_merge(rows, error);
}

enum store_outcome passwd_file_find(const struct passwd_file *file, const char *user, json_t **fields_out,
                                    struct error *error)
{
    const struct line *first = map_find(&file->users, span_of(user));
    size_t number = 0;
    json_t *fields;

    if (!first)
        return STORE_NOT_FOUND;
    fields = read_user(first, &number, error);
    if (!fields)
        return STORE_FAILED;
    *fields_out = fields;
    return STORE_FOUND;
}

static int check_user(const char *path, struct span user, const struct line *first, struct error *error)
{
    char *name = span_dup(user);
    size_t number = first->number;
    json_t *fields = read_user(first, &number, error);
    struct credential *credential = fields ? credential_from_json(name, fields, true, error) : NULL;
    bool is_good = credential != NULL;

    credential_unref(&credential);
    store_fields_free(fields);
    free(name);
    return is_good ? 0 : error_prefix(error, "%s:%zu", path, number);
}

/* ---- the whole file ---- */

static void add_line(struct passwd_file *file, struct span user, struct span rest, size_t number)
{
    struct line *line = mem_zalloc(sizeof *line);
    struct line *first = map_find(&file->users, user);

    line->number = number;
    line->rest = rest;
    if (!first) {
        map_put(&file->users, user, line);
        return;
    }
    line->next = first->next; /* the order among secrets means nothing */
    first->next = line;
}

static int take_line(struct passwd_file *file, struct span text, size_t number, struct error *error)
{
    size_t colon = span_find(text, ':');
    struct span user = span_head(text, colon);

    if (text.len > PASSWD_LINE_LIMIT)
        return error_set(error, ERROR_PERM, "the line is longer than %zu octets", PASSWD_LINE_LIMIT);
    if (span_trim(text).len == 0 || text.data[0] == '#')
        return 0;
    if (colon == text.len)
        return error_set(error, ERROR_PERM, "no colon behind a name");
    if (!credential_text_is_sound(user))
        return error_set(error, ERROR_PERM, "the name is empty, too long, not UTF-8 or has control characters");
    add_line(file, user, span_from(text, colon + 1), number);
    return 0;
}

static int take_lines(struct passwd_file *file, const char *path, struct error *error)
{
    struct span rest = buf_span(&file->text);
    struct span text;
    size_t number = 0;

    while (span_split(&rest, '\n', &text)) {
        if (text.len && text.data[text.len - 1] == '\r')
            text.len--;
        if (take_line(file, text, ++number, error))
            return error_prefix(error, "%s:%zu", path, number);
    }
    return 0;
}

static int check_users(const struct passwd_file *file, const char *path, struct error *error)
{
    struct map_cursor cursor = {0};
    struct span user;
    void *first;

    while (map_next(&file->users, &cursor, &user, &first))
        if (check_user(path, user, first, error))
            return -1;
    return 0;
}

static int load(struct passwd_file *file, const char *path, struct error *error)
{
    if (passwd_stamp_of(path, &file->stamp, error))
        return -1;
    /* room for all of it at once: a buffer that grew would leave pieces of it behind, unwiped */
    if (file->stamp.size >= 0 && (size_t)file->stamp.size <= PASSWD_FILE_LIMIT &&
        !buf_reserve(&file->text, (size_t)file->stamp.size + READ_AHEAD_BYTES))
        return error_set(error, ERROR_TEMP, "no memory for %s", path);
    if (data_read_file(path, PASSWD_FILE_LIMIT, &file->text, error) || take_lines(file, path, error))
        return -1;
    return check_users(file, path, error);
}

struct passwd_file *passwd_file_load(const char *path, struct error *error)
{
    struct passwd_file *file = mem_zalloc(sizeof *file);

    buf_init(&file->text, PASSWD_FILE_LIMIT + 2 * READ_AHEAD_BYTES);
    map_init(&file->users);
    if (!load(file, path, error))
        return file;
    passwd_file_free(file);
    return NULL;
}

static void free_lines(void *value)
{
    struct line *line = value;

    while (line) {
        struct line *next = line->next;

        free(line);
        line = next;
    }
}

void passwd_file_free(struct passwd_file *file)
{
    if (!file)
        return;
    map_done(&file->users, free_lines);
    secret_wipe(file->text.data, file->text.capacity);
    buf_done(&file->text);
    free(file);
}

const struct passwd_stamp *passwd_file_stamp(const struct passwd_file *file) { return &file->stamp; }
