/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/io.h"

#include <errno.h>
#include <unistd.h>

int write_at(int fd, const void *data, u64 len, u64 at)
{
    const u8 *p = data;

    while (len) {
        ssize_t n = pwrite(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? errno : ENOSPC;
        p += n;
        at += (u64)n;
        len -= (u64)n;
    }
    return 0;
}
