/* SPDX-License-Identifier: Apache-2.0
 *
 * Outbound sessions against servers that follow a script: every stage, every kind of reply,
 * every kind of end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <poll.h>
#include <string.h>

#include "base/random.h"
#include "base/secret.h"
#include "deliver/deliver.h"
#include "fake.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define SCRIPT(...)                                                                                                    \
    (const char *const[]) { __VA_ARGS__, NULL }
#define CLEAR "{\"enable_tls\":\"Disabled\"}"
#define NAME "{\"name\":\"s\"}"
#define HELLO "S220 fake", "CEHLO me.test", "S250 fake"
#define HELLO_PIPELINING "S220 fake", "CEHLO me.test", "S250-fake", "S250-SIZE 1000000", "S250 PIPELINING"
#define ACCEPT                                                                                                         \
    "CMAIL FROM:<a@b.test>", "S250 ok", "CRCPT TO:<x@y.test>", "S250 ok", "CDATA", "S354 go", "B", "S250 2.0.0 kept"

/* ---- the owner of a session ---- */

#define OUTCOMES 8

struct seen {
    enum deliver_verdict verdict;
    int code;
    char text[SMTP_REPLY_TEXT_BYTES];
    char command[32];
    char peer_name[64];
    char cipher[64];
    bool differ;
    size_t count;
    enum deliver_verdict each[4];
    int each_code[4];
    int waiting_code; /* what those who wait are told */
};

struct world {
    struct loop *loop;
    struct dns *dns;
    struct fake one, two;
    struct route_plan *plan;
    struct deliver_session *session;

    struct list messages; /* given when the session is hungry */
    size_t at_once;       /* how many of them at most; 0: what it asks for */
    bool keep_open;       /* do not finish when there are none left */
    bool abort_on_hungry, abort_on_outcome;
    int hungry;
    struct seen seen[OUTCOMES];
    size_t outcomes;
    int ended;
    enum deliver_end end;
    struct smtp_reply reply;
};

static void on_hungry(void *ctx, struct deliver_session *session, size_t most)
{
    struct world *world = ctx;
    struct list batch;

    world->hungry++;
    if (world->abort_on_hungry) {
        deliver_session_abort(session);
        return;
    }
    list_init(&batch);
    if (world->at_once && world->at_once < most)
        most = world->at_once;
    while (batch.count < most && !list_is_empty(&world->messages))
        list_push_back(&batch, list_take_first(&world->messages));
    if (list_is_empty(&batch) && !world->keep_open)
        deliver_session_finish(session);
    deliver_session_give(session, &batch);
}

static void on_outcome(void *ctx, struct deliver_session *session, struct message *message,
                       const struct deliver_outcome *outcome)
{
    struct world *world = ctx;
    struct seen *seen = &world->seen[world->outcomes++];

    assert_true(world->outcomes <= OUTCOMES);
    *seen = (struct seen){.verdict = outcome->verdict, .code = outcome->reply.code};
    snprintf(seen->text, sizeof seen->text, "%s", outcome->reply.text);
    snprintf(seen->command, sizeof seen->command, "%s", outcome->command);
    snprintf(seen->peer_name, sizeof seen->peer_name, "%s", outcome->peer_name);
    snprintf(seen->cipher, sizeof seen->cipher, "%s", outcome->tls_cipher);
    seen->differ = outcome->recipients != NULL;
    seen->count = outcome->recipient_count;
    seen->waiting_code = deliver_reply_to_waiting(outcome)->code;
    for (size_t i = 0; seen->differ && i < seen->count && i < COUNT(seen->each); i++) {
        seen->each[i] = outcome->recipients[i].verdict;
        seen->each_code[i] = outcome->recipients[i].reply->code;
    }
    message_free(message);
    if (world->abort_on_outcome)
        deliver_session_abort(session);
}

static void on_end(void *ctx, struct deliver_session *session, enum deliver_end end, const struct smtp_reply *reply)
{
    struct world *world = ctx;

    (void)session;
    world->ended++;
    world->end = end;
    world->reply = reply ? *reply : (struct smtp_reply){0};
}

static const struct deliver_handler handler = {.on_hungry = on_hungry, .on_outcome = on_outcome, .on_end = on_end};

static const char zone_text[] = "mx1.test A 127.0.0.1\n"
                                "mx2.test A 127.0.0.1\n"
                                "twice.test A 127.0.0.2\n"
                                "twice.test A 127.0.0.1\n"
                                "six.test AAAA ::1\n"
                                "slow.test TIMEOUT\n"
                                "broken.test SERVFAIL\n";

static int set_up(void **state)
{
    struct world *world = mem_zalloc(sizeof *world);
    struct dns_config config = {.zone_text = zone_text};
    struct deliver_settings settings = {.hostname = "me.test"};
    struct error error;

    world->loop = loop_new("test", &error);
    world->dns = dns_new(world->loop, &config, &error);
    list_init(&world->messages);
    fake_start(&world->one, world->loop);
    fake_start(&world->two, world->loop);
    deliver_set_settings(&settings);
    *state = world;
    return world->dns ? 0 : -1;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    struct list_node *node;

    while ((node = list_take_first(&world->messages)))
        message_free(message_of_link(node));
    fake_stop(&world->one);
    fake_stop(&world->two);
    route_plan_unref(&world->plan);
    dns_free(world->dns);
    loop_turn(world->loop, false);
    loop_free(world->loop);
    deliver_clear_settings();
    free(world);
    return 0;
}

/* ---- putting a case together ---- */

static void make_plan(struct world *world, const char *path_json, const char *source_json, const char *host,
                      const char *second)
{
    json_t *path_params = json_loads(path_json, 0, NULL);
    json_t *source_params = json_loads(source_json, 0, NULL);
    struct error error = {0};
    struct route_path *path;
    struct route_source *source;

    assert_non_null(path_params);
    assert_non_null(source_params);
    if (!json_object_get(path_params, "prohibited_hosts"))
        json_object_set_new(path_params, "prohibited_hosts", json_array());
    path = route_path_new(path_params, &error);
    source = route_source_new(source_params, &error);
    assert_string_equal(error.sentence, "");
    json_decref(path_params);
    json_decref(source_params);
    world->plan = route_plan_new("source->site@smtp", "site", "pool", source, path, second ? 2 : host ? 1 : 0);
    route_path_unref(&path);
    route_source_unref(&source);
    if (host) {
        world->plan->hosts[0].name = mem_strdup(host);
        world->plan->hosts[0].port = fake_port(&world->one);
    }
    if (second) {
        world->plan->hosts[1].name = mem_strdup(second);
        world->plan->hosts[1].port = fake_port(&world->two);
    }
}

static struct message *add_message(struct world *world, const char *recipients, const char *body, size_t len)
{
    struct message *message = message_new();
    struct span rest = span_of(recipients);
    struct span recipient;

    message_set_sender(message, SPAN_LIT("a@b.test"));
    while (span_split(&rest, ' ', &recipient))
        if (recipient.len > 0)
            message_add_recipient(message, recipient);
    message_set_body(message, bytes_copy(span_make(body, len)));
    list_push_back(&world->messages, message_link(message));
    return message;
}

#define PLAIN_BODY "Subject: hi\r\n\r\nhello\r\n"

static struct message *add_plain(struct world *world)
{
    return add_message(world, "x@y.test", PLAIN_BODY, sizeof PLAIN_BODY - 1);
}

