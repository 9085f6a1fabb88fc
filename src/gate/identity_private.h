/* SPDX-License-Identifier: Apache-2.0
 *
 * The guard's part of the rules: [identity] and [group.NAME].
 */
#ifndef GATEPOST_GATE_IDENTITY_PRIVATE_H
#define GATEPOST_GATE_IDENTITY_PRIVATE_H

#include "base/map.h"
#include "credential/credential.h"
#include "data/settings.h"
#include "gate/identity.h"

struct gate_group {
    struct credential_texts senders, tenants;
};

struct gate_identity { /* fixed after load */
    bool is_said;      /* there is an [identity] table */
    bool says_mode, says_senders;
    enum gate_identity_mode mode;
    unsigned checks; /* bits of enum gate_identity_check */
    struct credential_texts senders;
    bool null_sender;
    char *tenant_header, *rewrite_to; /* or NULL */
    enum gate_relay relay;
    struct map groups; /* name -> struct gate_group */
};

/* Faults are kept in `root`. */
void gate_identity_read(struct gate_identity *identity, struct settings *root);
void gate_identity_done(struct gate_identity *identity);

#endif
