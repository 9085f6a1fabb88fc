/* SPDX-License-Identifier: Apache-2.0
 *
 * What the operator asks and changes: who is locked and why, unlocking, blocking. Names of keys begin with the user
 * where there is one, and end with the prefix. What has one name is forgotten by it, at once; what has many has to be
 * looked for, by how the names begin or end, and in a large Redis that is given up after a while (is_complete tells).
 */
#include <stdlib.h>

#include "base/mem.h"
#include "gate/guess_private.h"

#define LISTED_MOST 10000
#define STEPS_MOST 6

/* Everything of one kind (and of one user), with what is picked out of it. */
struct step {
    enum guess_key key;
    bool is_of_user;   /* else of all */
    bool picks_prefix; /* what has the prefix in it */
    bool picks_marks;
    bool is_one; /* all of it has one name; to be removed */
};

struct request {
    struct loop *loop;
    struct guess_subject subject; /* either has a user or not */
    bool has_address;
    const struct step *steps;
    size_t step, step_count;
    bool removes;

    struct gate_guess_entry *entries;
    size_t count, capacity;
    bool is_complete, is_local;
    size_t changed;
    gate_guess_list_fn *on_shown;
    gate_guess_changed_fn *on_changed;
    void *ctx;
};

static void read_who(const struct gate_rules *rules, const char *who, struct guess_subject *subject,
                     bool *has_address_out)
{
    struct span text = span_of(who ? who : "");
    struct ip ip;

    *has_address_out = !ip_parse(span_head(text, span_find(text, '/')), &ip);
    guess_subject_init(subject, rules->guessing, *has_address_out ? &ip : NULL, *has_address_out ? NULL : who);
}

bool gate_guess_can_be_about(const struct gate_rules *rules, const char *who)
{
    struct span text = span_of(who);
    size_t slash = span_find(text, '/');
    char prefix[GUESS_PREFIX_BYTES];
    struct cidr asked, kept;
    struct ip ip;

    if (slash >= text.len || ip_parse(span_head(text, slash), &ip))
        return true;
    guess_format_prefix(rules->guessing, &ip, prefix);
    return !cidr_parse(text, &asked) && !cidr_parse(span_of(prefix), &kept) && asked.prefix_bits == kept.prefix_bits;
}

static struct request *new_request(const struct gate_rules *rules, struct loop *loop, const char *who, void *ctx)
{
    struct request *request = mem_zalloc(sizeof *request);

    read_who(rules, who, &request->subject, &request->has_address);
    request->loop = loop;
    request->is_complete = true;
    request->ctx = ctx;
    return request;
}

static void free_request(struct request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        free((char *)(uintptr_t)request->entries[i].prefix);
        free((char *)(uintptr_t)request->entries[i].user);
    }
    free(request->entries);
    guess_subject_done(&request->subject);
    free(request);
}

static int compare_texts(const char *a, const char *b) { return strcmp(a ? a : "", b ? b : ""); }

/* By user, then by prefix: the counting room keeps no order. */
static int compare_entries(const void *a, const void *b)
{
    const struct gate_guess_entry *x = a, *y = b;
    int order = compare_texts(x->user, y->user);

    if (!order)
        order = compare_texts(x->prefix, y->prefix);
    return order ? order : strcmp(x->what, y->what);
}

static void finish(struct request *request)
{
    struct gate_guess_list list = {.is_complete = request->is_complete,
                                   .is_local = request->is_local,
                                   .count = request->count,
                                   .entries = request->entries};

    if (request->count)
        qsort(request->entries, request->count, sizeof *request->entries, compare_entries);
    if (request->removes)
        request->on_changed(request->ctx,
                            &(struct gate_guess_change){request->changed, request->is_complete, request->is_local});
    else
        request->on_shown(request->ctx, &list);
    free_request(request);
}

/* ---- what an entry is about ---- */

static int part_of_user(enum guess_key key) { return key == GUESS_KEY_ADDRESS || key == GUESS_KEY_BLOCKED ? 0 : 1; }

static int part_of_prefix(enum guess_key key)
{
    if (key == GUESS_KEY_ADDRESS || key == GUESS_KEY_BLOCKED)
        return 1;
    return key == GUESS_KEY_PAIR || key == GUESS_KEY_KNOWN || key == GUESS_KEY_DOUBT ? 2 : 0;
}

