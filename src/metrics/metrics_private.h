/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share among themselves.
 */
#ifndef GATEPOST_METRICS_METRICS_PRIVATE_H
#define GATEPOST_METRICS_METRICS_PRIVATE_H

#include "base/buf.h"

/* Asks every collector for its lines. */
void metrics_collect(struct buf *out);

#endif
