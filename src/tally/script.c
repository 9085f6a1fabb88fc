/* SPDX-License-Identifier: Apache-2.0
 *
 * A call as a command for Redis, and Redis' answer as the call's. What the scripts do is in script_text.c.
 */
#include <hiredis/hiredis.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "tally/tally_private.h"

#define COMMAND_MOST_BYTES (256 * 1024)
#define RUN_FIELDS 4
#define SHOW_FIELDS 3

/* ---- commands ---- */

void script_begin(struct script_command *command)
{
    *command = (struct script_command){0};
    buf_init(&command->text, COMMAND_MOST_BYTES);
}

void script_add(struct script_command *command, struct span argument)
{
    if (command->argc == command->capacity) {
        command->capacity = command->capacity ? command->capacity * 2 : 64;
        command->lens = mem_realloc(command->lens, command->capacity * sizeof *command->lens);
    }
    command->lens[command->argc++] = argument.len;
    MUST(!buf_append(&command->text, argument.data, argument.len));
}

void script_addf(struct script_command *command, const char *format, ...)
{
    char text[512];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    MUST(len >= 0 && (size_t)len < sizeof text);
    script_add(command, span_make(text, (size_t)len));
}

char *script_finish(struct script_command *command, size_t *len_out)
{
    const char **argv = mem_alloc(command->argc * sizeof *argv);
    const char *at = buf_span(&command->text).data;
    char *wire = NULL;
    int len;

    for (size_t i = 0; i < command->argc; i++) {
        argv[i] = at;
        at += command->lens[i];
    }
    len = redisFormatCommandArgv(&wire, (int)command->argc, argv, command->lens);
    MUST(len > 0);
    free(argv);
    free(command->lens);
    buf_done(&command->text);
    *len_out = (size_t)len;
    return wire;
}

/* ---- the run script ---- */

static void add_key(struct script_command *command, const char *prefix, char type, struct span key)
{
    char text[2 * TALLY_KEY_BYTES];
    int len = snprintf(text, sizeof text, "%s:%c:%.*s", prefix, type, SPAN_ARG(key));

    MUST(len > 0 && (size_t)len < sizeof text);
    script_add(command, span_make(text, (size_t)len));
}

static const struct {
    char letter, type;
} kinds[] = {
    [TALLY_COUNT] = {'C', 'c'},     [TALLY_TAKE] = {'T', 'b'},   [TALLY_MARK] = {'M', 'm'},
    [TALLY_IS_MARKED] = {'I', 'm'}, [TALLY_JOIN] = {'J', 's'},   [TALLY_LEAVE] = {'L', 's'},
    [TALLY_MEMBERS] = {'S', 's'},   [TALLY_FORGET] = {'F', 'c'},
};

static void add_item(struct script_command *command, const struct tally_item *item)
{
    char hex[2 * TALLY_DIGEST_BYTES];

    tally_hex(item->member, hex);
    script_add(command, span_make(&kinds[item->kind].letter, 1));
    script_addf(command, "%.17g", item->amount);
    script_addf(command, "%.17g", item->limit);
    script_addf(command, "%llu", (unsigned long long)item->time_ms);
    script_addf(command, "%u", rules_most_members(item));
    script_addf(command, "%d", item->keep);
    script_addf(command, "%d", item->if_new);
    script_add(command, span_make(hex, sizeof hex));
}

void script_write_run(struct script_command *command, const char *sha, const struct script_frame *frame,
                      const struct tally_batch *batch)
{
    script_add(command, sha ? SPAN_LIT("EVALSHA") : SPAN_LIT("EVAL"));
    script_add(command, span_of(sha ? sha : script_run_text));
    script_addf(command, "%zu", batch->count + 1);
    script_addf(command, "%s:epoch", frame->prefix);
    for (size_t i = 0; i < batch->count; i++)
        add_key(command, frame->prefix, kinds[batch->items[i].kind].type, batch->items[i].key);
    script_add(command, span_of(frame->epoch));
    script_addf(command, "%llu", (unsigned long long)frame->now_ms);
    script_addf(command, "%d", batch->is_forced);
    script_addf(command, "%zu", strlen(frame->prefix) + 1);
    for (size_t i = 0; i < batch->count; i++)
        add_item(command, &batch->items[i]);
}

static double number_of(const redisReply *reply)
{
    double value = reply->type == REDIS_REPLY_STRING ? strtod(reply->str, NULL) : 0;

    return isfinite(value) ? value : 0;
}

