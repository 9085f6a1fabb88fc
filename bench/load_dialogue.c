/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client says, as a table of steps: made once, shared by all connections.
 */
#include "load.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 72 /* of a body line, CRLF included */

static struct step *add(struct dialogue *dialogue, const char *say, size_t len, const char *codes)
{
    struct step *step = &dialogue->steps[dialogue->count++];

    *step = (struct step){.say = say, .say_len = len, .codes = codes};
    return step;
}

static struct step *add_line(struct dialogue *dialogue, const char *say, const char *codes)
{
    return add(dialogue, say, strlen(say), codes);
}

static char *make_line(const char *before, const char *text, size_t len)
{
    unsigned char *encoded = malloc(len * 2 + 8);
    char *line;

    if (!encoded)
        abort();
    EVP_EncodeBlock(encoded, (const unsigned char *)text, (int)len);
    if (asprintf(&line, "%s%s\r\n", before, encoded) < 0)
        abort();
    free(encoded);
    return line;
}

/* The line that carries it all, of the mechanisms that have one. */
static char *make_auth(const struct login *login)
{
    char response[4096], before[64];
    int len;

    if (!strcmp(login->mechanism, "OAUTHBEARER"))
        len = snprintf(response, sizeof response, "n,,\1auth=Bearer %s\1\1", login->password);
    else if (!strcmp(login->mechanism, "XOAUTH2"))
        len = snprintf(response, sizeof response, "user=%s\1auth=Bearer %s\1\1", login->user, login->password);
    else
        len = snprintf(response, sizeof response, "%c%s%c%s", 0, login->user, 0, login->password);
    if (len < 0 || (size_t)len >= sizeof response)
        abort();
    snprintf(before, sizeof before, "AUTH %s ", login->mechanism);
    return make_line(before, response, (size_t)len);
}

static void add_login(struct dialogue *dialogue, const struct login *login, const char *code)
{
    if (!strcmp(login->mechanism, "LOGIN")) {
        add_line(dialogue, "AUTH LOGIN\r\n", "3");
        add_line(dialogue, make_line("", login->user, strlen(login->user)), "3");
        add_line(dialogue, make_line("", login->password, strlen(login->password)), code);
    } else if (scram_is_it(login)) {
        char first[SCRAM_FIRST_BYTES], before[64];

        scram_first(login, first);
        snprintf(before, sizeof before, "AUTH %s ", login->mechanism);
        add_line(dialogue, make_line(before, first, strlen(first)), "3");
        add_line(dialogue, "", "3")->is_proof = true;
        add_line(dialogue, "\r\n", code);
    } else if (!strcmp(login->mechanism, "EXTERNAL")) {
        add_line(dialogue, "AUTH EXTERNAL =\r\n", code);
    } else {
        add_line(dialogue, make_auth(login), code);
    }
}

/* A header and body lines, about `bytes` in all, with the end of data. */
static char *make_message(size_t bytes, size_t *len_out)
{
    static const char header[] = "From: <scott@tiger.example>\r\nTo: <you@dest.example>\r\nSubject: load\r\n"
                                 "Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <load@tiger.example>\r\n\r\n";
    char *message = malloc(bytes + sizeof header + LINE_BYTES + 3);
    size_t len = sizeof header - 1;

    if (!message)
        abort();
    memcpy(message, header, len);
    for (; len < bytes; len += LINE_BYTES) {
        memset(message + len, 'x', LINE_BYTES - 2);
        memcpy(message + len + LINE_BYTES - 2, "\r\n", 2);
    }
    memcpy(message + len, ".\r\n", 3);
    *len_out = len + 3;
    return message;
}

static void add_transaction(struct dialogue *dialogue, size_t bytes)
{
    size_t len;
    char *message = make_message(bytes, &len);

    add_line(dialogue, "MAIL FROM:<scott@tiger.example>\r\nRCPT TO:<you@dest.example>\r\nDATA\r\n", "223");
    add(dialogue, message, len, "2")->ends_message = true;
}

struct dialogue dialogue_new(enum mode mode, size_t bytes, const struct login *login)
{
    static struct login wrong;
    struct dialogue dialogue = {.login = login};

    wrong = (struct login){login->mechanism, login->user, "wrong-password"};
    add_line(&dialogue, "", "2");
    add_line(&dialogue, "EHLO load.example\r\n", "2");
    add_line(&dialogue, "STARTTLS\r\n", "2")->tls_after = true;
    add_line(&dialogue, "EHLO load.example\r\n", "2");
    if (mode == MODE_REFUSED || mode == MODE_FLOOD)
        add_login(&dialogue, &wrong, mode == MODE_FLOOD ? "-" : "5");
    else
        add_login(&dialogue, login, "2");
    if (mode == MODE_STREAM)
        dialogue.again_from = dialogue.count;
    if (mode == MODE_MESSAGE || mode == MODE_STREAM)
        add_transaction(&dialogue, bytes);
    if (mode != MODE_IDLE)
        add_line(&dialogue, "QUIT\r\n", "2");
    return dialogue;
}
