/* SPDX-License-Identifier: Apache-2.0
 *
 * The load generator. Drives connections through one dialogue for a time, and reads from the
 * kernel what that cost the server.
 *
 *   bench-load --port P --pid PID[,PID...] --mode session|message|stream|refused|idle|flood
 *              [--connections C] [--seconds S] [--bytes N] [--user U] [--password W] [--mechanism M]
 *              [--pause MS] [--units N] [--source IP] [--sources N] [--certificate PEM] [--cold] [--stay]
 *
 *   session  connect, STARTTLS, AUTH PLAIN, QUIT; again
 *   message  the same with one message of N bytes before QUIT
 *   stream   long sessions: message after message, commands pipelined up to DATA
 *   refused  as session, with a wrong password
 *   flood    the same; it may be answered 4xx as well, and is not warmed up
 *   idle     opens C sessions up to AUTH and holds them
 *
 * Prints one line of JSON. A run to warm up is not counted; the bill is closed when the
 * server has come to rest, so that work put off (deliveries, logs) is paid for by its messages.
 * --units ends it after N sessions, in a stream after N messages; --cold leaves the warm-up out. --sources spreads the
 * connections over N addresses from --source on; --stay holds idle sessions until SIGTERM.
 */
#include "load.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_UP_SHARE 0.3 /* of the time that is measured */
#define WARM_UP_MOST 2.0  /* seconds */

static const char *const mode_names[] = {"session", "message", "stream", "refused", "idle", "flood"};

struct options {
    enum mode mode;
    uint16_t port;
    const char *pids;
    size_t connections;
    double seconds;
    bool cold;
    bool stay;
    size_t bytes;
    struct login login;
    struct clients_options clients;
};

static enum mode parse_mode(const char *name)
{
    for (size_t i = 0; i < sizeof mode_names / sizeof mode_names[0]; i++)
        if (!strcmp(name, mode_names[i]))
            return (enum mode)i;
    fprintf(stderr, "bench-load: unknown mode '%s'\n", name);
    exit(2);
}

static void set_option(struct options *options, int flag, const char *value)
{
    switch (flag) {
    case 'p':
        options->port = (uint16_t)strtoul(value, NULL, 10);
        break;
    case 'i':
        options->pids = value;
        break;
    case 'm':
        options->mode = parse_mode(value);
        break;
    case 'c':
        options->connections = strtoul(value, NULL, 10);
        break;
    case 's':
        options->seconds = strtod(value, NULL);
        break;
    case 'b':
        options->bytes = strtoul(value, NULL, 10);
        break;
    case 'u':
        options->login.user = value;
        break;
    case 'w':
        options->login.password = value;
        break;
    case 'a':
        options->login.mechanism = value;
        break;
    case 'z':
        options->clients.pause_us = strtoul(value, NULL, 10) * 1000;
        break;
    case 'n':
        options->clients.units_most = strtoull(value, NULL, 10);
        break;
    case 'f':
        options->clients.source = value;
        break;
    case 'k':
        options->clients.certificate = value;
        break;
    case 'o':
        options->cold = true;
        break;
    case 'y':
        options->stay = true;
        break;
    case 'r':
        options->clients.sources = strtoul(value, NULL, 10);
        break;
    default:
        exit(2);
    }
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option flags[] = {
        {"port", 1, NULL, 'p'},        {"pid", 1, NULL, 'i'},      {"mode", 1, NULL, 'm'},
        {"connections", 1, NULL, 'c'}, {"seconds", 1, NULL, 's'},  {"bytes", 1, NULL, 'b'},
        {"user", 1, NULL, 'u'},        {"password", 1, NULL, 'w'}, {"mechanism", 1, NULL, 'a'},
        {"pause", 1, NULL, 'z'},       {"units", 1, NULL, 'n'},    {"source", 1, NULL, 'f'},
        {"certificate", 1, NULL, 'k'}, {"cold", 0, NULL, 'o'},     {"stay", 0, NULL, 'y'},
        {"sources", 1, NULL, 'r'},     {NULL, 0, NULL, 0},
    };
    struct options options = {.connections = 32, .seconds = 5, .bytes = 10240, .login = {"PLAIN", "scott", "tiger"}};
    int flag;

    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1)
        set_option(&options, flag, optarg);
    if (!options.port || !options.pids || !options.connections) {
        fprintf(stderr, "bench-load: --port and --pid are needed\n");
        exit(2);
    }
    return options;
}

static void measure_idle(const struct options *options, struct clients *clients)
{
    struct usage before, after;
    struct counts counts;

    usage_settle(options->pids);
    before = usage_read(options->pids);
    clients_run(clients, options->seconds);
    usage_settle(options->pids);
    after = usage_read(options->pids);
    counts = clients_counts(clients);
    printf("{\"mode\":\"idle\",\"units\":%zu,\"failures\":%llu,\"kib_per_unit\":%.2f}\n", counts.held,
           (unsigned long long)counts.failures,
           (after.pss_kib - before.pss_kib) / (double)(counts.held ? counts.held : 1));
    fflush(stdout);
    if (options->stay)
        clients_stay(clients);
}

static void measure(const struct options *options, struct clients *clients)
{
    struct usage before, after;
    struct counts counts;
    uint64_t began, units;
    double seconds;

    if (options->mode != MODE_FLOOD && !options->cold) {
        clients_run(clients,
                    options->seconds < WARM_UP_MOST / WARM_UP_SHARE ? options->seconds * WARM_UP_SHARE : WARM_UP_MOST);
        usage_settle(options->pids);
    }
    clients_clear(clients);
    before = usage_read(options->pids);
    began = now_us();
    clients_run(clients, options->seconds);
    seconds = (double)(now_us() - began) / 1e6;
    if (options->mode != MODE_FLOOD)
        usage_settle(options->pids);
    after = usage_read(options->pids);
    counts = clients_counts(clients);
    units = counts.messages ? counts.messages : counts.sessions;
    printf("{\"mode\":\"%s\",\"units\":%llu,\"failures\":%llu,\"per_second\":%.1f,\"cpu_us_per_unit\":%.2f,"
           "\"p50_us\":%u,\"p99_us\":%u,\"deferred\":%llu}\n",
           mode_names[options->mode], (unsigned long long)units, (unsigned long long)counts.failures,
           (double)units / seconds, (after.cpu_us - before.cpu_us) / (double)(units ? units : 1), counts.p50_us,
           counts.p99_us, (unsigned long long)counts.deferred);
}

int main(int argc, char **argv)
{
    struct options options = parse_options(argc, argv);
    struct dialogue dialogue = dialogue_new(options.mode, options.bytes, &options.login);
    struct clients *clients;

    options.clients.port = options.port;
    options.clients.count = options.connections;
    options.clients.hold = options.mode == MODE_IDLE;
    clients = clients_new(&options.clients, &dialogue);
    if (options.mode == MODE_IDLE)
        measure_idle(&options, clients);
    else
        measure(&options, clients);
    return 0;
}