static void start(struct world *world)
{
    if (!world->plan)
        make_plan(world, "{\"enable_tls\":\"Disabled\"}", "{\"name\":\"s\"}", "mx1.test", NULL);
    world->session = deliver_session_new(world->loop, world->dns, world->plan, &handler, world);
    assert_int_equal(world->hungry + world->ended, 0);
}

static void run(struct world *world)
{
    start(world);
    while (!world->ended || world->one.open + world->two.open > 0)
        loop_turn(world->loop, true);
    assert_int_equal(world->ended, 1);
    assert_string_equal(world->one.unexpected, "");
    assert_string_equal(world->two.unexpected, "");
}

static void assert_heard(struct fake *fake, const char *wanted) { assert_string_equal(buf_cstr(&fake->heard), wanted); }

/* ---- good days ---- */

static void one_message_command_by_command(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT(HELLO, ACCEPT, "CQUIT");
    add_plain(world);
    run(world);
    assert_int_equal(world->outcomes, 1);
    assert_int_equal(world->seen[0].verdict, DELIVER_OK);
    assert_int_equal(world->seen[0].code, 250);
    assert_string_equal(world->seen[0].text, "kept");
    assert_string_equal(world->seen[0].command, ".");
    assert_string_equal(world->seen[0].peer_name, "mx1.test");
    assert_false(world->seen[0].differ);
    assert_int_equal(world->end, DELIVER_END_QUIET);
    assert_memory_equal(world->one.body.data, PLAIN_BODY ".\r\n", sizeof PLAIN_BODY + 2);
    assert_heard(&world->one, "EHLO me.test\nMAIL FROM:<a@b.test>\nRCPT TO:<x@y.test>\nDATA\nQUIT\n");
}

/* The server says nothing until it has all three commands: they must have left together. */
static void pipelined_commands_leave_together(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] =
        SCRIPT(HELLO_PIPELINING, "CMAIL FROM:<a@b.test> SIZE=22", "CRCPT", "CRCPT", "CDATA", "S250 ok", "S250-two",
               "S250 lines", "S250 ok", "S354 go", "B", "S250 kept", "CQUIT");
    add_message(world, "x@y.test z@y.test", PLAIN_BODY, sizeof PLAIN_BODY - 1);
    run(world);
    assert_int_equal(world->seen[0].verdict, DELIVER_OK);
    assert_false(world->seen[0].differ);
    assert_int_equal(world->seen[0].count, 2);
}

static void several_messages_use_one_connection(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT(HELLO, ACCEPT, ACCEPT, ACCEPT, "CQUIT");
    world->at_once = 2;
    for (int i = 0; i < 3; i++)
        add_plain(world);
    run(world);
    assert_int_equal(world->outcomes, 3);
    assert_int_equal(world->one.accepted, 1);
    assert_int_equal(world->hungry, 3);
}

static void messages_may_be_given_while_it_idles(void **state)
{
    struct world *world = *state;
    struct list late;

    world->one.scripts[0] = SCRIPT(HELLO, ACCEPT, "CQUIT");
    world->keep_open = true;
    start(world);
    while (world->hungry == 0)
        loop_turn(world->loop, true);
    add_plain(world);
    list_init(&late);
    deliver_session_give(world->session, &late); /* none now */
    list_splice(&late, &world->messages);
    deliver_session_give(world->session, &late);
    assert_true(list_is_empty(&late));
    while (world->outcomes == 0)
        loop_turn(world->loop, true);
    deliver_session_finish(world->session);
    while (!world->ended)
        loop_turn(world->loop, true);
    assert_int_equal(world->seen[0].verdict, DELIVER_OK);
    assert_int_equal(world->end, DELIVER_END_QUIET);
}

static void a_spent_connection_gives_the_rest_back(void **state)
{
    struct world *world = *state;

    make_plan(world, "{\"enable_tls\":\"Disabled\",\"max_deliveries_per_connection\":1}", "{\"name\":\"s\"}",
              "mx1.test", NULL);
    world->one.scripts[0] = SCRIPT(HELLO, ACCEPT, "CQUIT");
    add_plain(world);
    add_plain(world);
    run(world);
    assert_int_equal(world->end, DELIVER_END_SPENT);
    assert_int_equal(world->outcomes, 1);
    assert_int_equal(world->messages.count, 1); /* it was not even asked for */
}

static void an_idle_connection_ends_quietly(void **state)
{
    struct world *world = *state;

    make_plan(world, "{\"enable_tls\":\"Disabled\"}", "{\"name\":\"s\"}", "mx1.test", NULL);
    world->plan->path->idle_timeout_ms = 20;
    world->keep_open = true;
    world->one.scripts[0] = SCRIPT(HELLO, "CQUIT");
    run(world);
    assert_int_equal(world->end, DELIVER_END_QUIET);
    assert_heard(&world->one, "EHLO me.test\nQUIT\n");
}

static void helo_where_ehlo_is_refused(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT("S220 old", "CEHLO", "S500 what", "CHELO me.test", "S250 hi", ACCEPT);
    add_plain(world);
    run(world);
    assert_int_equal(world->seen[0].verdict, DELIVER_OK);
}

static void ehlo_names_in_their_order(void **state)
{
    struct world *world = *state;

    make_plan(world, "{\"enable_tls\":\"Disabled\",\"ehlo_domain\":\"path.test\"}",
              "{\"name\":\"s\",\"ehlo_domain\":\"source.test\"}", "mx1.test", NULL);
    world->one.scripts[0] = SCRIPT("S220 x", "CEHLO path.test", "S250 x");
    run(world);
}

/* ---- what the peer says ---- */

struct reply_case {
    const char *const *script;
    enum deliver_verdict verdict;
    int code;
    const char *command;
    enum deliver_end end;
    const char *text; /* or NULL */
};

#define MAIL_OK "CMAIL", "S250 ok"
#define RCPT_OK MAIL_OK, "CRCPT", "S250 ok"
#define DATA_OK RCPT_OK, "CDATA", "S354 go"
#define AFTER_RSET "CRSET", "S250 ok", "CQUIT"

