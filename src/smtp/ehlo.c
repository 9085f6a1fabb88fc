/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the keywords of an EHLO reply. Unknown keywords and odd spellings are ignored: a
 * server may offer what it likes, and we use what we know.
 */
#include "smtp/ehlo.h"

#include "smtp/smtp_private.h"

static bool *flag_of(struct smtp_capabilities *capabilities, struct span keyword)
{
    const struct {
        const char *keyword;
        bool *flag;
    } flags[] = {
        {"PIPELINING", &capabilities->pipelining},
        {"8BITMIME", &capabilities->eightbitmime},
        {"SMTPUTF8", &capabilities->smtputf8},
        {"STARTTLS", &capabilities->starttls},
        {"CHUNKING", &capabilities->chunking},
        {"ENHANCEDSTATUSCODES", &capabilities->enhancedstatuscodes},
        {"DSN", &capabilities->dsn},
    };

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (span_ieq(keyword, span_of(flags[i].keyword)))
            return flags[i].flag;
    return NULL;
}

/* RFC 4422, section 3.1. */
static bool is_mechanism(struct span word)
{
    for (size_t i = 0; i < word.len; i++) {
        char c = ascii_lower(word.data[i]);

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_')
            return false;
    }
    return word.len > 0 && word.len <= 20;
}

static void add_mechanism(struct smtp_capabilities *capabilities, struct span word)
{
    size_t len = strlen(capabilities->auth);

    if (!is_mechanism(word) || smtp_capabilities_has_auth(capabilities, word) ||
        len + 1 + word.len + 1 > sizeof capabilities->auth)
        return;
    if (len > 0)
        capabilities->auth[len++] = ' ';
    for (size_t i = 0; i < word.len; i++) {
        char c = word.data[i];

        capabilities->auth[len++] = (char)(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c);
    }
    capabilities->auth[len] = '\0';
}

static void read_keyword(struct smtp_capabilities *capabilities, struct span line)
{
    struct span word;
    bool *flag;

    if (!smtp_word_take(&line, &word))
        return;
    flag = flag_of(capabilities, word);
    if (flag) {
        *flag = true;
    } else if (span_ieq(word, SPAN_LIT("SIZE"))) {
        capabilities->size = true;
        if (smtp_word_take(&line, &word) && span_to_u64(word, &capabilities->size_limit))
            capabilities->size_limit = 0;
    } else if (span_ieq(word, SPAN_LIT("AUTH")) || span_istarts_with(word, SPAN_LIT("AUTH="))) {
        if (word.len > 5) /* "AUTH=LOGIN PLAIN" is an old spelling of the same */
            add_mechanism(capabilities, span_from(word, 5));
        while (smtp_word_take(&line, &word))
            add_mechanism(capabilities, word);
    }
}

void smtp_capabilities_parse(struct span reply, struct smtp_capabilities *capabilities_out)
{
    struct smtp_capabilities capabilities = {0};
    bool is_greeting = true;
    struct span line;

    while (span_split(&reply, '\n', &line)) {
        if (!is_greeting && line.len > 4)
            read_keyword(&capabilities, span_trim(span_from(line, 4)));
        is_greeting = false;
    }
    *capabilities_out = capabilities;
}

bool smtp_capabilities_has_auth(const struct smtp_capabilities *capabilities, struct span mechanism)
{
    struct span rest = span_of(capabilities->auth);
    struct span word;

    while (smtp_word_take(&rest, &word))
        if (span_ieq(word, mechanism))
            return true;
    return false;
}
