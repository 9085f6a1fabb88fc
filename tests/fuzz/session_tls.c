/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client says once it is inside TLS: logins, transactions, BDAT and DATA, with a policy that
 * knows one user (alice, secret). Nobody else's mail is taken, and one session never leaves
 * anything behind for the next.
 */
#include "../unit/receive/talk.h"

#include <stdint.h>

#define INPUT_MOST 32768

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct talk talk;

static const char policy[] = "kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)\n"
                             "  return authc == 'alice' and password == 'secret'\n"
                             "end)\n";

static void open_world(void)
{
    talk_open(&talk, policy,
              "{\"junk_command_delay\": 0, \"auth_failure_delay\": 0, \"relay_hosts\": [], \"allow_xclient\": true}");
}

/* Only alice may relay, and so what was taken is hers. */
static void drop_taken(void)
{
    for (size_t i = 0; i < talk.stored_count; i++) {
        const json_t *name = message_meta_get(talk.stored[i], "authn_id");

        MUST(json_is_string(name) && !strcmp(json_string_value(name), "alice"));
        message_free(talk.stored[i]);
    }
    talk.stored_count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!talk.loop)
        open_world();
    if (size > INPUT_MOST)
        return 0;
    talk_run(&talk, "S: 220 *\nC: STARTTLS\nS: 220 *\nTLS");
    MUST(buf_append(&talk.to_server, data, size) == 0);
    talk_flush(&talk);
    socket_flush(talk.client);
    shutdown(socket_fd(talk.client), SHUT_WR);
    talk_settle(&talk);
    talk_hang_up(&talk);
    drop_taken();
    return 0;
}