static const char *const mail_4xx[] = {HELLO, "CMAIL", "S450 4.7.1 later", "CQUIT", NULL};
static const char *const mail_5xx[] = {HELLO, "CMAIL", "S550 5.7.1 never", "CQUIT", NULL};
static const char *const mail_3xx[] = {HELLO, "CMAIL", "S354 what", NULL};
static const char *const mail_421[] = {HELLO, "CMAIL", "S421 4.3.2 bye", NULL};
static const char *const mail_cut[] = {HELLO, "CMAIL", "X", NULL};
static const char *const mail_junk[] = {HELLO, "CMAIL", "Shello there", NULL};
static const char *const mail_surplus[] = {HELLO, "CMAIL", "s250 ok\r\n250 ok\r\n", NULL};
static const char *const mail_endless[] = {HELLO, "CMAIL", "O", NULL};
static const char *const mail_codes[] = {HELLO, "CMAIL", "s250-a\r\n550 b\r\n", NULL};
static const char *const rcpt_4xx[] = {HELLO, MAIL_OK, "CRCPT", "S452 4.2.2 full", AFTER_RSET, NULL};
static const char *const rcpt_5xx[] = {HELLO, MAIL_OK, "CRCPT", "S550 5.1.1 who", AFTER_RSET, NULL};
static const char *const rcpt_552[] = {HELLO, MAIL_OK, "CRCPT", "S552 too many", AFTER_RSET, NULL};
static const char *const rcpt_552_full[] = {HELLO, MAIL_OK, "CRCPT", "S552 5.2.2 full", AFTER_RSET, NULL};
static const char *const rcpt_3xx[] = {HELLO, MAIL_OK, "CRCPT", "S354 what", NULL};
static const char *const rcpt_421[] = {HELLO, MAIL_OK, "CRCPT", "S421 bye", NULL};
static const char *const rcpt_cut[] = {HELLO, MAIL_OK, "CRCPT", "X", NULL};
static const char *const data_4xx[] = {HELLO, RCPT_OK, "CDATA", "S451 4.3.0 no", AFTER_RSET, NULL};
static const char *const data_5xx[] = {HELLO, RCPT_OK, "CDATA", "S554 5.3.0 no", AFTER_RSET, NULL};
static const char *const data_2xx[] = {HELLO, RCPT_OK, "CDATA", "S250 done", NULL};
static const char *const data_421[] = {HELLO, RCPT_OK, "CDATA", "S421 bye", NULL};
static const char *const data_cut[] = {HELLO, RCPT_OK, "CDATA", "X", NULL};
static const char *const rset_4xx[] = {HELLO, RCPT_OK, "CDATA", "S451 4.3.0 no", "CRSET", "S450 no", NULL};
static const char *const dot_4xx[] = {HELLO, DATA_OK, "B", "S451 4.7.1 greylisted", "CQUIT", NULL};
static const char *const dot_5xx[] = {HELLO, DATA_OK, "B", "S554 5.7.1 spam", "CQUIT", NULL};
static const char *const dot_3xx[] = {HELLO, DATA_OK, "B", "S354 go on", NULL};
static const char *const dot_421[] = {HELLO, DATA_OK, "B", "S421 4.3.2 bye", NULL};
static const char *const dot_cut[] = {HELLO, DATA_OK, "B", "X", NULL};
static const char *const dot_then_cut[] = {HELLO, DATA_OK, "B", "S250 ok", "X", NULL};

static const struct reply_case reply_cases[] = {
    {mail_4xx, DELIVER_TRANSIENT, 450, "MAIL FROM", DELIVER_END_QUIET, "later"},
    {mail_5xx, DELIVER_PERMANENT, 550, "MAIL FROM", DELIVER_END_QUIET, "never"},
    {mail_3xx, DELIVER_TRANSIENT, 451, "MAIL FROM", DELIVER_END_NEVER_STOOD, NULL},
    {mail_421, DELIVER_TRANSIENT, 421, "MAIL FROM", DELIVER_END_NEVER_STOOD, "bye"},
    {mail_cut, DELIVER_TRANSIENT, 451, "MAIL FROM", DELIVER_END_NEVER_STOOD, NULL},
    {mail_junk, DELIVER_TRANSIENT, 451, "MAIL FROM", DELIVER_END_NEVER_STOOD,
     "the server's reply is not SMTP while sending MAIL FROM"},
    {mail_surplus, DELIVER_TRANSIENT, 451, "MAIL FROM", DELIVER_END_NEVER_STOOD, NULL},
    {mail_endless, DELIVER_TRANSIENT, 451, "MAIL FROM", DELIVER_END_NEVER_STOOD, NULL},
    {mail_codes, DELIVER_TRANSIENT, 451, "MAIL FROM", DELIVER_END_NEVER_STOOD, NULL},
    {rcpt_4xx, DELIVER_TRANSIENT, 452, "RCPT TO", DELIVER_END_QUIET, "full"},
    {rcpt_5xx, DELIVER_PERMANENT, 550, "RCPT TO", DELIVER_END_QUIET, "who"},
    {rcpt_552, DELIVER_TRANSIENT, 552, "RCPT TO", DELIVER_END_QUIET, NULL},
    {rcpt_552_full, DELIVER_PERMANENT, 552, "RCPT TO", DELIVER_END_QUIET, NULL},
    {rcpt_3xx, DELIVER_TRANSIENT, 451, "RCPT TO", DELIVER_END_NEVER_STOOD, NULL},
    {rcpt_421, DELIVER_TRANSIENT, 421, "RCPT TO", DELIVER_END_NEVER_STOOD, NULL},
    {rcpt_cut, DELIVER_TRANSIENT, 451, "RCPT TO", DELIVER_END_NEVER_STOOD, NULL},
    {data_4xx, DELIVER_TRANSIENT, 451, "DATA", DELIVER_END_QUIET, "no"},
    {data_5xx, DELIVER_PERMANENT, 554, "DATA", DELIVER_END_QUIET, "no"},
    {data_2xx, DELIVER_TRANSIENT, 451, "DATA", DELIVER_END_NEVER_STOOD, NULL},
    {data_421, DELIVER_TRANSIENT, 421, "DATA", DELIVER_END_NEVER_STOOD, NULL},
    {data_cut, DELIVER_TRANSIENT, 451, "DATA", DELIVER_END_NEVER_STOOD, NULL},
    {rset_4xx, DELIVER_TRANSIENT, 451, "DATA", DELIVER_END_SPENT, "no"},
    {dot_4xx, DELIVER_TRANSIENT, 451, ".", DELIVER_END_QUIET, "greylisted"},
    {dot_5xx, DELIVER_PERMANENT, 554, ".", DELIVER_END_QUIET, "spam"},
    {dot_3xx, DELIVER_TRANSIENT, 451, ".", DELIVER_END_NEVER_STOOD, NULL},
    {dot_421, DELIVER_TRANSIENT, 421, ".", DELIVER_END_NEVER_STOOD, "bye"},
    {dot_cut, DELIVER_TRANSIENT, 451, ".", DELIVER_END_NEVER_STOOD,
     "the server closed the connection while sending end of data; the message may arrive twice"},
    {dot_then_cut, DELIVER_OK, 250, ".", DELIVER_END_QUIET, "ok"},
};

static void check_reply_case(const struct reply_case *wanted)
{
    void *state;
    struct world *world;

    assert_int_equal(set_up(&state), 0);
    world = state;
    world->one.scripts[0] = wanted->script;
    add_plain(world);
    run(world);
    assert_int_equal(world->outcomes, 1);
    assert_int_equal(world->seen[0].verdict, wanted->verdict);
    assert_int_equal(world->seen[0].code, wanted->code);
    assert_string_equal(world->seen[0].command, wanted->command);
    assert_int_equal(world->end, wanted->end);
    if (wanted->text)
        assert_string_equal(world->seen[0].text, wanted->text);
    tear_down(&state);
}

static void every_reply_at_every_stage(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(reply_cases); i++)
        check_reply_case(&reply_cases[i]);
}

/* A 421 after some messages ends the session; what it did not get to is not counted. */
static void a_421_leaves_the_rest_untried(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT(HELLO, ACCEPT, "CMAIL", "S250 ok", "CRCPT", "S421 enough");
    for (int i = 0; i < 4; i++)
        add_plain(world);
    run(world);
    assert_int_equal(world->outcomes, 4);
    assert_int_equal(world->seen[0].verdict, DELIVER_OK);
    assert_int_equal(world->seen[1].verdict, DELIVER_TRANSIENT);
    assert_int_equal(world->seen[2].verdict, DELIVER_UNTRIED);
    assert_int_equal(world->seen[3].verdict, DELIVER_UNTRIED);
    assert_int_equal(world->end, DELIVER_END_SPENT);
    assert_int_equal(world->reply.code, 421);
}

