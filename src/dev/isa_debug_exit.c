/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * isa-debug-exit: no chip of any PC, but what test programs that run inside a guest expect.
 */
#include "dev/isa_debug_exit.h"

#include <string.h>

static u64 debug_exit_read(void *opaque, u64 off, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct isa_debug_exit *d = opaque;

    if (off == 0)
        d->exit(d->opaque, (int)((u32)val << 1 | 1));
}

static const struct region_ops debug_exit_ops = {
    .read = debug_exit_read, .write = debug_exit_write, .min_width = 1, .max_width = 4};

void isa_debug_exit_init(struct isa_debug_exit *d, void (*fn)(void *opaque, int code), void *opaque)
{
    memset(d, 0, sizeof(*d));
    d->exit = fn;
    d->opaque = opaque;
    d->region =
        (struct region){.name = "isa-debug-exit", .size = 4, .ops = &debug_exit_ops, .opaque = d};
}
