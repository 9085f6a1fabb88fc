/* SPDX-License-Identifier: Apache-2.0
 *
 * For this folder only: what the one queue thread keeps. A message is in exactly one place
 * here: waiting in a scheduled queue (fresh, warm, or in its heap), being loaded, with a
 * policy handler (a task), or in a ready queue. Calls out of the room (struct queue_ops) may
 * not call back into it, except where queue.h says so; to make that easy, connections are
 * opened, fed and finished only from the pump, which runs once per turn of the loop.
 */
#ifndef GATEPOST_QUEUE_QUEUE_PRIVATE_H
#define GATEPOST_QUEUE_QUEUE_PRIVATE_H

#include "base/clock.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/rate.h"
#include "queue/name.h"
#include "queue/queue.h"
#include "queue/wrr.h"

#define QUEUE_RESOLVES_LIMIT 256              /* policy and DNS questions under way */
#define QUEUE_HANDS_LIMIT 512                 /* messages being loaded, or with a policy handler */
#define QUEUE_WARM_LIMIT 32                   /* the same, of one scheduled queue */
#define QUEUE_FRESH_LIMIT 256                 /* messages of one queue kept in memory for their first try */
#define QUEUE_FRESH_BYTES (64 * 1024 * 1024)  /* and of all queues, bodies counted */
#define QUEUE_READY_BYTES (256 * 1024 * 1024) /* of the messages in all ready queues, which are in memory */
#define QUEUE_READY_SHARE (64 * 1024)         /* what each ready queue may hold though that is used up */
#define QUEUE_LOADED_BYTES 1024               /* what a message in memory takes besides its body, about */
#define QUEUE_SHRINK_AFTER_MS 5000            /* who waits longer waits on disk */
#define QUEUE_PUMP_BUDGET 2000                /* promotions per turn of the loop */
#define QUEUE_STALE_GRACE_MS 10000            /* how soon a failed refresh is tried again */
#define QUEUE_TROUBLE_MS 10000                /* how long a failed resolution answers for those behind it */
#define QUEUE_ROOM_PATIENCE_MS 60000          /* at most this long until a full ready queue is looked at again */
#define QUEUE_READ_AGAIN_MS 10000             /* a message that could not be read back just now */
#define QUEUE_DAMAGED_AGAIN_MS 3600000        /* one that is damaged in the spool: a disk may be mended */
#define QUEUE_LINGER_MS 60000                 /* what is empty and unused stays this long */

struct sched;
struct resolve;

/* A cached answer of policy: the value may be used until `until_ms`, and is kept beyond that in
 * case the next answer fails. Value types differ; each cache has its own. */
struct freshness {
    uint64_t until_ms; /* monotonic */
    uint64_t epoch;    /* of the policy that gave it */
};

struct cached_pool {
    struct route_pool *pool;
    struct freshness fresh;
};

struct cached_source {
    struct route_source *source;
    struct freshness fresh;
};

/* Where a routing domain's mail goes. Counted: caches and ready queues hold it. */
struct site {
    unsigned refs;
    enum dns_verdict verdict;
    char *name;
    struct route_plan_host *hosts; /* port 0: the path's */
    size_t host_count;
    struct freshness fresh;
};

struct connection {
    uint64_t id;
    struct queue_ready *ready; /* referenced */
    struct list_node link;     /* in ready->connections */
    struct list_node wait;     /* in ready->waiting */
    size_t wanted;             /* how many it asked for when it was left waiting */
    uint64_t waiting_since_ms;
    bool tried; /* a message it had was reported: it has had its attempt */
    bool finishing;
};

struct queue_ready {
    unsigned refs; /* slots of scheduled queues, connections, tasks; 0: may be reaped */
    struct queue *queue;
    char *key; /* of queue->readies */
    struct route_plan *plan;
    struct site *site;
    struct freshness fresh; /* of the path */
    bool refreshing;

    struct list messages; /* all loaded */
    size_t bytes;         /* of them */
    struct list connections;
    struct list waiting;   /* connections that found nothing */
    struct list blocked;   /* scheduled queues that found no room */
    struct list_node link; /* in queue->stirred */
    struct timer timer;    /* a rate allows more */

    struct rate connection_rate;
    struct rate message_rate;
    uint64_t failures; /* connections in a row that never stood */
    uint64_t idle_since_ms;
};

struct slot {
    struct wrr_member member;
    struct queue_ready *ready; /* referenced; NULL until resolved */
    struct freshness fresh;
};

/* Why a scheduled queue cannot go on now, as found by its last resolution. */
struct trouble {
    struct smtp_reply reply;
    uint64_t until_ms;
};

