/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real-time clock.
 */
#include "dev/mc146818.h"
#include "lone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lone *l = lone_begin(data, size);
    struct mc146818 r;

    mc146818_init(&r, l->clock, lone_irq(l), 1709251190, &l->trace);
    lone_add(l, &r.region);
    l->desc = &mc146818_state;
    l->obj = &r;
    lone_run(l);
    timer_del(l->clock, &r.timer);
    return 0;
}
