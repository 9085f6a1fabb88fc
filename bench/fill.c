/* SPDX-License-Identifier: Apache-2.0
 *
 * Fills a spool with messages nobody has sent: a million would take SMTP a quarter of an hour. They are made by the
 * rooms that make real ones, so a daemon that is started on the folder finds what a daemon would have left there.
 *   bench-fill DIRECTORY MESSAGES TENANTS DOMAINS BYTES DUE_SECONDS
 * Recipients go around the domains dN.example, and the tenants tN go around with them: TENANTS x DOMAINS queues. They
 * are due so many seconds from now; 0: at once, and never tried.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "loop/loop.h"
#include "message/message.h"
#include "spool/spool.h"

#define RECORD_LIMIT_BYTES 65536
#define STORES_AT_ONCE 64
#define ITEMS_PER_STORE 16 /* each with a body of its own */

struct fill {
    struct spool *spool;
    struct loop *loop;
    uint64_t wanted, made, tenants, domains;
    int64_t due_ms;
    size_t body_bytes;
    unsigned running;
};

struct filler {
    struct spool_store store;
    struct spool_item items[ITEMS_PER_STORE];
    struct buf records[ITEMS_PER_STORE];
    struct fill *fill;
};

static struct bytes *make_body(size_t len)
{
    static const char header[] = "From: <scott@tiger.example>\r\nSubject: fill\r\n\r\n";
    char *text = mem_alloc(len + sizeof header + 2);

    memset(text, 'x', len + sizeof header);
    memcpy(text, header, sizeof header - 1);
    memcpy(text + len, "\r\n", 2);
    return bytes_take(text, len + 2);
}

static void set_meta(struct message *message, const char *key, const char *value)
{
    message_meta_set(message, key, json_string(value));
}

/* Message number n, as a session would have left it. */
static void make_record(const struct fill *fill, uint64_t n, struct buf *out)
{
    uint64_t queue = n % (fill->tenants * fill->domains);
    struct message *message = message_new();
    char text[64];

    snprintf(text, sizeof text, "user%llu@d%llu.example", (unsigned long long)n,
             (unsigned long long)(queue / fill->tenants));
    message_set_sender(message, SPAN_LIT("scott@tiger.example"));
    message_add_recipient(message, span_of(text));
    snprintf(text, sizeof text, "t%llu", (unsigned long long)(queue % fill->tenants));
    set_meta(message, "tenant", text);
    set_meta(message, "authn_id", "scott");
    set_meta(message, "authz_id", "scott");
    set_meta(message, "received_from", "127.0.0.1:54321");
    set_meta(message, "received_via", "127.0.0.1:587");
    set_meta(message, "hostname", "bench.example");
    set_meta(message, "reception_protocol", "ESMTPSA");
    message_set_due_ms(message, fill->due_ms);
    message_set_body(message, make_body(fill->body_bytes));
    buf_init(out, RECORD_LIMIT_BYTES);
    MUST(!message_encode(message, out));
    message_free(message);
}

static void store_next(struct filler *filler)
{
    struct fill *fill = filler->fill;
    size_t count = 0;

    for (; count < ITEMS_PER_STORE && fill->made < fill->wanted; count++) {
        make_record(fill, fill->made++, &filler->records[count]);
        filler->items[count] =
            (struct spool_item){.record = buf_span(&filler->records[count]), .body = make_body(fill->body_bytes)};
    }
    filler->store.items = filler->items;
    filler->store.count = count;
    if (count > 0)
        spool_store(fill->spool, &filler->store);
    else if (--fill->running == 0)
        loop_stop(fill->loop);
}

static void on_done(struct spool_store *store, const struct error *error)
{
    struct filler *filler = CONTAINER_OF(store, struct filler, store);

    MUST(!error);
    for (size_t i = 0; i < store->count; i++) {
        buf_done(&filler->records[i]);
        bytes_unref(&filler->items[i].body);
    }
    store_next(filler);
}

static void start(void *ctx)
{
    struct fill *fill = ctx;

    fill->running = STORES_AT_ONCE;
    for (int i = 0; i < STORES_AT_ONCE; i++) {
        struct filler *filler = mem_zalloc(sizeof *filler); /* for as long as the process lives */

        filler->fill = fill;
        filler->store.on_done = on_done;
        store_next(filler);
    }
}

static int run(struct fill *fill, const char *directory)
{
    struct spool_config config = {.name = "fill", .path = directory, .flush = true};
    uint64_t began = clock_mono_us();
    struct error error = {0};
    struct timer timer;

    fill->loop = loop_new("fill", &error);
    fill->spool = fill->loop ? spool_open(&config, &error) : NULL;
    if (!fill->spool) {
        fprintf(stderr, "bench-fill: %s\n", error.sentence);
        return 1;
    }
    timer_init(&timer, fill->loop, start, fill);
    timer_start(&timer, 0);
    loop_run(fill->loop);
    spool_close(fill->spool);
    loop_free(fill->loop);
    printf("{\"messages\":%llu,\"seconds\":%.2f}\n", (unsigned long long)fill->made,
           (double)(clock_mono_us() - began) / 1e6);
    return 0;
}

int main(int argc, char **argv)
{
    struct fill fill = {0};
    uint64_t due_seconds;

    if (argc != 7) {
        fprintf(stderr, "usage: %s DIRECTORY MESSAGES TENANTS DOMAINS BYTES DUE_SECONDS\n", argv[0]);
        return 2;
    }
    fill.wanted = strtoull(argv[2], NULL, 10);
    fill.tenants = strtoull(argv[3], NULL, 10);
    fill.domains = strtoull(argv[4], NULL, 10);
    fill.body_bytes = strtoul(argv[5], NULL, 10);
    due_seconds = strtoull(argv[6], NULL, 10);
    if (!fill.tenants || !fill.domains || !fill.body_bytes) {
        fprintf(stderr, "bench-fill: tenants, domains and bytes are at least 1\n");
        return 2;
    }
    if (due_seconds)
        fill.due_ms = clock_wall_ms() + (int64_t)due_seconds * 1000;
    return run(&fill, argv[1]);
}
