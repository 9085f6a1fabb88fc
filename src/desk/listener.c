/* SPDX-License-Identifier: Apache-2.0
 *
 * The explanation of a login, where a listener was named: what that listener says besides the rules. Its parameters are
 * those for this very client, rows for its network (`peer`) and for the address that it connects to (`via`) included.
 */
#include <stdlib.h>
#include <string.h>

#include "auth/mechanism.h"
#include "base/mem.h"
#include "desk/desk_private.h"
#include "receive/params.h"

/* Takes `text`. */
static void add(json_t *answer, const char *rule, const char *result, char *text)
{
    json_array_append_new(json_object_get(answer, "rules"),
                          json_pack("{s:s, s:s, s:s}", "rule", rule, "result", result, "text", text));
    free(text);
}

static json_t *find_rule(const json_t *answer, const char *name)
{
    json_t *rule;
    size_t i;

    json_array_foreach(json_object_get(answer, "rules"), i, rule)
    {
        if (!strcmp(json_string_value(json_object_get(rule, "rule")), name))
            return rule;
    }
    return NULL;
}

static bool listens_on(const struct sockaddr *bound, const struct sockaddr *wanted)
{
    static const unsigned char any[16]; /* on every address: on this one too */
    struct ip ip = ip_of_sockaddr(wanted), own = ip_of_sockaddr(bound);

    return sockaddr_port(bound) == sockaddr_port(wanted) &&
           (ip_equal(&own, &ip) || !memcmp(own.bytes, any, sizeof own.bytes));
}

static struct receive_params *params_of(const struct desk *desk, const struct sockaddr *wanted)
{
    struct receive_params *params;
    const struct sockaddr *bound;

    for (size_t i = 0; (params = desk->ops->listener_at(desk->ctx, i, &bound)); i++)
        if (listens_on(bound, wanted))
            return params;
    return NULL;
}

static void refuse(json_t *answer)
{
    if (strcmp(json_string_value(json_object_get(answer, "decision")), "let_in") != 0)
        return;
    json_object_set_new(answer, "decision", json_string("refused"));
    json_object_set_new(answer, "reason", json_string("no_handler"));
}

static void tell_mechanism(const struct receive_params *params, const struct auth_mechanism *mechanism,
                           const char *address, json_t *answer)
{
    uint32_t bit = UINT32_C(1) << auth_mechanism_index(mechanism);
    const char *name = auth_mechanism_name(mechanism);
    bool in_clear = params->auth_mechanisms_in_clear & bit;

    if (params->auth_mechanisms & bit) {
        add(answer, "listener", "passes",
            mem_printf("%s takes %s under TLS%s", address, name, in_clear ? " and in clear" : ""));
    } else if (in_clear) {
        add(answer, "listener", "passes", mem_printf("%s takes %s in clear", address, name));
    } else {
        add(answer, "listener", "refuses", mem_printf("%s does not take %s from there", address, name));
        refuse(answer);
    }
}

static void tell_greeting(const struct receive_params *params, json_t *answer)
{
    bool is_refused = params->refuse_before_tls == RECEIVE_REFUSE_AT_ONCE;
    json_t *greeting = find_rule(answer, "greeting");

    if (!greeting || params->refuse_before_tls == RECEIVE_REFUSE_AS_RULES_SAY)
        return;
    json_object_set_new(greeting, "result", json_string(is_refused ? "refuses" : "note"));
    json_object_set_new(greeting, "text",
                        json_string(is_refused ? "this listener turns such a client away before TLS"
                                               : "this listener lets such a client try"));
}

static void tell(const struct receive_params *params, const struct ip *from, const json_t *question, json_t *answer)
{
    const char *name = json_string_value(json_object_get(question, "mechanism"));
    const char *address = json_string_value(json_object_get(question, "listener"));

    tell_mechanism(params, auth_mechanism_find(span_of(name ? name : "PLAIN")), address, answer);
    tell_greeting(params, answer);
    if (receive_cidrs_contain(&params->relay_hosts, from))
        add(answer, "relay_hosts", "note", mem_strdup("this listener relays for that client without a login"));
    if (params->allow_xclient || params->require_proxy_protocol)
        add(answer, "proxy", "note", mem_strdup("that client may speak for others, as whom it says"));
}

void desk_tell_listener(const struct desk *desk, const json_t *asked, json_t *answer)
{
    const char *wanted = json_string_value(json_object_get(asked, "listener"));
    const char *text = json_string_value(json_object_get(asked, "from"));
    struct sockaddr_storage address;
    struct receive_params *base, *params;
    struct ip local, from;

    if (!wanted || !desk->ops->listener_at || ip_parse(span_of(text), &from))
        return;
    base = sockaddr_parse(span_of(wanted), &address, NULL) ? NULL : params_of(desk, (const struct sockaddr *)&address);
    if (!base) {
        add(answer, "listener", "refuses", mem_strdup("there is no such listener"));
        refuse(answer);
        return;
    }
    local = ip_of_sockaddr((const struct sockaddr *)&address);
    params = receive_params_for(base, &local, &from);
    tell(params, &from, asked, answer);
    receive_params_unref(&params);
}
