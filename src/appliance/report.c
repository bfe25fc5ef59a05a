/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The report of what a description holds and what becomes of it.
 */
#include "appliance/appliance_int.h"

#include <limits.h>
#include <stdarg.h>
#include <string.h>

/* A row of the report.  Texts are a stranger's: nothing of them is for the terminal to obey. */
static void printf_like(3, 4) row(FILE *f, const char *key, const char *fmt, ...)
{
    char line[2 * PATH_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    fprintf(f, "  %-12s %s\n", key, err_plain(line));
}

static const char *size_text(u64 bytes, char text[32])
{
    if (bytes >= 1000 * GIB)
        snprintf(text, 32, "%.1f TiB", (double)bytes / (double)(1024 * GIB));
    else if (bytes >= GIB)
        snprintf(text, 32, "%.3g GiB", (double)bytes / (double)GIB);
    else
        snprintf(text, 32, "%llu MiB", (unsigned long long)(bytes / MIB));
    return text;
}

static void print_drive(const struct ap_drive *d, FILE *f)
{
    static const char *const kinds[] = {"disk", "cdrom", "floppy"};
    const char *here = d->here ? d->here : "?", *how = "";
    char size[32];

    if (d->fresh) {
        row(f, kinds[d->kind], "%s -> %s: a new one of %s", d->where, here,
            size_text(d->fresh, size));
        return;
    }
    if (d->overlay)
        how = ", never written to";
    else if (d->discard)
        how = ", changes are thrown away";
    row(f, kinds[d->kind], "%s -> %s: %s%s%s", d->where, here, d->file ? d->file : "empty",
        d->readonly ? ", read-only" : "", how);
}

void appliance_print(const struct appliance *a, const struct machine_config *m, FILE *f)
{
    char path[PATH_MAX], size[32];

    snprintf(path, sizeof(path), "%s", a->path);
    fprintf(f, "%s\n", err_plain(path));
    row(f, "format", "%s", a->format->title);
    row(f, "name", "%s", m->name);
    if (a->system)
        row(f, "system", "%s", a->system);
    row(f, "memory", "%s", size_text(m->memory, size));
    row(f, "processors", "%u", m->cpus);
    row(f, "firmware", "%s", m->kernel ? "none" : a->efi ? "UEFI" : "BIOS");
    for (unsigned i = 0; i < a->ndrives; i++)
        print_drive(&a->drive[i], f);
    for (unsigned i = 0; !a->ndrives && i < m->ndisks; i++)
        row(f, "disk", "%s", m->disk[i].path);
    for (unsigned i = 0; i < MACHINE_NICS_MAX && a->nic[i]; i++)
        row(f, "network", "%s", a->nic[i]);
    if (a->notes)
        fprintf(f, "done in another way, or not at all:\n");
    for (const char *p = a->notes; p && *p;) {
        size_t n = strcspn(p, "\n");
        fprintf(f, "  %.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
}
