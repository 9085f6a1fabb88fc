/* SPDX-License-Identifier: Apache-2.0
 *
 * The queue as its neighbours meet it: what is inserted comes out once, in time, within the
 * limits, or is kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "house.h"
#include "message/schedule.h"

#define SMART_HOST "protocol = { smtp = { mx_list = { '[192.0.2.9]:2525' } } }"

static const char smart_policy[] = "kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST
                                   ", retry_interval = 60, max_age = '10 minutes' } end)";

/* ---- the plain way ---- */

static void a_message_goes_out_by_mx(void **state)
{
    struct house *house = house_new("", "example.com MX 10 mx2.example.com\nexample.com MX 5 mx1.example.com\n"
                                        "mx1.example.com A 192.0.2.1\nmx2.example.com A 192.0.2.2\n");

    (void)state;
    house_insert(house, "b@Example.COM", 1);
    for (int i = 0; i < 50 && house->connection_count == 0; i++)
        house_settle(house);
    assert_int_equal(house->connection_count, 1);
    assert_int_equal(house->connections[0].plan->host_count, 2);
    assert_string_equal(house->connections[0].plan->hosts[0].name, "mx1.example.com");
    assert_int_equal(house->connections[0].plan->hosts[0].port, 25);
    assert_string_equal(house->connections[0].plan->source->name, "unspecified");
    assert_int_equal(house_deliver(house, 0, 10), 1);
    assert_int_equal(house_scheduled(house) + house_ready(house), 0);
    house_free(house);
}

static void a_smart_host_needs_no_dns(void **state)
{
    struct house *house = house_new(smart_policy, NULL);

    (void)state;
    house_insert(house, "b@example.com", 1);
    house_settle(house);
    assert_int_equal(house->connection_count, 1);
    assert_int_equal(house->connections[0].plan->hosts[0].port, 2525);
    assert_true(house->connections[0].plan->hosts[0].has_address);
    assert_string_equal(house->connections[0].plan->ready_name, "unspecified->192.0.2.9@smtp_client");
    house_free(house);
}

/* The hosts of all three fold to "(mx1|mx2).(one|two).test"; evil.test's are others. */
static const char folding_zone[] = "good.test MX 5 mx1.one.test\ngood.test MX 5 mx2.two.test\n"
                                   "same.test MX 5 mx2.two.test\nsame.test MX 5 mx1.one.test\n"
                                   "evil.test MX 5 mx1.one.test\nevil.test MX 6 mx1.two.test\n"
                                   "evil.test MX 7 mx2.two.test\n"
                                   "mx1.one.test A 192.0.2.1\nmx2.two.test A 192.0.2.2\nmx1.two.test A 192.0.2.3\n";

static void assert_one_line_for(const struct queue *queue, const char *line)
{
    struct buf page;
    const char *found;

    buf_init(&page, 65536);
    assert_int_equal(queue_write_metrics(queue, 100, &page), 0);
    found = strstr(buf_cstr(&page), line);
    assert_non_null(found);
    assert_null(strstr(found + 1, "ready_count{"));
    buf_done(&page);
}

static void hosts_that_fold_to_one_name_do_not_mix(void **state)
{
    struct house *house = house_new("", folding_zone);

    (void)state;
    house_insert(house, "b@good.test", 1);
    house_insert(house, "b@same.test", 1);
    house_insert(house, "b@evil.test", 1);
    for (int i = 0; i < 50 && house_ready(house) < 3; i++)
        house_settle(house);
    assert_int_equal(house_ready(house), 3);
    assert_int_equal(house->queue->readies.count, 2);
    assert_one_line_for(house->queue, "ready_count{service=\"smtp_client:unspecified->(mx1|mx2).(one|two).test\"} 3\n");
    for (size_t i = 0; i < house->connection_count; i++) {
        const struct route_plan *plan = house->connections[i].plan;
        struct message *message = house_take_one(house, i);

        if (!message)
            continue;
        assert_int_equal(plan->host_count, strstr(message_recipient(message, 0), "evil") ? 3 : 2);
        message_free(message);
    }
    house_free(house);
}

static void smart_hosts_that_differ_in_port_do_not_mix(void **state)
{
    struct house *house = house_new(
        "kumo.on('get_queue_config', function(domain) return kumo.make_queue_config { protocol = { smtp = { mx_list "
        "= { domain == 'a.test' and '[192.0.2.9]:1' or '[192.0.2.9]:2' } } } } end)",
        NULL);

    (void)state;
    house_insert(house, "x@a.test", 1);
    house_insert(house, "x@b.test", 1);
    house_settle(house);
    assert_int_equal(house->connection_count, 2);
    assert_int_not_equal(house->connections[0].plan->hosts[0].port, house->connections[1].plan->hosts[0].port);
    house_free(house);
}

static void messages_leave_in_the_order_they_came(void **state)
{
    struct house *house = house_new(smart_policy, NULL);
    char ids[20][MESSAGE_ID_CHARS + 1];

    (void)state;
    for (int i = 0; i < 20; i++) {
        struct message *message = house_message(house, "b@example.com");

        snprintf(ids[i], sizeof ids[i], "%s", message_id(message));
        queue_insert(house->queue, message);
    }
    house_settle(house);
    for (int i = 0; i < 20; i++) {
        struct message *message = house_take_one(house, 0);

        assert_string_equal(message_id(message), ids[i]);
        message_free(message);
    }
    house_free(house);
}

static void a_fresh_message_goes_to_a_waiting_connection(void **state)
{
    struct house *house = house_new(smart_policy, NULL);

    (void)state;
    house_insert(house, "b@example.com", 1);
    house_settle(house);
    assert_int_equal(house_deliver(house, 0, 10), 1);
    assert_int_equal(house_deliver(house, 0, 10), 0); /* waits now */
    house_insert(house, "b@example.com", 1);
    house_settle(house);
    assert_int_equal(house->connection_count, 1);
    assert_int_equal(house->connections[0].given.count, 1);
    assert_int_equal(house->loads_asked, 0);
    house_free(house);
}

static void the_null_queue_forgets(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function(domain) if domain == 'sink.test' then return "
                                    "kumo.make_queue_config { protocol = 'null' } end end)",
                                    NULL);
    struct message *message = house_message(house, "b@example.com");

    (void)state;
    message_meta_set(message, "queue", json_string("null"));
    queue_insert(house->queue, message);
    house_insert(house, "b@sink.test", 3);
    house_settle(house);
    assert_int_equal(house->discarded, 4);
    assert_int_equal(house->connection_count, 0);
    house_free(house);
}

