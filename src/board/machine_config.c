/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's defaults.
 */
#include "board/config.h"

#include <string.h>

void machine_config_init(struct machine_config *m)
{
    memset(m, 0, sizeof(*m));
    m->name = "wirt";
    m->cpus = 1;
    m->memory = 512 * MIB;
    m->nserials = 1;
    m->vga = VIDEO_STD;
    m->rng = true;
    m->balloon = true;
}