/* The server had closed an old connection just then: no fault of the message. */
static void a_stale_connection_costs_no_attempt(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT(HELLO, ACCEPT, "CMAIL", "S421 idle too long");
    add_plain(world);
    add_plain(world);
    run(world);
    assert_int_equal(world->seen[1].verdict, DELIVER_UNTRIED);
    assert_int_equal(world->end, DELIVER_END_SPENT);
}

static void a_server_that_leaves_before_the_first_message(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT(HELLO, "X");
    world->keep_open = true;
    run(world);
    assert_int_equal(world->end, DELIVER_END_NEVER_STOOD);
    assert_int_equal(world->reply.code, 451);
}

static void unasked_words_while_idle_end_it(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT("S220 x", "CEHLO", "S250 x", ACCEPT, "S250 and another");
    world->keep_open = true;
    add_plain(world);
    run(world);
    assert_int_equal(world->seen[0].code == 250 || world->seen[0].code == 451, 1);
    assert_int_equal(world->ended, 1);
}

/* ---- several recipients ---- */

static void each_recipient_has_its_own_verdict(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] =
        SCRIPT(HELLO_PIPELINING, "CMAIL", "CRCPT", "CRCPT", "CRCPT", "CDATA", "S250 ok", "S550 5.1.1 who", "S250 ok",
               "S450 4.2.0 later", "S354 go", "B", "S250 kept", "CQUIT");
    add_message(world, "x@y.test y@y.test z@y.test", PLAIN_BODY, sizeof PLAIN_BODY - 1);
    run(world);
    assert_true(world->seen[0].differ);
    assert_int_equal(world->seen[0].each[0], DELIVER_PERMANENT);
    assert_int_equal(world->seen[0].each[1], DELIVER_OK);
    assert_int_equal(world->seen[0].each[2], DELIVER_TRANSIENT);
    assert_int_equal(world->seen[0].each_code[0], 550);
    assert_int_equal(world->seen[0].each_code[1], 250);
    assert_int_equal(world->seen[0].each_code[2], 450);
    assert_int_equal(world->seen[0].waiting_code, 450);
}

static void who_waits_is_told_what_was_said_of_him(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] =
        SCRIPT(HELLO, MAIL_OK, "CRCPT", "S250 ok", "CRCPT", "S450 4.2.1 busy", "CRCPT", "S452 4.2.2 full", "CDATA",
               "S354 go", "B", "S250 kept", "CMAIL", "S451 4.3.0 later", "CQUIT");
    add_message(world, "x@y.test y@y.test z@y.test", PLAIN_BODY, sizeof PLAIN_BODY - 1);
    add_plain(world);
    run(world);
    assert_int_equal(world->seen[0].code, 250);
    assert_int_equal(world->seen[0].waiting_code, 450);
    assert_int_equal(world->seen[1].waiting_code, 451);
}

static void a_cut_keeps_what_was_decided(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT(HELLO, MAIL_OK, "CRCPT", "S550 5.1.1 who", "CRCPT", "X");
    add_message(world, "x@y.test y@y.test", PLAIN_BODY, sizeof PLAIN_BODY - 1);
    run(world);
    assert_true(world->seen[0].differ);
    assert_int_equal(world->seen[0].each[0], DELIVER_PERMANENT);
    assert_int_equal(world->seen[0].each[1], DELIVER_TRANSIENT);
}

/* All were refused while DATA was under way, and the server lets us go on: an empty text, and
 * whatever it says to that, nobody has the message. */
static void data_for_nobody_is_ended_at_once(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] =
        SCRIPT(HELLO_PIPELINING, "CMAIL", "CRCPT", "CDATA", "S250 ok", "S550 5.1.1 who", "S354 go", "B", "S250 kept",
               "CMAIL", "CRCPT", "CDATA", "S250 ok", "S250 ok", "S354 go", "B", "S250 kept", "CQUIT");
    add_plain(world);
    add_plain(world);
    run(world);
    assert_int_equal(world->seen[0].verdict, DELIVER_PERMANENT);
    assert_string_equal(world->seen[0].command, "RCPT TO");
    assert_int_equal(world->seen[1].verdict, DELIVER_OK);
}

static void pipelined_mail_refused(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT(HELLO_PIPELINING, "CMAIL", "CRCPT", "CDATA", "S550 5.7.1 not you", "S503 5.5.1 MAIL",
                                   "S503 5.5.1 MAIL", "CQUIT");
    add_plain(world);
    run(world);
    assert_int_equal(world->seen[0].verdict, DELIVER_PERMANENT);
    assert_int_equal(world->seen[0].code, 550);
    assert_string_equal(world->seen[0].command, "MAIL FROM");
}

static void very_many_recipients_go_in_windows(void **state)
{
    static const char *script[8 + 2 * 250 + 10];
    struct world *world = *state;
    size_t at = 0;
    struct buf recipients;

    buf_init(&recipients, 1 << 20);
    for (size_t i = 0; i < 5; i++)
        script[at++] = SCRIPT(HELLO_PIPELINING)[i];
    script[at++] = "CMAIL";
    script[at++] = "S250 ok";
    for (int i = 0; i < 250; i++) {
        assert_int_equal(buf_appendf(&recipients, "u%d@y.test ", i), 0);
        script[at++] = "CRCPT";
        script[at++] = "S250 ok";
    }
    script[at++] = "CDATA";
    script[at++] = "S354 go";
    script[at++] = "B";
    script[at++] = "S250 kept";
    world->one.scripts[0] = script;
    add_message(world, buf_cstr(&recipients), PLAIN_BODY, sizeof PLAIN_BODY - 1);
    buf_done(&recipients);
    run(world);
    assert_int_equal(world->seen[0].verdict, DELIVER_OK);
    assert_int_equal(world->seen[0].count, 250);
}

/* ---- refused without asking ---- */

static void what_the_peer_cannot_take_is_not_sent(void **state)
{
    static const char eight_bit[] = "Subject: hi\r\n\r\nb\xc3\xa4h\r\n";
    static const char utf8[] = "Subject: b\xc3\xa4h\r\n\r\nhello\r\n";
    struct world *world = *state;
    struct message *message;

    world->one.scripts[0] = SCRIPT("S220 x", "CEHLO", "S250-x", "S250 SIZE 30", "CMAIL FROM:<a@b.test> SIZE=22\0",
                                   "S250 ok", "CRCPT", "S250 ok", "CDATA", "S354 go", "B", "S250 ok", "CQUIT");
    add_message(world, "x@y.test", "0123456789012345678901234567890123456789", 40);
    add_message(world, "x@y.test", eight_bit, sizeof eight_bit - 1);
    message = add_message(world, "x@y.test", utf8, sizeof utf8 - 1);
    message_set_smtputf8(message, true);
    message = add_message(world, "\xc3\xa4@y.test", PLAIN_BODY, sizeof PLAIN_BODY - 1);
    add_message(world, "x@y.test\r\nRSET", PLAIN_BODY, sizeof PLAIN_BODY - 1);
    add_message(world, "", PLAIN_BODY, sizeof PLAIN_BODY - 1);
    message = add_plain(world); /* flagged, but nothing in it needs it */
    message_set_smtputf8(message, true);
    run(world);
    assert_int_equal(world->outcomes, 7);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(world->seen[i].verdict, DELIVER_PERMANENT);
        assert_string_equal(world->seen[i].command, "");
    }
    assert_int_equal(world->seen[0].code, 552);
    assert_int_equal(world->seen[1].code, 554);
    assert_int_equal(world->seen[2].code, 550);
    assert_int_equal(world->seen[3].code, 550);
    assert_int_equal(world->seen[4].code, 553);
    assert_int_equal(world->seen[5].code, 554);
    assert_int_equal(world->seen[6].verdict, DELIVER_OK);
}