static void a_recipient_without_domain_bounces(void **state)
{
    struct house *house = house_new("", NULL);

    (void)state;
    house_insert(house, "", 1);
    house_settle(house);
    assert_int_equal(house->bounced, 1);
    assert_int_equal(house->last_reply.code, 550);
    house_free(house);
}

/* ---- events get their arguments ---- */

static void events_are_told_the_parts_of_the_name(void **state)
{
    struct house *house = house_new(
        "kumo.on('get_queue_config', function(domain, tenant, campaign, routing)\n"
        "  assert(domain == 'example.com' and tenant == 'acme' and campaign == 'news' and routing == 'smart.test')\n"
        "  return kumo.make_queue_config { egress_pool = 'pool' } end)\n"
        "kumo.on('get_egress_pool', function(name) assert(name == 'pool')\n"
        "  return kumo.make_egress_pool { name = name, entries = { { name = 'ip-1' } } } end)\n"
        "kumo.on('get_egress_source', function(name) assert(name == 'ip-1')\n"
        "  return kumo.make_egress_source { name = name, remote_port = 2600 } end)\n"
        "kumo.on('get_egress_path_config', function(routing, source, site)\n"
        "  assert(routing == 'smart.test' and source == 'ip-1' and site == 'mx.smart.test', site)\n"
        "  return kumo.make_egress_path { smtp_port = 26 } end)\n",
        "smart.test MX 1 mx.smart.test\nmx.smart.test A 192.0.2.3\n");
    struct message *message = house_message(house, "b@example.com");

    (void)state;
    message_meta_set(message, "tenant", json_string("acme"));
    message_meta_set(message, "campaign", json_string("news"));
    message_meta_set(message, "routing_domain", json_string("smart.test"));
    queue_insert(house->queue, message);
    for (int i = 0; i < 50 && house->connection_count == 0; i++)
        house_settle(house);
    assert_int_equal(house->connection_count, 1);
    assert_int_equal(house->connections[0].plan->hosts[0].port, 2600);
    house_free(house);
}

/* ---- failures ---- */

static void fails_with(const char *policy, const char *zone, const char *recipient, int code)
{
    struct house *house = house_new(policy, zone);

    house_insert(house, recipient, 3);
    for (int i = 0; i < 50 && house->bounced + house->transient < 3; i++)
        house_settle(house);
    assert_int_equal(house->last_reply.code, code);
    assert_int_equal(house->bounced, code >= 500 ? 3 : 0);
    assert_int_equal(house->transient, code >= 500 ? 0 : 3);
    assert_int_equal(house_scheduled(house), code >= 500 ? 0 : 3);
    house_free(house);
}

static void dns_verdicts(void **state)
{
    const char *zone = "gone.test NXDOMAIN\nnone.test MX 0 .\nbroken.test SERVFAIL\n";

    (void)state;
    fails_with("", zone, "a@gone.test", 550);
    fails_with("", zone, "a@none.test", 556);
    fails_with("", zone, "a@broken.test", 451);
}

static void a_broken_policy_defers(void **state)
{
    (void)state;
    fails_with("kumo.on('get_queue_config', function() error('oops') end)", NULL, "a@b.test", 451);
    fails_with("kumo.on('get_queue_config', function() return 7 end)", NULL, "a@b.test", 451);
    fails_with("kumo.on('get_queue_config', function() reject(550, 'no') end)", NULL, "a@b.test", 451);
    fails_with("kumo.on('get_queue_config', function() return kumo.make_queue_config { egress_pool = 'p' } end)", NULL,
               "a@b.test", 451);
    fails_with("kumo.on('get_queue_config', function() return kumo.make_queue_config { egress_pool = 'p' } end)\n"
               "kumo.on('get_egress_pool', function() return kumo.make_egress_source { name = 'x' } end)",
               NULL, "a@b.test", 451);
#define POOL                                                                                                           \
    "kumo.on('get_queue_config', function() return kumo.make_queue_config { egress_pool = 'p' } end)\n"                \
    "kumo.on('get_egress_pool', function() return kumo.make_egress_pool { name = 'p', entries = {{name = 's'}} } "     \
    "end)\n"
    fails_with(POOL, NULL, "a@b.test", 451);
    fails_with(POOL "kumo.on('get_egress_source', function() error('no source') end)", NULL, "a@b.test", 451);
    fails_with(POOL "kumo.on('get_egress_source', function() return 5 end)", NULL, "a@b.test", 451);
#undef POOL
    fails_with("kumo.on('get_egress_path_config', function() error('no path') end)", NULL, "a@[192.0.2.1]", 451);
}

static void a_policy_that_breaks_later_leaves_the_old_answer(void **state)
{
    struct house *house = house_new("n = 0\nkumo.on('get_queue_config', function() n = n + 1\n"
                                    "if n > 1 then error('broken now') end\n"
                                    "return kumo.make_queue_config { " SMART_HOST " } end)",
                                    NULL);

    (void)state;
    house_insert(house, "a@b.test", 1);
    house_settle(house);
    assert_int_equal(house_deliver(house, 0, 10), 1);
    house_pass_ms(house, 120000);
    house_insert(house, "a@b.test", 1);
    house_settle(house);
    assert_int_equal(house->transient, 0);
    assert_int_equal(house_ready(house), 1);
    house_free(house);
}

static void a_changed_policy_is_asked_again(void **state)
{
    struct house *house =
        house_new("kumo.on('get_queue_config', function() asked = (asked or 0) + 1\n"
                  "return kumo.make_queue_config { " SMART_HOST ", refresh_interval = '1 hour' } end)\n"
                  "kumo.on('get_egress_path_config', function() return kumo.make_egress_path "
                  "{ refresh_interval = '1 hour' } end)",
                  NULL);
    struct route_plan *former;

    (void)state;
    house_insert(house, "a@b.test", 1);
    house_settle(house);
    former = house->connections[0].ready->plan;
    assert_int_equal(house_deliver(house, 0, 10), 1);
    house_insert(house, "a@b.test", 1);
    house_settle(house);
    assert_ptr_equal(house->connections[0].ready->plan, former);
    assert_int_equal(house_deliver(house, 0, 10), 1);
    assert_int_equal(house_deliver(house, 0, 10), 0);
    policy_bump_epoch(house->policy);
    house_pass_ms(house, 1000);
    assert_true(house->connections[0].finished);
    house_insert(house, "a@b.test", 1);
    house_settle(house);
    assert_int_equal(house->connections[0].ready->plan->path->refresh_interval_ms, 3600000);
    assert_ptr_not_equal(house->connections[0].ready->plan, house->connections[0].plan);
    house_free(house);
}

