/* SPDX-License-Identifier: Apache-2.0
 *
 * CRC-32C (Castagnoli, as in RFC 3720 appendix B.4): finds damage, not malice.
 */
#ifndef GATEPOST_BASE_CRC32C_H
#define GATEPOST_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* `crc` is 0 to begin with, or the result for the bytes before. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* The same without the CPU's instruction; for tests. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif
