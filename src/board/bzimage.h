/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ELF kernel inside a Linux bzImage.  Documentation/arch/x86/boot.rst: payload_offset.
 */
#ifndef WIRT_BOARD_BZIMAGE_H
#define WIRT_BOARD_BZIMAGE_H

#include "board/loader.h"

/* Unpacks the payload of bzImage k (gzip, bzip2, lzma, xz, lz4 or zstd) into an anonymous file;
 * close *out with image_close().  -errno with one line that names the file. */
int bzimage_unpack(const struct image *k, struct image *out, struct err *e);

#endif