/* ---- retries ---- */

static struct smtp_reply try_later(void)
{
    struct smtp_reply reply;

    smtp_reply_setf(&reply, 451, "4.7.1 try again later");
    return reply;
}

/* As the delivery side does: counts, logs, reports. */
static void report_transient(struct house *house, size_t connection, struct message *message)
{
    struct smtp_reply reply = try_later();

    message_set_attempts(message, message_attempts(message) + 1);
    queue_report_back(house->queue, house->connections[connection].id, message, &reply, false);
    house_settle(house);
}

static void a_transient_failure_waits_shrunk_and_comes_back(void **state)
{
    struct house *house = house_new(smart_policy, NULL);
    struct message *message;

    (void)state;
    house_insert(house, "a@b.test", 1);
    house_settle(house);
    message = house_take_one(house, 0);
    report_transient(house, 0, message);
    assert_int_equal(house->transient, 0); /* its reporter logs it */
    assert_int_equal(house->saved, 1);
    assert_false(message_is_loaded(message));
    assert_int_equal(house_scheduled(house), 1);
    house_pass_ms(house, 56000);
    assert_int_equal(house_ready(house), 0);
    house_pass_ms(house, 8000);
    assert_int_equal(house->loads_asked, 1);
    assert_int_equal(house_ready(house), 1);
    assert_true(message_is_loaded(message));
    assert_int_equal(message_attempts(message), 1);
    house_free(house);
}

/* A message that waited on disk, was due, and could not be read back. */
static struct house *house_with_unreadable(const struct error *error)
{
    struct house *house = house_new(smart_policy, NULL);

    house_insert(house, "a@b.test", 1);
    house_settle(house);
    report_transient(house, 0, house_take_one(house, 0));
    house_fail_next_loads(house, error);
    house_pass_ms(house, 64000);
    assert_int_equal(house->loads_asked, 1);
    assert_int_equal(house_ready(house), 0);
    assert_int_equal(house_scheduled(house), 1);
    return house;
}

/* It is asked for again soon, for it may have been want of memory; and in its own turn, as if it had just come. */
static void what_cannot_be_read_back_is_asked_for_again(void **state)
{
    struct house *house;
    struct error error;

    (void)state;
    error_set(&error, ERROR_TEMP, "no memory");
    house = house_with_unreadable(&error);
    house_fail_next_loads(house, NULL);
    house_pass_ms(house, QUEUE_READ_AGAIN_MS + 2000);
    assert_int_equal(house->loads_asked, 2);
    assert_int_equal(house_ready(house), 1);
    house_free(house);
}

/* Nothing makes it better soon, and each time it is asked for is a line for the operator. */
static void what_is_damaged_is_seldom_asked_for(void **state)
{
    struct house *house;
    struct error error;

    (void)state;
    error_set(&error, ERROR_PERM, "damaged");
    house = house_with_unreadable(&error);
    house_pass_ms(house, 50 * 60000);
    assert_int_equal(house->loads_asked, 1);
    assert_int_equal(house_scheduled(house), 1);
    house_free(house);
}

static void a_clock_set_back_holds_nothing_up(void **state)
{
    struct house *house = house_new(smart_policy, NULL);

    (void)state;
    house_insert(house, "a@b.test", 1);
    house_settle(house);
    report_transient(house, 0, house_take_one(house, 0));
    house_set_back(house, 3600000);
    house_pass_ms(house, 56000);
    assert_int_equal(house_ready(house), 0);
    house_pass_ms(house, 8000);
    assert_int_equal(house_ready(house), 1);
    house_free(house);
}

#define DAY_MS 86400000

/* As the spool gives back what was tried in an earlier life. */
static void insert_waiting(struct house *house, unsigned attempts, uint64_t wait_ms)
{
    struct message *message = house_message(house, "a@b.test");

    message_set_attempts(message, attempts);
    message_set_due_ms(message, clock_wall_ms() + (int64_t)wait_ms);
    queue_insert(house->queue, message);
    house_settle(house);
}

static void a_clock_that_was_ahead_in_an_earlier_life_holds_nothing_up(void **state)
{
    struct house *house = house_new(smart_policy, NULL); /* after two attempts: two minutes */

    (void)state;
    insert_waiting(house, 2, 2 * (uint64_t)DAY_MS);
    house_pass_ms(house, 110000);
    assert_int_equal(house_ready(house), 0);
    house_pass_ms(house, 17000);
    assert_int_equal(house_ready(house), 1);
    house_free(house);
}

static void a_due_time_within_the_settings_is_kept(void **state)
{
    struct house *house = house_new(smart_policy, NULL);

    (void)state;
    insert_waiting(house, 2, 30000);
    house_pass_ms(house, 29000);
    assert_int_equal(house_ready(house), 0);
    house_pass_ms(house, 2000);
    assert_int_equal(house_ready(house), 1);
    house_free(house);
}

/* Nothing was tried yet, so no backoff made that time. */
static void what_policy_put_off_keeps_its_time(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST
                                    ", retry_interval = 60 } end)",
                                    NULL);

    (void)state;
    insert_waiting(house, 0, 2 * (uint64_t)DAY_MS);
    house_pass_ms(house, 2 * (uint64_t)DAY_MS - 1000);
    assert_int_equal(house_ready(house), 0);
    house_pass_ms(house, 2000);
    assert_int_equal(house_ready(house), 1);
    house_free(house);
}

/* No settings: the default ones limit it, and the failure is no attempt. */
static void a_policy_that_fails_leaves_a_doubtful_message_waiting(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function() error('no') end)", NULL);

    (void)state;
    insert_waiting(house, 1, 2 * (uint64_t)DAY_MS);
    assert_int_equal(house_scheduled(house), 1);
    assert_int_equal(house->transient, 0);
    house_pass_ms(house, 1300000);
    assert_int_equal(house->transient, 1);
    house_free(house);
}