struct sched {
    struct queue *queue;
    char *text; /* the name; what `name` points into */
    struct queue_name name;
    char *route; /* queue_name_route, as a string */

    /* messages */
    struct heap heap;  /* by due time, wall clock */
    struct list fresh; /* loaded and due, never tried: first come, first served */
    struct list warm;  /* loaded again from disk, and due */
    bool heaps_turn;   /* fresh and old ones take turns, so that neither starves */
    size_t loading;
    size_t tasks;

    /* when it is looked at next */
    struct heap_node due; /* in queue->due, wall clock; in none while it waits for something */
    uint64_t not_before_ms;
    struct list_node link; /* in one of the queue's waiting lists, or a ready queue's blocked */
    struct list *listed;
    struct resolve *resolve;

    /* settings and routes, as last resolved */
    struct route_queue_config *config;
    struct freshness config_fresh;
    struct route_pool *pool;
    struct slot *slots;
    size_t slot_count;
    int picked; /* the slot whose turn it is; -1: not drawn yet */
    struct trouble *trouble;

    struct rate rate;
    uint64_t idle_since_ms;
};

struct queue {
    struct loop *loop;
    struct policy_vm *vm;
    struct dns *dns;
    struct queue_ops ops;
    void *ctx;
    bool stopping;

    struct map scheds;
    struct map readies;
    struct map connections;
    struct map pools;
    struct map sources;
    struct map sites;
    struct map overall_rates; /* struct rate, by overall_max_message_rate_key */
    struct map parked;        /* struct parked, by the sender that is held, in lower case */
    struct route_queue_config *default_config;
    struct route_path *default_path;

    struct heap due; /* scheduled queues */
    struct timer timer;
    struct timer sweep;
    uint64_t pruned_ms;
    int64_t wall_ahead_ms;   /* of the monotonic clock, when last looked at */
    int64_t steady_since_ms; /* wall clock: the start, or when the clock was last set forward */
    struct deferred pump;

    struct list stirred; /* ready queues to look at */
    struct list wait_resolve;
    struct list wait_hands;
    struct list idle; /* empty scheduled queues, the longest idle first */
    struct list loading;
    struct list tasks;
    struct list to_shrink; /* in a heap, and being saved: the first are answered first */
    size_t to_shrink_bytes;
    size_t resolving;
    size_t fresh_bytes;
    size_t ready_bytes;
    size_t ready_bytes_most;
    uint64_t last_connection;
};

static inline uint64_t queue_wall_ms(void)
{
    int64_t now = clock_wall_ms();

    return now > 0 ? (uint64_t)now : 0;
}

/* ---- set_back.c ---- */
void queue_mind_clock(struct queue *queue);
bool queue_was_made_later(const struct message *message); /* and so its due time cannot be trusted */
/* Read from the spool: an attempt set its due time, by a clock nobody knows. */
bool queue_doubts_due(const struct message *message);
/* Not later than another attempt would come if the last one had been now. */
void queue_limit_due(const struct route_queue_config *config, struct message *message);
/* It waited, not for us to start or for the clock to be set, but for its turn. */
bool queue_has_let_wait(const struct queue *queue, const struct message *message);

/* ---- queue.c ---- */
void queue_stir(struct queue *queue); /* have the pump run */
uint64_t queue_epoch(const struct queue *queue);
bool freshness_holds(const struct queue *queue, const struct freshness *fresh);
struct freshness freshness_for(const struct queue *queue, uint64_t ttl_ms, bool by_epoch);

/* ---- sched.c: the place of a scheduled queue and of the messages in it ---- */
struct sched *sched_get(struct queue *queue, const struct queue_name *name, struct span text);
struct sched *sched_find(struct queue *queue, const struct message *message); /* by its name; NULL: not there */
void sched_free(struct sched *sched);
void sched_put(struct sched *sched, struct message *message, uint64_t now_ms);
void sched_put_warm(struct sched *sched, struct message *message);
/* It has a turn now, in which its due time is limited. */
void sched_put_in_doubt(struct sched *sched, struct message *message, uint64_t now_ms);
/* The next one to try, still in place; NULL when none is due. */
struct message *sched_peek(struct sched *sched, uint64_t now_ms);
void sched_take(struct sched *sched, struct message *message);
size_t sched_length(const struct sched *sched);
bool sched_is_empty(const struct sched *sched); /* nothing in it, and nothing on its way back */
/* Puts it where it will be looked at next. */
void sched_arm(struct sched *sched);
void sched_wait_in(struct sched *sched, struct list *list);
void sched_unlist(struct sched *sched);
/* Those that have waited longest; each looks for itself whether it can go on. */
void sched_wake_some(struct list *waiting, size_t most);
const struct route_queue_config *sched_config(const struct sched *sched);
void sched_set_trouble(struct sched *sched, const struct smtp_reply *reply);
void sched_drop_slots(struct sched *sched);

