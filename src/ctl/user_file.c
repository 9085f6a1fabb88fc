/* SPDX-License-Identifier: Apache-2.0
 *
 * The new text is written beside the file and renamed over it. The lock is on the folder, since the file itself is
 * another one after each change.
 */
#include "ctl/user_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"

#define FILE_LIMIT_BYTES ((size_t)64 << 20)
#define READ_BYTES 65536

struct edit {
    char *path; /* where it really is */
    char *folder, *beside;
    int folder_fd;
    bool is_new;
    struct stat was;
    struct buf old, new;
};

int user_file_check_name(const char *user, struct error *error)
{
    if (!*user || *user == '#' || strpbrk(user, ":\r\n") || span_trim(span_of(user)).len != strlen(user))
        return error_set(error, ERROR_PERM,
                         "a user's name has no colon, line end or space around it, and does not begin with '#'");
    return 0;
}

/* ---- the text ---- */

/* One line without its end; false when there is none left. */
static bool take_line(struct span *rest, struct span *line_out)
{
    size_t len = span_find(*rest, '\n');

    if (rest->len == 0)
        return false;
    *line_out = span_head(*rest, len);
    *rest = span_from(*rest, len + 1);
    return true;
}

static bool is_of(struct span line, struct span user)
{
    return line.len > user.len && line.data[user.len] == ':' && span_starts_with(line, user);
}

/* What follows the stored password: ":uid:gid..." or nothing. */
static struct span tail_of(struct span line, struct span user)
{
    struct span rest = span_from(line, user.len + 1);

    return span_from(rest, span_find(rest, ':'));
}

static int add_line(struct buf *text, struct span user, struct span stored, struct span tail)
{
    return buf_append_span(text, user) || buf_append(text, ":", 1) || buf_append_span(text, stored) ||
           buf_append_span(text, tail) || buf_append(text, "\n", 1);
}

static int rewrite(struct edit *edit, struct span user, struct span stored, size_t *found_out)
{
    struct span rest = buf_span(&edit->old), line;
    int status = 0;

    *found_out = 0;
    while (!status && take_line(&rest, &line)) {
        if (is_of(line, user)) {
            ++*found_out;
            status = add_line(&edit->new, user, stored, tail_of(line, user));
        } else {
            status = buf_append_span(&edit->new, line) || buf_append(&edit->new, "\n", 1);
        }
    }
    if (!status && *found_out == 0)
        status = add_line(&edit->new, user, stored, SPAN_LIT(""));
    return status;
}

/* ---- the file ---- */

/* A link stays a link: what it leads to is changed. */
static void find_place(struct edit *edit, const char *path)
{
    char real[PATH_MAX];
    const char *slash;

    edit->path = mem_strdup(realpath(path, real) ? real : path);
    slash = strrchr(edit->path, '/');
    edit->folder = slash ? mem_strndup(edit->path, (size_t)(slash - edit->path) + 1) : mem_strdup(".");
    edit->beside = mem_printf("%s.XXXXXX", edit->path);
}

static int lock_folder(struct edit *edit, struct error *error)
{
    edit->folder_fd = open(edit->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (edit->folder_fd < 0 || flock(edit->folder_fd, LOCK_EX))
        return error_set_errno(error, ERROR_TEMP, errno, "cannot lock the folder %s", edit->folder);
    return 0;
}

static int read_all(struct edit *edit, int fd, struct error *error)
{
    ssize_t got;

    do {
        char *room = buf_reserve(&edit->old, READ_BYTES);

        if (!room)
            return error_set(error, ERROR_PERM, "%s is larger than %zu MiB", edit->path, FILE_LIMIT_BYTES >> 20);
        got = read(fd, room, READ_BYTES);
        if (got > 0)
            buf_commit(&edit->old, (size_t)got);
    } while (got > 0);
    return got < 0 ? error_set_errno(error, ERROR_TEMP, errno, "cannot read %s", edit->path) : 0;
}

static int read_old(struct edit *edit, struct error *error)
{
    int fd = open(edit->path, O_RDONLY | O_CLOEXEC);
    int status;

    edit->is_new = fd < 0 && errno == ENOENT;
    if (edit->is_new)
        return 0;
    if (fd < 0)
        return error_set_errno(error, ERROR_TEMP, errno, "cannot open %s", edit->path);
    if (fstat(fd, &edit->was) || !S_ISREG(edit->was.st_mode))
        status = error_set(error, ERROR_PERM, "%s is not a file", edit->path);
    else
        status = read_all(edit, fd, error);
    close(fd);
    return status;
}

/* mkostemp gives 0600 and our own ids, which is right for a new file. */
static int take_over_rights(const struct edit *edit, int fd)
{
    if (edit->is_new)
        return 0;
    if ((edit->was.st_uid != geteuid() || edit->was.st_gid != getegid()) &&
        fchown(fd, edit->was.st_uid, edit->was.st_gid))
        return -1;
    return fchmod(fd, edit->was.st_mode & 07777);
}

static int write_all(int fd, struct span text)
{
    while (text.len > 0) {
        ssize_t put = write(fd, text.data, text.len);

        if (put < 0 && errno != EINTR)
            return -1;
        text = span_from(text, put > 0 ? (size_t)put : 0);
    }
    return 0;
}

static int put_in_place(struct edit *edit, struct error *error)
{
    int fd = mkostemp(edit->beside, O_CLOEXEC);

    if (fd < 0)
        return error_set_errno(error, ERROR_TEMP, errno, "cannot write in %s", edit->folder);
    if (take_over_rights(edit, fd) || write_all(fd, buf_span(&edit->new)) || fsync(fd) ||
        rename(edit->beside, edit->path)) {
        error_set_errno(error, ERROR_TEMP, errno, "cannot write %s", edit->path);
        unlink(edit->beside);
        close(fd);
        return -1;
    }
    close(fd);
    if (fsync(edit->folder_fd))
        return error_set_errno(error, ERROR_TEMP, errno, "%s is written, but may not outlive a power failure",
                               edit->path);
    return 0;
}

static int change(struct edit *edit, struct span user, struct span stored, bool *was_there_out, struct error *error)
{
    size_t found;

    if (lock_folder(edit, error) || read_old(edit, error))
        return -1;
    if (rewrite(edit, user, stored, &found))
        return error_set(error, ERROR_PERM, "%s would be larger than %zu MiB", edit->path, FILE_LIMIT_BYTES >> 20);
    if (found > 1)
        return error_set(error, ERROR_PERM, "%s has %zu lines of this user: which one to change is yours to say",
                         edit->path, found);
    *was_there_out = found == 1;
    return put_in_place(edit, error);
}

static void wipe(struct buf *text)
{
    if (text->data)
        secret_wipe(text->data, text->capacity);
    buf_done(text);
}

int user_file_set(const char *path, const char *user, struct span stored, bool *was_there_out, struct error *error)
{
    struct edit edit = {.folder_fd = -1};
    int status;

    if (user_file_check_name(user, error))
        return -1;
    if (memchr(stored.data, ':', stored.len) || memchr(stored.data, '\n', stored.len))
        return error_set(error, ERROR_PERM, "a stored password with a colon or a line end does not fit into the file");
    buf_init(&edit.old, FILE_LIMIT_BYTES);
    buf_init(&edit.new, FILE_LIMIT_BYTES);
    find_place(&edit, path);
    status = change(&edit, span_of(user), stored, was_there_out, error);
    if (edit.folder_fd >= 0)
        close(edit.folder_fd);
    wipe(&edit.old);
    wipe(&edit.new);
    free(edit.path);
    free(edit.folder);
    free(edit.beside);
    return status;
}