static void a_clock_set_forward_expires_nothing_untried(void **state)
{
    struct house *house = house_new(smart_policy, NULL);

    (void)state;
    house_insert(house, "a@b.test", 1);
    house_settle(house);
    report_transient(house, 0, house_take_one(house, 0));
    house_set_forward(house, 30 * (uint64_t)DAY_MS);
    assert_int_equal(house->expired, 0);
    assert_int_equal(house_ready(house), 1);
    report_transient(house, house->connection_count - 1, house_take_one(house, house->connection_count - 1));
    assert_int_equal(house->expired, 1); /* its age goes by the calendar */
    house_free(house);
}

static void a_message_is_given_up_when_its_time_is_over(void **state)
{
    struct house *house = house_new(smart_policy, NULL); /* 10 minutes, 60 s doubling: 1 2 4 8 */
    int attempts = 0;

    (void)state;
    house_insert(house, "a@b.test", 1);
    while (house->expired == 0 && attempts < 10) {
        struct message *message;

        house_settle(house);
        for (int i = 0; i < 600 && house_ready(house) == 0; i++)
            house_pass_ms(house, 1000);
        message = house_take_one(house, house->connection_count - 1);
        if (!message)
            break;
        attempts++;
        report_transient(house, house->connection_count - 1, message);
    }
    assert_int_equal(house->expired, 1);
    assert_int_equal(attempts, 4);
    assert_int_equal(house->bounced, 0);
    assert_non_null(strstr(house->last_reply.text, "try again later"));
    house_free(house);
}

static void an_old_message_expires_when_its_turn_comes(void **state)
{
    struct house *house = house_new(smart_policy, NULL);
    struct message *message = house_message(house, "a@b.test");

    (void)state;
    message_set_due_ms(message, message_created_ms(message) + 3600000);
    queue_insert(house->queue, message);
    assert_int_equal(house->delayed, 1);
    house_settle(house);
    assert_int_equal(house_scheduled(house), 1);
    house_pass_ms(house, 3600001);
    assert_int_equal(house->expired, 1);
    house_free(house);
}

static void untried_messages_come_first_again(void **state)
{
    struct house *house = house_new(smart_policy, NULL);
    struct message *first;
    struct message *again;

    (void)state;
    house_insert(house, "a@b.test", 3);
    house_settle(house);
    first = house_take_one(house, 0);
    queue_report_back(house->queue, house->connections[0].id, first, NULL, true);
    again = house_take_one(house, 0);
    assert_ptr_equal(first, again);
    assert_int_equal(message_attempts(again), 0);
    queue_connection_ended(house->queue, house->connections[0].id, false, NULL);
    queue_report_back(house->queue, house->connections[0].id, again, NULL, true); /* it crossed the end */
    house_settle(house);
    assert_int_equal(house_ready(house), 3);
    house_free(house);
}

static void requeue_message_may_move_or_refuse(void **state)
{
    static const char policy[] =
        "kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST " } end)\n"
        "kumo.on('requeue_message', function(message, text)\n"
        "  assert(text == '451 4.7.1 try again later', text)\n"
        "  if attempts(message) == 0 then set_tenant(message, 'second') else reject(550, 'enough') end end)";
    struct house *house = house_new(policy, NULL);
    struct message *message;

    (void)state;
    house_insert(house, "a@b.test", 1);
    house_settle(house);
    message = house_take_one(house, 0);
    report_transient(house, 0, message);
    assert_int_equal(message_attempts(message), 1);
    assert_int_equal(house_ready(house), 1); /* at once, in its new queue */
    message = house_take_one(house, house->connection_count - 1);
    report_transient(house, house->connection_count - 1, message);
    assert_int_equal(house->bounced, 1);
    assert_string_equal(house->last_reply.text, "enough");
    house_free(house);
}

/* ---- a disk that takes its time ---- */

/* Takes all that is ready, and reports that none of it could be sent. */
static void fail_all(struct house *house)
{
    struct smtp_reply reply = try_later();
    struct list messages;
    struct list_node *node;

    list_init(&messages);
    list_splice(&messages, &house->connections[0].given);
    queue_take(house->queue, house->connections[0].id, HOUSE_LIMIT, &messages);
    while ((node = list_take_first(&messages))) {
        struct message *message = message_of_link(node);

        message_set_attempts(message, message_attempts(message) + 1);
        queue_report_back(house->queue, house->connections[0].id, message, &reply, false);
    }
}

static void assert_tenant(const struct message *message, const char *tenant)
{
    assert_string_equal(json_string_value(message_meta_get(message, "tenant")), tenant);
}

static void what_fails_is_shrunk_when_it_is_written(void **state)
{
    struct house *house = house_new(smart_policy, NULL);
    struct message *message;

    (void)state;
    house_hold_saves(house);
    house_insert(house, "a@b.test", 1);
    house_settle(house);
    message = house_take_one(house, 0);
    report_transient(house, 0, message);
    house_pass_ms(house, 3000);
    assert_true(message_is_loaded(message));
    house_answer_saves(house, false);
    assert_false(message_is_loaded(message));
    house_pass_ms(house, 61000);
    assert_int_equal(house_ready(house), 1);
    house_free(house);
}

/* More than may stay in memory for their first try move to another queue: the daemon died of reading them back by the
 * name they had before. */
static void many_that_move_are_not_read_back_before_they_are_written(void **state)
{
    static const char policy[] =
        "kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST " } end)\n"
        "kumo.on('requeue_message', function(message) set_tenant(message, 'second') end)";
    struct house *house = house_new(policy, NULL);
    struct message *message;

    (void)state;
    house_hold_saves(house);
    house_insert(house, "a@b.test", QUEUE_FRESH_LIMIT + 50);
    house_settle(house);
    house->loads_asked = 0;
    fail_all(house);
    assert_int_equal(house->saved, QUEUE_FRESH_LIMIT + 50);
    house_pass_ms(house, 1000);
    assert_int_equal(house->loads_asked, 0);
    assert_int_equal(house_ready(house), QUEUE_FRESH_LIMIT + 50);
    house_answer_saves(house, false);
    message = house_take_one(house, 0);
    assert_tenant(message, "second");
    message_free(message);
    house_free(house);
}

static const char puts_off_once[] =
    "kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST " } end)\n"
    "local is_put_off = false\n"
    "kumo.on('throttle_insert_ready_queue', function(message)\n"
    "  if is_put_off then return end\n"
    "  is_put_off = true\n"
    "  set_tenant(message, 'second')\n"
    "  delay(message, 60000) end)";