static void what_the_peer_offers_is_used(void **state)
{
    static const char utf8[] = "Subject: b\xc3\xa4h\r\n\r\nhello\r\n";
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT(
        "S220 x", "CEHLO", "S250-x", "S250-8BITMIME", "S250 SMTPUTF8", "CMAIL FROM:<a@b.test> BODY=8BITMIME SMTPUTF8",
        "S250 ok", "CRCPT TO:<\xc3\xa4@y.test>", "S250 ok", "CDATA", "S354 go", "B", "S250 ok", "CQUIT");
    message_set_smtputf8(add_message(world, "\xc3\xa4@y.test", utf8, sizeof utf8 - 1), true);
    run(world);
    assert_int_equal(world->seen[0].verdict, DELIVER_OK);
}

/* ---- the text ---- */

/* What a server would store: dots taken off again, the end removed. */
static size_t unstuff(char *text, size_t len)
{
    size_t out = 0;

    assert_true(len >= 3 && memcmp(text + len - 3, ".\r\n", 3) == 0);
    len -= 3;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '.' && (i == 0 || text[i - 1] == '\n'))
            continue;
        text[out++] = text[i];
    }
    return out;
}

static char *random_text(size_t lines, size_t *len_out)
{
    static const char letters[] = "..ab \t-";
    char *text = malloc(lines * 82 + 1);
    size_t len = 0;

    assert_non_null(text);
    for (size_t i = 0; i < lines; i++) {
        size_t line = (size_t)random_below(80);

        for (size_t j = 0; j < line; j++)
            text[len++] = letters[random_below(sizeof letters - 1)];
        text[len++] = '\r';
        text[len++] = '\n';
    }
    *len_out = len;
    return text;
}

static void check_text(const char *text, size_t len, const char *wanted, size_t wanted_len)
{
    void *state;
    struct world *world;
    char *got;
    size_t got_len;

    assert_int_equal(set_up(&state), 0);
    world = state;
    world->one.scripts[0] = SCRIPT(HELLO, ACCEPT, "CQUIT");
    add_message(world, "x@y.test", text, len);
    run(world);
    assert_int_equal(world->seen[0].verdict, DELIVER_OK);
    got = buf_take(&world->one.body, &got_len);
    got_len = unstuff(got, got_len);
    assert_int_equal(got_len, wanted_len);
    assert_memory_equal(got, wanted, wanted_len);
    free(got);
    tear_down(&state);
}

static void texts_arrive_as_they_are(void **state)
{
    (void)state;
    for (size_t lines = 0; lines < 40; lines += 3) {
        size_t len;
        char *text = random_text(lines, &len);

        check_text(text, len, text, len);
        free(text);
    }
    for (int i = 0; i < 2; i++) {
        size_t len;
        char *text = random_text(60000, &len); /* some megabytes, in pieces */

        check_text(text, len, text, len);
        free(text);
    }
}

static void line_ends_are_always_right(void **state)
{
    (void)state;
    check_text("no end", 6, "no end\r\n", 8);
    check_text("a\n.\nb\r\n", 7, "a\r\n.\r\nb\r\n", 9);
    check_text("a\r.\rb", 5, "a\r\n.\r\nb\r\n", 9);
    check_text(".", 1, ".\r\n", 3);
}

static void a_refusal_in_the_middle_of_a_text(void **state)
{
    struct world *world = *state;
    size_t len;
    char *text = random_text(300000, &len);

    world->one.scripts[0] = SCRIPT(HELLO, RCPT_OK, "CDATA", "s354 go\r\n", "S552 5.3.4 enough");
    add_message(world, "x@y.test", text, len);
    free(text);
    run(world);
    /* both replies came at once, so this server answered what was not sent yet, or it was
     * heard in the middle: either way nothing counts as accepted, and the connection ends */
    assert_true(world->seen[0].verdict == DELIVER_PERMANENT || world->seen[0].verdict == DELIVER_TRANSIENT);
    assert_int_not_equal(world->end, DELIVER_END_QUIET);
}

/* ---- time limits ---- */

