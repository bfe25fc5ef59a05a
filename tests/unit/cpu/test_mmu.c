/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MMU beside what flat guests show: devices and ROM behind pages, pages that hold code, pages
 * that are watched, the A20 gate, flushes.
 */
#include "cpu/interp.h"
#include "fixture.h"

enum { LIN = 0x100000, MMIO_AT = 0x10000000, ROM_AT = 0x20000000 };

struct device {
    struct region region;
    u64 off, val;
    unsigned size, reads, writes;
};

static u64 dev_read(void *opaque, u64 off, unsigned size)
{
    struct device *d = opaque;

    d->reads++;
    d->off = off;
    d->size = size;
    return 0x1122334455667788ull;
}

static void dev_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct device *d = opaque;

    d->writes++;
    d->off = off;
    d->size = size;
    d->val = val;
}

static const struct region_ops dev_ops = {
    .read = dev_read, .write = dev_write, .min_width = 1, .max_width = 8};

struct env {
    struct fx f;
    struct device dev;
    struct region rom;
    u8 *rom_bytes;
};

/* Maps linear page lin (in the 2 MiB at 2 MiB) to gpa by a 4 KiB entry. */
static void map_page(struct env *v, u64 lin, u64 entry)
{
    u64 *pd = (u64 *)(v->f.ram + 0x3000), *pt = (u64 *)(v->f.ram + 0x4000);

    pd[1] = 0x4000 | 7;
    pt[lin >> 12 & 511] = entry;
    mmu_flush_page(v->f.cpu, lin);
}

static int setup(void **state)
{
    struct env *v = calloc(1, sizeof(*v));

    fx_open(&v->f);
    v->dev.region =
        (struct region){.name = "dev", .size = 4096, .ops = &dev_ops, .opaque = &v->dev};
    assert_int_equal(bus_map(&v->f.vm.mmio, &v->dev.region, MMIO_AT), 0);
    v->rom_bytes = mem_alloc(&v->f.vm.mem, 8192);
    memset(v->rom_bytes, 0x5a, 8192);
    v->rom = (struct region){.name = "rom", .size = 8192, .hva = v->rom_bytes};
    assert_int_equal(bus_map(&v->f.vm.mmio, &v->rom, ROM_AT), 0);
    *state = v;
    return 0;
}

static int teardown(void **state)
{
    struct env *v = *state;

    fx_close(&v->f);
    free(v);
    return 0;
}

static void test_mmio(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;

    map_page(v, 0x200000, MMIO_AT | 3);
    assert_int_equal(mmu_read(c, 0x200010, 4), 0x55667788);
    assert_int_equal(v->dev.off, 0x10);
    assert_int_equal(v->dev.size, 4);
    mmu_write(c, 0x200018, 8, 0xabcdef);
    assert_int_equal(v->dev.size, 8);
    assert_int_equal(v->dev.val, 0xabcdef);
    assert_null(mmu_rmw(c, 0x200010, 4));
    u8 buf[16];
    mmu_read_bytes(c, 0x200020, buf, 16);
    assert_int_equal(buf[0], 0x88);
    assert_int_equal(buf[8], 0x88);
}

static void test_rom(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;

    map_page(v, 0x200000, ROM_AT | 3);
    assert_int_equal(mmu_read(c, 0x200000, 1), 0x5a);
    mmu_write(c, 0x200000, 1, 0);
    mmu_write(c, 0x200ffc, 4, 0);
    assert_int_equal(mmu_read(c, 0x200000, 4), 0x5a5a5a5a);
    assert_int_equal(v->rom_bytes[0], 0x5a);
    assert_null(mmu_rmw(c, 0x200000, 4));
}

static void test_unmapped(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;

    map_page(v, 0x200000, 0x3000000000ull | 3);
    assert_int_equal(mmu_read(c, 0x200000, 4), 0xffffffff);
    mmu_write(c, 0x200000, 4, 1);
}

static void test_cross(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;

    map_page(v, 0x200000, 0x50000 | 3);
    map_page(v, 0x201000, 0x40000 | 3);
    mmu_write(c, 0x200ffd, 8, 0x1122334455667788ull);
    assert_int_equal(v->f.ram[0x50fff], 0x66);
    assert_int_equal(v->f.ram[0x40000], 0x55);
    assert_int_equal(v->f.ram[0x40004], 0x11);
    assert_true(mmu_read(c, 0x200ffd, 8) == 0x1122334455667788ull);
    assert_null(mmu_rmw(c, 0x200ffd, 4));
    /* RAM and a device */
    map_page(v, 0x201000, MMIO_AT | 3);
    assert_int_equal(mmu_read(c, 0x200ffe, 4) >> 16, 0x8888);
}

