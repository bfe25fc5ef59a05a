/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The formats, in the order of probing; raw, which takes everything, is the last.
 */
#ifndef WIRT_DISK_FORMATS_H
#define WIRT_DISK_FORMATS_H

#include "disk/img.h"

#define DISK_FORMATS                                                                               \
    FORMAT(xva)                                                                                    \
    FORMAT(qcow2)                                                                                  \
    FORMAT(vmdk)                                                                                   \
    FORMAT(parallels)                                                                              \
    FORMAT(bochs)                                                                                  \
    FORMAT(vdi)                                                                                    \
    FORMAT(vpc)                                                                                    \
    FORMAT(vhdx)                                                                                   \
    FORMAT(qcow)                                                                                   \
    FORMAT(qed)                                                                                    \
    FORMAT(raw)

#define FORMAT(name) extern const struct format format_##name;
DISK_FORMATS
#undef FORMAT

#endif
