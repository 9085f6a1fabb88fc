/* SPDX-License-Identifier: Apache-2.0
 *
 * The one list of counters: METRIC(NAME, kind, "exposition name{labels}", "help"). Names
 * are KumoMTA's where we count the same thing. Rows with the same exposition name stand
 * together. docs/metrics.md is made from this list.
 */
#ifndef GATEPOST_METRICS_TABLE_H
#define GATEPOST_METRICS_TABLE_H

#define METRICS_TABLE(METRIC)                                                                                          \
    METRIC(SMTPD_CONNECTIONS, gauge, "connection_count{service=\"esmtp_listener\"}", "connections open now")           \
    METRIC(SMTPC_CONNECTIONS, gauge, "connection_count{service=\"smtp_client\"}", "connections open now")              \
    METRIC(SMTPD_CONNECTIONS_TOTAL, counter, "total_connection_count{service=\"esmtp_listener\"}",                     \
           "connections ever accepted or made")                                                                        \
    METRIC(SMTPC_CONNECTIONS_TOTAL, counter, "total_connection_count{service=\"smtp_client\"}",                        \
           "connections ever accepted or made")                                                                        \
    METRIC(SMTPD_CONNECTIONS_DENIED, counter, "total_connections_denied{service=\"esmtp_listener\"}",                  \
           "connections refused for a limit")                                                                          \
    METRIC(SMTPD_MESSAGES, counter, "total_messages_received{service=\"esmtp_listener\"}", "messages answered 250")    \
    METRIC(SMTPC_MESSAGES_DELIVERED, counter, "total_messages_delivered{service=\"smtp_client\"}",                     \
           "messages the next server accepted")                                                                        \
    METRIC(SMTPC_MESSAGES_FAILED, counter, "total_messages_fail{service=\"smtp_client\"}",                             \
           "messages refused for good")                                                                                \
    METRIC(SMTPC_MESSAGES_TRANSIENT, counter, "total_messages_transfail{service=\"smtp_client\"}",                     \
           "attempts that will be tried again")                                                                        \
    METRIC(AUTH_OK, counter, "gatepost_auth_total{result=\"ok\"}", "SASL exchanges by result")                         \
    METRIC(AUTH_REFUSED, counter, "gatepost_auth_total{result=\"refused\"}", "SASL exchanges by result")               \
    METRIC(AUTH_ERROR, counter, "gatepost_auth_total{result=\"error\"}", "SASL exchanges by result")                   \
    METRIC(AUTH_CANCELLED, counter, "gatepost_auth_total{result=\"cancelled\"}", "SASL exchanges by result")           \
    METRIC(GUESSES_COUNTED, counter, "gatepost_guesses_total{result=\"counted\"}",                                     \
           "failed logins, by whether they count against limits")                                                      \
    METRIC(GUESSES_REPEATED, counter, "gatepost_guesses_total{result=\"repeated\"}",                                   \
           "failed logins, by whether they count against limits")                                                      \
    METRIC(GUESS_LOCKS_ADDRESS, counter, "gatepost_guess_locks_total{rule=\"address\"}",                               \
           "limits of guessing reached, by rule")                                                                      \
    METRIC(GUESS_LOCKS_PAIR, counter, "gatepost_guess_locks_total{rule=\"address_user\"}",                             \
           "limits of guessing reached, by rule")                                                                      \
    METRIC(GUESS_LOCKS_USER, counter, "gatepost_guess_locks_total{rule=\"user\"}",                                     \
           "limits of guessing reached, by rule")                                                                      \
    METRIC(GUESS_CONNECTIONS_REFUSED, counter, "gatepost_guess_connections_refused_total",                             \
           "connections of blocked addresses, turned away before TLS")                                                 \
    METRIC(SUSPECTS_ONE_PASSWORD, counter, "gatepost_auth_suspects_total{kind=\"one_password_many_users\"}",           \
           "suspicions, by kind")                                                                                      \
    METRIC(SUSPECTS_ONE_USER, counter, "gatepost_auth_suspects_total{kind=\"one_user_many_prefixes\"}",                \
           "suspicions, by kind")                                                                                      \
    METRIC(SUSPECTS_SUCCESS, counter, "gatepost_auth_suspects_total{kind=\"success_after_failures\"}",                 \
           "suspicions, by kind")                                                                                      \
    METRIC(WEBHOOKS_OK, counter, "gatepost_auth_webhooks_total{result=\"ok\"}", "suspicions posted, by result")        \
    METRIC(WEBHOOKS_FAILED, counter, "gatepost_auth_webhooks_total{result=\"failed\"}",                                \
           "suspicions posted, by result")                                                                             \
    METRIC(WEBHOOKS_DROPPED, counter, "gatepost_auth_webhooks_total{result=\"dropped\"}",                              \
           "suspicions posted, by result")                                                                             \
    METRIC(IDENTITY_REFUSED, counter, "gatepost_identity_total{result=\"refused\"}",                                   \
           "senders, authors and tenants that a login may not use, by what was done")                                  \
    METRIC(IDENTITY_REWRITTEN, counter, "gatepost_identity_total{result=\"rewritten\"}",                               \
           "senders, authors and tenants that a login may not use, by what was done")                                  \
    METRIC(IDENTITY_LOGGED, counter, "gatepost_identity_total{result=\"logged\"}",                                     \
           "senders, authors and tenants that a login may not use, by what was done")                                  \
    METRIC(TLS_HANDSHAKES, counter, "gatepost_tls_handshakes_total{result=\"ok\"}", "inbound handshakes")              \
    METRIC(TLS_HANDSHAKES_FAILED, counter, "gatepost_tls_handshakes_total{result=\"failed\"}", "inbound handshakes")   \
    METRIC(POLICY_RELOADS, counter, "gatepost_policy_reloads_total{result=\"ok\"}", "policy loads by result")          \
    METRIC(POLICY_RELOADS_FAILED, counter, "gatepost_policy_reloads_total{result=\"failed\"}",                         \
           "policy loads by result")                                                                                   \
    METRIC(POLICY_ERRORS, counter, "gatepost_policy_errors_total", "handlers that raised an error")                    \
    METRIC(LUA_VMS, gauge, "lua_count", "Lua states alive")                                                            \
    METRIC(MESSAGES_IN_MEMORY, gauge, "message_count", "messages this process knows")                                  \
    METRIC(SCHEDULED_MESSAGES, gauge, "gatepost_scheduled_messages", "messages in scheduled queues")                   \
    METRIC(READY_MESSAGES, gauge, "gatepost_ready_messages", "messages in ready queues")                               \
    METRIC(LOOKUPS_FOUND, counter, "gatepost_lookups_total{result=\"found\"}",                                         \
           "users looked up in the stores, by result")                                                                 \
    METRIC(LOOKUPS_NOT_FOUND, counter, "gatepost_lookups_total{result=\"not_found\"}",                                 \
           "users looked up in the stores, by result")                                                                 \
    METRIC(LOOKUPS_REFUSED, counter, "gatepost_lookups_total{result=\"refused\"}",                                     \
           "users looked up in the stores, by result")                                                                 \
    METRIC(LOOKUPS_FAILED, counter, "gatepost_lookups_total{result=\"failed\"}",                                       \
           "users looked up in the stores, by result")                                                                 \
    METRIC(LOOKUP_CACHE_HITS, counter, "gatepost_lookup_cache_total{result=\"hit\"}",                                  \
           "looks into the cache of records, by result")                                                               \
    METRIC(LOOKUP_CACHE_NEGATIVE, counter, "gatepost_lookup_cache_total{result=\"negative\"}",                         \
           "looks into the cache of records, by result")                                                               \
    METRIC(LOOKUP_CACHE_STALE, counter, "gatepost_lookup_cache_total{result=\"stale\"}",                               \
           "looks into the cache of records, by result")                                                               \
    METRIC(LOOKUP_CACHE_MISSES, counter, "gatepost_lookup_cache_total{result=\"miss\"}",                               \
           "looks into the cache of records, by result")                                                               \
    METRIC(LOOKUP_CACHE_ENTRIES, gauge, "gatepost_lookup_cache_entries",                                               \
           "records, and names without one, in the cache")                                                             \
    METRIC(LOOKUP_CACHE_EVICTED, counter, "gatepost_lookup_cache_evicted_total", "entries that made room for others")  \
    METRIC(LOG_RECORDS, counter, "gatepost_log_records_total", "disposition records written")                          \
    METRIC(TALLY_ENTRIES, gauge, "gatepost_tally_entries", "counters, budgets, marks and sets in memory")              \
    METRIC(TALLY_EVICTIONS, counter, "gatepost_tally_evictions_total", "entries pushed out of a full memory")          \
    METRIC(TALLY_CALLS_SHARED, counter, "gatepost_tally_calls_total{answered_by=\"redis\"}", "counting calls")         \
    METRIC(TALLY_CALLS_MEMORY, counter, "gatepost_tally_calls_total{answered_by=\"memory\"}", "counting calls")        \
    METRIC(TALLY_FALLBACKS, counter, "gatepost_tally_fallbacks_total",                                                 \
           "calls answered from memory because Redis could not")                                                       \
    METRIC(TALLY_REDIS_USED, gauge, "gatepost_tally_redis_used", "1 while counts are shared through Redis")            \
    METRIC(TALLY_REDIS_LOST, counter, "gatepost_tally_redis_lost_total", "times that Redis could no longer be used")   \
    METRIC(LOG_RECORDS_LOST, counter, "gatepost_log_records_lost_total", "records a full log did not take")