static struct span part_at(const struct tally_entry *entry, int index)
{
    struct span part = {NULL, 0};

    if (index && tally_key_part(entry->key, (size_t)index, &part))
        part = (struct span){NULL, 0};
    return part;
}

static const char *what_is(enum guess_key key, enum tally_type type)
{
    if (key == GUESS_KEY_KNOWN || key == GUESS_KEY_HELD || key == GUESS_KEY_BLOCKED || key == GUESS_KEY_DOUBT)
        return key == GUESS_KEY_KNOWN   ? "known"
               : key == GUESS_KEY_HELD  ? "held"
               : key == GUESS_KEY_DOUBT ? "doubtful"
                                        : "blocked";
    if (type == TALLY_SET)
        return "prefixes";
    return type == TALLY_COUNTER ? "failures" : "locked";
}

static bool is_picked(const struct request *request, const struct step *step, const struct tally_entry *entry)
{
    if (step->picks_marks && entry->type != TALLY_MARKED)
        return false;
    if (entry->type == TALLY_SET && entry->value < 2) /* one place is no news */
        return false;
    return !step->picks_prefix || span_eq(part_at(entry, part_of_prefix(step->key)), span_of(request->subject.prefix));
}

static void keep(struct request *request, enum guess_key key, const struct tally_entry *entry)
{
    struct span prefix = part_at(entry, part_of_prefix(key)), user = part_at(entry, part_of_user(key));

    if (request->count == request->capacity) {
        request->capacity = request->capacity ? 2 * request->capacity : 16;
        request->entries = mem_realloc(request->entries, request->capacity * sizeof *request->entries);
    }
    request->entries[request->count++] = (struct gate_guess_entry){
        .what = what_is(key, entry->type),
        .prefix = prefix.data ? span_dup(prefix) : NULL,
        .user = user.data ? span_dup(user) : NULL,
        .value = entry->value,
        .left_ms = entry->left_ms,
    };
}

/* ---- step by step ---- */

static void go_on(struct request *request);

static void on_listed(void *ctx, const struct tally_list *list)
{
    struct request *request = ctx;
    const struct step *step = &request->steps[request->step++];

    request->is_complete = request->is_complete && list->is_complete;
    request->is_local = request->is_local || list->is_local;
    request->changed += list->removed;
    for (size_t i = 0; i < list->count; i++)
        if (is_picked(request, step, &list->entries[i]))
            keep(request, step->key, &list->entries[i]);
    go_on(request);
}

/* Of where somebody came from, nothing was kept against him. */
static void on_forgotten(void *ctx, const struct tally_answer *answer)
{
    struct request *request = ctx;
    bool has_members = answer->results[0].value > 0;

    request->step++;
    request->is_local = request->is_local || answer->is_local;
    request->changed += (size_t)answer->results[1].value - has_members;
    go_on(request);
}

static void forget(struct request *request, const struct tally_key *key)
{
    const struct tally_op ops[] = {{.kind = TALLY_MEMBERS, .key = key}, {.kind = TALLY_FORGET, .key = key}};

    tally_run(tally_get(), request->loop, ops, 2, on_forgotten, request);
}

static void look(struct request *request, const struct step *step, const struct tally_key *key)
{
    struct tally_filter filter = {.prefix = key, .limit = LISTED_MOST, .remove = request->removes};

    if (step->picks_prefix && part_of_prefix(step->key) > 1)
        filter.last = span_of(request->subject.prefix);
    tally_list(tally_get(), request->loop, &filter, on_listed, request);
}

static void go_on(struct request *request)
{
    const struct step *step = &request->steps[request->step];
    struct tally_key key;

    if (request->step == request->step_count || !tally_get()) {
        finish(request);
        return;
    }
    tally_key_init(&key, guess_key_kind(step->key));
    if (step->is_of_user)
        tally_key_add(&key, span_of(request->subject.user));
    else if (step->picks_prefix && part_of_prefix(step->key) == 1)
        tally_key_add(&key, span_of(request->subject.prefix));
    if (step->is_one)
        forget(request, &key);
    else
        look(request, step, &key);
}

