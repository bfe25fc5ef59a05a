/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The serial port, with a back end that types.
 */
#include "dev/ns16550.h"
#include "lone.h"

static void chr_write(struct chardev *c, const u8 *buf, size_t len)
{
}

static void chr_ready(struct chardev *c)
{
}

static const struct chardev_ops chr_ops = {.write = chr_write, .ready = chr_ready};

static void op(struct lone *l)
{
    struct ns16550 *u = l->opaque;
    u8 buf[20];
    size_t len = lone_u8(l) % sizeof(buf);

    for (size_t i = 0; i < len; i++)
        buf[i] = lone_u8(l);
    BUG_ON(u->chr->input(u->chr->opaque, buf, len) > len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lone *l = lone_begin(data, size);
    struct chardev chr = {.ops = &chr_ops};
    struct ns16550 u;

    ns16550_init(&u, &chr, l->clock, lone_irq(l), &l->trace);
    lone_add(l, &u.region);
    l->desc = &ns16550_state;
    l->obj = &u;
    l->opaque = &u;
    l->op = op;
    lone_run(l);
    timer_del(l->clock, &u.timer);
    return 0;
}