/* The one list of histograms, of durations in seconds: a name, "exposition name{labels}" and help, like the counters.
 */
#define HISTOGRAMS_TABLE(HISTOGRAM)                                                                                    \
    HISTOGRAM(AUTH_OK, "gatepost_auth_seconds{result=\"ok\"}", "from AUTH to the verdict, without delays on purpose")  \
    HISTOGRAM(AUTH_REFUSED, "gatepost_auth_seconds{result=\"refused\"}",                                               \
              "from AUTH to the verdict, without delays on purpose")                                                   \
    HISTOGRAM(AUTH_ERROR, "gatepost_auth_seconds{result=\"error\"}",                                                   \
              "from AUTH to the verdict, without delays on purpose")                                                   \
    HISTOGRAM(AUTH_CANCELLED, "gatepost_auth_seconds{result=\"cancelled\"}",                                           \
              "from AUTH to the verdict, without delays on purpose")                                                   \
    HISTOGRAM(STORE_LOOKUP, "gatepost_store_lookup_seconds", "until a credential store had answered")                  \
    HISTOGRAM(PASSWORD_WAIT, "gatepost_password_wait_seconds", "in the queue of the password pool")                    \
    HISTOGRAM(PASSWORD_HASH, "gatepost_password_hash_seconds", "until a password was verified, in the pool")

#define METRIC_ENUM(name, kind, exposition, help) METRIC_##name,
enum metric { METRICS_TABLE(METRIC_ENUM) METRIC_COUNT };
#undef METRIC_ENUM

#define HISTOGRAM_ENUM(name, exposition, help) HISTOGRAM_##name,
enum histogram { HISTOGRAMS_TABLE(HISTOGRAM_ENUM) HISTOGRAM_COUNT };
#undef HISTOGRAM_ENUM

#endif
