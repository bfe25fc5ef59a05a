/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PVH kernel, 32-bit and without paging or interrupts, that does nothing but read clocks: TSC,
 * HPET, ACPI PM timer.  Ten times a second by the HPET it writes them and the calendar's second to
 * the serial port, with how often one of them went back.  A host that was busy between two of them
 * is no news: they are read again until it was not.
 *
 *     clocks TSC HPET PM SECOND BACK
 */
#include <stdint.h>

enum {
    COM1 = 0x3f8,
    PM_TIMER = 0x608,
    HPET = 0xfed00000,
    HPET_HZ_10 = 10000000,
    TSC_CLOSE = 4000000, /* some ms at most */
};

asm(".section .note.pvh, \"a\", @note\n.balign 4\n"
    ".long 4, 4, 18\n.asciz \"Xen\"\n.long start\n"
    ".text\n.globl start\nstart:\n"
    "    mov $stack + 4096, %esp\n    call run\n");
char stack[4096];
void run(void);

static inline void outb(uint16_t port, uint8_t v)
{
    asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t v;

    asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t v;

    asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static uint64_t tsc(void)
{
    uint64_t v;

    asm volatile("rdtsc" : "=A"(v));
    return v;
}

/* Its halves as one. */
static uint64_t hpet(void)
{
    volatile uint32_t *r = (volatile uint32_t *)(HPET + 0xf0);
    uint32_t high, low;

    do {
        high = r[1];
        low = r[0];
    } while (high != r[1]);
    return (uint64_t)high << 32 | low;
}

static unsigned second(void)
{
    unsigned v;

    outb(0x70, 0);
    v = inb(0x71);
    return (v >> 4) * 10 + (v & 15);
}

static void put(char c)
{
    while (!(inb(COM1 + 5) & 0x20))
        ;
    outb(COM1, (uint8_t)c);
}

static void put_hex(uint64_t v)
{
    for (int shift = 60; shift >= 0; shift -= 4)
        put("0123456789abcdef"[v >> shift & 15]);
}

void run(void)
{
    uint64_t t0 = tsc(), h0, next, pm = 0;
    uint32_t p0 = inl(PM_TIMER), back = 0;

    *(volatile uint32_t *)(HPET + 0x10) = 1;
    h0 = hpet();
    next = h0;
    for (;;) {
        uint64_t t = tsc(), h = hpet();
        uint32_t p = inl(PM_TIMER), d = (p - p0) & 0xffffff;
        back += t < t0;
        back += h < h0;
        back += d > 0x800000;
        pm += d;
        t0 = t;
        h0 = h;
        p0 = p;
        if (h < next || tsc() - t > TSC_CLOSE)
            continue;
        next = h + HPET_HZ_10;
        for (const char *s = "clocks "; *s; s++)
            put(*s);
        put_hex(t);
        put(' ');
        put_hex(h);
        put(' ');
        put_hex(pm);
        put(' ');
        put_hex(second());
        put(' ');
        put_hex(back);
        put('\n');
    }
}