static void what_policy_changes_and_puts_off_is_written_too(void **state)
{
    struct house *house = house_new(puts_off_once, NULL);
    struct message *message = house_message(house, "a@b.test");

    (void)state;
    house_hold_saves(house);
    queue_insert(house->queue, message);
    house_settle(house);
    assert_int_equal(house->saved, 1);
    assert_true(message_is_loaded(message));
    house_answer_saves(house, false);
    assert_false(message_is_loaded(message));
    house_pass_ms(house, 61000);
    assert_int_equal(house->loads_asked, 1);
    assert_int_equal(house_ready(house), 1);
    house_free(house);
}

static void a_move_that_cannot_be_written_is_not_undone(void **state)
{
    struct house *house = house_new(puts_off_once, NULL);
    struct message *message = house_message(house, "a@b.test");

    (void)state;
    house_hold_saves(house);
    queue_insert(house->queue, message);
    house_settle(house);
    house_answer_saves(house, true);
    assert_false(message_is_loaded(message)); /* nor does it fill the memory */
    house_pass_ms(house, 61000);
    assert_int_equal(house->loads_asked, 1);
    assert_int_equal(house_ready(house), 1);
    assert_tenant(message, "second");
    assert_int_equal(house->saved, 1); /* nothing is written for that alone */
    house_free(house);
}

/* Of what waits to be written so many, or so many bytes. */
static void bar_loads(size_t count, size_t bytes_most)
{
    struct house *house = house_new(smart_policy, NULL);
    struct message *waiting = house_message(house, "a@b.test");

    house->queue->ready_bytes_most = bytes_most;
    house_hold_saves(house);
    house_insert(house, "a@b.test", count);
    house_settle(house);
    house->loads_asked = 0;
    fail_all(house);
    assert_int_equal(house->saved, count);
    message_shrink(waiting);
    queue_insert(house->queue, waiting);
    house_pass_ms(house, 1000);
    assert_int_equal(house->loads_asked, 0);
    house_insert(house, "a@b.test", 2); /* in memory already: they go past */
    house_settle(house);
    assert_int_equal(house->loads_asked, 0);
    assert_int_equal(house_ready(house), 2);
    house_answer_saves(house, false);
    house_settle(house);
    assert_int_equal(house->queue->to_shrink_bytes, 0);
    assert_int_equal(house->loads_asked, 1);
    assert_int_equal(house_ready(house), 3);
    house_free(house);
}

static void while_the_disk_is_slow_no_more_come_into_memory(void **state)
{
    (void)state;
    bar_loads(QUEUE_HANDS_LIMIT, QUEUE_READY_BYTES);
    bar_loads(5, 5 * QUEUE_LOADED_BYTES);
}

/* ---- connections that never stand ---- */

static void a_failed_connection_costs_one_message_its_attempt(void **state)
{
    struct house *house = house_new(smart_policy, NULL);
    struct smtp_reply reply = try_later();

    (void)state;
    house_insert(house, "a@b.test", 5);
    house_settle(house);
    assert_int_equal(house->connection_count, 3); /* the root of five */
    queue_connection_ended(house->queue, house->connections[0].id, true, &reply);
    house_settle(house);
    assert_int_equal(house->transient, 1);
    assert_int_equal(house_ready(house), 4);
    house_free(house);
}

static void fail_after_one(bool delivered)
{
    struct house *house = house_new(smart_policy, NULL);
    struct smtp_reply reply = try_later();
    struct queue_ready *ready;

    house_insert(house, "a@b.test", 5);
    house_settle(house);
    ready = house->connections[0].ready;
    if (delivered)
        assert_int_equal(house_deliver(house, 0, 1), 1);
    else
        report_transient(house, 0, house_take_one(house, 0));
    queue_connection_ended(house->queue, house->connections[0].id, true, &reply);
    house_settle(house);
    assert_int_equal(house->transient, 0); /* that is: of those that were never sent */
    assert_int_equal(house_ready(house), 4);
    assert_int_equal(ready->failures, 1);
    house_free(house);
}

/* The host left in the middle of its first one, which has had its attempt; the others have not. */
static void a_connection_that_failed_with_a_message_costs_no_other_its_attempt(void **state)
{
    (void)state;
    fail_after_one(false);
    fail_after_one(true);
}

static void many_failures_delay_all(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST
                                    " } end)\nkumo.on('get_egress_path_config', function() return "
                                    "kumo.make_egress_path { consecutive_connection_failures_before_delay = 2, "
                                    "connection_limit = 1 } end)",
                                    NULL);

    (void)state;
    house_insert(house, "a@b.test", 10);
    house_settle(house);
    for (size_t i = 0; i < 3; i++) {
        queue_connection_ended(house->queue, house->connections[i].id, true, NULL);
        house_settle(house);
    }
    assert_int_equal(house->transient, 10);
    assert_int_equal(house_ready(house), 0);
    assert_int_equal(house_scheduled(house), 10);
    assert_string_equal(house->last_reply.text, "No answer from any hosts listed in MX");
    house_free(house);
}

static void a_site_that_can_never_work_bounces_all(void **state)
{
    struct house *house = house_new(smart_policy, NULL);
    struct smtp_reply reply;

    (void)state;
    smtp_reply_setf(&reply, 550, "5.4.4 prohibited");
    house_insert(house, "a@b.test", 5);
    house_settle(house);
    queue_connection_ended(house->queue, house->connections[0].id, true, &reply);
    house_settle(house);
    assert_int_equal(house->bounced, 5);
    house_free(house);
}

/* ---- limits and rates ---- */

static void connections_grow_with_the_root_up_to_the_limit(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST
                                    " } end)\nkumo.on('get_egress_path_config', function() return "
                                    "kumo.make_egress_path { connection_limit = 7 } end)",
                                    NULL);

    (void)state;
    house_insert(house, "a@b.test", 9);
    house_settle(house);
    assert_int_equal(house->connection_count, 3);
    house_insert(house, "a@b.test", 500);
    house_settle(house);
    assert_int_equal(house->connection_count, 7);
    assert_int_equal(queue_connection_count(house->queue), 7);
    house_free(house);
}

static void a_connection_rate_is_kept(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST
                                    " } end)\nkumo.on('get_egress_path_config', function() return "
                                    "kumo.make_egress_path { max_connection_rate = '2/min' } end)",
                                    NULL);

    (void)state;
    house_insert(house, "a@b.test", 100);
    house_settle(house);
    assert_int_equal(house->connection_count, 2);
    house_pass_ms(house, 15000);
    ready_stir(house->connections[0].ready);
    house_settle(house);
    assert_int_equal(house->connection_count, 2);
    house_pass_ms(house, 16000);
    ready_stir(house->connections[0].ready);
    house_settle(house);
    assert_int_equal(house->connection_count, 3);
    house_free(house);
}

