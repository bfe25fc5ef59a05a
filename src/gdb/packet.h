/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets: $data#checksum, acknowledged by '+' until that is switched off, and 0x03 for an
 * interrupt.  "Debugging with GDB", appendix E.1.
 */
#ifndef WIRT_GDB_PACKET_H
#define WIRT_GDB_PACKET_H

#include "base/types.h"

/* What we say that we take (PacketSize), and how much we send. */
enum { GDB_PACKET_MAX = 16384 };

struct gdb_in {
    char data[GDB_PACKET_MAX + 1]; /* the last packet, escapes resolved, zero-terminated */
    unsigned len;
    enum { GDB_IDLE, GDB_DATA, GDB_ESCAPE, GDB_SUM1, GDB_SUM2 } state;
    bool bad; /* too long, or no digits behind the '#' */
    u8 sum, wanted;
};

enum gdb_got {
    GDB_NOTHING,
    GDB_PACKET,    /* whole and right, in data */
    GDB_BAD,       /* ask for it again */
    GDB_INTERRUPT, /* 0x03 between packets */
    GDB_AGAIN,     /* '-': the other side wants our last packet again */
    GDB_STRANGE,   /* no debugger says this between packets */
};

/* One byte; cannot fail.  A packet that is too long is GDB_BAD. */
enum gdb_got gdb_take(struct gdb_in *in, u8 byte);

/* A packet being made.  What does not fit is dropped and noted. */
struct gdb_out {
    u8 buf[GDB_PACKET_MAX + 8];
    unsigned len; /* with the '$' */
    bool full;
};

void gdb_begin(struct gdb_out *o);
void gdb_text(struct gdb_out *o, const char *text);
void gdb_format(struct gdb_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void gdb_hex(struct gdb_out *o, const void *buf, size_t n);
/* Binary data; how many of the n bytes went in. */
size_t gdb_binary(struct gdb_out *o, const void *buf, size_t n);
/* Puts checksum and end behind it. */
void gdb_end(struct gdb_out *o);

/* Room for this many more characters of hexadecimal? */
static inline unsigned gdb_room(const struct gdb_out *o)
{
    return GDB_PACKET_MAX - min(o->len, (unsigned)GDB_PACKET_MAX);
}

int gdb_digit(char c); /* -1: none */
/* n bytes from 2n digits; false: there is something else. */
bool gdb_unhex(const char *text, void *buf, size_t n);
/* A hexadecimal number of at least one digit and at most 64 bits; *text goes behind it. */
bool gdb_number(const char **text, u64 *v);

#endif
