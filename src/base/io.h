/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole writes. */
#ifndef WIRT_BASE_IO_H
#define WIRT_BASE_IO_H

#include "base/types.h"

/* All of len bytes at offset `at`, whatever pwrite(2) takes at a time; 0 or an errno, ENOSPC where
 * nothing more is taken. */
int write_at(int fd, const void *data, u64 len, u64 at);

#endif
