/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interval timer and port 0x61.
 */
#include "dev/i8254.h"
#include "lone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lone *l = lone_begin(data, size);
    struct i8254 p;

    i8254_init(&p, l->clock, lone_irq(l), &l->trace);
    lone_add(l, &p.region);
    lone_add(l, &p.speaker);
    l->desc = &i8254_state;
    l->obj = &p;
    lone_run(l);
    timer_del(l->clock, &p.timer);
    return 0;
}