static void a_full_ready_queue_holds_the_rest_back(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST
                                    " } end)\nkumo.on('get_egress_path_config', function() return "
                                    "kumo.make_egress_path { max_ready = 10, connection_limit = 1 } end)",
                                    NULL);
    size_t delivered = 0;

    (void)state;
    house_insert(house, "a@b.test", 600); /* more than may stay in memory unread */
    house_insert(house, "a@c.test", 5);
    house_settle(house);
    assert_int_equal(house_ready(house), 10);
    assert_int_equal(house_scheduled(house), 595);
    for (int i = 0; i < 1000 && delivered < 605; i++) {
        delivered += house_deliver(house, 0, 3);
        assert_true(house_ready(house) <= 10);
    }
    assert_int_equal(delivered, 605);
    house_free(house);
}

static void many_ready_queues_share_the_memory_and_none_stands_still(void **state)
{
    struct house *house =
        house_new("kumo.on('get_queue_config', function(domain) return kumo.make_queue_config { protocol = "
                  "{ smtp = { mx_list = { domain == 'b.test' and '[127.0.0.1]:25' or "
                  "'[127.0.0.2]:25' } } } } end)\nkumo.on('get_egress_path_config', function() return "
                  "kumo.make_egress_path { connection_limit = 1, prohibited_hosts = {} } end)",
                  NULL);
    const size_t share = QUEUE_READY_SHARE / QUEUE_LOADED_BYTES;
    size_t delivered = 0;

    (void)state;
    house->queue->ready_bytes_most = 2 * QUEUE_READY_SHARE; /* for both */
    house_insert(house, "a@b.test", 250);
    house_settle(house);
    assert_in_range(house_ready(house), share, 2 * share + 1);
    house_insert(house, "a@c.test", 250);
    house_settle(house);
    assert_int_equal(house->connection_count, 2);
    for (int i = 0; i < 1000 && delivered < 500; i++) {
        delivered += house_deliver(house, 0, 3) + house_deliver(house, 1, 3);
        assert_true(house_ready(house) <= 3 * share + 2);
    }
    assert_int_equal(delivered, 500);
    assert_int_equal(house->queue->ready_bytes, 0);
    house_free(house);
}

static void the_paths_message_rate_is_kept(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST
                                    " } end)\nkumo.on('get_egress_path_config', function() return "
                                    "kumo.make_egress_path { max_message_rate = '10/s,max_burst=5', "
                                    "connection_limit = 1 } end)",
                                    NULL);

    (void)state;
    house_insert(house, "a@b.test", 40);
    house_settle(house);
    assert_int_equal(house_deliver(house, 0, 100), 5);
    assert_int_equal(house_deliver(house, 0, 100), 0);
    house_pass_ms(house, 1000);
    assert_int_equal(house_deliver(house, 0, 100), 5); /* the burst again, no more */
    house_pass_ms(house, 200);
    assert_int_equal(house_deliver(house, 0, 100), 2);
    house_free(house);
}

static void a_rate_too_slow_to_wait_for_sends_them_back(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST
                                    " } end)\nkumo.on('get_egress_path_config', function() return "
                                    "kumo.make_egress_path { max_message_rate = '1/hour', connection_limit = 1 } end)",
                                    NULL);

    (void)state;
    house_insert(house, "a@b.test", 3);
    house_settle(house);
    assert_int_equal(house_deliver(house, 0, 10), 1);
    assert_int_equal(house_ready(house), 0);
    assert_int_equal(house_scheduled(house), 2);
    assert_int_equal(house->delayed, 2);
    assert_int_equal(house->transient, 0);
    house_free(house);
}

static void a_queues_own_rate_is_kept(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST
                                    ", max_message_rate = '60/min,max_burst=2' } end)",
                                    NULL);

    (void)state;
    house_insert(house, "a@b.test", 10);
    house_insert(house, "a@c.test", 1); /* another queue, its own rate */
    house_settle(house);
    assert_int_equal(house_ready(house), 3);
    house_pass_ms(house, 500);
    assert_int_equal(house_ready(house), 3);
    house_pass_ms(house, 600);
    assert_int_equal(house_ready(house), 4);
    house_free(house);
}

static void an_overall_rate_is_shared(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST
                                    ", overall_max_message_rate = '3/min', overall_max_message_rate_key = 't' } end)",
                                    NULL);

    (void)state;
    house_insert(house, "a@b.test", 5);
    house_insert(house, "a@c.test", 5);
    house_settle(house);
    assert_int_equal(house_ready(house), 3);
    house_pass_ms(house, 20001);
    assert_int_equal(house_ready(house), 4);
    house_free(house);
}

/* ---- pools ---- */

static size_t ready_of(struct house *house, const char *source)
{
    struct map_cursor cursor = {0};
    struct span key;
    void *value;

    while (map_next(&house->queue->readies, &cursor, &key, &value))
        if (strcmp(((struct queue_ready *)value)->plan->source->name, source) == 0)
            return ((struct queue_ready *)value)->messages.count;
    return 0;
}

static void a_pool_shares_by_weight_and_skips_who_is_full(void **state)
{
    struct house *house = house_new(
        "kumo.on('get_queue_config', function() return kumo.make_queue_config { egress_pool = 'p', " SMART_HOST
        " } end)\n"
        "kumo.on('get_egress_pool', function(name) return kumo.make_egress_pool { name = name, entries = {\n"
        "  { name = 'one', weight = 3 }, { name = 'two', weight = 1 }, { name = 'off', weight = 0 } } } end)\n"
        "kumo.on('get_egress_source', function(name) return kumo.make_egress_source { name = name } end)\n"
        "kumo.on('get_egress_path_config', function() return kumo.make_egress_path { max_ready = 60 } end)",
        NULL);

    (void)state;
    house_insert(house, "a@b.test", 40);
    house_settle(house);
    assert_int_equal(ready_of(house, "one"), 30);
    assert_int_equal(ready_of(house, "two"), 10);
    assert_int_equal(ready_of(house, "off"), 0);
    house_insert(house, "a@b.test", 60);
    house_settle(house);
    assert_int_equal(ready_of(house, "one"), 60);
    assert_int_equal(ready_of(house, "two"), 40);
    house_free(house);
}

/* ---- policy that waits ---- */

