/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CRC-32C (Castagnoli's polynomial, reflected: 0x82f63b78), RFC 3720, 12.1 and appendix B.4.
 */
#ifndef WIRT_BASE_CRC32C_H
#define WIRT_BASE_CRC32C_H

#include "base/types.h"

/* Goes on from crc, which is 0 in the beginning: crc32c(crc32c(0, a, n), b, m) is that of a and b
 * one behind the other. */
u32 crc32c(u32 crc, const void *buf, size_t len);

#endif
