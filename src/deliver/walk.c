/* SPDX-License-Identifier: Apache-2.0
 *
 * Walking the plan: host after host, each host's addresses in turn, until a peer is ready
 * for mail or there is nobody left to try. Addresses that must not be used are passed over
 * here, whatever the DNS says.
 *
 * The awkward truth: preferences are gone by now, so when a host turns out to be ourselves
 * the walk ends there (RFC 5321, section 5.1): whatever comes after could only send the mail
 * round in a circle.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"
#include "deliver/deliver_private.h"
#include "log/diag.h"

#define TRIES_LIMIT 50

const struct route_plan_host *walk_host(const struct deliver_session *session)
{
    size_t next = session->walk.host;

    return &session->plan->hosts[next > 0 ? next - 1 : 0];
}

static void note_reason(struct deliver_session *session, const struct smtp_reply *reply)
{
    if (diag_is_on(DIAG_DEBUG))
        diag(DIAG_DEBUG, NULL, "delivery to %s: %s cannot be used: %d %s", session->plan->ready_name,
             walk_host(session)->name, reply->code, reply->text);
    outcome_note_site(&session->walk.reason, session->state, reply);
}

/* ---- which addresses ---- */

static bool is_in(const struct cidr *blocks, size_t count, const struct ip *ip)
{
    for (size_t i = 0; i < count; i++)
        if (cidr_contains(&blocks[i], ip))
            return true;
    return false;
}

static uint16_t port_of(const struct deliver_session *session)
{
    const struct route_plan *plan = session->plan;
    uint16_t port = walk_host(session)->port;

    if (port == 0)
        port = plan->source->remote_port;
    return port ? port : plan->path->smtp_port;
}

static void end_walk(struct walk *walk, size_t host_count)
{
    walk->host = host_count;
    walk->next_address = walk->address_count;
    walk->saw_ourselves = true;
}

enum choice { CHOICE_USE, CHOICE_PASS, CHOICE_PROHIBITED };

static enum choice choose(struct deliver_session *session, const struct ip *ip, const struct sockaddr *peer)
{
    const struct route_path *path = session->plan->path;
    const struct route_source *source = session->plan->source;
    struct walk *walk = &session->walk;

    if (is_in(path->skip_hosts, path->skip_count, ip)) {
        walk->saw_skipped = true;
        return CHOICE_PASS;
    }
    if (is_in(path->prohibited_hosts, path->prohibited_count, ip))
        return CHOICE_PROHIBITED;
    if (settings_is_own_address(peer)) {
        end_walk(walk, session->plan->host_count);
        return CHOICE_PASS;
    }
    if (source->has_address && source->address.family != ip->family) {
        walk->saw_other_family = true;
        return CHOICE_PASS;
    }
    return CHOICE_USE;
}

/* ---- connecting ---- */

static struct socket *open_socket(struct deliver_session *session, const struct sockaddr *peer, struct error *error)
{
    const struct route_source *source = session->plan->source;
    struct sockaddr_storage from;

    if (source->has_address)
        sockaddr_from_ip(&source->address, 0, &from);
    return socket_connect(session->loop, peer, source->has_address ? (struct sockaddr *)&from : NULL,
                          deliver_session_socket_handler(), session, error);
}

static void connect_to(struct deliver_session *session, const struct sockaddr *peer)
{
    struct walk *walk = &session->walk;
    struct error error = {0};
    struct smtp_reply reply;

    sockaddr_format(peer, session->peer_address);
    session->tls_given_up = session->is_authenticated = false;
    walk->tries++;
    session->socket = open_socket(session, peer, &error);
    if (session->socket) {
        deliver_session_enter(session, STATE_CONNECTING);
        return;
    }
    smtp_reply_setf(&reply, 451, "4.4.1 %s", error.sentence);
    note_reason(session, &reply);
}

/* The next address of the current host. The walk goes on where it may not be used, or fails at once. */
static void try_address(struct deliver_session *session)
{
    const struct ip *ip = &session->walk.addresses[session->walk.next_address++];
    struct sockaddr_storage peer;
    struct smtp_reply reply;
    char text[INET6_ADDRSTRLEN];

    session->in_clear = session->walk.again_in_clear;
    session->walk.again_in_clear = false;
    sockaddr_from_ip(ip, port_of(session), &peer);
    switch (choose(session, ip, (struct sockaddr *)&peer)) {
    case CHOICE_USE:
        connect_to(session, (struct sockaddr *)&peer);
        return;
    case CHOICE_PASS:
        return;
    case CHOICE_PROHIBITED:
        break;
    }
    ip_format(ip, text);
    smtp_reply_setf(&reply, 550, "5.4.4 %s has the address %s, which is among the prohibited hosts",
                    walk_host(session)->name, text);
    session_end(session, DELIVER_END_NEVER_STOOD, &reply);
}

/* ---- looking up ---- */

static void on_addresses(void *ctx, const struct dns_addresses *addresses, const struct error *error)
{
    struct deliver_session *session = ctx;
    struct walk *walk = &session->walk;
    struct smtp_reply reply;

    walk->question = NULL;
    walk->next_address = 0;
    walk->address_count = addresses->count;
    memcpy(walk->addresses, addresses->ips, addresses->count * sizeof addresses->ips[0]);
    if (error) {
        smtp_reply_setf(&reply, 451, "%s %s", addresses->verdict == DNS_FAILED ? "4.4.3" : "4.4.4", error->sentence);
        note_reason(session, &reply);
    }
    walk_next(session);
}

static void find_addresses(struct deliver_session *session)
{
    struct walk *walk = &session->walk;
    const struct route_plan_host *host = &session->plan->hosts[walk->host++];

    walk->next_address = walk->address_count = 0;
    if (host->has_address) {
        walk->addresses[0] = host->address;
        walk->address_count = 1;
        return;
    }
    deliver_session_enter(session, STATE_RESOLVING);
    walk->question = dns_find_addresses(session->dns, host->name, on_addresses, session);
}

void walk_stop(struct deliver_session *session)
{
    dns_cancel(session->walk.question);
    session->walk.question = NULL;
}

/* ---- the walk ---- */

static void give_up(struct deliver_session *session)
{
    struct smtp_reply reply;

    outcome_of_walk(&session->walk, &reply);
    session_end(session, DELIVER_END_NEVER_STOOD, &reply);
}

void walk_next(struct deliver_session *session)
{
    struct walk *walk = &session->walk;

    deliver_session_enter(session, STATE_WALKING);
    while (session->state == STATE_WALKING) {
        if (walk->next_address < walk->address_count && walk->tries < TRIES_LIMIT)
            try_address(session);
        else if (walk->host < session->plan->host_count && walk->tries < TRIES_LIMIT)
            find_addresses(session);
        else
            give_up(session);
    }
}

/* Only who asked for no more than "TLS if it works", and for this by name as well. */
static bool may_go_without_tls(const struct route_path *path)
{
    return path->reconnect_in_clear &&
           (path->enable_tls == ROUTE_TLS_OPPORTUNISTIC || path->enable_tls == ROUTE_TLS_OPPORTUNISTIC_INSECURE);
}

void walk_failed(struct deliver_session *session, const struct smtp_reply *reply)
{
    note_reason(session, reply);
    session_close_socket(session);
    /* on a new connection: this one's peer may have half a handshake in hand */
    if (session->state == STATE_HANDSHAKE && may_go_without_tls(session->plan->path)) {
        session->walk.again_in_clear = true;
        session->walk.next_address--;
    }
    deliver_session_enter(session, STATE_WALKING);
    loop_defer(session->loop, &session->kick);
}
