/* SPDX-License-Identifier: Apache-2.0
 *
 * A server of tests/support that runs beside a unit test: started as a program, told what to do in lines, each answered
 * with a line, and gone with the test. In a header because test programs are one file each.
 */
#ifndef GATEPOST_TESTS_HELPER_H
#define GATEPOST_TESTS_HELPER_H

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct helper {
    pid_t pid;
    FILE *in, *out;
    json_t *place; /* what it said first */
};

static inline void helper_read(struct helper *helper, char *line, size_t size)
{
    if (!fgets(line, (int)size, helper->out))
        abort();
}

/* `script` is below tests/support. */
static inline void helper_start(struct helper *helper, const char *script)
{
    const char *source = getenv("GATEPOST_SOURCE_DIR");
    int in[2], out[2];
    char path[512], line[1024];

    snprintf(path, sizeof path, "%s/tests/support/%s", source ? source : ".", script);
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || (helper->pid = fork()) < 0)
        abort();
    if (helper->pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execl("/usr/bin/python3", "python3", "-B", path, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    helper->in = fdopen(in[1], "w");
    helper->out = fdopen(out[0], "r");
    helper_read(helper, line, sizeof line);
    helper->place = json_loads(line, 0, NULL);
}

static inline const char *helper_place(const struct helper *helper, const char *key)
{
    return json_string_value(json_object_get(helper->place, key));
}

/* The answer, to be freed; NULL when it is not JSON. */
static inline json_t *helper_tell(struct helper *helper, const char *command)
{
    char line[1024];

    fprintf(helper->in, "%s\n", command);
    fflush(helper->in);
    helper_read(helper, line, sizeof line);
    return json_loads(line, 0, NULL);
}

static inline void helper_stop(struct helper *helper)
{
    fclose(helper->in);
    waitpid(helper->pid, NULL, 0);
    fclose(helper->out);
    json_decref(helper->place);
}

#endif