static void a_waiting_handler_keeps_its_queue_and_no_other(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function(domain) if domain == 'slow.test' then wait() "
                                    "end return kumo.make_queue_config { " SMART_HOST " } end)",
                                    NULL);

    (void)state;
    house_insert(house, "a@slow.test", 2);
    house_insert(house, "a@fast.test", 3);
    house_settle(house);
    assert_int_equal(house_ready(house), 3);
    assert_int_equal(house_scheduled(house), 2);
    house_resume(house);
    assert_int_equal(house_ready(house), 5);
    house_free(house);
}

static void the_queue_may_end_while_a_handler_waits(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function() wait() end)", NULL);

    (void)state;
    house_insert(house, "a@slow.test", 2);
    house_settle(house);
    assert_non_null(house->waiting);
    house_free(house);
    house = house_new("kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST " } end)\n"
                      "kumo.on('throttle_insert_ready_queue', function() wait() end)",
                      NULL);
    house_insert(house, "a@slow.test", 1);
    house_settle(house);
    assert_non_null(house->waiting);
    house_free(house);
}

static void throttle_insert_ready_queue_may_put_off(void **state)
{
    struct house *house = house_new("kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST
                                    " } end)\ntimes = 0\n"
                                    "kumo.on('throttle_insert_ready_queue', function(message) times = times + 1\n"
                                    "  if times == 1 then delay(message, 30000) end\n"
                                    "  if times == 2 then error('oops') end end)",
                                    NULL);

    (void)state;
    house_insert(house, "a@b.test", 3);
    house_settle(house);
    assert_int_equal(house_ready(house), 1);
    assert_int_equal(house_scheduled(house), 2);
    assert_int_equal(house->delayed, 2);
    house_pass_ms(house, 30001);
    assert_int_equal(house_ready(house) >= 2, 1);
    house_pass_ms(house, 100000);
    assert_int_equal(house_ready(house), 3);
    house_free(house);
}

/* ---- housekeeping ---- */

static void what_is_empty_is_forgotten(void **state)
{
    struct house *house = house_new(smart_policy, NULL);

    (void)state;
    house_insert(house, "a@b.test", 1);
    house_settle(house);
    assert_int_equal(house_deliver(house, 0, 10), 1);
    assert_int_equal(house_deliver(house, 0, 10), 0);
    house_pass_ms(house, 59000);
    assert_false(house->connections[0].finished);
    house_pass_ms(house, 2000);
    assert_true(house->connections[0].finished);
    queue_connection_ended(house->queue, house->connections[0].id, false, NULL);
    house_pass_ms(house, 600000);
    assert_int_equal(house->queue->scheds.count, 0);
    house_pass_ms(house, 120000);
    assert_int_equal(house->queue->readies.count, 0);
    house_pass_ms(house, 3600000);
    assert_int_equal(house->queue->pools.count + house->queue->sources.count + house->queue->sites.count, 0);
    house_free(house);
}

static void stopping_opens_nothing_and_finishes_all(void **state)
{
    struct house *house = house_new(smart_policy, NULL);
    struct list messages;

    (void)state;
    house_insert(house, "a@b.test", 4);
    house_settle(house);
    assert_int_equal(house->connection_count, 2);
    queue_stop(house->queue);
    assert_true(house->connections[0].finished && house->connections[1].finished);
    list_init(&messages);
    queue_take(house->queue, house->connections[0].id, 10, &messages);
    assert_true(list_is_empty(&messages));
    house_insert(house, "a@c.test", 4);
    house_settle(house);
    assert_int_equal(house->connection_count, 2);
    queue_connection_ended(house->queue, house->connections[0].id, true, NULL);
    queue_connection_ended(house->queue, house->connections[1].id, false, NULL);
    house_settle(house);
    assert_int_equal(queue_connection_count(house->queue), 0);
    assert_int_equal(house->transient, 0);
    assert_int_equal(house_scheduled(house) + house_ready(house), 8);
    house_free(house);
}

static void the_queues_can_be_looked_at(void **state)
{
    struct house *house = house_new(smart_policy, NULL);
    json_t *described, *waiting;
    struct buf lines;

    (void)state;
    house_insert(house, "a@b.test", 4);
    house_settle(house);
    described = queue_describe(house->queue, 10);
    assert_int_equal(
        json_integer_value(json_object_get(json_array_get(json_object_get(described, "ready"), 0), "length")), 4);
    json_decref(described);
    report_transient(house, 0, house_take_one(house, 0));
    described = queue_describe(house->queue, 10);
    waiting = json_array_get(json_object_get(described, "scheduled"), 0);
    assert_string_equal(json_string_value(json_object_get(waiting, "name")), "b.test");
    assert_int_equal(json_integer_value(json_object_get(waiting, "length")), 1);
    assert_true(json_integer_value(json_object_get(waiting, "next_due")) > clock_wall_ms());
    json_decref(described);
    buf_init(&lines, 65536);
    assert_int_equal(queue_write_metrics(house->queue, 10, &lines), 0);
    assert_non_null(strstr(buf_cstr(&lines), "ready_count{service=\"smtp_client:unspecified->192.0.2.9\"} 3\n"));
    assert_non_null(strstr(buf_cstr(&lines), "scheduled_count{queue=\"b.test\"} 1\n"));
    buf_done(&lines);
    house_free(house);
}

/* ---- the makers ---- */

