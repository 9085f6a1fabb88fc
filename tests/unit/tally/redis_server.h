/* SPDX-License-Identifier: Apache-2.0
 *
 * A real redis-server of the test's own, on a unix socket in a directory that goes with it.
 */
#ifndef GATEPOST_TESTS_TALLY_REDIS_SERVER_H
#define GATEPOST_TESTS_TALLY_REDIS_SERVER_H

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct redis_server {
    pid_t pid;
    char dir[64];
    char path[96];
    const char *const *options; /* pairs, NULL-terminated; or NULL */
};

static inline void redis_server_exec(const struct redis_server *server, int out)
{
    const char *argv[32] = {"redis-server", "--port", "0",     "--unixsocket", server->path,
                            "--save",       "",       "--dir", server->dir};
    int argc = 9;

    for (const char *const *option = server->options; option && *option; option++)
        argv[argc++] = *option;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(out, STDOUT_FILENO) >= 0)
        execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(1);
}

/* Returns when it listens, which it says. */
static inline void redis_server_start(struct redis_server *server)
{
    char line[512] = "";
    FILE *said;
    int out[2];

    if (!server->dir[0]) {
        snprintf(server->dir, sizeof server->dir, "/tmp/gatepost-tally-XXXXXX");
        if (!mkdtemp(server->dir))
            abort();
        snprintf(server->path, sizeof server->path, "%s/redis.sock", server->dir);
    }
    if (pipe2(out, O_CLOEXEC) || (server->pid = fork()) < 0)
        abort();
    if (!server->pid)
        redis_server_exec(server, out[1]);
    close(out[1]);
    said = fdopen(out[0], "r");
    while (!strstr(line, "ready to accept connections"))
        if (!said || !fgets(line, sizeof line, said))
            abort();
    fclose(said);
}

static inline void redis_server_kill(struct redis_server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

static inline void redis_server_stop(struct redis_server *server)
{
    if (server->pid)
        redis_server_kill(server);
    unlink(server->path);
    rmdir(server->dir);
}

static inline void redis_server_say(const struct redis_server *server, const char *command)
{
    redisContext *context = redisConnectUnix(server->path);
    redisReply *reply = context && !context->err ? redisCommand(context, command) : NULL;

    if (!reply || reply->type == REDIS_REPLY_ERROR)
        abort();
    freeReplyObject(reply);
    redisFree(context);
}

#endif
