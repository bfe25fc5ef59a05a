/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blk_ops.snapshot of images (core/backend.h).
 */
#ifndef WIRT_DISK_LIVE_H
#define WIRT_DISK_LIVE_H

#include "base/err.h"
#include "core/backend.h"

int raw_snapshot(struct blk *b, enum blk_snapshot what, const char *tag, const char *copy,
                 struct err *e);
int img_snapshot(struct blk *b, enum blk_snapshot what, const char *tag, const char *copy,
                 struct err *e);

#endif
