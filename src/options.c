/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading gatepostd's command line.
 */
#include "options.h"

#include <curl/curl.h>
#include <getopt.h>
#include <jansson.h>
#include <lua.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unbound.h>
#include <uv.h>
#include <zstd.h>

#include "base/span.h"
#include "tls/tls.h"

#define DEFAULT_POLICY "/etc/gatepost/policy.lua"
#define DEFAULT_DRAIN_SECONDS 30
#define WORKERS_MOST 256

static const char help[] =
    "Usage: gatepostd [--policy FILE] [--user NAME] [options]\n"
    "\n"
    "Gatepost relays mail for users who must say who they are. What it does is written in a\n"
    "Lua policy; see gatepostd(8) and docs/.\n"
    "\n"
    "  --policy FILE        the policy to run (default: " DEFAULT_POLICY ")\n"
    "  --user NAME          the user to become; needed when started as root\n"
    "  --validate           run init and validate_config, bind and open nothing, say what is wrong\n"
    "  --script             run the policy's `main` event as a script: ... --script -- ARGS\n"
    "  --auth-test FILE     explain one login by the rules of FILE, a policy (.lua) or an auth.toml;\n"
    "                       the question is JSON on stdin: see 'gatectl auth test'\n"
    "  --diag-format KIND   diagnostics on stderr as text or json\n"
    "  --workers N          threads with sockets (default: one per core)\n"
    "  --drain-seconds N    how long a stop waits for what is in flight (default: 30)\n"
    "  --help               this text\n"
    "  --version            versions of gatepost and its libraries\n";

void options_print_help(void) { fputs(help, stdout); }

void options_print_version(void)
{
    printf("gatepostd %s\n%s\n%s\nlibuv %s\nSQLite %s\nlibcurl %s\njansson %s\nlibunbound %s\nzstd %s\n",
           GATEPOST_VERSION, LUA_RELEASE, tls_library_version(), uv_version_string(), sqlite3_libversion(),
           curl_version_info(CURLVERSION_NOW)->version, jansson_version_str(), ub_version(), ZSTD_versionString());
}

static int parse_number(const char *text, const char *flag, uint64_t least, uint64_t most, uint64_t *value_out,
                        struct error *error)
{
    if (span_to_u64(span_of(text), value_out) || *value_out < least || *value_out > most)
        return error_set(error, ERROR_PERM, "%s '%s': a number from %llu to %llu is wanted", flag, text,
                         (unsigned long long)least, (unsigned long long)most);
    return 0;
}

/* KumoMTA's names for its text forms are taken as text. */
static int parse_format(const char *text, enum diag_format *format_out, struct error *error)
{
    if (!strcmp(text, "json"))
        *format_out = DIAG_JSON;
    else if (!strcmp(text, "text") || !strcmp(text, "full") || !strcmp(text, "compact") || !strcmp(text, "pretty"))
        *format_out = DIAG_TEXT;
    else
        return error_set(error, ERROR_PERM, "--diag-format '%s': text or json is wanted", text);
    return 0;
}

enum flag {
    FLAG_POLICY = 1,
    FLAG_USER,
    FLAG_VALIDATE,
    FLAG_SCRIPT,
    FLAG_AUTH_TEST,
    FLAG_DIAG_FORMAT,
    FLAG_WORKERS,
    FLAG_DRAIN,
    FLAG_HELP,
    FLAG_VERSION
};

static const struct option flags[] = {
    {"policy", required_argument, NULL, FLAG_POLICY},
    {"user", required_argument, NULL, FLAG_USER},
    {"validate", no_argument, NULL, FLAG_VALIDATE},
    {"script", no_argument, NULL, FLAG_SCRIPT},
    {"auth-test", required_argument, NULL, FLAG_AUTH_TEST},
    {"diag-format", required_argument, NULL, FLAG_DIAG_FORMAT},
    {"workers", required_argument, NULL, FLAG_WORKERS},
    {"drain-seconds", required_argument, NULL, FLAG_DRAIN},
    {"help", no_argument, NULL, FLAG_HELP},
    {"version", no_argument, NULL, FLAG_VERSION},
    {NULL, 0, NULL, 0},
};

static int take_flag(struct options *options, int flag, const char *value, struct error *error)
{
    uint64_t number;

    switch (flag) {
    case FLAG_POLICY:
        options->policy = value;
        return 0;
    case FLAG_USER:
        options->user = value;
        return 0;
    case FLAG_VALIDATE:
        options->action = OPTIONS_VALIDATE;
        return 0;
    case FLAG_SCRIPT:
        options->action = OPTIONS_SCRIPT;
        return 0;
    case FLAG_AUTH_TEST:
        options->action = OPTIONS_AUTH_TEST;
        *(span_ends_with(span_of(value), SPAN_LIT(".lua")) ? &options->policy : &options->rules) = value;
        return 0;
    case FLAG_DIAG_FORMAT:
        return parse_format(value, &options->diag_format, error);
    case FLAG_WORKERS:
        if (parse_number(value, "--workers", 1, WORKERS_MOST, &number, error))
            return -1;
        options->workers = (size_t)number;
        return 0;
    case FLAG_DRAIN:
        if (parse_number(value, "--drain-seconds", 0, 3600, &number, error))
            return -1;
        options->drain_seconds = (unsigned)number;
        return 0;
    case FLAG_HELP:
        options->action = OPTIONS_HELP;
        return 0;
    default:
        options->action = OPTIONS_VERSION;
        return 0;
    }
}

int options_parse(int argc, char **argv, struct options *options_out, struct error *error)
{
    struct options options = {.policy = DEFAULT_POLICY, .drain_seconds = DEFAULT_DRAIN_SECONDS};
    int flag;

    opterr = 0;
    while ((flag = getopt_long(argc, argv, "+:", flags, NULL)) != -1) {
        if (flag == '?' || flag == ':')
            return error_set(error, ERROR_PERM, "%s: %s (see --help)", argv[optind - 1],
                             flag == ':' ? "a value is missing" : "unknown option");
        if (take_flag(&options, flag, optarg, error))
            return -1;
        if (options.action == OPTIONS_HELP || options.action == OPTIONS_VERSION)
            break;
    }
    options.script_args = argv + optind;
    options.script_arg_count = argc - optind;
    if (options.script_arg_count > 0 && options.action != OPTIONS_SCRIPT && options.action != OPTIONS_HELP &&
        options.action != OPTIONS_VERSION)
        return error_set(error, ERROR_PERM, "%s: an argument that nothing asks for (see --help)", argv[optind]);
    *options_out = options;
    return 0;
}
