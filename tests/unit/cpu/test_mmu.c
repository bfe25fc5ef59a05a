/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MMU beside what flat guests show: devices and ROM behind pages, pages that hold code, pages
 * that are watched, the A20 gate, flushes.
 */
#include "cpu/interp.h"
#include "cpu/sysinsn.h"
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

enum { ROOT_A = 0x8000, ROOT_B = 0x9000, PCID_A = 5, PCID_B = 6 };
#define NOFLUSH BIT64(63)

static void load(struct cpu *c, u64 root, unsigned pcid, u64 noflush)
{
    cr3_write(c, root | pcid | noflush);
}

/* Two address spaces with other pages at one place, whose entries are changed behind their backs:
 * what is read afterwards tells whether the TLB or the table was asked. */
static void test_pcids(void **state)
{
    struct env *v = *state;
    struct cpu *c = v->f.cpu;
    u8 *ram = v->f.ram;
    u64 *pt_a = (u64 *)(ram + 0xc000), *pt_b = (u64 *)(ram + 0xf000);
    const u64 lin = 0x8000000000; /* of the second entry of the root */

    for (unsigned i = 0; i < 2; i++) {
        u64 *root = (u64 *)(ram + (i ? ROOT_B : ROOT_A)), at = i ? 0xd000 : 0xa000;
        memcpy(root, ram + (c->s.cr3 & ~0xfffull), 4096);
        root[1] = at | 7;
        *(u64 *)(ram + at) = (at + 0x1000) | 7;
        *(u64 *)(ram + at + 0x1000) = (at + 0x2000) | 7;
    }
    ram[0x50000] = 5;
    ram[0x60000] = 6;
    ram[0x70000] = 7;
    pt_a[0] = 0x50000 | 7;
    pt_b[0] = 0x60000 | 7;
    load(c, ROOT_A, 0, 0);
    cr4_write(c, c->s.cr4 | CR4_PCIDE);

    load(c, ROOT_A, PCID_A, 0);
    assert_int_equal(mmu_read(c, lin, 1), 5);
    load(c, ROOT_B, PCID_B, 0);
    assert_int_equal(mmu_read(c, lin, 1), 6);
    pt_a[0] = pt_b[0] = 0x70000 | 7;
    load(c, ROOT_A, PCID_A, NOFLUSH);
    assert_int_equal(mmu_read(c, lin, 1), 5); /* kept */
    load(c, ROOT_B, PCID_B, NOFLUSH);
    assert_int_equal(mmu_read(c, lin, 1), 6);
    load(c, ROOT_A, PCID_A, 0);
    assert_int_equal(mmu_read(c, lin, 1), 7); /* not asked to keep it */
    load(c, ROOT_B, PCID_B, NOFLUSH);
    assert_int_equal(mmu_read(c, lin, 1), 6);
    load(c, ROOT_B, PCID_B, 0); /* the one that is loaded */
    assert_int_equal(mmu_read(c, lin, 1), 7);

    /* Flushes that reach what is not loaded */
    static const struct {
        u8 what;
        bool gone;
    } flushes[] = {{0, false}, {1, true}, {2, true}, {3, true}, {4, false}};
    for (unsigned i = 0; i < ARRAY_SIZE(flushes); i++) {
        pt_a[0] = 0x50000 | 7;
        load(c, ROOT_A, PCID_A, 0);
        assert_int_equal(mmu_read(c, lin, 1), 5);
        pt_a[0] = 0x70000 | 7;
        load(c, ROOT_B, PCID_B, 0);
        if (flushes[i].what == 0)
            mmu_flush_page(c, lin); /* of the one that is loaded */
        else if (flushes[i].what == 1)
            mmu_drop_pcid(c, PCID_A);
        else if (flushes[i].what == 2)
            mmu_flush(c, false);
        else if (flushes[i].what == 3)
            cr4_write(c, c->s.cr4 ^ CR4_PGE);
        else
            mmu_drop_pcid(c, PCID_B);
        load(c, ROOT_A, PCID_A, NOFLUSH);
        assert_int_equal(mmu_read(c, lin, 1), flushes[i].gone ? 7 : 5);
    }

    /* A page that gets code while it is put aside is not written through what was put aside. */
    pt_a[0] = 0x50000 | 7;
    load(c, ROOT_A, PCID_A, 0);
    mmu_write(c, lin, 1, 1);
    load(c, ROOT_B, PCID_B, 0);
    mmu_protect_code(c, 0x50000);
    u32 gen = v->f.vm.mem.page_gen[0x50];
    load(c, ROOT_A, PCID_A, NOFLUSH);
    mmu_write(c, lin, 1, 2);
    assert_int_not_equal(v->f.vm.mem.page_gen[0x50], gen);

    /* More address spaces than there is room for: the oldest is looked up anew. */
    for (unsigned n = 0; n < 40; n++) {
        pt_a[0] = (n & 1 ? 0x50000 : 0x60000) | 7;
        load(c, ROOT_A, 100 + n, 0);
        assert_int_equal(mmu_read(c, lin, 1), n & 1 ? 2 : 6);
    }
    load(c, ROOT_A, 138, NOFLUSH);
    assert_int_equal(mmu_read(c, lin, 1), 6);
    load(c, ROOT_A, 100, NOFLUSH);
    assert_int_equal(mmu_read(c, lin, 1), 2);
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
        T(test_mmio),       T(test_rom),
        T(test_unmapped),   T(test_cross),
        T(test_code_pages), T(test_watched_pages),
        T(test_a20),        T(test_flush),
        T(test_pcids),      T(test_debug_translate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
