/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/endian.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

size_t state_size(const struct state_desc *d)
{
    size_t n = 0;

    for (u32 i = 0; i < d->nfields; i++)
        n += (size_t)d->fields[i].width * d->fields[i].count;
    return n;
}

static u64 get(const u8 *p, u16 width)
{
    switch (width) {
    case 1:
        return *p;
    case 2:
        return le16_get(p);
    case 4:
        return le32_get(p);
    default:
        BUG_ON(width != 8);
        return le64_get(p);
    }
}

void state_save(const struct state_desc *d, const void *obj, u8 *buf)
{
    for (u32 i = 0; i < d->nfields; i++) {
        size_t n = (size_t)d->fields[i].width * d->fields[i].count;
        memcpy(buf, (const u8 *)obj + d->fields[i].offset, n);
        buf += n;
    }
}

static void put_all(const struct state_desc *d, void *obj, const u8 *buf)
{
    for (u32 i = 0; i < d->nfields; i++) {
        size_t n = (size_t)d->fields[i].width * d->fields[i].count;
        memcpy((u8 *)obj + d->fields[i].offset, buf, n);
        buf += n;
    }
}

int state_load(const struct state_desc *d, void *obj, const u8 *buf, size_t len, struct err *e)
{
    const u8 *p = buf;

    if (len != state_size(d))
        return err_set(e, EINVAL, "%s: %zu bytes of state where %zu belong", d->name, len,
                       state_size(d));
    for (u32 i = 0; i < d->nfields; i++) {
        const struct field *f = &d->fields[i];
        if (f->max == UINT64_MAX && !f->clear) { /* anything goes: a disk's buffer, for example */
            p += (size_t)f->width * f->count;
            continue;
        }
        for (u32 k = 0; k < f->count; k++, p += f->width)
            if (get(p, f->width) > f->max || (get(p, f->width) & f->clear))
                return err_set(e, EINVAL, "%s.%s: value %#llx is out of range", d->name, f->name,
                               (unsigned long long)get(p, f->width));
    }
    u8 *before = malloc(len + 1);
    if (!before)
        return err_set(e, ENOMEM, "%s: out of memory", d->name);
    state_save(d, obj, before);
    put_all(d, obj, buf);
    int ret = d->loaded ? d->loaded(obj, e) : 0;
    if (ret)
        put_all(d, obj, before);
    free(before);
    return ret;
}

void state_dump(const struct state_desc *d, const void *obj, FILE *f)
{
    for (u32 i = 0; i < d->nfields; i++) {
        const struct field *fl = &d->fields[i];
        const u8 *p = (const u8 *)obj + fl->offset;

        fprintf(f, "%s.%s =", d->name, fl->name);
        for (u32 k = 0; k < fl->count && k < 64; k++, p += fl->width)
            fprintf(f, " %llx", (unsigned long long)get(p, fl->width));
        fprintf(f, "%s\n", fl->count > 64 ? " ..." : "");
    }
}
