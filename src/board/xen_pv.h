/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The domain builder for classic Xen PV guests of 64 bits: puts kernel, initial RAM disk, page
 * tables and start_info into a guest's memory.
 */
#ifndef WIRT_BOARD_XEN_PV_H
#define WIRT_BOARD_XEN_PV_H

#include "board/loader.h"
#include "pv/xen/xen.h"

struct xen_pv_boot {
    u64 entry, start_info, stack; /* linear: RIP, RSI, RSP */
    u64 root, store, console;     /* frames */
};

/* Memory is `ram` bytes at hva, from address 0 on; frames are addresses.  -errno and one line that
 * names the file. */
int xen_pv_build(const struct boot_files *f, u8 *hva, u64 ram, const struct xen_pv_info *info,
                 struct xen_pv_boot *out, struct err *e);

#endif
