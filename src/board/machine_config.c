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

void machine_default_mac(const struct machine_config *c, unsigned n, u8 mac[6])
{
    u32 h = 2166136261u; /* FNV-1a */
    for (const char *s = c->identity ? c->identity : c->name; *s; s++)
        h = (h ^ (u8)*s) * 16777619u;
    mac[0] = 0x52;
    mac[1] = 0x54;
    mac[2] = (u8)(h >> 24);
    mac[3] = (u8)(h >> 16);
    mac[4] = (u8)(h >> 8);
    mac[5] = (u8)(h + n);
}
