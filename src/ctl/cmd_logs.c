/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl logs: records of a log directory, of messages or of logins, filtered, as text or as they are.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/log_filter.h"
#include "ctl/log_reader.h"

static const struct option options[] = {
    {"dir", required_argument, NULL, 'd'},     {"follow", no_argument, NULL, 'f'},
    {"type", required_argument, NULL, 't'},    {"recipient", required_argument, NULL, 'r'},
    {"sender", required_argument, NULL, 's'},  {"tenant", required_argument, NULL, 'n'},
    {"user", required_argument, NULL, 'u'},    {"reason", required_argument, NULL, 'R'},
    {"address", required_argument, NULL, 'a'}, {"since", required_argument, NULL, 'S'},
    {"json", no_argument, NULL, 'j'},          {"count", required_argument, NULL, 'c'},
    {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
};

struct show {
    const char *dir;
    struct log_filter filter;
    bool follow;
    bool as_json;
    bool silent;   /* while catching up with what was there before */
    uint64_t left; /* records still to show */
};

static void on_line(void *ctx, struct span line)
{
    struct show *show = ctx;
    json_t *record;

    if (show->silent || show->left == 0)
        return;
    record = json_loadb(line.data, line.len, 0, NULL); /* a segment_header is no record */
    if (record && log_filter_matches(&show->filter, record)) {
        show->left--;
        if (show->as_json) {
            fwrite(line.data, 1, line.len, stdout);
            putchar('\n');
        } else {
            log_record_print(record);
        }
    }
    json_decref(record);
}

static int show_logs(struct show *show)
{
    struct error error;
    struct log_reader *reader = log_reader_new(show->dir, show->filter.since, &error);
    int result = reader ? 0 : -1;

    show->silent = show->follow && !show->filter.since;
    while (result == 0) {
        result = log_reader_read(reader, on_line, show, &error);
        show->silent = false;
        if (fflush(stdout) != 0 || !show->follow || show->left == 0)
            break;
        log_reader_wait(reader);
    }
    if (result < 0)
        ctl_complain("%s", error.sentence);
    log_reader_free(reader);
    return result < 0 ? CTL_FAILED : CTL_OK;
}

static int parse_count(const char *text, uint64_t *count_out, struct error *error)
{
    if (span_to_u64(span_of(text), count_out) < 0 || *count_out == 0)
        return error_set(error, ERROR_PERM, "--count '%s': a number from 1 on is wanted", text);
    return 0;
}

static int parse_addresses(const char *text, struct cidr *addresses_out, struct error *error)
{
    if (cidr_parse(span_of(text), addresses_out))
        return error_set(error, ERROR_PERM, "--address '%s': an address or a network such as 192.0.2.0/24 is wanted",
                         text);
    return 0;
}

static int take_option(struct show *show, int option, struct error *error)
{
    switch (option) {
    case 'd':
        show->dir = optarg;
        return 0;
    case 'f':
        show->follow = true;
        return 0;
    case 'j':
        show->as_json = true;
        return 0;
    case 'c':
        return parse_count(optarg, &show->left, error);
    case 't':
        show->filter.types = optarg;
        return log_filter_types_are_known(optarg, error) ? 0 : -1;
    case 'r':
        show->filter.recipient = optarg;
        return 0;
    case 's':
        show->filter.sender = optarg;
        return 0;
    case 'n':
        show->filter.tenant = optarg;
        return 0;
    case 'u':
        show->filter.user = optarg;
        return 0;
    case 'R':
        show->filter.reason = optarg;
        return 0;
    case 'a':
        return parse_addresses(optarg, &show->filter.addresses, error);
    default:
        return log_filter_since(optarg, (int64_t)time(NULL), &show->filter.since, error);
    }
}

static int run(int argc, char **argv)
{
    struct show show = {.left = UINT64_MAX};
    struct error error;
    int option;

    while ((option = getopt_long(argc, argv, "fh", options, NULL)) != -1) {
        if (option == 'h' || option == '?')
            return ctl_other_option(option, &ctl_logs);
        if (take_option(&show, option, &error) < 0) {
            ctl_complain("%s", error.sentence);
            return CTL_USAGE;
        }
    }
    if (optind < argc || !show.dir) {
        ctl_complain(show.dir ? "logs takes options only" : "which log? --dir DIRECTORY is needed");
        return CTL_USAGE;
    }
    return show_logs(&show);
}

const struct ctl_command ctl_logs = {
    .name = "logs",
    .summary = "records of messages and logins: filter, follow, as text",
    .usage = "usage: gatectl logs --dir DIRECTORY [OPTIONS]\n\n"
             "  --dir DIRECTORY      the log_dir of kumo.configure_local_logs or kumo.aaa.configure_acct_log\n"
             "  -f, --follow         go on with new records; without --since, with those only\n"
             "  --count N            end after N records; with --follow, wait for them\n"
             "  --type LIST          Reception,Delivery,Bounce,Authentication,...\n"
             "  --recipient PATTERN  shell pattern, such as '*@example.com'\n"
             "  --sender PATTERN\n"
             "  --tenant PATTERN     from the logged metadata, or the queue's name\n"
             "  --user PATTERN       of logins: the name that was given, or the one of its record\n"
             "  --reason LIST        of logins: bad_password,no_user,... or ok,refused,error,cancelled\n"
             "  --address ADDRESS    of logins: where from, an address or a network\n"
             "  --since TIME         2026-11-22T10:00:00Z, 2026-11-22, or how long ago: 1h30m\n"
             "  --json               the records as they are, one per line\n",
    .run = run,
};
