/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boots screen.asm on a whole PC and compares each picture, pixel by pixel, with what the modes'
 * definitions say: screen_run ENGINE FLOPPY.  Nothing of src/dev/vga*.c is used for the reference;
 * characters are looked up in the VGA BIOS image.
 */
#include "board/pc.h"
#include "kvm/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIME_LIMIT_S = 100, PORT = 0x900 };

struct run {
    struct vm vm;
    struct pc pc;
    struct region port;
    struct timer limit;
    struct display_view view;
    u32 size, format; /* as the guest told */
    const u8 *font;
    unsigned passed, failed;
};

static u8 pattern(u32 o, u32 plane)
{
    return (u8)(o * 7 + (o >> 8) * 13 + plane * 37);
}

static u32 six(u32 c)
{
    c &= 63;
    return c << 2 | c >> 4;
}

static u32 dac(u32 i)
{
    return six(i * 5) << 16 | six(i * 3 + 7) << 8 | six(i * 11);
}

/* ------------------------------------------------ what each mode shows at x, y -- */

struct mode {
    u32 id, w, h;
    u32 (*pixel)(const struct run *r, const struct mode *m, u32 x, u32 y);
    u32 line; /* bytes */
    u32 mask; /* of the colour planes that are shown */
};

static u32 text(const struct run *r, const struct mode *m, u32 x, u32 y)
{
    u32 o = y / 16 * m->line + x / 9 * 2, col = x % 9;
    u8 ch = pattern(o, 0), attr = pattern(o + 1, 0), bits = r->font[ch * 16 + y % 16];
    bool on = col < 8 ? bits >> (7 - col) & 1 : ch >= 0xc0 && ch < 0xe0 && bits & 1;

    return dac(on ? attr & 15 : attr >> 4);
}

/* The cell's underline is in its line 15. */
static u32 mono(const struct run *r, const struct mode *m, u32 x, u32 y)
{
    u8 attr = pattern(y / 16 * m->line + x / 9 * 2 + 1, 0);

    if ((attr & 7) == 1 && y % 16 == 15)
        return dac(attr & 15);
    return text(r, m, x, y);
}

static u32 cga(const struct run *r, const struct mode *m, u32 x, u32 y)
{
    u32 per = 640 / m->w, o = (y & 1) * 0x2000 + y / 2 * 80 + x * per / 8;

    return dac(pattern(o, 0) >> (8 - per - x * per % 8) & m->mask);
}

static u32 planar(const struct run *r, const struct mode *m, u32 x, u32 y)
{
    u32 o = y * m->line + x / 8, c = 0;

    for (u32 p = 0; p < 4; p++)
        c |= (u32)(pattern(o, p) >> (7 - x % 8) & 1) << p;
    return dac(c & m->mask);
}

static u32 bytes(const struct run *r, const struct mode *m, u32 x, u32 y)
{
    return dac(pattern(y * 320 + x, 0));
}

static u32 mode_x(const struct run *r, const struct mode *m, u32 x, u32 y)
{
    return dac(pattern(y * 80 + x / 4, x % 4));
}

static u32 largest(const struct run *r, const struct mode *m, u32 x, u32 y)
{
    return y * 0x00010307 & 0xffffff;
}

static u32 full(u32 c, u32 bits)
{
    return c << (8 - bits) | c >> (2 * bits - 8);
}

static u32 linear(const struct run *r, const struct mode *m, u32 x, u32 y)
{
    u32 bpp = r->format & 0xff, n = (bpp + 7) / 8, c = 0;

    for (u32 i = 0; i < n; i++)
        c |= (u32)pattern(y * (r->format >> 16) + x * n + i, 0) << 8 * i;
    switch (bpp) {
    case 8:
        return dac(c);
    case 15:
        return full(c >> 10 & 31, 5) << 16 | full(c >> 5 & 31, 5) << 8 | full(c & 31, 5);
    case 16:
        return full(c >> 11 & 31, 5) << 16 | full(c >> 5 & 63, 6) << 8 | full(c & 31, 5);
    default:
        return c & 0xffffff;
    }
}

static const struct mode modes[] = {
    {0x00, 360, 400, text, 80, 0},      {0x01, 360, 400, text, 80, 0},
    {0x02, 720, 400, text, 160, 0},     {0x03, 720, 400, text, 160, 0},
    {0x04, 320, 200, cga, 80, 3},       {0x05, 320, 200, cga, 80, 3},
    {0x06, 640, 200, cga, 80, 1},       {0x07, 720, 400, mono, 160, 0},
    {0x0d, 320, 200, planar, 40, 0xf},  {0x0e, 640, 200, planar, 80, 0xf},
    {0x0f, 640, 350, planar, 80, 0x1},  {0x10, 640, 350, planar, 80, 0xf},
    {0x11, 640, 480, planar, 80, 0xf},  {0x12, 640, 480, planar, 80, 0xf},
    {0x13, 320, 200, bytes, 320, 0},    {0x93, 320, 240, mode_x, 80, 0},
    {0x300, 2560, 1600, largest, 0, 0}, {0x100, 640, 400, linear, 8, 0},
    {0x101, 640, 480, linear, 8, 0},    {0x110, 640, 480, linear, 15, 0},
    {0x111, 640, 480, linear, 16, 0},   {0x112, 640, 480, linear, 24, 0},
    {0x142, 640, 480, linear, 32, 0},   {0x143, 800, 600, linear, 32, 0},
    {0x117, 1024, 768, linear, 16, 0},
};

