/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder and the printer on any bytes in every mode: what comes out must be within the bounds
 * that insn.h gives, and must not depend on bytes after the instruction.
 */
#include "base/err.h"
#include "cpu/ops.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const u8 *data, size_t size, enum code_mode mode)
{
    struct insn i, again;
    char text[160];
    if (decode(&i, data, size, mode) != DECODE_OK)
        return;
    BUG_ON(i.len == 0 || i.len > INSN_MAX || i.len > size);
    BUG_ON(i.row == 0 || i.row >= OP_ROWS || i.op >= OP_COUNT || i.nops > 4);
    for (unsigned n = 0; n < i.nops; n++)
        BUG_ON(i.opnd[n].kind == OPND_NONE || i.opnd[n].reg > 15);
    BUG_ON(decode(&again, data, i.len, mode) != DECODE_OK);
    BUG_ON(memcmp(&i, &again, sizeof(i)));
    BUG_ON(decode(&again, data, i.len - 1, mode) == DECODE_OK);
    insn_print(&i, 0x1000, text, sizeof(text));
    insn_print(&i, 0x1000, text, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size, CODE16);
    check(data, size, CODE32);
    check(data, size, CODE64);
    return 0;
}
