/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIC pair: registers, inputs, acknowledge cycles.
 */
#include "dev/i8259.h"
#include "lone.h"

static void op(struct lone *l)
{
    struct i8259 *p = l->opaque;
    u8 b = lone_u8(l);

    if (b & 0x80) {
        int v = i8259_ack(p);
        BUG_ON(v < 0 || v > 255);
    } else {
        i8259_set(p, b & 31, b & 0x40);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lone *l = lone_begin(data, size);
    struct i8259 p;

    i8259_init(&p, lone_irq(l), &l->trace);
    lone_add(l, &p.region[0]);
    lone_add(l, &p.region[1]);
    lone_add(l, &p.elcr);
    l->desc = &i8259_state;
    l->obj = &p;
    l->opaque = &p;
    l->op = op;
    lone_run(l);
    return 0;
}
