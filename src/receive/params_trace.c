/* SPDX-License-Identifier: Apache-2.0
 *
 * trace_headers: the marks a message gets from us. Of its keys received_header, supplemental_header, header_name and
 * include_meta_names are KumoMTA's; what Received shows of the client, and a header with the name of who logged in, are
 * ours.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/secret.h"
#include "receive/params_private.h"

#define KEY_BYTES_LEAST 16
#define NAME_BYTES_MOST 200

/* A header field name (RFC 5322, section 3.6.8): anything else would break the header. */
static int check_field_name(const char *key, const char *name, struct error *error)
{
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == ':')
            return error_set(error, ERROR_PERM, "'%s': not a header field name", key);
    if (!*name || strlen(name) > NAME_BYTES_MOST)
        return error_set(error, ERROR_PERM, "'%s': not a header field name", key);
    return 0;
}

static int read_header_name(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    if (params_read_string(key, value, &params->trace_header_name, error))
        return -1;
    return check_field_name(key, params->trace_header_name, error);
}

static int read_client_address(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    static const char *const words[] = {"keep", "mask", "hash", "omit", NULL};
    int choice;

    if (params_choose(key, value, words, &choice, error))
        return -1;
    params->trace_client = (enum receive_client_address)choice;
    return 0;
}

static int read_client_key(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    const char *text = json_string_value(value);

    if (!text)
        return params_wrong_type(key, value, "a string", error);
    if (strlen(text) < KEY_BYTES_LEAST)
        return error_set(error, ERROR_PERM, "'%s': a key has %d bytes or more", key, KEY_BYTES_LEAST);
    secret_free(params->trace_client_key);
    params->trace_client_key = mem_strdup(text);
    return 0;
}

/* Every field of that name is removed from what comes in: not those that make a message. */
static bool is_needed(const char *name)
{
    static const char *const needed[] = {"Received",   "Return-Path", "From",        "Sender",       "Reply-To",
                                         "To",         "Cc",          "Bcc",         "Subject",      "Date",
                                         "Message-ID", "References",  "In-Reply-To", "MIME-Version", "DKIM-Signature"};

    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (strcasecmp(name, needed[i]) == 0)
            return true;
    return strncasecmp(name, "Content-", strlen("Content-")) == 0;
}

static int read_id_header(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    if (json_is_false(value)) {
        free(params->trace_id_header);
        params->trace_id_header = NULL;
        return 0;
    }
    if (params_read_string(key, value, &params->trace_id_header, error))
        return -1;
    if (is_needed(params->trace_id_header))
        return error_set(error, ERROR_PERM, "'%s': messages have a header of this name that must stay", key);
    return check_field_name(key, params->trace_id_header, error);
}

static int read_key(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    if (strcmp(key, "received_header") == 0)
        return params_read_bool(key, value, &params->trace_received, error);
    if (strcmp(key, "supplemental_header") == 0)
        return params_read_bool(key, value, &params->trace_supplemental, error);
    if (strcmp(key, "header_name") == 0)
        return read_header_name(params, key, value, error);
    if (strcmp(key, "include_meta_names") == 0)
        return params_read_names(key, value, &params->trace_meta_names, error);
    if (strcmp(key, "client_address") == 0)
        return read_client_address(params, key, value, error);
    if (strcmp(key, "client_address_key") == 0)
        return read_client_key(params, key, value, error);
    if (strcmp(key, "authenticated_id") == 0)
        return read_id_header(params, key, value, error);
    return error_set(error, ERROR_PERM, "'%s' is not known", key);
}

int params_read_trace(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    const char *name;
    json_t *member;

    if (!data_is_table(value))
        return params_wrong_type(key, value, "a table", error);
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        if (read_key(params, name, member, error))
            return error_prefix(error, "'%s'", key);
    }
    return 0;
}
