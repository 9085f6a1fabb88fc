/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the load generator share. One process, one thread: the counters are plain.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the dialogue (load_dialogue.c) ---- */

enum mode { MODE_SESSION, MODE_MESSAGE, MODE_STREAM, MODE_REFUSED, MODE_IDLE, MODE_FLOOD };

struct step {
    const char *say;
    size_t say_len;
    const char *codes; /* first digits of the replies to wait for, one each; '-' is 4 or 5 */
    bool tls_after;    /* the handshake follows the reply */
    bool is_proof;     /* what is said is made of the reply before: scram_final */
    bool ends_message; /* its reply answers for a message */
};

struct dialogue {
    struct step steps[14];
    size_t count;
    const struct login *login;
    size_t again_from; /* a stream goes back from the step after the message to this one; 0: it does not */
};

struct login {
    const char *mechanism; /* PLAIN, LOGIN, SCRAM-SHA-256, -PLUS, SCRAM-SHA-1, OAUTHBEARER, XOAUTH2 or EXTERNAL */
    const char *user;
    const char *password; /* or the token */
};

struct dialogue dialogue_new(enum mode mode, size_t bytes, const struct login *login);

/* ---- the client's side of SCRAM (load_scram.c) ---- */

#define SCRAM_FIRST_BYTES 256

bool scram_is_it(const struct login *login);
void scram_first(const struct login *login, char out[SCRAM_FIRST_BYTES]);
/* The line that answers a challenge (base64). The salted password is made once: it is the server that is measured. */
char *scram_final(const struct login *login, SSL *tls, const char *challenge);

/* ---- the clients (load_client.c) ---- */

struct clients;

struct clients_options {
    uint16_t port;
    size_t count;
    bool hold;               /* keeps sessions open after the last step */
    uint64_t units_most;     /* sessions, or messages of a stream, after which it is over; 0: only time ends it */
    uint64_t pause_us;       /* between a client's session and its next, on average */
    const char *source;      /* the address they come from; NULL: whatever the kernel chooses */
    size_t sources;          /* so many, counted up from `source`, take turns; 0: one */
    const char *certificate; /* a PEM file with its key; NULL: none */
};

/* Opens nothing yet. */
struct clients *clients_new(const struct clients_options *options, const struct dialogue *dialogue);

/* Opens all connections, and a new one for each that ends, for this long; then lets what has
 * begun come to its end; SIGTERM is the end, too. In `hold` returns when all are ready, or `seconds` have passed. */
void clients_run(struct clients *clients, double seconds);

/* Holds what is held, until SIGTERM. */
void clients_stay(struct clients *clients);

/* Since the last clear. Latencies are of sessions, or of messages in a dialogue that goes back. */
struct counts {
    uint64_t sessions;
    uint64_t messages;
    uint64_t failures; /* sessions that ended with a wrong reply or a broken connection */
    size_t held;
    unsigned p50_us;
    unsigned p99_us;
    uint64_t deferred; /* of a flood's attempts: those answered 4xx */
};

struct counts clients_counts(struct clients *clients);
void clients_clear(struct clients *clients);

uint64_t now_us(void);

/* ---- the server's side of the bill (load_usage.c) ---- */

struct usage {
    double cpu_us;  /* since its start, of the processes and all their descendants, dead or alive */
    double pss_kib; /* of those alive; shared pages count by their share */
};

/* `pids` as given on the command line: numbers with commas between. */
struct usage usage_read(const char *pids);

/* Waits until the server has finished what it has taken on (deliveries, log writing). */
void usage_settle(const char *pids);

#endif