/* ------------------------------------------------------------------- comparing -- */

static bool matches(struct run *r, const struct mode *m)
{
    struct display_rect rect[8];
    unsigned bad = 0;

    display_look(&r->pc.screen, &r->view, rect, ARRAY_SIZE(rect));
    if (r->view.s.width != m->w || r->view.s.height != m->h) {
        printf("%#x: %ux%u\n", m->id, r->view.s.width, r->view.s.height);
        return false;
    }
    if (m->pixel == linear && (r->format & 0xff) != m->line) {
        printf("%#x: %u bits\n", m->id, r->format & 0xff);
        return false;
    }
    for (u32 y = 0; y < m->h; y++) {
        for (u32 x = 0; x < m->w; x++) {
            u32 is = r->view.s.pixels[(size_t)y * r->view.s.stride + x];
            u32 wanted = m->pixel(r, m, x, y);

            if (is != wanted && bad++ < 3)
                printf("%#x: %u,%u is %06x, not %06x\n", m->id, x, y, is, wanted);
        }
    }
    return !bad && !display_look(&r->pc.screen, &r->view, rect, ARRAY_SIZE(rect));
}

static void check(struct run *r, u32 id)
{
    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
        if (modes[i].id != id)
            continue;
        bool ok = matches(r, &modes[i]);

        printf("%s %#x\n", ok ? "PASS" : "FAIL", id);
        r->passed += ok;
        r->failed += !ok;
        return;
    }
    printf("FAIL: the guest said %#x\n", id);
    r->failed++;
}

static void port_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct run *r = opaque;

    if (off == 4)
        r->size = (u32)val;
    else if (off == 8)
        r->format = (u32)val;
    else if (val != 0xffff)
        check(r, (u32)val);
    else
        vm_request_end(&r->vm, VM_DEBUG, 0);
}

static const struct region_ops port_ops = {.write = port_write, .min_width = 4, .max_width = 4};

static void too_long(void *opaque)
{
    struct run *r = opaque;

    puts("no end in sight: stopped");
    r->failed++;
    vm_request_end(&r->vm, VM_FAILED, 99);
}

/* CP437's 8x16 font, by its second glyph. */
static const u8 *find_font(const u8 *rom, u64 size)
{
    static const u8 face[16] = {0,    0,    0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd,
                                0x99, 0x81, 0x81, 0x7e, 0,    0,    0,    0};
    const u8 *p = memmem(rom, size, face, sizeof(face));

    return p ? p - 16 : NULL;
}

static const struct engine_ops *const engines[] = {&engine_interp, &engine_soft, &engine_kvm};

int main(int argc, char **argv)
{
    static struct run r;
    struct machine_config c;
    struct cpu_config cpu = {.count = 1, .model = "max"};
    const struct engine_ops *engine = NULL;
    struct kvm_trial trial;
    struct err e = {0};
    u64 size = 0;

    for (unsigned i = 0; argc == 3 && i < ARRAY_SIZE(engines); i++)
        if (!strcmp(engines[i]->name, argv[1]))
            engine = engines[i];
    if (!engine)
        return 2;
    if (engine == &engine_kvm) {
        kvm_trial(&trial, true);
        if (trial.whole != MODE_ALL) {
            printf("skipped: /dev/kvm: %s\n", trial.why);
            return 77;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    u8 *rom = pc_read_rom("vgabios-stdvga.bin", MIB, &size, &e);
    r.font = rom ? find_font(rom, size) : NULL;
    if (!r.font) {
        printf("no VGA BIOS: %s\n", e.msg);
        return 77;
    }
    machine_config_init(&c);
    c.memory = 64 * MIB;
    c.floppy[c.nfloppies++] = argv[2];
    c.boot = "a";
    if (vm_init(&r.vm, c.name, c.memory, &e) || vm_open_cpus(&r.vm, engine, &cpu, &e) ||
        pc_open(&r.pc, &r.vm, &c, &e)) {
        puts(e.msg);
        return 1;
    }
    r.port = (struct region){.name = "check", .size = 12, .ops = &port_ops, .opaque = &r};
    BUG_ON(bus_map(&r.vm.pio, &r.port, PORT));
    r.limit = (struct timer){.fn = too_long, .opaque = &r};
    timer_set(r.vm.clock, &r.limit, TIME_LIMIT_S * NS_PER_SEC);
    vm_run(&r.vm);
    timer_del(r.vm.clock, &r.limit);
    pc_close(&r.pc);
    vm_destroy(&r.vm);
    display_view_free(&r.view);
    free(rom);
    printf("%u of %zu\n", r.passed, ARRAY_SIZE(modes));
    return r.failed || r.passed != ARRAY_SIZE(modes);
}
