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

static char *make_auth(const char *user, const char *password)
{
    unsigned char plain[256];
    unsigned char encoded[400];
    char *line;
    int len = snprintf((char *)plain, sizeof plain, "%c%s%c%s", 0, user, 0, password);

    if (len < 0 || (size_t)len >= sizeof plain)
        abort();
    EVP_EncodeBlock(encoded, plain, len);
    if (asprintf(&line, "AUTH PLAIN %s\r\n", encoded) < 0)
        abort();
    return line;
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

struct dialogue dialogue_new(enum mode mode, size_t bytes, const char *user, const char *password)
{
    struct dialogue dialogue = {0};

    add_line(&dialogue, "", "2");
    add_line(&dialogue, "EHLO load.example\r\n", "2");
    add_line(&dialogue, "STARTTLS\r\n", "2")->tls_after = true;
    add_line(&dialogue, "EHLO load.example\r\n", "2");
    if (mode == MODE_REFUSED)
        add_line(&dialogue, make_auth(user, "wrong-password"), "5");
    else
        add_line(&dialogue, make_auth(user, password), "2");
    if (mode == MODE_STREAM)
        dialogue.again_from = dialogue.count;
    if (mode == MODE_MESSAGE || mode == MODE_STREAM)
        add_transaction(&dialogue, bytes);
    if (mode != MODE_IDLE)
        add_line(&dialogue, "QUIT\r\n", "2");
    return dialogue;
}
