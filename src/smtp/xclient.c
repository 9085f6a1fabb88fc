/* SPDX-License-Identifier: Apache-2.0
 *
 * XCLIENT's attributes: NAME=value pairs, values in xtext.
 */
#include "smtp/xclient.h"

#include "smtp/address.h"
#include "smtp/params.h"
#include "smtp/smtp_private.h"

static const char *const names[SMTP_XCLIENT_COUNT] = {
    [SMTP_XCLIENT_NAME] = "NAME",         [SMTP_XCLIENT_ADDR] = "ADDR",         [SMTP_XCLIENT_PORT] = "PORT",
    [SMTP_XCLIENT_PROTO] = "PROTO",       [SMTP_XCLIENT_HELO] = "HELO",         [SMTP_XCLIENT_LOGIN] = "LOGIN",
    [SMTP_XCLIENT_DESTADDR] = "DESTADDR", [SMTP_XCLIENT_DESTPORT] = "DESTPORT",
};

static int find_attribute(struct span name)
{
    for (int i = 0; i < SMTP_XCLIENT_COUNT; i++)
        if (span_ieq(name, span_of(names[i])))
            return i;
    return -1;
}

static int read_ip(struct span text, struct ip *ip_out)
{
    bool six = span_istarts_with(text, SPAN_LIT("IPV6:"));
    struct span address = six ? span_from(text, 5) : text;

    if (six && span_find(address, ':') == address.len)
        return -1;
    return ip_parse(address, ip_out);
}

static int read_port(struct span text, uint16_t *port_out)
{
    uint64_t port;

    if (span_to_u64(text, &port) || port > UINT16_MAX)
        return -1;
    *port_out = (uint16_t)port;
    return 0;
}

static bool is_printable(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return text.len > 0 && span_is_utf8(text);
}

/* What each attribute must look like once decoded. */
static int check_value(struct smtp_xclient *xclient, int attribute)
{
    struct span text = span_of(xclient->values[attribute].text);

    if (!is_printable(text))
        return -1;
    switch ((enum smtp_xclient_attribute)attribute) {
    case SMTP_XCLIENT_ADDR:
        return read_ip(text, &xclient->addr);
    case SMTP_XCLIENT_DESTADDR:
        return read_ip(text, &xclient->destaddr);
    case SMTP_XCLIENT_PORT:
        return read_port(text, &xclient->port);
    case SMTP_XCLIENT_DESTPORT:
        return read_port(text, &xclient->destport);
    case SMTP_XCLIENT_PROTO:
        return span_ieq(text, SPAN_LIT("SMTP")) || span_ieq(text, SPAN_LIT("ESMTP")) ? 0 : -1;
    case SMTP_XCLIENT_NAME:
        return smtp_domain_check(text, false) ? -1 : 0;
    case SMTP_XCLIENT_HELO:
    case SMTP_XCLIENT_LOGIN:
    case SMTP_XCLIENT_COUNT:
        break;
    }
    return 0;
}

static int read_attribute(struct smtp_xclient *xclient, struct span word)
{
    size_t equals = span_find(word, '=');
    int attribute = find_attribute(span_head(word, equals));
    struct span text = span_from(word, equals + 1);
    struct smtp_xclient_value *value;

    if (equals == word.len || attribute < 0 || xclient->values[attribute].state != SMTP_XCLIENT_UNSAID)
        return -1;
    value = &xclient->values[attribute];
    if (span_ieq(text, SPAN_LIT("[UNAVAILABLE]"))) {
        value->state = SMTP_XCLIENT_UNAVAILABLE;
        return 0;
    }
    if (span_ieq(text, SPAN_LIT("[TEMPUNAVAIL]"))) {
        value->state = SMTP_XCLIENT_TEMPUNAVAIL;
        return 0;
    }
    value->state = SMTP_XCLIENT_SAID;
    if (smtp_xtext_decode(text, value->text, sizeof value->text))
        return -1;
    return check_value(xclient, attribute);
}

int smtp_xclient_parse(struct span args, struct smtp_xclient *xclient_out, struct smtp_reply *refusal)
{
    struct smtp_xclient xclient = {0};
    struct span word;
    int count = 0;

    while (smtp_word_take(&args, &word)) {
        if (read_attribute(&xclient, word)) {
            smtp_reply_setf(refusal, 501, "5.5.4 bad XCLIENT attribute");
            return -1;
        }
        count++;
    }
    if (count == 0) {
        smtp_reply_setf(refusal, 501, "5.5.4 XCLIENT needs attributes");
        return -1;
    }
    *xclient_out = xclient;
    return 0;
}
