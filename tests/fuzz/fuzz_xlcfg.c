/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen's domain configuration: the input is a file.
 */
#include "appliance/xlcfg.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void say(void *opaque, const char *line)
{
    BUG_ON(!line[0] || strchr(line, '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine_config m;
    struct appliance_run run = {0};
    struct xlcfg *x;
    struct err e = {0};

    machine_config_init(&m);
    int r = xlcfg_parse(&x, "f", (const char *)data, size, &m, &run, say, NULL, &e);
    BUG_ON(r && (!e.code || strchr(e.msg, '\n')));
    for (unsigned i = 0; i < m.ndisks; i++)
        free((char *)m.disk[i].path);
    xlcfg_free(x);
    return 0;
}
