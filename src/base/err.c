/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* C0, DEL, and the C1 controls as UTF-8 has them. */
char *err_plain(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < ' ' || *p == 0x7f)
            *p = '?';
        else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
            *p++ = '?', *p = '?';
    return text;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;

    if (e) {
        e->code = code;
        va_start(ap, fmt);
        vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
        va_end(ap);
        err_plain(e->msg);
    }
    return -code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    char whole[sizeof(((struct err *)0)->msg)];
    va_list ap;
    int n;

    if (!e)
        return -1;
    va_start(ap, fmt);
    n = vsnprintf(whole, sizeof(whole), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(whole))
        snprintf(whole + n, sizeof(whole) - n, ": %s", e->msg);
    err_plain(whole);
    memcpy(e->msg, whole, sizeof(whole));
    return -e->code;
}
