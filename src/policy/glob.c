/* SPDX-License-Identifier: Apache-2.0
 *
 * See glob.h. Braces are expanded first, into whole patterns; each of these is then walked
 * component by component, so that only folders a pattern can match are read.
 */
#include "policy/glob.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/span.h"

#define MOST_PATTERNS 1000
#define MOST_NAMES 1000000 /* looked at */
#define DEEPEST 40
#define LONGEST_PATH 4096

struct walk {
    glob_file_fn *on_file;
    void *ctx;
    struct error *error;
    size_t patterns;
    size_t names;
    int depth;
};

static int walk_from(struct walk *walk, const char *dir, const char *pattern);

static bool stat_path(const char *path, struct stat *stat_out) { return stat(path, stat_out) == 0; }

/* Symbolic links to folders are followed where they are named, not by `**`. */
static bool is_real_folder(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool has_wildcard(const char *text) { return strpbrk(text, "*?[") != NULL; }

/* "dir" + "name"; false when it is too long to be a file. */
static bool join(char out[LONGEST_PATH], const char *dir, const char *name)
{
    size_t len = strlen(dir);
    int written = snprintf(out, LONGEST_PATH, "%s%s%s", dir, len && dir[len - 1] != '/' ? "/" : "", name);

    return written >= 0 && written < LONGEST_PATH;
}

/* `path` matched all of the pattern up to `rest` (NULL: the end). */
static int go_on(struct walk *walk, const char *path, const char *rest)
{
    struct stat st;

    if (rest)
        return stat_path(path, &st) && S_ISDIR(st.st_mode) ? walk_from(walk, path, rest) : 0;
    if (stat_path(path, &st) && S_ISREG(st.st_mode))
        walk->on_file(walk->ctx, path);
    return 0;
}

/* Each name in `dir` that matches `component`; with "**", each folder, to go on below it. */
static int read_folder(struct walk *walk, const char *dir, const char *component, const char *rest, const char *again)
{
    DIR *stream = opendir(*dir ? dir : ".");
    struct dirent *entry;
    char path[LONGEST_PATH];
    int status = 0;

    while (status == 0 && stream && (entry = readdir(stream))) {
        if (++walk->names > MOST_NAMES)
            status = error_set(walk->error, ERROR_PERM, "the pattern looks at more than %d files", MOST_NAMES);
        else if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || !join(path, dir, entry->d_name))
            continue;
        else if (again && entry->d_name[0] != '.' && is_real_folder(path))
            status = walk_from(walk, path, again);
        else if (!again && fnmatch(component, entry->d_name, FNM_PERIOD) == 0)
            status = go_on(walk, path, rest);
    }
    if (stream)
        closedir(stream);
    return status;
}

static int walk_component(struct walk *walk, const char *dir, const char *pattern)
{
    const char *slash = strchr(pattern, '/');
    const char *rest = slash ? slash + strspn(slash, "/") : NULL;
    char component[LONGEST_PATH];
    char path[LONGEST_PATH];
    size_t len = slash ? (size_t)(slash - pattern) : strlen(pattern);

    if (len >= sizeof component)
        return error_set(walk->error, ERROR_PERM, "the pattern is too long");
    memcpy(component, pattern, len);
    component[len] = '\0';
    if (!strcmp(component, "**")) {
        if (walk_from(walk, dir, rest ? rest : "*") < 0)
            return -1;
        return read_folder(walk, dir, component, NULL, pattern);
    }
    if (has_wildcard(component))
        return read_folder(walk, dir, component, rest, NULL);
    return join(path, dir, component) ? go_on(walk, path, rest) : 0;
}

static int walk_from(struct walk *walk, const char *dir, const char *pattern)
{
    int status;

    if (walk->depth == DEEPEST)
        return 0;
    walk->depth++;
    status = walk_component(walk, dir, pattern);
    walk->depth--;
    return status;
}

/* ---- braces ---- */

/* The brace that closes the one at `open`, or NULL. */
static const char *closing_brace(const char *open)
{
    int depth = 0;

    for (const char *at = open; *at; at++) {
        if (*at == '{')
            depth++;
        else if (*at == '}' && --depth == 0)
            return at;
    }
    return NULL;
}

/* The end of the alternative that begins at `from`: a comma or brace of its own level. */
static const char *alternative_end(const char *from, const char *close)
{
    int depth = 0;

    for (const char *at = from; at < close; at++) {
        if (*at == '{')
            depth++;
        else if (*at == '}')
            depth--;
        else if (*at == ',' && depth == 0)
            return at;
    }
    return close;
}

static int expand(struct walk *walk, const char *pattern);

static int expand_alternatives(struct walk *walk, const char *pattern, const char *open, const char *close)
{
    const char *from = open + 1;
    int status;

    for (;;) {
        const char *end = alternative_end(from, close);
        char *whole = mem_printf("%.*s%.*s%s", (int)(open - pattern), pattern, (int)(end - from), from, close + 1);

        status = expand(walk, whole);
        free(whole);
        if (status < 0 || end == close)
            return status;
        from = end + 1;
    }
}

static int expand(struct walk *walk, const char *pattern)
{
    const char *open = strchr(pattern, '{');
    const char *close = open ? closing_brace(open) : NULL;

    if (++walk->patterns > MOST_PATTERNS)
        return error_set(walk->error, ERROR_PERM, "the pattern has more than %d alternatives", MOST_PATTERNS);
    if (open && !close)
        return error_set(walk->error, ERROR_PERM, "the pattern has a { without its }");
    if (open)
        return expand_alternatives(walk, pattern, open, close);
    if (*pattern == '/')
        return walk_from(walk, "/", pattern + strspn(pattern, "/"));
    return walk_from(walk, "", pattern);
}

int glob_walk(const char *pattern, glob_file_fn *on_file, void *ctx, struct error *error)
{
    struct walk walk = {.on_file = on_file, .ctx = ctx, .error = error};

    if (strlen(pattern) >= LONGEST_PATH)
        return error_set(error, ERROR_PERM, "the pattern is too long");
    return expand(&walk, pattern);
}
