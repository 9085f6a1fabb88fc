/* SPDX-License-Identifier: Apache-2.0
 *
 * From the attributes of a directory's entry to a record. Lists stay lists, so that the commas of a distinguished name
 * divide nothing; booleans and times are LDAP's own (RFC 4517, sections 3.3.3 and 3.3.13) or what records have anyway.
 * Tables have no form of LDAP's and are JSON, as in a column of a database.
 */
#include "credential/store_ldap.h"

#include <string.h>

#include "base/mem.h"
#include "credential/store_fields.h"

enum shape { SHAPE_TEXT, SHAPE_FLAG, SHAPE_TIME, SHAPE_LIST, SHAPE_GROUPS, SHAPE_PASSWORDS, SHAPE_TABLES };

static const struct {
    const char *name;
    enum shape shape;
} shapes[] = {
    {"name", SHAPE_TEXT},      {"tenant", SHAPE_TEXT},   {"disabled", SHAPE_FLAG},      {"not_before", SHAPE_TIME},
    {"not_after", SHAPE_TIME}, {"tenants", SHAPE_LIST},  {"senders", SHAPE_LIST},       {"may_act_as", SHAPE_LIST},
    {"networks", SHAPE_LIST},  {"groups", SHAPE_GROUPS}, {"password", SHAPE_PASSWORDS}, {"secrets", SHAPE_TABLES},
    {"limits", SHAPE_TEXT},
};
#define SHAPE_COUNT (sizeof shapes / sizeof *shapes)

static size_t shape_index(const char *name)
{
    size_t i = 0;

    while (i < SHAPE_COUNT && strcmp(shapes[i].name, name))
        i++;
    return i;
}

bool directory_field_is_known(const char *name) { return shape_index(name) < SHAPE_COUNT; }

/* ---- one value ---- */

static json_t *text_of(struct span value) { return json_stringn(value.data, value.len); }

static json_t *flag_of(struct span value)
{
    if (span_ieq(value, SPAN_LIT("TRUE")) || span_eq(value, SPAN_LIT("1")))
        return json_true();
    if (span_ieq(value, SPAN_LIT("FALSE")) || span_eq(value, SPAN_LIT("0")))
        return json_false();
    return NULL;
}

/* "20261122210000Z", perhaps with a fraction, as RFC 3339; what is written otherwise stays. */
static json_t *time_of(struct span value)
{
    const char *v = value.data;

    if (value.len < 15 || value.data[value.len - 1] != 'Z')
        return text_of(value);
    for (size_t i = 0; i < 14; i++)
        if (v[i] < '0' || v[i] > '9')
            return text_of(value);
    if (value.len > 15 && v[14] != '.' && v[14] != ',')
        return text_of(value);
    return json_sprintf("%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", v, v + 4, v + 6, v + 8, v + 10, v + 12);
}

/* "staff" of "cn=staff,ou=groups,dc=example"; what is not a distinguished name stays. */
static json_t *group_of(struct span value, bool by_name)
{
    struct berval text = {.bv_len = value.len, .bv_val = (char *)(uintptr_t)value.data};
    json_t *name = NULL;
    LDAPDN dn = NULL;

    if (by_name && ldap_bv2dn(&text, &dn, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS && dn && dn[0] && dn[0][0] &&
        !(dn[0][0]->la_flags & LDAP_AVA_BINARY))
        name = json_stringn(dn[0][0]->la_value.bv_val, dn[0][0]->la_value.bv_len);
    if (dn)
        ldap_dnfree(dn);
    return name ? name : text_of(value);
}

/* A table, or a list of tables; what is in them the reader of records judges. */
static json_t *tables_of(struct span value)
{
    json_t *tables = json_loadb(value.data, value.len, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(tables) || json_is_array(tables))
        return tables;
    store_fields_free(tables);
    return NULL;
}

static json_t *value_of(enum shape shape, struct span value, bool groups_by_name)
{
    switch (shape) {
    case SHAPE_FLAG:
        return flag_of(value);
    case SHAPE_TIME:
        return time_of(value);
    case SHAPE_GROUPS:
        return group_of(value, groups_by_name);
    case SHAPE_TABLES:
        return tables_of(value);
    case SHAPE_TEXT:
    case SHAPE_LIST:
    case SHAPE_PASSWORDS:
        break;
    }
    return text_of(value);
}

/* ---- one field ---- */

static bool is_list(enum shape shape, size_t count)
{
    return shape == SHAPE_LIST || shape == SHAPE_GROUPS || shape == SHAPE_TABLES ||
           (shape == SHAPE_PASSWORDS && count > 1);
}

/* The tables of several values are one list: a directory gives them in no order. */
static void add_value(json_t *list, enum shape shape, json_t *value)
{
    if (shape == SHAPE_TABLES && json_is_array(value))
        json_array_extend(list, value);
    else
        json_array_append(list, value);
    json_decref(value);
}

json_t *directory_field(const char *field, struct berval *const *values, size_t count, bool groups_by_name,
                        struct error *error)
{
    enum shape shape = shapes[shape_index(field)].shape;
    json_t *list = json_array();
    json_t *only;

    for (size_t i = 0; i < count; i++) {
        json_t *value = value_of(shape, span_make(values[i]->bv_val, values[i]->bv_len), groups_by_name);

        if (value) {
            add_value(list, shape, value);
            continue;
        }
        error_set(error, ERROR_TEMP, "the directory has something for %s that is not what it should be", field);
        store_fields_free(list);
        return NULL;
    }
    if (is_list(shape, count))
        return list;
    only = count == 1 ? json_incref(json_array_get(list, 0)) : NULL;
    json_decref(list);
    if (!only)
        error_set(error, ERROR_TEMP, "the directory has %zu values for %s, which is one", count, field);
    return only;
}

json_t *directory_record(LDAP *ld, LDAPMessage *entry, const struct directory_search *search, struct error *error)
{
    json_t *record = json_object();

    for (size_t i = 0; i < search->attribute_count; i++) {
        const struct directory_attribute *attribute = &search->attributes[i];
        struct berval **values = ldap_get_values_len(ld, entry, attribute->name);
        int count = values ? ldap_count_values_len(values) : 0;
        json_t *field = NULL;

        if (count > 0)
            field = directory_field(attribute->field, values, (size_t)count, search->groups_by_name, error);
        if (values)
            ldap_value_free_len(values);
        if (count > 0 && (!field || json_object_set_new(record, attribute->field, field))) {
            store_fields_free(record);
            return NULL;
        }
    }
    return record;
}
