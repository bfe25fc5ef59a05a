/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's firmware configuration device, after docs/specs/fw_cfg.rst of QEMU 7.2.
 *
 * The guest selects an item by its key (port 0x510, 16 bits) and reads bytes of it (port 0x511), or
 * hands over a descriptor in memory for the device to do both (the DMA interface).  Items are fixed
 * once the machine runs; writing to them is refused.  Reads behind an item's end give zeros.
 */
#include "dev/fw_cfg.h"
#include "base/endian.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
enum { DIR_ENTRY = 64 };

#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */

static const struct fw_cfg_item *selected(const struct fw_cfg *f)
{
    for (unsigned i = 0; i < f->n; i++)
        if (f->item[i].key == f->key)
            return &f->item[i];
    return NULL;
}

static void select_key(struct fw_cfg *f, u16 key)
{
    f->key = key;
    f->offset = 0;
    if (trace_on(f->trace, TRACE_fwcfg)) {
        const struct fw_cfg_item *it = selected(f);
        trace(f->trace, fwcfg, "select %04x %s (%u bytes)", key, it ? it->name : "none",
              it ? it->len : 0);
    }
}

static u64 ports_read(void *opaque, u64 off, unsigned size)
{
    struct fw_cfg *f = opaque;
    const struct fw_cfg_item *it = selected(f);
    if (off != 1)
        return 0;
    if (!it || f->offset >= it->len)
        return 0;
    return it->data[f->offset++];
}

static void ports_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct fw_cfg *f = opaque;
    if (off == 0 && size == 2)
        select_key(f, (u16)val);
}

static const struct region_ops ports_ops = {
    .read = ports_read, .write = ports_write, .min_width = 1, .max_width = 2, .aligned = true};

/* Moves len bytes from the selected item to gpa, zeros behind its end. */
static bool copy_out(struct fw_cfg *f, u64 gpa, u32 len)
{
    static const u8 zeros[4096];
    const struct fw_cfg_item *it = selected(f);
    u32 have = it && f->offset < it->len ? min(len, it->len - f->offset) : 0;
    bool ok = true;
    if (have) {
        ok = mem_write(&f->dma, gpa, it->data + f->offset, have);
        f->offset += have;
    }
    for (u32 done = have, n; ok && done < len; done += n) {
        n = min(len - done, (u32)sizeof(zeros));
        ok = mem_write(&f->dma, gpa + done, zeros, n);
    }
    return ok;
}

static void transfer(struct fw_cfg *f, u64 desc)
{
    u8 d[16];
    if (!mem_read(&f->dma, desc, d, sizeof(d))) {
        trace(f->trace, fwcfg, "DMA descriptor at %llx is not memory", (unsigned long long)desc);
        return;
    }
    u32 control = be32_get(d), len = be32_get(d + 4), result = 0;
    u64 addr = be64_get(d + 8);
    if (control & DMA_SELECT)
        select_key(f, (u16)(control >> 16));
    trace(f->trace, fwcfg, "DMA %08x %u bytes at %llx", control, len, (unsigned long long)addr);
    if (control & DMA_READ) {
        if (len > FW_CFG_READ_MAX || !copy_out(f, addr, len))
            result = DMA_ERROR;
    } else if (control & DMA_SKIP) {
        f->offset = f->offset + len < f->offset ? UINT32_MAX : f->offset + len;
    } else if (control & DMA_WRITE) {
        result = DMA_ERROR;
    }
    be32_put(d, result);
    mem_write(&f->dma, desc, d, 4);
}

static u64 dma_read(void *opaque, u64 off, unsigned size)
{
    u8 b[8];
    be64_put(b, DMA_SIGNATURE);
    u64 v = 0;
    memcpy(&v, b + off, size);
    return v;
}

static void dma_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct fw_cfg *f = opaque;
    u8 b[8];
    be64_put(b, f->dma_addr);
    memcpy(b + off, &val, size);
    f->dma_addr = be64_get(b);
    if (off + size == 8) {
        u64 desc = f->dma_addr;
        f->dma_addr = 0;
        transfer(f, desc);
    }
}

