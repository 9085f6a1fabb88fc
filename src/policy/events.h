/* SPDX-License-Identifier: Apache-2.0
 *
 * The events that the program itself raises: EVENT(NAME, "lua name", how handlers combine).
 *   single:   one handler; a second kumo.on for it is an error in the policy.
 *   multiple: asked in the order they were registered; the first that returns something
 *             other than nil gives the answer.
 *   every:    all are called in that order, for what they do; one that returns anything
 *             at all, an explicit nil included, ends the chain.
 */
#ifndef GATEPOST_POLICY_EVENTS_H
#define GATEPOST_POLICY_EVENTS_H

#define POLICY_EVENTS(EVENT)                                                                                           \
    EVENT(PRE_INIT, "pre_init", every)                                                                                 \
    EVENT(INIT, "init", single)                                                                                        \
    EVENT(VALIDATE_CONFIG, "validate_config", every)                                                                   \
    EVENT(SMTP_GET_DYNAMIC_PARAMETERS, "smtp_server_get_dynamic_parameters", single)                                   \
    EVENT(SMTP_CONNECTION_ACCEPTED, "smtp_server_connection_accepted", single)                                         \
    EVENT(SMTP_EHLO, "smtp_server_ehlo", single)                                                                       \
    EVENT(SMTP_AUTH_PLAIN, "smtp_server_auth_plain", single)                                                           \
    EVENT(SMTP_AUTH_SCRAM, "smtp_server_auth_scram", single)                                                           \
    EVENT(SMTP_AUTH_BEARER, "smtp_server_auth_bearer", single)                                                         \
    EVENT(SMTP_AUTH_EXTERNAL, "smtp_server_auth_external", single)                                                     \
    EVENT(SMTP_AUTHENTICATED, "smtp_server_authenticated", single)                                                     \
    EVENT(AUTH_SUSPECT, "auth_suspect", every)                                                                         \
    EVENT(SMTP_MAIL_FROM, "smtp_server_mail_from", single)                                                             \
    EVENT(GET_LISTENER_DOMAIN, "get_listener_domain", multiple)                                                        \
    EVENT(SMTP_RCPT_TO, "smtp_server_rcpt_to", single)                                                                 \
    EVENT(SMTP_DATA, "smtp_server_data", single)                                                                       \
    EVENT(SMTP_SPLIT_TRANSACTION, "smtp_server_split_transaction", single)                                             \
    EVENT(SMTP_MESSAGE_RECEIVED, "smtp_server_message_received", single)                                               \
    EVENT(SMTP_REWRITE_RESPONSE, "smtp_server_rewrite_response", single)                                               \
    EVENT(GET_QUEUE_CONFIG, "get_queue_config", multiple)                                                              \
    EVENT(GET_EGRESS_POOL, "get_egress_pool", multiple)                                                                \
    EVENT(GET_EGRESS_SOURCE, "get_egress_source", multiple)                                                            \
    EVENT(GET_EGRESS_PATH_CONFIG, "get_egress_path_config", multiple)                                                  \
    EVENT(THROTTLE_INSERT_READY_QUEUE, "throttle_insert_ready_queue", every)                                           \
    EVENT(REQUEUE_MESSAGE, "requeue_message", every)

#define POLICY_EVENT_ENUM(name, lua_name, combine) POLICY_EVENT_##name,
enum policy_event { POLICY_EVENTS(POLICY_EVENT_ENUM) POLICY_EVENT_COUNT };
#undef POLICY_EVENT_ENUM

const char *policy_event_name(enum policy_event event); /* "smtp_server_ehlo" */

#endif