/* A whole number between `least` and `most`, or -2. */
static int index_of(const redisReply *reply, int least, int most)
{
    double value = reply->type == REDIS_REPLY_STRING ? number_of(reply) : -2;

    return value >= least && value <= most ? (int)value : -2;
}

static uint64_t ms_of(const redisReply *reply)
{
    double value = number_of(reply);

    return value > 0 && value <= 2.0 * (double)TALLY_TIME_MOST_MS ? (uint64_t)value : 0;
}

int script_read_run(const redisReply *reply, struct tally_batch *batch)
{
    int refused_by;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1 + batch->count * RUN_FIELDS)
        return -1;
    refused_by = index_of(reply->element[0], -1, (int)batch->count - 1);
    if (refused_by < -1)
        return -1;
    for (size_t i = 0; i < batch->count; i++) {
        redisReply *const *fields = &reply->element[1 + i * RUN_FIELDS];

        batch->results[i] = (struct tally_result){.value = number_of(fields[0]),
                                                  .was_there = number_of(fields[1]) > 0,
                                                  .is_capped = number_of(fields[2]) > 0,
                                                  .left_ms = ms_of(fields[3])};
    }
    batch->refused_by = refused_by;
    return 0;
}

/* ---- the show script ---- */

/* A user's name may hold special characters of a glob. */
static int append_literally(struct buf *pattern, struct span text)
{
    int status = 0;

    for (size_t i = 0; i < text.len && !status; i++) {
        if (strchr("*?[]\\^-", text.data[i]) && text.data[i])
            status = buf_append(pattern, "\\", 1);
        status = status || buf_append(pattern, &text.data[i], 1);
    }
    return status;
}

/* A glob that matches exactly what begins and ends so. */
static void add_pattern(struct script_command *command, const char *prefix, const struct tally_wanted *wanted)
{
    struct buf pattern;

    buf_init(&pattern, 6 * TALLY_KEY_BYTES);
    MUST(!append_literally(&pattern, span_of(prefix)) && !buf_append_span(&pattern, SPAN_LIT(":[cbms]:")) &&
         !append_literally(&pattern, span_make(wanted->begin.text, wanted->begin.len)) &&
         !buf_append_span(&pattern, SPAN_LIT("*")) &&
         !append_literally(&pattern, span_make(wanted->end.text, wanted->end.len)));
    script_add(command, buf_span(&pattern));
    buf_done(&pattern);
}

void script_write_show(struct script_command *command, const struct script_frame *frame, const struct tally_call *call)
{
    script_add(command, SPAN_LIT("EVAL"));
    script_add(command, span_of(script_show_text));
    script_addf(command, "0");
    script_addf(command, "%s", call->cursor);
    script_addf(command, "%llu", (unsigned long long)frame->now_ms);
    add_pattern(command, frame->prefix, &call->wanted);
    script_addf(command, "%zu", strlen(frame->prefix) + 1);
    script_addf(command, "%d", call->wanted.remove);
}

static void read_entry(redisReply *const *fields, size_t prefix_len, struct tally_call *call)
{
    static const char letters[] = "cbms";
    struct tally_entry entry = {.value = number_of(fields[1]), .left_ms = ms_of(fields[2])};
    struct span name = span_make(fields[0]->str, fields[0]->len);
    const char *letter;

    if (fields[0]->type != REDIS_REPLY_STRING || name.len < prefix_len + 3)
        return;
    letter = strchr(letters, name.data[prefix_len + 1]);
    if (!letter || !*letter)
        return;
    entry.type = (enum tally_type)(letter - letters);
    entry.key = span_from(name, prefix_len + 3);
    tally_found_add(&call->found, &entry);
}

int script_read_show(const redisReply *reply, const char *prefix, struct tally_call *call, bool *is_last_out)
{
    const redisReply *cursor;
    double removed;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 || (reply->elements - 2) % SHOW_FIELDS)
        return -1;
    cursor = reply->element[0];
    if (cursor->type != REDIS_REPLY_STRING || cursor->len >= sizeof call->cursor)
        return -1;
    memcpy(call->cursor, cursor->str, cursor->len + 1);
    removed = number_of(reply->element[1]);
    call->found.removed += removed > 0 && removed <= UINT32_MAX ? (size_t)removed : 0;
    for (size_t i = 2; i < reply->elements && call->found.count < call->wanted.limit; i += SHOW_FIELDS)
        read_entry(&reply->element[i], strlen(prefix), call);
    *is_last_out = !strcmp(call->cursor, "0");
    return 0;
}
