/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ports that a guest talks to its maker through: debug consoles and isa-debug-exit.
 */
#include "dev/debugcon.h"
#include "dev/isa_debug_exit.h"
#include "lone.h"

static void ended(void *opaque, int code)
{
    BUG_ON(!(code & 1)); /* never the status of a guest that powered itself off */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lone *l = lone_begin(data, size);
    struct debugcon con;
    struct isa_debug_exit ex;

    debugcon_init(&con, NULL, &l->trace);
    isa_debug_exit_init(&ex, ended, NULL);
    lone_add(l, &con.region);
    lone_add(l, &ex.region);
    lone_run(l);
    BUG_ON(con.len > sizeof(con.line));
    return 0;
}