#define USE_STEPS(request, list) ((request)->steps = (list), (request)->step_count = sizeof(list) / sizeof(list)[0])

void gate_guess_show(struct gate_rules *rules, struct loop *loop, const char *who, gate_guess_list_fn *on_done,
                     void *ctx)
{
    static const struct step of_all[] = {{.key = GUESS_KEY_ADDRESS, .picks_marks = true},
                                         {.key = GUESS_KEY_PAIR, .picks_marks = true},
                                         {.key = GUESS_KEY_USER, .picks_marks = true},
                                         {.key = GUESS_KEY_HELD, .picks_marks = true},
                                         {.key = GUESS_KEY_BLOCKED, .picks_marks = true}};
    static const struct step of_user[] = {{.key = GUESS_KEY_USER, .is_of_user = true},
                                          {.key = GUESS_KEY_PAIR, .is_of_user = true},
                                          {.key = GUESS_KEY_KNOWN, .is_of_user = true},
                                          {.key = GUESS_KEY_DOUBT, .is_of_user = true},
                                          {.key = GUESS_KEY_HELD, .is_of_user = true}};
    static const struct step of_address[] = {{.key = GUESS_KEY_ADDRESS, .picks_prefix = true},
                                             {.key = GUESS_KEY_BLOCKED, .picks_prefix = true},
                                             {.key = GUESS_KEY_PAIR, .picks_prefix = true},
                                             {.key = GUESS_KEY_KNOWN, .picks_prefix = true}};
    struct request *request = new_request(rules, loop, who, ctx);

    request->on_shown = on_done;
    if (!who || !*who)
        USE_STEPS(request, of_all);
    else if (request->has_address)
        USE_STEPS(request, of_address);
    else
        USE_STEPS(request, of_user);
    go_on(request);
}

/* What was tried is forgotten with the user's failures, so that a limit begins anew; what is known stays. */
void gate_guess_unlock(struct gate_rules *rules, struct loop *loop, const char *who, gate_guess_changed_fn *on_done,
                       void *ctx)
{
    static const struct step of_user[] = {{.key = GUESS_KEY_USER, .is_of_user = true, .is_one = true},
                                          {.key = GUESS_KEY_HELD, .is_of_user = true, .is_one = true},
                                          {.key = GUESS_KEY_PAIR, .is_of_user = true},
                                          {.key = GUESS_KEY_DOUBT, .is_of_user = true},
                                          {.key = GUESS_KEY_TRIED_USER, .is_of_user = true}};
    static const struct step of_address[] = {{.key = GUESS_KEY_ADDRESS, .picks_prefix = true, .is_one = true},
                                             {.key = GUESS_KEY_BLOCKED, .picks_prefix = true, .is_one = true},
                                             {.key = GUESS_KEY_PAIR, .picks_prefix = true}};
    struct request *request = new_request(rules, loop, who, ctx);

    request->removes = true;
    request->on_changed = on_done;
    if (request->has_address)
        USE_STEPS(request, of_address);
    else if (request->subject.user)
        USE_STEPS(request, of_user);
    go_on(request);
}

void gate_guess_block(struct gate_rules *rules, struct loop *loop, const char *who, uint64_t for_ms,
                      gate_guess_changed_fn *on_done, void *ctx)
{
    struct guess_subject subject;
    bool has_address, is_meant;
    struct tally_key key;

    (void)loop;
    read_who(rules, who, &subject, &has_address);
    is_meant = tally_get() && (has_address || subject.user);
    if (is_meant) {
        tally_key_init(&key, guess_key_kind(has_address ? GUESS_KEY_BLOCKED : GUESS_KEY_HELD));
        tally_key_add(&key, span_of(has_address ? subject.prefix : subject.user));
        if (!for_ms || for_ms > TALLY_TIME_MOST_MS)
            for_ms = TALLY_TIME_MOST_MS;
        tally_run(tally_get(), NULL, &(struct tally_op){.kind = TALLY_MARK, .key = &key, .time_ms = for_ms}, 1, NULL,
                  NULL);
    }
    guess_subject_done(&subject);
    on_done(ctx, &(struct gate_guess_change){.changed = is_meant ? 1 : 0, .is_complete = true});
}
