/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * isa-debug-exit: a port whose writing ends the machine, for tests that run inside a guest.
 */
#ifndef WIRT_DEV_ISA_DEBUG_EXIT_H
#define WIRT_DEV_ISA_DEBUG_EXIT_H

#include "core/bus.h"

struct isa_debug_exit {
    struct region region; /* 4 ports (0xf4) */
    /* Called with no lock held; code = value << 1 | 1, as QEMU's device has it. */
    void (*exit)(void *opaque, int code);
    void *opaque;
};

void isa_debug_exit_init(struct isa_debug_exit *d, void (*fn)(void *opaque, int code),
                         void *opaque);

#endif
