/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UUIDs; see uuid.h.
 */
#include "disk/uuid.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* The byte of the binary form for each pair of digits. */
static const u8 order[UUID_BYTES] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

static bool dash_before(unsigned pair)
{
    return pair == 4 || pair == 6 || pair == 8 || pair == 10;
}

int uuid_make(u8 *u)
{
    if (getrandom(u, UUID_BYTES, 0) != UUID_BYTES)
        return -EIO;
    u[7] = (u[7] & 0x0f) | 0x40;
    u[8] = (u[8] & 0x3f) | 0x80;
    return 0;
}

void uuid_text(const u8 *u, char *out)
{
    for (unsigned i = 0; i < UUID_BYTES; i++) {
        if (dash_before(i))
            *out++ = '-';
        out += sprintf(out, "%02x", u[order[i]]);
    }
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool uuid_parse(const char *text, u8 *u)
{
    bool braces = *text == '{';

    text += braces;
    for (unsigned i = 0; i < UUID_BYTES; i++) {
        int high, low;

        if (dash_before(i) && *text++ != '-')
            return false;
        high = digit(*text);
        low = high < 0 ? -1 : digit(text[1]);
        if (low < 0)
            return false;
        u[order[i]] = (u8)(high << 4 | low);
        text += 2;
    }
    return braces ? text[0] == '}' && !text[1] : !*text;
}

bool uuid_is_null(const u8 *u)
{
    static const u8 null[UUID_BYTES];

    return !memcmp(u, null, UUID_BYTES);
}
