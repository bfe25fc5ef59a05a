/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder against libzydis: one instruction decoded by both, the answers compared.
 */
#ifndef WIRT_TESTS_ZYDIS_COMPARE_H
#define WIRT_TESTS_ZYDIS_COMPARE_H

#include "cpu/insn.h"

/* NULL when the two agree, or differ for a reason that is listed; else what is different, in why.
 * *len: how far to go on. */
const char *zydis_compare(const u8 *p, size_t avail, enum code_mode mode, unsigned *len, char *why,
                          size_t size);

#endif