static void each_stage_has_its_time_limit(void **state)
{
    static const struct {
        size_t limit; /* the one that is short; a slow machine meets none of the others */
        const char *script[20];
    } cases[] = {
        {offsetof(struct route_path, banner_timeout_ms), {NULL}},
        {offsetof(struct route_path, ehlo_timeout_ms), {"S220 x", "CEHLO", NULL}},
        {offsetof(struct route_path, mail_from_timeout_ms), {HELLO, "CMAIL", NULL}},
        {offsetof(struct route_path, rcpt_to_timeout_ms), {HELLO, MAIL_OK, "CRCPT", NULL}},
        {offsetof(struct route_path, data_timeout_ms), {HELLO, RCPT_OK, "CDATA", NULL}},
        {offsetof(struct route_path, data_dot_timeout_ms), {HELLO, DATA_OK, "B", NULL}},
        {offsetof(struct route_path, data_dot_timeout_ms), {HELLO, DATA_OK, "B", "s250-", NULL}},
        {offsetof(struct route_path, rset_timeout_ms), {HELLO, RCPT_OK, "CDATA", "S451 no", "CRSET", NULL}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        void *fresh;
        struct world *world;

        assert_int_equal(set_up(&fresh), 0);
        world = fresh;
        make_plan(world, CLEAR, NAME, "mx1.test", NULL);
        *(uint64_t *)(void *)((char *)world->plan->path + cases[i].limit) = 50;
        world->one.scripts[0] = cases[i].script;
        if (i >= 2)
            add_plain(world);
        run(world);
        assert_int_equal(world->outcomes, i >= 2);
        if (i >= 2)
            assert_int_equal(world->seen[0].verdict, DELIVER_TRANSIENT);
        else
            assert_non_null(strstr(world->reply.text, "time limit"));
        assert_int_equal(world->end, i == COUNT(cases) - 1 ? DELIVER_END_SPENT : DELIVER_END_NEVER_STOOD);
        tear_down(&fresh);
    }
}

/* A long text on its way to a server that has said 354, and stopped reading. */
static void send_what_is_not_read(struct world *world)
{
    size_t len = 24 << 20;
    char *text = malloc(len);

    assert_non_null(text);
    memset(text, 'x', len);
    make_plan(world, "{\"enable_tls\":\"Disabled\"}", "{\"name\":\"s\"}", "mx1.test", NULL);
    world->one.scripts[0] = SCRIPT(HELLO, RCPT_OK, "CDATA", "S354 go");
    add_message(world, "x@y.test", text, len);
    free(text);
    start(world);
    while (buf_len(&world->one.heard) == 0 || !memmem(world->one.heard.data, world->one.heard.end, "DATA", 4))
        loop_turn(world->loop, true);
    socket_pause(world->one.connections[0].socket);
}

/* The write side has its limit too. */
static void a_text_that_is_not_taken_times_out(void **state)
{
    struct world *world = *state;

    send_what_is_not_read(world);
    world->plan->path->data_timeout_ms = 50; /* its 354 is still on the way */
    while (!world->ended)
        loop_turn(world->loop, true);
    assert_int_equal(world->seen[0].verdict, DELIVER_TRANSIENT);
    assert_non_null(strstr(world->seen[0].text, "sending the message"));
}

static bool has_unread(struct socket *socket)
{
    struct pollfd look = {.fd = socket_fd(socket), .events = POLLIN};

    return poll(&look, 1, 0) == 1;
}

/* Heard while most of the text has not been sent: nobody can have accepted it. */
static void check_early_reply(struct world *world, const char *reply, enum deliver_verdict verdict)
{
    send_what_is_not_read(world);
    while (!has_unread(world->one.connections[0].socket))
        loop_turn(world->loop, false); /* until its 354 is heard, and the text on its way */
    assert_int_equal(socket_write(world->one.connections[0].socket, reply, strlen(reply)), 0);
    while (!world->ended)
        loop_turn(world->loop, true);
    assert_int_equal(world->seen[0].verdict, verdict);
    assert_int_not_equal(world->end, DELIVER_END_QUIET);
}

static void thanks_before_the_end_of_a_text_are_no_promise(void **state)
{
    check_early_reply(*state, "250 2.0.0 taken\r\n", DELIVER_TRANSIENT);
}

static void a_refusal_while_a_text_is_sent_counts(void **state)
{
    check_early_reply(*state, "552 5.3.4 enough\r\n", DELIVER_PERMANENT);
}

/* ---- hosts ---- */

static void the_second_host_is_tried(void **state)
{
    static const char *const first[][8] = {
        {"S421 busy", NULL},
        {"S554 no mail here", NULL},
        {"X", NULL},
        {"Sgarbage", NULL},
        {"S220 x", "CEHLO", "S421 x", NULL},
        {"S220 x", "CEHLO", "S500 x", "CHELO", "S550 x", NULL},
        {"S220 x", "CEHLO", "X", NULL},
        {"S354 x", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(first); i++) {
        void *fresh;
        struct world *world;

        assert_int_equal(set_up(&fresh), 0);
        world = fresh;
        make_plan(world, "{\"enable_tls\":\"Disabled\"}", "{\"name\":\"s\"}", "mx1.test", "mx2.test");
        world->one.scripts[0] = first[i];
        world->two.scripts[0] = SCRIPT(HELLO, ACCEPT, "CQUIT");
        add_plain(world);
        run(world);
        assert_int_equal(world->seen[0].verdict, DELIVER_OK);
        assert_string_equal(world->seen[0].peer_name, "mx2.test");
        tear_down(&fresh);
    }
}

static void the_second_address_is_tried(void **state)
{
    struct world *world = *state;

    make_plan(world, "{\"enable_tls\":\"Disabled\"}", "{\"name\":\"s\"}", "twice.test", NULL);
    world->one.scripts[0] = SCRIPT(HELLO, ACCEPT, "CQUIT"); /* nobody listens on 127.0.0.2 */
    add_plain(world);
    run(world);
    assert_int_equal(world->seen[0].verdict, DELIVER_OK);
}

struct site_case {
    const char *path;
    const char *source;
    const char *host;
    const char *second;
    const char *const *one;
    const char *const *two;
    int code;
    const char *text;
};

static const char *const refuses[] = {"S554 5.3.2 no mail here", NULL};
static const char *const busy[] = {"S450 4.3.2 busy", NULL};
static const char *const needs_auth[] = {"S220 x",      "CEHLO",         "S250-x", "S250 AUTH PLAIN",
                                         "CAUTH PLAIN", "S535 5.7.8 no", NULL};
static const char *const quotes[] = {
    "S220 x", "CEHLO", "S250-x", "S250 AUTH PLAIN", "CAUTH PLAIN", "S535 5.7.8 what is AHUAdGlnZXItb2YtdGhlLXJlbGF5 ?",
    NULL};
static const char *const quotes_a_part[] = {
    "S220 x", "CEHLO", "S250-x", "S250 AUTH PLAIN", "CAUTH PLAIN", "S421 4.7.0 not b2YtdGhlLXJlbGF5", NULL};
static const char *const quotes_decoded[] = {
    "S220 x", "CEHLO", "S250-x", "S250 AUTH PLAIN", "CAUTH PLAIN", "S535 5.7.8 not with tiger-of-the-relay", NULL};
static const char *const no_auth[] = {"S220 x", "CEHLO", "S250 x", NULL};

#define SOON "{\"connect_timeout\":\"1s\"}"
#define WITH_PASSWORD                                                                                                  \
    "{\"enable_tls\":\"Disabled\",\"smtp_auth_plain_username\":\"u\",\"smtp_auth_plain_password\":\"p\","              \
    "\"allow_smtp_auth_plain_without_tls\":true}"
#define WITH_LONG_PASSWORD                                                                                             \
    "{\"enable_tls\":\"Disabled\",\"smtp_auth_plain_username\":\"u\",\"allow_smtp_auth_plain_without_tls\":true,"      \
    "\"smtp_auth_plain_password\":\"tiger-of-the-relay\"}"
#define PASSWORD_NEEDS_TLS                                                                                             \
    "{\"enable_tls\":\"Opportunistic\",\"smtp_auth_plain_username\":\"u\",\"smtp_auth_plain_password\":\"p\"}"

static const struct site_case site_cases[] = {
    {CLEAR, NAME, "mx1.test", "mx2.test", refuses, refuses, 554, "no mail here"},
    {CLEAR, NAME, "mx1.test", "mx2.test", busy, refuses, 450, "busy"},
    {CLEAR, NAME, "mx1.test", "mx2.test", refuses, busy, 450, "busy"},
    {CLEAR, NAME, "broken.test", "mx2.test", NULL, refuses, 451, "looking up broken.test failed"},
    {CLEAR, NAME, "gone.test", NULL, NULL, NULL, 451, "does not exist"},
    {SOON, NAME, "slow.test", NULL, NULL, NULL, 451, "time limit was reached while looking up"},
    {CLEAR, NAME, NULL, NULL, NULL, NULL, 451, "no host"},
    {"{\"prohibited_hosts\":[\"127.0.0.0/8\"]}", NAME, "mx1.test", NULL, NULL, NULL, 550, "prohibited"},
    {"{\"skip_hosts\":[\"127.0.0.1\"]}", NAME, "mx1.test", NULL, NULL, NULL, 550, "skipped"},
    {CLEAR, "{\"name\":\"s\",\"source_address\":\"127.0.0.1\"}", "six.test", NULL, NULL, NULL, 451, "family"},
    {CLEAR, "{\"name\":\"s\",\"source_address\":\"192.0.2.1\"}", "mx1.test", NULL, NULL, NULL, 451, "192.0.2.1"},
    {"{\"enable_tls\":\"Required\"}", NAME, "mx1.test", NULL, no_auth, NULL, 451, "STARTTLS"},
    {"{\"enable_tls\":\"RequiredInsecure\"}", NAME, "mx1.test", NULL, no_auth, NULL, 451, "STARTTLS"},
    {WITH_PASSWORD, NAME, "mx1.test", NULL, needs_auth, NULL, 451, "535"},
    {WITH_LONG_PASSWORD, NAME, "mx1.test", NULL, quotes, NULL, 451, "withheld"},
    {WITH_LONG_PASSWORD, NAME, "mx1.test", NULL, quotes_a_part, NULL, 421, "withheld"},
    {WITH_LONG_PASSWORD, NAME, "mx1.test", NULL, quotes_decoded, NULL, 451, "withheld"},
    {WITH_LONG_PASSWORD, NAME, "mx1.test", NULL, needs_auth, NULL, 451, "no"},
    {WITH_PASSWORD, NAME, "mx1.test", NULL, no_auth, NULL, 451, "AUTH PLAIN"},
    {PASSWORD_NEEDS_TLS, NAME, "mx1.test", NULL, no_auth, NULL, 451, "without TLS"},
};

static void why_no_host_could_be_used(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(site_cases); i++) {
        const struct site_case *wanted = &site_cases[i];
        void *fresh;
        struct world *world;

        assert_int_equal(set_up(&fresh), 0);
        world = fresh;
        make_plan(world, wanted->path, wanted->source, wanted->host, wanted->second);
        world->one.scripts[0] = wanted->one;
        world->two.scripts[0] = wanted->two;
        run(world);
        assert_int_equal(world->end, DELIVER_END_NEVER_STOOD);
        assert_int_equal(world->hungry, 0);
        assert_int_equal(world->reply.code, wanted->code);
        if (!strstr(world->reply.text, wanted->text))
            assert_string_equal(world->reply.text, wanted->text);
        tear_down(&fresh);
    }
}

static void connecting_to_ourselves_is_a_loop(void **state)
{
    static const char *const ours[] = {"127.0.0.1", "0.0.0.0"};

    (void)state;
    for (size_t i = 0; i < COUNT(ours); i++) {
        void *fresh;
        struct world *world;
        struct sockaddr_storage own;
        struct deliver_settings settings = {.own_addresses = &own, .own_address_count = 1};
        struct ip ip;

        assert_int_equal(set_up(&fresh), 0);
        world = fresh;
        assert_int_equal(ip_parse(span_of(ours[i]), &ip), 0);
        sockaddr_from_ip(&ip, fake_port(&world->one), &own);
        deliver_set_settings(&settings);
        make_plan(world, CLEAR, NAME, "mx1.test", "mx2.test"); /* the less preferred must not get it either */
        run(world);
        assert_int_equal(world->end, DELIVER_END_NEVER_STOOD);
        assert_int_equal(world->reply.code, 554);
        assert_int_equal(world->reply.enhanced_detail, 6);
        assert_int_equal(world->one.accepted + world->two.accepted, 0);
        tear_down(&fresh);
    }
}

/* ---- AUTH and TLS ---- */

static void auth_plain_goes_out_once_it_may(void **state)
{
    struct world *world = *state;

    make_plan(world, WITH_PASSWORD, NAME, "mx1.test", NULL);
    world->one.scripts[0] =
        SCRIPT("S220 x", "CEHLO", "S250-x", "S250 AUTH LOGIN PLAIN", "CAUTH PLAIN AHUAcA==", "S235 ok", ACCEPT);
    add_plain(world);
    run(world);
    assert_int_equal(world->seen[0].verdict, DELIVER_OK);
}

struct tls_case {
    const char *mode;
    const char *more; /* of the path's settings */
    bool trusted;     /* our CA made the server's certificate */
    const char *const *scripts[3];
    bool delivered;
    bool in_tls;
    const char *text; /* of the end's reply, when not delivered */
};

#define OFFER "S220 x", "CEHLO", "S250-x", "S250 STARTTLS"
#define IN_TLS OFFER, "CSTARTTLS", "S220 go", "T", "CEHLO", "S250 x"
#define IN_TLS_AUTH OFFER, "CSTARTTLS", "S220 go", "T", "CEHLO", "S250-x", "S250 AUTH PLAIN"
#define PASSWORD ",\"smtp_auth_plain_username\":\"u\",\"smtp_auth_plain_password\":\"p\""

static const char *const tls_good[] = {IN_TLS, ACCEPT, "CQUIT", NULL};
static const char *const tls_until_handshake[] = {OFFER, "CSTARTTLS", "S220 go", "T", NULL};
static const char *const tls_broken[] = {OFFER, "CSTARTTLS", "S220 go", NULL};
static const char *const tls_no_handshake[] = {OFFER, "CSTARTTLS", "S220 go", "X", NULL};
static const char *const tls_injected[] = {OFFER, "CSTARTTLS", "s220 go\r\n250 evil\r\n", NULL};
static const char *const tls_auth[] = {IN_TLS_AUTH, "CAUTH PLAIN AHUAcA==", "S235 ok", ACCEPT, "CQUIT", NULL};
static const char *const tls_until_auth[] = {IN_TLS_AUTH, NULL};
static const char *const tls_refused_on[] = {OFFER, "CSTARTTLS", "S454 4.7.0 not now", ACCEPT, "CQUIT", NULL};
static const char *const tls_refused[] = {OFFER, "CSTARTTLS", "S454 4.7.0 not now", NULL};
static const char *const clear_good[] = {OFFER, ACCEPT, "CQUIT", NULL};
static const char *const plain_good[] = {HELLO, ACCEPT, "CQUIT", NULL};
/* SIZE said in clear must be forgotten: the text is larger than that */
static const char *const tls_reread[] = {"S220 x",        "CEHLO",     "S250-x",  "S250-SIZE 1", "S250-PIPELINING",
                                         "S250 STARTTLS", "CSTARTTLS", "S220 go", "T",           "CEHLO",
                                         "S250 x",        ACCEPT,      "CQUIT",   NULL};

static const struct tls_case tls_cases[] = {
    {"Disabled", "", true, {clear_good}, true, false, NULL},
    {"Opportunistic", "", true, {tls_good}, true, true, NULL},
    {"Opportunistic", "", true, {tls_reread}, true, true, NULL},
    {"Opportunistic", "", true, {plain_good}, true, false, NULL},
    {"Opportunistic", "", false, {tls_until_handshake}, false, false, "TLS handshake"},
    {"Opportunistic", "", true, {tls_refused}, false, false, "not now"},
    {"Opportunistic",
     ",\"opportunistic_tls_reconnect_on_failed_handshake\":true",
     false,
     {tls_until_handshake, clear_good},
     true,
     false,
     NULL},
    {"OpportunisticInsecure", "", false, {tls_good}, true, true, NULL},
    {"OpportunisticInsecure", "", false, {tls_refused_on}, true, false, NULL},
    {"OpportunisticInsecure", "", false, {tls_no_handshake}, false, false, "TLS handshake"},
    {"OpportunisticInsecure", "", false, {tls_injected}, false, false, "more than it was asked"},
    {"OpportunisticInsecure",
     ",\"opportunistic_tls_reconnect_on_failed_handshake\":true",
     false,
     {tls_no_handshake, clear_good},
     true,
     false,
     NULL},
    {"OpportunisticInsecure",
     ",\"opportunistic_tls_reconnect_on_failed_handshake\":true",
     false,
     {tls_injected},
     false,
     false,
     "more than it was asked"},
    {"Required", "", true, {tls_good}, true, true, NULL},
    {"Required", "", false, {tls_until_handshake}, false, false, "TLS handshake"},
    {"Required",
     ",\"opportunistic_tls_reconnect_on_failed_handshake\":true",
     false,
     {tls_until_handshake},
     false,
     false,
     "TLS handshake"},
    {"Required", "", true, {tls_refused}, false, false, "not now"},
    {"Required", "", true, {tls_broken}, false, false, "time limit"},
    {"RequiredInsecure", "", false, {tls_good}, true, true, NULL},
    {"RequiredInsecure", "", false, {tls_no_handshake}, false, false, "TLS handshake"},
    /* a password is for a server that was verified */
    {"Required", PASSWORD, true, {tls_auth}, true, true, NULL},
    {"Opportunistic", PASSWORD, true, {tls_auth}, true, true, NULL},
    {"RequiredInsecure", PASSWORD, true, {tls_until_auth}, false, false, "was not verified"},
    {"RequiredInsecure", PASSWORD, false, {tls_until_auth}, false, false, "was not verified"},
    {"OpportunisticInsecure", PASSWORD, true, {tls_until_auth}, false, false, "was not verified"},
    {"RequiredInsecure",
     PASSWORD ",\"allow_smtp_auth_plain_without_valid_certificate\":true",
     false,
     {tls_auth},
     true,
     true,
     NULL},
};

static void check_tls_case(const struct tls_case *wanted, const char *certificate, const char *key)
{
    void *state;
    struct world *world;
    struct tls_certificate_source source = {.certificate_pem = certificate, .private_key_pem = key};
    struct tls_server_config server = {
        .name = "fake", .certificates = &source, .certificate_count = 1, .hostname = "mx1.test", .tickets = 1};
    struct deliver_settings settings = {.hostname = "me.test", .ca_pem = wanted->trusted ? certificate : NULL};
    char *path = mem_printf("{\"enable_tls\":\"%s\"%s}", wanted->mode, wanted->more);

    assert_int_equal(set_up(&state), 0);
    world = state;
    deliver_set_settings(&settings);
    make_plan(world, path, NAME, "mx1.test", NULL);
    free(path);
    world->plan->path->starttls_timeout_ms = wanted->scripts[0] == tls_broken ? 50 : 20000;
    world->one.tls = tls_server_new(&server, NULL);
    assert_non_null(world->one.tls);
    for (size_t i = 0; i < COUNT(wanted->scripts); i++)
        world->one.scripts[i] = wanted->scripts[i];
    if (wanted->delivered)
        add_plain(world);
    run(world);
    assert_int_equal(world->outcomes, wanted->delivered);
    if (wanted->delivered) {
        assert_int_equal(world->seen[0].verdict, DELIVER_OK);
        assert_int_equal(world->seen[0].cipher[0] != '\0', wanted->in_tls);
    } else {
        assert_int_equal(world->end, DELIVER_END_NEVER_STOOD);
        assert_true(smtp_reply_is_transient(&world->reply));
        if (!strstr(world->reply.text, wanted->text))
            assert_string_equal(world->reply.text, wanted->text);
    }
    tear_down(&state);
}

static void five_modes_of_tls(void **state)
{
    char *certificate;
    char *key;

    (void)state;
    assert_int_equal(tls_make_self_signed("mx1.test", 2, &certificate, &key, NULL), 0);
    for (size_t i = 0; i < COUNT(tls_cases); i++)
        check_tls_case(&tls_cases[i], certificate, key);
    free(certificate);
    secret_free(key);
}

/* ---- stopping ---- */

static void finish_before_it_stands(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT("Cnothing");
    start(world);
    deliver_session_finish(world->session);
    while (!world->ended)
        loop_turn(world->loop, true);
    assert_int_equal(world->end, DELIVER_END_QUIET);
    assert_int_equal(world->hungry, 0);
}

static void abort_tells_all_before_it_returns(void **state)
{
    struct world *world = *state;
    struct list extra;

    world->one.scripts[0] = SCRIPT(HELLO, "CMAIL");
    add_plain(world);
    add_plain(world);
    start(world);
    while (!memmem(buf_span(&world->one.heard).data, buf_len(&world->one.heard), "MAIL", 4))
        loop_turn(world->loop, true);
    list_init(&extra);
    deliver_session_abort(world->session);
    assert_int_equal(world->ended, 1);
    assert_int_equal(world->outcomes, 2);
    assert_int_equal(world->seen[0].verdict, DELIVER_UNTRIED);
    assert_int_equal(world->seen[1].verdict, DELIVER_UNTRIED);
}

static void abort_at_the_end_of_data_is_an_attempt(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT(HELLO, DATA_OK, "B", "Cnever");
    add_plain(world);
    start(world);
    while (buf_len(&world->one.body) == 0)
        loop_turn(world->loop, true);
    deliver_session_abort(world->session);
    assert_int_equal(world->seen[0].verdict, DELIVER_TRANSIENT);
    assert_non_null(strstr(world->seen[0].text, "may arrive twice"));
}

static void abort_while_resolving(void **state)
{
    struct world *world = *state;

    make_plan(world, CLEAR, NAME, "slow.test", NULL);
    start(world);
    loop_turn(world->loop, false);
    deliver_session_abort(world->session);
    assert_int_equal(world->ended, 1);
}

static void abort_from_a_callback(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT(HELLO);
    world->abort_on_hungry = true;
    run(world);
    assert_int_equal(world->end, DELIVER_END_QUIET);
}

static void abort_from_an_outcome(void **state)
{
    struct world *world = *state;

    world->one.scripts[0] = SCRIPT(HELLO, ACCEPT);
    world->abort_on_outcome = true;
    add_plain(world);
    add_plain(world);
    run(world);
    assert_int_equal(world->outcomes, 2);
    assert_int_equal(world->seen[0].verdict, DELIVER_OK);
    assert_int_equal(world->seen[1].verdict, DELIVER_UNTRIED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_message_command_by_command),
        TEST(pipelined_commands_leave_together),
        TEST(several_messages_use_one_connection),
        TEST(messages_may_be_given_while_it_idles),
        TEST(a_spent_connection_gives_the_rest_back),
        TEST(an_idle_connection_ends_quietly),
        TEST(helo_where_ehlo_is_refused),
        TEST(ehlo_names_in_their_order),
        cmocka_unit_test(every_reply_at_every_stage),
        TEST(a_421_leaves_the_rest_untried),
        TEST(a_stale_connection_costs_no_attempt),
        TEST(a_server_that_leaves_before_the_first_message),
        TEST(unasked_words_while_idle_end_it),
        TEST(each_recipient_has_its_own_verdict),
        TEST(who_waits_is_told_what_was_said_of_him),
        TEST(a_cut_keeps_what_was_decided),
        TEST(data_for_nobody_is_ended_at_once),
        TEST(pipelined_mail_refused),
        TEST(very_many_recipients_go_in_windows),
        TEST(what_the_peer_cannot_take_is_not_sent),
        TEST(what_the_peer_offers_is_used),
        cmocka_unit_test(texts_arrive_as_they_are),
        cmocka_unit_test(line_ends_are_always_right),
        TEST(a_refusal_in_the_middle_of_a_text),
        cmocka_unit_test(each_stage_has_its_time_limit),
        TEST(thanks_before_the_end_of_a_text_are_no_promise),
        TEST(a_refusal_while_a_text_is_sent_counts),
        TEST(a_text_that_is_not_taken_times_out),
        cmocka_unit_test(the_second_host_is_tried),
        TEST(the_second_address_is_tried),
        cmocka_unit_test(why_no_host_could_be_used),
        cmocka_unit_test(connecting_to_ourselves_is_a_loop),
        TEST(auth_plain_goes_out_once_it_may),
        cmocka_unit_test(five_modes_of_tls),
        TEST(finish_before_it_stands),
        TEST(abort_tells_all_before_it_returns),
        TEST(abort_at_the_end_of_data_is_an_attempt),
        TEST(abort_while_resolving),
        TEST(abort_from_a_callback),
        TEST(abort_from_an_outcome),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