/* Finds the queue a message belongs to and puts it there; a message that belongs nowhere is
 * bounced, one of the null queue discarded. */
void queue_place(struct queue *queue, struct message *message);
void queue_place_in_doubt(struct queue *queue, struct message *message);

/* ---- promote.c: from scheduled to ready ---- */
/* Promotes what is due, for a while: `budget` goes down by what was looked at. */
void sched_promote(struct sched *sched, uint64_t now_ms, size_t *budget);

/* ---- resolve.c ---- */
/* Brings settings and the picked slot up to date. True when that is done already; otherwise
 * the scheduled queue is held until it is. Failure is left in sched->trouble. */
bool resolve_start(struct sched *sched);
void resolve_free(struct resolve *resolve);

/* ---- cache.c ---- */
struct site *site_new(enum dns_verdict verdict, const char *name, size_t host_count);
struct site *site_of_list(const struct route_host *hosts, size_t count);
struct site *site_of_mx(const struct dns_mx *mx);
struct site *site_of_literal(const char *domain); /* "[ip]"; NULL when it is none */
struct site *site_ref(struct site *site);
void site_unref(struct site **site);
void cache_prune(struct queue *queue, uint64_t now_ms);
void cache_done(struct queue *queue);

/* ---- ready.c ---- */
struct queue_ready *ready_get(struct queue *queue, struct site *site, bool is_listed, const char *source);
void ready_set_plan(struct queue_ready *ready, struct site *site, struct route_source *source, struct route_path *path,
                    const char *pool);
struct queue_ready *ready_ref(struct queue_ready *ready);
void ready_unref(struct queue_ready **ready);
void ready_free(struct queue_ready *ready);
bool ready_has_room(const struct queue_ready *ready);
void ready_insert(struct queue_ready *ready, struct message *message);
void ready_put_back(struct queue_ready *ready, struct message *message); /* at the front: it was not tried */
struct message *ready_take_first(struct queue_ready *ready);             /* not to be sent; NULL when there is none */
void ready_stir(struct queue_ready *ready);
void ready_pump(struct queue_ready *ready);
/* Up to `most` messages, as the rate allows. */
void ready_draw(struct queue_ready *ready, size_t most, struct list *messages_out);
/* All of them go back to their scheduled queues: after an attempt that failed with `reply`, or
 * (NULL) untried, not before `delay_ms` from now. */
void ready_send_back(struct queue_ready *ready, const struct smtp_reply *reply, uint64_t delay_ms);

/* ---- connection.c ---- */
void queue_open_connections(struct queue_ready *ready);
void connection_finish(struct connection *connection);
void connections_finish_idle(struct queue_ready *ready, uint64_t now_ms);

/* ---- retry.c ---- */
/* An attempt failed. `is_logged`: whoever reports it has counted it and written the record. */
void queue_retry(struct queue *queue, struct message *message, const struct smtp_reply *reply, bool is_logged);

/* ---- task.c: a message with a policy handler ---- */
struct task {
    struct list_node link; /* in queue->tasks */
    struct queue *queue;
    struct message *message;
    struct sched *sched;       /* of a promotion; may be NULL */
    struct queue_ready *ready; /* of a promotion; referenced */
    struct smtp_reply reply;   /* of a retry */
    char *former_name;         /* of a retry: the queue it was in */
    bool is_logged;
    struct policy_call *call;
    void (*on_done)(struct task *task, const struct policy_result *result);
};
struct task *task_new(struct queue *queue, struct message *message);
void task_run(struct task *task, enum policy_event event, policy_push_fn *push,
              void (*on_done)(struct task *task, const struct policy_result *result));
void task_cancel_all(struct queue *queue);
bool queue_has_hands(const struct queue *queue);

/* ---- parked.c ---- */
/* True: its sender is held, and so is the message; it has to be loaded, and in no other place. */
bool queue_park(struct queue *queue, struct message *message);
void queue_free_parked(struct queue *queue);
json_t *queue_describe_parked(const struct queue *queue, size_t most);

/* ---- sweep.c ---- */
void queue_sweep(void *ctx);
/* Gives memory back when the message can be had from the spool. */
void queue_shrink(struct queue *queue, struct message *message);
/* It leaves the heap: not now, after all. */
void queue_spare(struct queue *queue, struct message *message);

#endif
