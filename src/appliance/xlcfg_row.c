/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen's domain configurations among the appliances.  Such a file is its user's own and names the
 * host's devices and kernels: the rule that names stay in the description's folder is not for it.
 */
#include "appliance/appliance_int.h"
#include "appliance/xlcfg.h"

#include <stdlib.h>
#include <string.h>

/* Is the first word that is no comment a key of these, with '=' behind? */
static int xlcfg_probe(const struct ap_probe *p, struct err *e)
{
    static const char *const keys[] = {"name",   "type", "builder", "kernel",
                                       "memory", "disk", "vif"};
    const char *dot = strrchr(p->path, '.'), *s = (const char *)p->head;

    if (!p->text || *p->root)
        return 0;
    if (dot && !strcmp(dot, ".cfg"))
        return 1;
    for (s += strspn(s, " \t\r\n"); *s == '#'; s += strspn(s, " \t\r\n"))
        s += strcspn(s, "\n");
    size_t n = strcspn(s, " \t=\n");
    const char *behind = s + n + strspn(s + n, " \t");
    for (unsigned i = 0; *behind == '=' && i < ARRAY_SIZE(keys); i++)
        if (n == strlen(keys[i]) && !memcmp(s, keys[i], n))
            return 1;
    return 0;
}

static void take_note(void *opaque, const char *line)
{
    ap_note_line(opaque, line);
}

static int xlcfg_row_read(struct appliance *a, struct err *e)
{
    char *text;
    size_t len;
    int r = ap_slurp(a, a->path, &text, &len, e);

    if (!r)
        r = xlcfg_parse(&a->xl, a->path, text, len, a->m, a->run, take_note, a, e);
    free(text);
    return r;
}

const struct appliance_format appliance_xlcfg = {
    .title = "Xen domain configuration (xl.cfg)", .probe = xlcfg_probe, .read = xlcfg_row_read};
