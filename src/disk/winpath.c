/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UTF-16 names and GUIDs: see winpath.h.
 */
#include "disk/winpath.h"
#include "base/endian.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static u32 unit_get(const u8 *p, bool big_endian)
{
    return big_endian ? be16_get(p) : le16_get(p);
}

static size_t utf8_put(u32 c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

bool utf16_get(const u8 *p, size_t bytes, bool big_endian, char *out, size_t room)
{
    size_t n = 0;

    for (size_t i = 0; i + 2 <= bytes; i += 2) {
        u32 c = unit_get(p + i, big_endian);

        if (!c)
            break;
        if (c >= 0xd800 && c < 0xe000) {
            u32 low = i + 4 <= bytes ? unit_get(p + i + 2, big_endian) : 0;

            if (c >= 0xdc00 || low < 0xdc00 || low >= 0xe000)
                return false;
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            i += 2;
        }
        if (n + 5 > room)
            return false;
        n += utf8_put(c, out + n);
    }
    out[n] = 0;
    return n;
}

/* The character at *s, which moves on; 0 = the end, -1 = not UTF-8. */
static s32 utf8_get(const u8 **s)
{
    static const u32 least[] = {0, 0x80, 0x800, 0x10000};
    u32 c = *(*s)++;
    unsigned more = c < 0x80 ? 0 : (c & 0xe0) == 0xc0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : 3;

    if (!more)
        return (s32)c;
    if (c < 0xc0 || c >= 0xf8)
        return -1;
    c &= 0x3fu >> more;
    for (unsigned i = 0; i < more; i++) {
        if ((**s & 0xc0) != 0x80)
            return -1;
        c = c << 6 | (*(*s)++ & 0x3f);
    }
    return c < least[more] || c >= 0x110000 || (c >= 0xd800 && c < 0xe000) ? -1 : (s32)c;
}

static void unit_put(u8 *p, u32 c, bool big_endian)
{
    if (big_endian)
        be16_put(p, (u16)c);
    else
        le16_put(p, (u16)c);
}

size_t utf16_put(const char *text, bool big_endian, u8 *out, size_t room)
{
    const u8 *s = (const u8 *)text;
    size_t n = 0;
    s32 c;

    while ((c = utf8_get(&s)) > 0) {
        if (n + 4 > room)
            return 0;
        if (c >= 0x10000) {
            unit_put(out + n, 0xd800 + ((u32)(c - 0x10000) >> 10), big_endian);
            n += 2;
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        unit_put(out + n, (u32)c, big_endian);
        n += 2;
    }
    return c < 0 ? 0 : n;
}

void winpath_to_host(char *path)
{
    bool far = path[0] == '\\' || (path[0] && path[1] == ':');
    char *last;

    for (char *c = path; *c; c++)
        if (*c == '\\')
            *c = '/';
    if (!far)
        return;
    last = strrchr(path, '/');
    if (!last)
        last = path + 1; /* "C:name" */
    memmove(path, last + 1, strlen(last + 1) + 1);
}

void winpath_from_host(char *path)
{
    for (char *c = path; *c; c++)
        if (*c == '/')
            *c = '\\';
}

void guid_random(u8 guid[GUID_LEN])
{
    /* 16 bytes come whole as soon as the kernel has any; the clock is for a kernel without. */
    if (getrandom(guid, GUID_LEN, 0) != GUID_LEN) {
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        memset(guid, 0, GUID_LEN);
        memcpy(guid, &t, min(sizeof(t), (size_t)GUID_LEN));
    }
    guid[7] = (u8)((guid[7] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    guid[8] = (u8)((guid[8] & 0x3f) | 0x80);
}

/* Where the digits of each byte are in the text without braces. */
static const u8 places[GUID_LEN] = {6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34};

void guid_text(const u8 guid[GUID_LEN], char out[GUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";

    memset(out, '-', GUID_TEXT);
    out[0] = '{';
    out[37] = '}';
    out[38] = 0;
    for (unsigned i = 0; i < GUID_LEN; i++) {
        out[1 + places[i]] = digits[guid[i] >> 4];
        out[2 + places[i]] = digits[guid[i] & 15];
    }
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool guid_parse(const char *s, u8 guid[GUID_LEN])
{
    bool braces = *s == '{';

    s += braces;
    if (strlen(s) < 36 || strcmp(s + 36, braces ? "}" : "") || s[8] != '-' || s[13] != '-' ||
        s[18] != '-' || s[23] != '-')
        return false;
    for (unsigned i = 0; i < GUID_LEN; i++) {
        int high = digit(s[places[i]]), low = digit(s[places[i] + 1]);

        if (high < 0 || low < 0)
            return false;
        guid[i] = (u8)(high << 4 | low);
    }
    return true;
}
