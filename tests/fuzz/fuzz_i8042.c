/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keyboard controller with its keyboard and mouse, while somebody types; and port 0x92.
 */
#include "dev/i8042.h"
#include "dev/port92.h"
#include "lone.h"

static void op(struct lone *l)
{
    struct i8042 *k = l->opaque;
    u8 b = lone_u8(l);

    if (b & 1)
        k->input.key(k->input.opaque, lone_u8(l), b & 2);
    else
        k->input.mouse(k->input.opaque, (s32)lone_u32(l), (s16)lone_u16(l), (s8)lone_u8(l), b >> 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lone *l = lone_begin(data, size);
    struct i8042 k;
    struct port92 p;

    i8042_init(&k, lone_irq(l), lone_irq(l), lone_irq(l), lone_irq(l), &l->trace);
    port92_init(&p, lone_irq(l), lone_irq(l), &l->trace);
    lone_add(l, &k.data);
    lone_add(l, &k.control);
    lone_add(l, &p.region);
    l->desc = &i8042_state;
    l->obj = &k;
    l->opaque = &k;
    l->op = op;
    lone_run(l);
    return 0;
}
