/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gdb/packet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { INTERRUPT = 3, ESCAPE = '}', FLIP = 0x20 };

int gdb_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---------------------------------------------------------------------- in -- */

static void keep(struct gdb_in *in, u8 byte)
{
    if (in->len < GDB_PACKET_MAX)
        in->data[in->len++] = (char)byte;
    else
        in->bad = true;
}

static enum gdb_got take_idle(struct gdb_in *in, u8 byte)
{
    switch (byte) {
    case '$':
        in->len = 0;
        in->sum = 0;
        in->bad = false;
        in->state = GDB_DATA;
        return GDB_NOTHING;
    case INTERRUPT:
        return GDB_INTERRUPT;
    case '-':
        return GDB_AGAIN;
    case '+':
        return GDB_NOTHING;
    default:
        return GDB_STRANGE;
    }
}

enum gdb_got gdb_take(struct gdb_in *in, u8 byte)
{
    int digit = gdb_digit((char)byte);

    switch (in->state) {
    case GDB_IDLE:
        return take_idle(in, byte);
    case GDB_DATA:
    case GDB_ESCAPE:
        if (byte == '#' || byte == '$') { /* neither stands in a packet: a new one began */
            in->state = GDB_SUM1;
            return byte == '#' ? GDB_NOTHING : take_idle(in, byte);
        }
        in->sum = (u8)(in->sum + byte);
        if (in->state == GDB_DATA && byte == ESCAPE) {
            in->state = GDB_ESCAPE;
            return GDB_NOTHING;
        }
        keep(in, in->state == GDB_ESCAPE ? byte ^ FLIP : byte);
        in->state = GDB_DATA;
        return GDB_NOTHING;
    case GDB_SUM1:
        in->wanted = (u8)(digit << 4);
        in->bad |= digit < 0;
        in->state = GDB_SUM2;
        return GDB_NOTHING;
    default:
        in->state = GDB_IDLE;
        in->data[in->len] = 0;
        if (digit < 0 || (in->wanted | digit) != in->sum || in->bad)
            return GDB_BAD;
        return GDB_PACKET;
    }
}

/* --------------------------------------------------------------------- out -- */

void gdb_begin(struct gdb_out *o)
{
    o->buf[0] = '$';
    o->len = 1;
    o->full = false;
}

static void put(struct gdb_out *o, u8 byte)
{
    if (o->len <= GDB_PACKET_MAX)
        o->buf[o->len++] = byte;
    else
        o->full = true;
}

void gdb_text(struct gdb_out *o, const char *text)
{
    while (*text)
        put(o, (u8)*text++);
}

void gdb_format(struct gdb_out *o, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    gdb_text(o, text);
}

void gdb_hex(struct gdb_out *o, const void *buf, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const u8 *p = buf;

    for (size_t i = 0; i < n; i++) {
        put(o, (u8)digits[p[i] >> 4]);
        put(o, (u8)digits[p[i] & 15]);
    }
}

size_t gdb_binary(struct gdb_out *o, const void *buf, size_t n)
{
    const u8 *p = buf;
    size_t i;

    for (i = 0; i < n && gdb_room(o) >= 2; i++) {
        bool special = p[i] == '#' || p[i] == '$' || p[i] == ESCAPE || p[i] == '*';
        if (special)
            put(o, ESCAPE);
        put(o, special ? p[i] ^ FLIP : p[i]);
    }
    return i;
}

void gdb_end(struct gdb_out *o)
{
    static const char digits[] = "0123456789abcdef";
    u8 sum = 0;

    for (unsigned i = 1; i < o->len; i++)
        sum = (u8)(sum + o->buf[i]);
    o->buf[o->len++] = '#';
    o->buf[o->len++] = (u8)digits[sum >> 4];
    o->buf[o->len++] = (u8)digits[sum & 15];
}

/* ----------------------------------------------------------------- numbers -- */

bool gdb_unhex(const char *text, void *buf, size_t n)
{
    u8 *p = buf;

    for (size_t i = 0; i < n; i++) {
        int hi = gdb_digit(text[2 * i]), lo = hi < 0 ? -1 : gdb_digit(text[2 * i + 1]);
        if (lo < 0)
            return false;
        p[i] = (u8)(hi << 4 | lo);
    }
    return true;
}

bool gdb_number(const char **text, u64 *v)
{
    const char *p = *text;
    int d;

    *v = 0;
    while ((d = gdb_digit(*p)) >= 0) {
        if (*v >> 60)
            return false;
        *v = *v << 4 | (u64)d;
        p++;
    }
    bool any = p != *text;
    *text = p;
    return any;
}
