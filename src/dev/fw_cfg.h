/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's firmware configuration device: how SeaBIOS and OVMF learn what machine they are in.
 * QEMU: docs/specs/fw_cfg.rst.
 */
#ifndef WIRT_DEV_FW_CFG_H
#define WIRT_DEV_FW_CFG_H

#include "base/trace.h"
#include "core/bus.h"
#include "core/mem.h"
#include "core/state.h"

enum { FW_CFG_ITEMS_MAX = 64, FW_CFG_NAME_MAX = 56, FW_CFG_READ_MAX = 64 << 20 };

/* Keys that are not files. */
enum {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
};

struct fw_cfg_item {
    u16 key;
    char name[FW_CFG_NAME_MAX]; /* files only */
    u8 *data;                   /* malloc'ed */
    u32 len;
};

struct fw_cfg {
    struct fw_cfg_item item[FW_CFG_ITEMS_MAX];
    unsigned n;
    u16 key;                 /* selected */
    u32 offset;              /* of the next byte */
    u64 dma_addr;            /* as written so far */
    struct region ports;     /* 2 ports (0x510): selector, data */
    struct region dma_ports; /* 8 ports (0x514): address of a transfer, big-endian */
    struct dma dma;
    struct trace *trace;
    pthread_mutex_t lock;
};

void fw_cfg_init(struct fw_cfg *f, struct dma dma, struct trace *t);
void fw_cfg_destroy(struct fw_cfg *f);
void fw_cfg_reset(struct fw_cfg *f);

/* Before the machine runs; the bytes are copied.  -ENOSPC, -ENOMEM. */
int fw_cfg_add(struct fw_cfg *f, u16 key, const void *data, u32 len);
int fw_cfg_add_u16(struct fw_cfg *f, u16 key, u16 v);
int fw_cfg_add_u64(struct fw_cfg *f, u16 key, u64 v);
int fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, u32 len);
/* After the last file: sorts them, gives them their keys and writes the directory. */
int fw_cfg_finish(struct fw_cfg *f);

extern const struct state_desc fw_cfg_state;

#endif
