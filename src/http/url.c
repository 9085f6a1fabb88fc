/* SPDX-License-Identifier: Apache-2.0
 *
 * See url.h.
 */
#include "http/url.h"

#include <string.h>

#include "base/cidr.h"

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

int url_put_encoded(struct span part, struct buf *out)
{
    for (size_t i = 0; i < part.len; i++) {
        unsigned char c = (unsigned char)part.data[i];

        if (is_unreserved(c) ? buf_append(out, &c, 1) : buf_appendf(out, "%%%02X", c))
            return -1;
    }
    return 0;
}

static bool has_control(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return true;
    return false;
}

const char *url_fault_of_part(struct span part)
{
    if (!part.len)
        return "an empty part";
    if (span_eq(part, SPAN_LIT(".")) || span_eq(part, SPAN_LIT("..")))
        return "a part that is '.' or '..'";
    if (span_find(part, '/') < part.len)
        return "a slash";
    return has_control(part) ? "a control character" : NULL;
}

const char *url_put_parts(struct span path, struct buf *out)
{
    for (;;) {
        size_t end = span_find(path, '/');
        struct span part = span_head(path, end);
        const char *fault = url_fault_of_part(part);

        if (fault)
            return fault;
        if (buf_append(out, "/", 1) || url_put_encoded(part, out))
            return "more bytes than a path may have";
        if (end == path.len)
            return NULL;
        path = span_from(path, end + 1);
    }
}

bool url_is_https(const char *url) { return span_istarts_with(span_of(url), SPAN_LIT("https://")); }

/* Between "://" and what follows the host and port. */
static struct span authority_of(const char *url)
{
    const char *start = strstr(url, "://");

    if (!start)
        return span_make("", 0);
    start += 3;
    return span_make(start, strcspn(start, "/?#"));
}

static struct span host_of(const char *url)
{
    struct span authority = authority_of(url);
    size_t end;

    if (authority.len && authority.data[0] == '[') {
        end = span_find(authority, ']');
        return end == authority.len ? span_make("", 0) : span_make(authority.data + 1, end - 1);
    }
    return span_head(authority, span_find(authority, ':'));
}

bool url_is_loopback(const char *url)
{
    static const struct ip v6 = {.family = AF_INET6, .bytes = {[15] = 1}};
    struct span host = host_of(url);
    struct ip ip;

    if (span_find(authority_of(url), '@') < authority_of(url).len)
        return false;
    if (span_ieq(host, SPAN_LIT("localhost")))
        return true;
    if (ip_parse(host, &ip))
        return false;
    return ip.family == AF_INET ? ip.bytes[0] == 127 : ip_equal(&ip, &v6);
}

int url_check(const char *url, struct error *error)
{
    struct span text = span_of(url);

    if (!url_is_https(url) && !span_istarts_with(text, SPAN_LIT("http://")))
        return error_set(error, ERROR_PERM, "an address starts with http:// or https://");
    if (!host_of(url).len)
        return error_set(error, ERROR_PERM, "the address names no host");
    if (span_find(authority_of(url), '@') < authority_of(url).len)
        return error_set(error, ERROR_PERM, "an address may not hold a user name");
    if (has_control(text) || strpbrk(url, " \\#"))
        return error_set(error, ERROR_PERM, "an address may not hold blanks, controls, '\\' or '#'");
    return 0;
}

int url_check_base(const char *url, struct error *error)
{
    if (strchr(url, '?'))
        return error_set(error, ERROR_PERM, "this address may not hold '?'");
    return url_check(url, error);
}
