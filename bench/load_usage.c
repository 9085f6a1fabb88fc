/* SPDX-License-Identifier: Apache-2.0
 *
 * What a server costs, asked of the kernel from outside.
 *
 * A server may be one process with threads or a tree of short-lived ones. The kernel keeps a
 * clock per process, to the nanosecond, over all threads it ever had; and adds a child's times
 * to its parent when the parent has waited for it (in ticks of 10 ms, but per parent, not per
 * child). So: the clocks of all that live, plus what each has inherited from its dead.
 */
#include "load.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MOST 16384
#define SETTLE_STEP_MS 200
#define SETTLE_STEPS_MOST 150
#define SETTLED_SHARE 0.01 /* of one processor */

struct process {
    pid_t pid;
    pid_t parent;
    double dead_us; /* CPU time of children waited for */
};

static int read_process(const char *pid, struct process *process)
{
    char path[64];
    char text[1024];
    unsigned long user, system;
    const char *after;
    FILE *file;
    size_t len;

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    file = fopen(path, "r");
    if (!file)
        return -1;
    len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    after = strrchr(text, ')'); /* the name may contain anything, brackets too */
    if (!after || sscanf(after + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %lu %lu", &process->parent,
                         &user, &system) != 3)
        return -1;
    process->pid = (pid_t)strtol(pid, NULL, 10);
    process->dead_us = (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
    return 0;
}

static size_t read_processes(struct process *processes)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;

    while (proc && count < PROCESSES_MOST && (entry = readdir(proc)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && !read_process(entry->d_name, &processes[count]))
            count++;
    if (proc)
        closedir(proc);
    return count;
}

static double clock_us(pid_t pid)
{
    clockid_t clock;
    struct timespec spent;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &spent))
        return 0; /* it ended between the look and this */
    return (double)spent.tv_sec * 1e6 + (double)spent.tv_nsec / 1e3;
}

static double pss_kib(pid_t pid)
{
    char path[64];
    char line[256];
    double kib = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    file = fopen(path, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Pss: %lf kB", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

static void add_tree(const struct process *processes, size_t count, pid_t root, bool memory, struct usage *usage)
{
    for (size_t i = 0; i < count; i++) {
        if (processes[i].pid == root) {
            usage->cpu_us += processes[i].dead_us + clock_us(root);
            usage->pss_kib += memory ? pss_kib(root) : 0;
        } else if (processes[i].parent == root) {
            add_tree(processes, count, processes[i].pid, memory, usage);
        }
    }
}

static struct usage read_trees(const char *pids, bool memory)
{
    struct process *processes = calloc(PROCESSES_MOST, sizeof *processes);
    struct usage usage = {0};
    const char *at = pids;
    size_t count;
    char *end;

    if (!processes)
        abort();
    count = read_processes(processes);
    for (long pid = strtol(at, &end, 10); end != at; pid = strtol(at, &end, 10)) {
        add_tree(processes, count, (pid_t)pid, memory, &usage);
        at = *end == ',' ? end + 1 : end;
    }
    free(processes);
    return usage;
}

struct usage usage_read(const char *pids) { return read_trees(pids, true); }

void usage_settle(const char *pids)
{
    const struct timespec step = {0, SETTLE_STEP_MS * 1000000L};
    double before = read_trees(pids, false).cpu_us;

    for (int i = 0; i < SETTLE_STEPS_MOST; i++) {
        double after;

        nanosleep(&step, NULL);
        after = read_trees(pids, false).cpu_us;
        if (after - before < SETTLED_SHARE * SETTLE_STEP_MS * 1000)
            return;
        before = after;
    }
    fprintf(stderr, "bench-load: the server does not come to rest\n");
}