static void test_code_pages(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;
    struct mem *m = &v->f.vm.mem;
    u32 gen = m->page_gen[LIN >> 12];

    mmu_write(c, LIN, 4, 1);
    assert_non_null(tlb_lookup(c->tlb, LIN, 4, TLB_WRITE));
    assert_int_equal(m->page_gen[LIN >> 12], gen);
    mmu_protect_code(c, LIN);
    assert_null(tlb_lookup(c->tlb, LIN, 4, TLB_WRITE));
    assert_non_null(tlb_lookup(c->tlb, LIN, 4, TLB_READ));
    c->code_changed = c->leave = false;
    mmu_write(c, LIN + 8, 4, 2);
    assert_true(c->code_changed);
    assert_true(c->leave);
    assert_int_equal(m->page_gen[LIN >> 12], gen + 1);
    u32 *p = mmu_rmw(c, LIN + 8, 4);
    assert_non_null(p);
    *p = 3;
    mmu_rmw_done(c, LIN + 8, 4);
    assert_int_equal(m->page_gen[LIN >> 12], gen + 2);
}

static void test_watched_pages(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;
    struct mem *m = &v->f.vm.mem;
    u8 *flags = &m->page_flags[LIN >> 12], dirty = 0;

    /* Not looked at: as fast as any. */
    mmu_write(c, LIN, 4, 1);
    mmu_write(c, LIN, 4, 1);
    assert_non_null(tlb_lookup(c->tlb, LIN, 4, TLB_WRITE));
    assert_true(mem_watch(m, m->hva + LIN, 1, &dirty));
    /* The old entry may have been used meanwhile: once more dirty, then clean. */
    mmu_sync_code(c);
    assert_null(tlb_lookup(c->tlb, LIN, 4, TLB_WRITE));
    assert_int_equal(*flags, 0);
    assert_true(mem_watch(m, m->hva + LIN, 1, &dirty));
    mmu_sync_code(c);
    assert_false(mem_watch(m, m->hva + LIN, 1, &dirty));
    /* The first write is seen, the next ones go straight to memory. */
    mmu_write(c, LIN, 4, 2);
    assert_int_equal(*flags, 0);
    mmu_write(c, LIN, 4, 3);
    assert_non_null(tlb_lookup(c->tlb, LIN, 4, TLB_WRITE));
    assert_true(mem_watch(m, m->hva + LIN, 1, &dirty));
}

static void test_a20(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;

    v->f.ram[0x40] = 0x11;
    v->f.ram[0x100040] = 0x22;
    assert_int_equal(mmu_read(c, 0x100040, 1), 0x22);
    vm_set_a20(&v->f.vm, false);
    mmu_flush_all(c);
    assert_int_equal(mmu_read(c, 0x100040, 1), 0x11);
    mmu_write(c, 0x100041, 1, 0x33);
    assert_int_equal(v->f.ram[0x41], 0x33);
    vm_set_a20(&v->f.vm, true);
    mmu_flush_all(c);
    assert_int_equal(mmu_read(c, 0x100040, 1), 0x22);
}

static void test_flush(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;
    u64 *pt = (u64 *)(v->f.ram + 0x4000), *pd = (u64 *)(v->f.ram + 0x3000);

    v->f.ram[0x50000] = 5;
    v->f.ram[0x60000] = 6;
    map_page(v, 0x200000, 0x50000 | 3);
    assert_int_equal(mmu_read(c, 0x200000, 1), 5);
    pt[0] = 0x60000 | 3;
    mmu_flush_page(c, 0x200fff);
    assert_int_equal(mmu_read(c, 0x200000, 1), 6);
    /* a global page stays at a flush of the others */
    c->s.cr4 |= CR4_PGE;
    map_page(v, 0x203000, 0x50000 | 0x103);
    assert_int_equal(mmu_read(c, 0x203000, 1), 5);
    pt[3] = 0x60000 | 0x103;
    mmu_flush(c, false);
    assert_int_equal(mmu_read(c, 0x203000, 1), 5);
    mmu_flush(c, true);
    assert_int_equal(mmu_read(c, 0x203000, 1), 6);
    /* many entries: the list of what to flush overflows */
    for (u64 i = 0; i < 512; i++)
        pt[i] = 0x50000 | 3;
    for (unsigned n = 0; n < 10; n++) {
        pd[2 + n] = 0x4000 | 7;
        for (u64 i = 0; i < 512; i++)
            assert_int_equal(mmu_read(c, 0x400000 + n * 0x200000 + i * 4096, 1), 5);
    }
    for (u64 i = 0; i < 512; i++)
        pt[i] = 0x60000 | 3;
    mmu_flush(c, false);
    for (u64 i = 0; i < 512; i++)
        assert_int_equal(mmu_read(c, 0x400000 + i * 4096, 1), 6);
}

static void test_debug_translate(void **state)
{
    struct env *v = *state;
    u64 gpa;

    map_page(v, 0x200000, 0x50000 | 3);
    assert_true(mmu_debug_translate(v->f.cpu, 0x200123, &gpa));
    assert_int_equal(gpa, 0x50123);
    assert_int_equal(*(u64 *)(v->f.ram + 0x4000) & 0x60, 0);
    map_page(v, 0x200000, 0);
    assert_false(mmu_debug_translate(v->f.cpu, 0x200123, &gpa));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_mmio),  T(test_rom),        T(test_unmapped),
        T(test_cross), T(test_code_pages), T(test_watched_pages),
        T(test_a20),   T(test_flush),      T(test_debug_translate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
