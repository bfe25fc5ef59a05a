/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What xlcfg.c and xlcfg_devices.c know of each other.
 */
#ifndef WIRT_APPLIANCE_XLCFG_INT_H
#define WIRT_APPLIANCE_XLCFG_INT_H

#include "appliance/kept.h"
#include "appliance/xlcfg.h"

#include <stdarg.h>
#include <stdio.h>

enum { XL_LIST_MAX = 64 };

struct xl_value {
    bool is_list;
    const char *s; /* one value */
    unsigned n;
    const char *item[XL_LIST_MAX];
};

struct xlcfg {
    const char *path, *p, *end;
    unsigned line;
    const char *key; /* in hand */
    struct machine_config *m;
    struct appliance_run *run;
    appliance_say *say;
    void *opaque;
    struct kept *strings; /* all that *m points to */
    bool have_type;
    u64 maxmem;
    const char *cmdline, *root, *extra;
};

/* A copy that lives as long as x; NULL: no memory. */
char *xl_keep(struct xlcfg *x, const char *s, size_t len);
void xl_note(struct xlcfg *x, const char *fmt, ...) printf_like(2, 3);
/* -EINVAL with file and line. */
int xl_bad(struct xlcfg *x, struct err *e, const char *fmt, ...) printf_like(3, 4);

int xl_take_disks(struct xlcfg *x, const struct xl_value *v, struct err *e);
int xl_take_vifs(struct xlcfg *x, const struct xl_value *v, struct err *e);

#endif