static const struct region_ops dma_ops = {
    .read = dma_read, .write = dma_write, .min_width = 4, .max_width = 8, .aligned = true};

/* -------------------------------------------------------------------- items -- */

static int add(struct fw_cfg *f, u16 key, const char *name, const void *data, u32 len)
{
    if (f->n == FW_CFG_ITEMS_MAX)
        return -ENOSPC;
    u8 *copy = malloc(len ? len : 1);
    if (!copy)
        return -ENOMEM;
    if (len)
        memcpy(copy, data, len);
    struct fw_cfg_item *it = &f->item[f->n++];
    *it = (struct fw_cfg_item){.key = key, .data = copy, .len = len};
    strncpy(it->name, name, sizeof(it->name) - 1);
    return 0;
}

int fw_cfg_add(struct fw_cfg *f, u16 key, const void *data, u32 len)
{
    return add(f, key, "", data, len);
}

int fw_cfg_add_u16(struct fw_cfg *f, u16 key, u16 v)
{
    u8 b[2];
    le16_put(b, v);
    return add(f, key, "", b, sizeof(b));
}

int fw_cfg_add_u64(struct fw_cfg *f, u16 key, u64 v)
{
    u8 b[8];
    le64_put(b, v);
    return add(f, key, "", b, sizeof(b));
}

int fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, u32 len)
{
    BUG_ON(!*name || strlen(name) >= FW_CFG_NAME_MAX);
    return add(f, 0, name, data, len);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct fw_cfg_item *)a)->name, ((const struct fw_cfg_item *)b)->name);
}

int fw_cfg_finish(struct fw_cfg *f)
{
    u8 dir[4 + FW_CFG_ITEMS_MAX * DIR_ENTRY] = {0};
    u32 files = 0;
    qsort(f->item, f->n, sizeof(f->item[0]), by_name);
    for (unsigned i = 0; i < f->n; i++) {
        struct fw_cfg_item *it = &f->item[i];
        if (!it->name[0])
            continue;
        u8 *p = dir + 4 + files * DIR_ENTRY;
        it->key = (u16)(FW_CFG_FILE_FIRST + files++);
        be32_put(p, it->len);
        be16_put(p + 4, it->key);
        memcpy(p + 8, it->name, FW_CFG_NAME_MAX);
    }
    be32_put(dir, files);
    return add(f, FW_CFG_FILE_DIR, "", dir, 4 + files * DIR_ENTRY);
}

void fw_cfg_reset(struct fw_cfg *f)
{
    pthread_mutex_lock(&f->lock);
    f->key = 0;
    f->offset = 0;
    f->dma_addr = 0;
    pthread_mutex_unlock(&f->lock);
}

void fw_cfg_init(struct fw_cfg *f, struct dma dma, struct trace *t)
{
    static const u8 id[4] = {3}; /* the traditional interface and DMA */
    memset(f, 0, sizeof(*f));
    f->dma = dma;
    f->trace = t;
    pthread_mutex_init(&f->lock, NULL);
    f->ports = (struct region){
        .name = "fw_cfg", .size = 2, .ops = &ports_ops, .opaque = f, .lock = &f->lock};
    f->dma_ports = (struct region){
        .name = "fw_cfg dma", .size = 8, .ops = &dma_ops, .opaque = f, .lock = &f->lock};
    fw_cfg_add(f, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add(f, FW_CFG_ID, id, sizeof(id));
}

void fw_cfg_destroy(struct fw_cfg *f)
{
    for (unsigned i = 0; i < f->n; i++)
        free(f->item[i].data);
    f->n = 0;
    pthread_mutex_destroy(&f->lock);
}

static const struct field fw_cfg_fields[] = {
    FIELD(struct fw_cfg, key),
    FIELD(struct fw_cfg, offset),
    FIELD(struct fw_cfg, dma_addr),
};
const struct state_desc fw_cfg_state = STATE_DESC("fw_cfg", 1, fw_cfg_fields);
