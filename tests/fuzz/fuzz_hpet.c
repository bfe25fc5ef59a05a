/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event timers.
 */
#include "dev/hpet.h"
#include "lone.h"

static void op(struct lone *l)
{
    u8 b = lone_u8(l);

    hpet_legacy_in(l->opaque, b & 1, b & 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lone *l = lone_begin(data, size);
    struct irq gsi[HPET_ROUTES];
    struct hpet h;

    for (unsigned i = 0; i < HPET_ROUTES; i++)
        gsi[i] = lone_irq(l);
    hpet_init(&h, l->clock, gsi, 0x00ff0000, lone_msi(l), &l->trace);
    lone_add(l, &h.region);
    l->desc = &hpet_state;
    l->obj = &h;
    l->opaque = &h;
    l->op = op;
    lone_run(l);
    hpet_reset(&h);
    return 0;
}