static void faults_name_the_line_and_the_key(void **state)
{
    static const char *const policies[][2] = {
        {"\nkumo.make_queue_config { max_agee = 1 }", "2: kumo.make_queue_config: 'max_agee'"},
        {"kumo.make_egress_pool { name = 'p', entries = 'x' }", "1: kumo.make_egress_pool: 'entries'"},
        {"kumo.make_egress_source { name = 5 }", "1: kumo.make_egress_source: 'name'"},
        {"kumo.make_egress_path { enable_tls = true }", "1: kumo.make_egress_path: 'enable_tls'"},
        {"kumo.make_egress_path(7)", "table expected"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        struct error error = {0};

        assert_int_equal(house_try_policy(policies[i][0], &error), -1);
        if (!strstr(error.sentence, policies[i][1]))
            fail_msg("'%s' does not say '%s'", error.sentence, policies[i][1]);
    }
}

static void a_password_comes_from_its_key_source(void **state)
{
    struct house *house =
        house_new("kumo.secrets = { load = function(source) wait() return source.key_data end }\n"
                  "kumo.on('get_queue_config', function() return kumo.make_queue_config { " SMART_HOST " } end)\n"
                  "local params = { enable_tls = 'Required', smtp_auth_plain_username = 'me',\n"
                  "  smtp_auth_plain_password = { key_data = 'pass' } }\n"
                  "kumo.on('get_egress_path_config', function()\n"
                  "  local path = kumo.make_egress_path(params)\n"
                  "  assert(params.smtp_auth_plain_password.key_data == 'pass')\n"
                  "  assert(tostring(path) == 'egress_path')\n"
                  "  return path end)",
                  NULL);

    (void)state;
    house_insert(house, "a@b.test", 1);
    house_settle(house);
    assert_int_equal(house->connection_count, 0);
    house_resume(house);
    assert_int_equal(house->connection_count, 1);
    assert_string_equal(house->connections[0].plan->path->auth_password, "pass");
    house_free(house);
}

static void a_schedule_is_kept(void **state)
{
    struct house *house = house_new(smart_policy, NULL);
    struct message *message = house_message(house, "a@b.test");
    json_t *rules = json_pack("{s:s}", "first_attempt", "2023-11-14T22:15:20Z"); /* two minutes on */

    (void)state;
    message_set_schedule(message, message_schedule_from_json(rules, NULL));
    json_decref(rules);
    message_mark_clean(message);
    queue_insert(house->queue, message);
    house_settle(house);
    assert_int_equal(house->delayed, 1);
    house_pass_ms(house, 119000);
    assert_int_equal(house_ready(house), 0);
    house_pass_ms(house, 2000);
    assert_int_equal(house_ready(house), 1);
    house_free(house);
}

/* ---- many ---- */

static void a_hundred_thousand_messages_in_ten_thousand_queues(void **state)
{
    struct house *house = house_new(smart_policy, NULL);
    struct timespec from, to;
    size_t delivered = 0;
    char recipient[64];

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(recipient, sizeof recipient, "a@d%u.test", i % 10000);
        house_insert(house, recipient, 1);
    }
    house_settle(house);
    assert_int_equal(house->connection_count, 32);
    while (delivered < 100000) {
        size_t before = delivered;

        for (size_t i = 0; i < 32; i++)
            delivered += house_deliver(house, i, 100);
        if (delivered == before)
            break;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_int_equal(delivered, 100000);
    assert_int_equal(house_scheduled(house) + house_ready(house), 0);
    print_message("%.2f s\n", (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
    house_free(house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_goes_out_by_mx),
        cmocka_unit_test(a_smart_host_needs_no_dns),
        cmocka_unit_test(hosts_that_fold_to_one_name_do_not_mix),
        cmocka_unit_test(smart_hosts_that_differ_in_port_do_not_mix),
        cmocka_unit_test(messages_leave_in_the_order_they_came),
        cmocka_unit_test(a_fresh_message_goes_to_a_waiting_connection),
        cmocka_unit_test(the_null_queue_forgets),
        cmocka_unit_test(a_recipient_without_domain_bounces),
        cmocka_unit_test(events_are_told_the_parts_of_the_name),
        cmocka_unit_test(dns_verdicts),
        cmocka_unit_test(a_broken_policy_defers),
        cmocka_unit_test(a_policy_that_breaks_later_leaves_the_old_answer),
        cmocka_unit_test(a_changed_policy_is_asked_again),
        cmocka_unit_test(a_transient_failure_waits_shrunk_and_comes_back),
        cmocka_unit_test(what_cannot_be_read_back_is_asked_for_again),
        cmocka_unit_test(what_is_damaged_is_seldom_asked_for),
        cmocka_unit_test(a_clock_set_back_holds_nothing_up),
        cmocka_unit_test(a_clock_that_was_ahead_in_an_earlier_life_holds_nothing_up),
        cmocka_unit_test(a_due_time_within_the_settings_is_kept),
        cmocka_unit_test(what_policy_put_off_keeps_its_time),
        cmocka_unit_test(a_policy_that_fails_leaves_a_doubtful_message_waiting),
        cmocka_unit_test(a_clock_set_forward_expires_nothing_untried),
        cmocka_unit_test(a_message_is_given_up_when_its_time_is_over),
        cmocka_unit_test(an_old_message_expires_when_its_turn_comes),
        cmocka_unit_test(untried_messages_come_first_again),
        cmocka_unit_test(requeue_message_may_move_or_refuse),
        cmocka_unit_test(what_fails_is_shrunk_when_it_is_written),
        cmocka_unit_test(many_that_move_are_not_read_back_before_they_are_written),
        cmocka_unit_test(what_policy_changes_and_puts_off_is_written_too),
        cmocka_unit_test(a_move_that_cannot_be_written_is_not_undone),
        cmocka_unit_test(while_the_disk_is_slow_no_more_come_into_memory),
        cmocka_unit_test(a_failed_connection_costs_one_message_its_attempt),
        cmocka_unit_test(a_connection_that_failed_with_a_message_costs_no_other_its_attempt),
        cmocka_unit_test(many_failures_delay_all),
        cmocka_unit_test(a_site_that_can_never_work_bounces_all),
        cmocka_unit_test(connections_grow_with_the_root_up_to_the_limit),
        cmocka_unit_test(a_connection_rate_is_kept),
        cmocka_unit_test(a_full_ready_queue_holds_the_rest_back),
        cmocka_unit_test(many_ready_queues_share_the_memory_and_none_stands_still),
        cmocka_unit_test(the_paths_message_rate_is_kept),
        cmocka_unit_test(a_rate_too_slow_to_wait_for_sends_them_back),
        cmocka_unit_test(a_queues_own_rate_is_kept),
        cmocka_unit_test(an_overall_rate_is_shared),
        cmocka_unit_test(a_pool_shares_by_weight_and_skips_who_is_full),
        cmocka_unit_test(a_waiting_handler_keeps_its_queue_and_no_other),
        cmocka_unit_test(the_queue_may_end_while_a_handler_waits),
        cmocka_unit_test(throttle_insert_ready_queue_may_put_off),
        cmocka_unit_test(what_is_empty_is_forgotten),
        cmocka_unit_test(stopping_opens_nothing_and_finishes_all),
        cmocka_unit_test(the_queues_can_be_looked_at),
        cmocka_unit_test(faults_name_the_line_and_the_key),
        cmocka_unit_test(a_password_comes_from_its_key_source),
        cmocka_unit_test(a_schedule_is_kept),
        cmocka_unit_test(a_hundred_thousand_messages_in_ten_thousand_queues),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
