/* SPDX-License-Identifier: Apache-2.0
 *
 * The first thing that looks at what a client says. A line is ended by CRLF; everything
 * that only looks like an end makes the line faulty, because two servers that disagree
 * about line ends can be played against each other.
 */
#include "smtp/command.h"

#include "smtp/smtp_private.h"

enum arguments { NONE, OPTIONAL, REQUIRED };

struct verb {
    const char *name;
    enum arguments arguments;
};

#define VERB_ROW(name, args) [SMTP_VERB_##name] = {#name, args},
static const struct verb verbs[SMTP_VERB_COUNT] = {[SMTP_VERB_UNKNOWN] = {"unknown", OPTIONAL}, SMTP_VERBS(VERB_ROW)};
#undef VERB_ROW

const char *smtp_verb_name(enum smtp_verb verb) { return verbs[verb].name; }

static enum smtp_line_progress judge(struct span line)
{
    if (line.len == 0 || line.data[line.len - 1] != '\r')
        return SMTP_LINE_BAD_END;
    line.len--;
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.data[i];

        if (c == '\r')
            return SMTP_LINE_BAD_END;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return SMTP_LINE_BAD_BYTE;
    }
    return SMTP_LINE_DONE;
}

/* No LF in `input`: remember how far we looked, or begin to drop what is too long. */
static enum smtp_line_progress wait_for_more(struct smtp_line_reader *reader, struct span input, size_t *used_out)
{
    if (!reader->skipping && input.len < reader->limit_bytes) {
        reader->scanned = input.len;
        *used_out = 0;
        return SMTP_LINE_MORE;
    }
    reader->skipping = true;
    reader->scanned = 0;
    /* a CR at the end stays, so that whoever sees the LF sees whether it is a bare one */
    *used_out = input.len - (input.data[input.len - 1] == '\r' ? 1 : 0);
    return SMTP_LINE_MORE;
}

enum smtp_line_progress smtp_line_take(struct smtp_line_reader *reader, struct span input, struct span *line_out,
                                       size_t *used_out)
{
    size_t end = reader->scanned + span_find(span_from(input, reader->scanned), '\n');
    bool too_long;

    if (end >= input.len)
        return wait_for_more(reader, input, used_out);
    too_long = reader->skipping || end + 1 > reader->limit_bytes;
    reader->skipping = false;
    reader->scanned = 0;
    *used_out = end + 1;
    if (too_long)
        return SMTP_LINE_TOO_LONG;
    *line_out = span_head(input, end > 0 && input.data[end - 1] == '\r' ? end - 1 : end);
    return judge(span_head(input, end));
}

static enum smtp_verb find_verb(struct span word)
{
    for (enum smtp_verb verb = SMTP_VERB_UNKNOWN + 1; verb < SMTP_VERB_COUNT; verb++)
        if (span_ieq(word, span_of(verbs[verb].name)))
            return verb;
    return SMTP_VERB_UNKNOWN;
}

static bool takes_address(enum smtp_verb verb)
{
    return verb == SMTP_VERB_MAIL || verb == SMTP_VERB_RCPT || verb == SMTP_VERB_VRFY || verb == SMTP_VERB_EXPN;
}

enum smtp_command_fault smtp_command_parse(struct span line, struct smtp_command *command_out)
{
    struct smtp_command command;
    struct span rest = line;
    bool has_args;

    command.word = span_head(line, span_find(line, ' '));
    rest = span_trim(span_from(rest, command.word.len));
    command.word = span_trim(command.word);
    command.verb = find_verb(command.word);
    command.args = rest;
    has_args = rest.len > 0;
    *command_out = command;
    if (command.verb == SMTP_VERB_UNKNOWN)
        return SMTP_COMMAND_UNKNOWN;
    if (!span_is_ascii(rest) && !takes_address(command.verb))
        return SMTP_COMMAND_8BIT;
    if (has_args && verbs[command.verb].arguments == NONE)
        return SMTP_COMMAND_ARGUMENTS;
    if (!has_args && verbs[command.verb].arguments == REQUIRED)
        return SMTP_COMMAND_NO_ARGUMENTS;
    return SMTP_COMMAND_FINE;
}

int smtp_bdat_parse(struct span args, uint64_t *size_out, bool *last_out)
{
    struct span size;
    struct span last;
    uint64_t value;

    if (!smtp_word_take(&args, &size) || size.len > 19 || span_to_u64(size, &value))
        return -1;
    if (smtp_word_take(&args, &last)) {
        if (!span_ieq(last, SPAN_LIT("LAST")) || smtp_word_take(&args, &size))
            return -1;
        *last_out = true;
    } else {
        *last_out = false;
    }
    *size_out = value;
    return 0;
}
