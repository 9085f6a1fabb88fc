/* SPDX-License-Identifier: Apache-2.0
 *
 * Which user an entry is. A directory matches loosely (RFC 4518): case, spaces at the ends, letters that look alike. We
 * do not, or one person would be many; so the entry's own spelling is compared with what was asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "credential/store_ldap.h"

#define PLACE "{user}"

/* ---- where the name is ---- */

/* "uid=smtp:{user}@example.org"; -1 for what is no plain comparison ("uid~=", "uid=*{user}", "uid=\2a{user}"). */
static int read_name(struct span part, struct directory_name *name_out)
{
    size_t equals = span_find(part, '=');
    struct span attribute = span_head(part, span_find(span_head(part, equals), ':'));
    struct span value = span_from(part, equals + 1);
    size_t at = 0;

    while (at < value.len && !span_starts_with(span_from(value, at), SPAN_LIT(PLACE)))
        at++;
    if (equals == part.len || at == value.len || attribute.len == 0 || span_find(value, '*') < value.len ||
        span_find(value, '\\') < value.len || strchr("<>~", attribute.data[attribute.len - 1]))
        return -1;
    *name_out = (struct directory_name){.attribute = span_dup(attribute),
                                        .before = span_dup(span_head(value, at)),
                                        .after = span_dup(span_from(value, at + strlen(PLACE)))};
    if (!strstr(name_out->after, PLACE))
        return 0;
    directory_names_done(name_out, 1);
    return -1;
}

static size_t add_of_filter(const char *filter, struct directory_name *names, size_t count)
{
    const char *place = filter;

    for (; count < DIRECTORY_NAMES_MOST && (place = strstr(place, PLACE)); place += strlen(PLACE)) {
        const char *begin = place;

        while (begin > filter && begin[-1] != '(')
            begin--;
        if (!read_name(span_make(begin, (size_t)(place - begin) + strcspn(place, ")")), &names[count]))
            count++;
    }
    return count;
}

size_t directory_names_of(const char *filter, const char *base, bool is_base,
                          struct directory_name names_out[DIRECTORY_NAMES_MOST])
{
    size_t count = add_of_filter(filter, names_out, 0);

    if (is_base && count < DIRECTORY_NAMES_MOST && !read_name(span_make(base, strcspn(base, ",+")), &names_out[count]))
        count++;
    return count;
}

void directory_names_done(struct directory_name *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(names[i].attribute);
        free(names[i].before);
        free(names[i].after);
    }
}

/* ---- what it is ---- */

char *directory_name_in(const struct directory_name *name, struct span value, struct span user)
{
    size_t before = strlen(name->before), after = strlen(name->after);
    struct span middle;

    if (value.len != before + user.len + after)
        return NULL;
    middle = span_head(span_from(value, before), user.len);
    if (!span_ieq(span_head(value, before), span_of(name->before)) || !span_ieq(middle, user) ||
        !span_ieq(span_from(value, before + user.len), span_of(name->after)))
        return NULL;
    return span_dup(middle);
}

static char *find_in(LDAP *ld, LDAPMessage *entry, const struct directory_name *name, struct span user, bool *is_shown)
{
    struct berval **values = ldap_get_values_len(ld, entry, name->attribute);
    char *found = NULL;

    if (!values)
        return NULL;
    for (struct berval **value = values; *value && !found; value++) {
        *is_shown = true;
        found = directory_name_in(name, span_make((*value)->bv_val, (*value)->bv_len), user);
    }
    ldap_value_free_len(values);
    return found;
}

char *directory_name_find(LDAP *ld, LDAPMessage *entry, const struct directory_search *search, bool *is_shown_out)
{
    char *found = NULL;

    *is_shown_out = false;
    for (size_t i = 0; i < search->name_count && !found; i++)
        found = find_in(ld, entry, &search->names[i], span_of(search->user), is_shown_out);
    return found;
}

bool directory_name_is_plain(const char *user)
{
    size_t len = strlen(user);

    return span_is_ascii(span_of(user)) && len > 0 && user[0] != ' ' && user[len - 1] != ' ' && !strstr(user, "  ");
}
