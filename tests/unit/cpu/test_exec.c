/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer instructions where the real processor cannot be asked: 16- and 32-bit modes, faults and
 * restarts, strings across pages, port I/O.  Plain user-mode results: tests/insn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "fixture.h"

#include <cmocka.h>
#include <sys/mman.h>

static struct fx fx;

static int setup(void **state)
{
    fx_open(&fx);
    return 0;
}

static int teardown(void **state)
{
    fx_close(&fx);
    return 0;
}

#define GPR(r) fx.cpu->s.gpr[r]

static bool flag(u64 f)
{
    return fx.cpu->s.rflags & f;
}

static void test_alu(void **state)
{
    fx_mode(&fx, FX_LONG);
    GPR(RAX) = UINT64_MAX;
    GPR(RBX) = 1;
    assert_int_equal(FX(&fx, 0x01, 0xd8), -1); /* add eax, ebx */
    assert_int_equal(GPR(RAX), 0);
    assert_true(flag(FLAG_CF) && flag(FLAG_ZF) && flag(FLAG_AF) && flag(FLAG_PF));
    GPR(RAX) = 0x7f00;
    assert_int_equal(FX(&fx, 0xfe, 0xc4), -1); /* inc ah */
    assert_int_equal(GPR(RAX), 0x8000);
    assert_true(flag(FLAG_OF) && flag(FLAG_SF) && flag(FLAG_CF)); /* CF is kept */
    GPR(RBX) = 0x10000;
    memset(fx.ram + 0x10000, 0xff, 8);
    assert_int_equal(FX(&fx, 0xf0, 0x48, 0x83, 0x13, 0x00), -1); /* lock adc qword [rbx], 0 */
    assert_int_equal(*(u64 *)(fx.ram + 0x10000), 0);
    assert_true(flag(FLAG_CF) && flag(FLAG_ZF));
    assert_int_equal(FX(&fx, 0xf0, 0x48, 0x01, 0xd8), EXC_UD); /* lock add rax, rbx */
}

/* A LOCK that crosses a page works, and one that cannot be written changes nothing. */
static void test_split_lock(void **state)
{
    fx_mode(&fx, FX_LONG);
    GPR(RBX) = 0x11ffe;
    GPR(RCX) = 5;
    *(u32 *)(fx.ram + 0x11ffe) = 0xffff;
    assert_int_equal(FX(&fx, 0xf0, 0x0f, 0xc1, 0x0b), -1); /* lock xadd [rbx], ecx */
    assert_int_equal(*(u32 *)(fx.ram + 0x11ffe), 0x10004);
    assert_int_equal(GPR(RCX), 0xffff);
    GPR(RBX) = FX_RAM - 2; /* the second page is not mapped */
    GPR(RCX) = 5;
    assert_int_equal(FX(&fx, 0xf0, 0x0f, 0xc1, 0x0b), EXC_PF);
    assert_int_equal(fx.cpu->s.cr2, FX_RAM);
    assert_int_equal(GPR(RCX), 5);
    assert_int_equal(pthread_mutex_trylock(&fx.vm.split_lock), 0);
    pthread_mutex_unlock(&fx.vm.split_lock);
}

static void test_divide(void **state)
{
    fx_mode(&fx, FX_LONG);
    GPR(RAX) = 0x8000000000000000;
    GPR(RDX) = UINT64_MAX;
    GPR(RCX) = UINT64_MAX;
    assert_int_equal(FX(&fx, 0x48, 0xf7, 0xf9), EXC_DE); /* idiv rcx: overflow */
    GPR(RCX) = 0;
    assert_int_equal(FX(&fx, 0x48, 0xf7, 0xf1), EXC_DE); /* div rcx */
    GPR(RCX) = 1;
    assert_int_equal(FX(&fx, 0x48, 0xf7, 0xf9), -1); /* idiv rcx: just fits */
    assert_int_equal(GPR(RAX), 0x8000000000000000);
    GPR(RAX) = 0xff80; /* -128 / -1 in a byte */
    GPR(RCX) = 0xff;
    assert_int_equal(FX(&fx, 0xf6, 0xf9), EXC_DE);
    GPR(RCX) = 1;
    assert_int_equal(FX(&fx, 0xf6, 0xf9), -1);
    assert_int_equal(GPR(RAX), 0x80);
}

static void test_bit_string(void **state)
{
    fx_mode(&fx, FX_LONG);
    memset(fx.ram + 0x10000, 0, 64);
    GPR(RBX) = 0x10020;
    GPR(RCX) = (u64)-1;
    assert_int_equal(FX(&fx, 0x48, 0x0f, 0xab, 0x0b), -1); /* bts [rbx], rcx */
    assert_int_equal(*(u64 *)(fx.ram + 0x10018), 1ull << 63);
    assert_false(flag(FLAG_CF));
    assert_int_equal(FX(&fx, 0xf0, 0x48, 0x0f, 0xb3, 0x0b), -1); /* lock btr [rbx], rcx */
    assert_int_equal(*(u64 *)(fx.ram + 0x10018), 0);
    assert_true(flag(FLAG_CF));
}

static void test_stack32(void **state)
{
    fx_mode(&fx, FX_PROT32);
    for (unsigned n = 0; n < 8; n++)
        GPR(n) = n == RSP ? FX_STACK : 0x1000 * n;
    assert_int_equal(FX(&fx, 0x60), -1); /* pusha */
    assert_int_equal(GPR(RSP), FX_STACK - 32);
    assert_int_equal(*(u32 *)(fx.ram + FX_STACK - 20), FX_STACK);
    for (unsigned n = 0; n < 8; n++)
        if (n != RSP)
            GPR(n) = 0;
    assert_int_equal(FX(&fx, 0x61), -1); /* popa */
    assert_int_equal(GPR(RDI), 0x7000);
    assert_int_equal(GPR(RSP), FX_STACK);
    GPR(RBP) = 0x30000;
    *(u32 *)(fx.ram + 0x2fffc) = 0x1234;
    assert_int_equal(FX(&fx, 0xc8, 0x10, 0x00, 0x02), -1); /* enter 16, 2 */
    assert_int_equal(GPR(RBP), FX_STACK - 4);
    assert_int_equal(GPR(RSP), FX_STACK - 12 - 16);
    assert_int_equal(*(u32 *)(fx.ram + FX_STACK - 4), 0x30000);
    assert_int_equal(*(u32 *)(fx.ram + FX_STACK - 8), 0x1234);
    assert_int_equal(*(u32 *)(fx.ram + FX_STACK - 12), FX_STACK - 4);
    assert_int_equal(FX(&fx, 0xc9), -1); /* leave */
    assert_int_equal(GPR(RSP), FX_STACK);
    assert_int_equal(GPR(RBP), 0x30000);
    GPR(RSP) = FX_STACK - 8;
    *(u32 *)(fx.ram + FX_STACK - 8) = 0xabcd;
    assert_int_equal(FX(&fx, 0x8f, 0x04, 0x24), -1); /* pop dword [esp] */
    assert_int_equal(*(u32 *)(fx.ram + FX_STACK - 4), 0xabcd);
    assert_int_equal(GPR(RSP), FX_STACK - 4);
}

static void test_limit(void **state)
{
    fx_mode(&fx, FX_REAL);
    GPR(RBX) = 0xffff;
    assert_int_equal(FX(&fx, 0x8b, 0x07), EXC_GP); /* mov ax, [bx] */
    assert_int_equal(FX(&fx, 0x8a, 0x07), -1);     /* mov al, [bx] */
    fx.cpu->s.rip = 0xfff0;
    assert_int_equal(FX(&fx, 0xeb, 0x20), -1); /* jmp wraps at 64 KiB */
    assert_int_equal(fx.cpu->s.rip, 0x12);
    fx.cpu->s.rip = 0x100;
    assert_int_equal(FX(&fx, 0x66, 0xe9, 0x00, 0x00, 0x01, 0x00), EXC_GP);
}

static void test_decimal(void **state)
{
    fx_mode(&fx, FX_PROT32);
    for (unsigned a = 0; a < 100; a++) {
        for (unsigned b = 0; b < 100; b++) {
            GPR(RAX) = a / 10 << 4 | a % 10;
            GPR(RBX) = b / 10 << 4 | b % 10;
            FX(&fx, 0x00, 0xd8); /* add al, bl */
            FX(&fx, 0x27);       /* daa */
            unsigned v = (a + b) % 100;
            assert_int_equal(GPR(RAX), v / 10 << 4 | v % 10);
            assert_int_equal(flag(FLAG_CF), a + b >= 100);
            GPR(RAX) = a / 10 << 4 | a % 10;
            FX(&fx, 0x28, 0xd8); /* sub al, bl */
            FX(&fx, 0x2f);       /* das */
            v = (a + 100 - b) % 100;
            assert_int_equal(GPR(RAX), v / 10 << 4 | v % 10);
            assert_int_equal(flag(FLAG_CF), a < b);
        }
    }
    GPR(RAX) = 0x0123;
    assert_int_equal(FX(&fx, 0xd4, 0x00), EXC_DE); /* aam 0 */
    assert_int_equal(FX(&fx, 0xd4, 0x0a), -1);
    assert_int_equal(GPR(RAX), 0x0305);
    assert_int_equal(FX(&fx, 0xd5, 0x0a), -1); /* aad */
    assert_int_equal(GPR(RAX), 35);
}

/*
 * The processor itself runs the instructions that 64-bit mode has not got, in a compatibility-mode
 * code segment: Linux keeps one at selector 0x23.  All addresses are below 4 GiB.
 */
struct compat {
    u32 eax, eflags;
    u64 rsp;
    u32 target;
    u16 cs;
};

static u8 *put(u8 *p, const void *b, unsigned n)
{
    memcpy(p, b, n);
    return p + n;
}

static u8 *put32(u8 *p, const void *at)
{
    u32 v = (u32)(uintptr_t)at;
    return put(p, &v, 4);
}

#define PUT(p, ...) p = put(p, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static void compat_run(u8 *low, const u8 *insn, unsigned len)
{
    struct compat *d = (struct compat *)low;
    u8 *p = low + 64;
    PUT(p, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); /* push rbx ... r15 */
    PUT(p, 0x48, 0x89, 0x24, 0x25);                                     /* mov [rsp], rsp */
    p = put32(p, &d->rsp);
    PUT(p, 0xbc); /* mov esp, */
    p = put32(p, low + 4096);
    PUT(p, 0xb8, 0x2b, 0, 0, 0, 0x8e, 0xd8); /* ds = 0x2b */
    PUT(p, 0xff, 0x2c, 0x25);                /* jmp far [target] */
    p = put32(p, &d->target);
    d->target = (u32)(uintptr_t)p;
    d->cs = 0x23;
    PUT(p, 0xff, 0x35); /* push dword [eflags] */
    p = put32(p, &d->eflags);
    PUT(p, 0x9d, 0xa1); /* popfd; mov eax, [eax] */
    p = put32(p, &d->eax);
    p = put(p, insn, len);
    PUT(p, 0xa3); /* mov [eax], eax */
    p = put32(p, &d->eax);
    PUT(p, 0x9c, 0x8f, 0x05); /* pushfd; pop [eflags] */
    p = put32(p, &d->eflags);
    PUT(p, 0xea); /* jmp far 0x33: */
    p = put32(p, p + 6);
    PUT(p, 0x33, 0);
    PUT(p, 0x48, 0x8b, 0x24, 0x25); /* mov rsp, [rsp] */
    p = put32(p, &d->rsp);
    PUT(p, 0x31, 0xc0, 0x8e, 0xd8); /* ds = 0 */
    PUT(p, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
    ((void (*)(void))(void *)(low + 64))();
}

static void test_decimal_native(void **state)
{
    static const u8 code[][2] = {{0x27},     {0x2f},    {0x37},     {0x3f},
                                 {0xd4, 10}, {0xd4, 7}, {0xd5, 10}, {0xd5, 0x85}};
    u8 *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    struct compat *d = (struct compat *)low;
    assert_ptr_not_equal(low, MAP_FAILED);
    fx_mode(&fx, FX_PROT32);
    for (unsigned ax = 0; ax < 0x10000; ax += 0x1d) {
        for (unsigned k = 0; k < 8 * ARRAY_SIZE(code); k++) {
            const u8 *insn = code[k / 8];
            unsigned len = insn[0] >= 0xd4 ? 2 : 1;
            u32 f = 0x202 | (k & 1 ? FLAG_CF : 0) | (k & 2 ? FLAG_AF : 0) | (k & 4 ? 0x8c4 : 0);
            d->eax = ax;
            d->eflags = f;
            compat_run(low, insn, len);
            GPR(RAX) = ax;
            fx.cpu->s.rflags = f;
            assert_int_equal(fx_bytes(&fx, insn, len), -1);
            assert_int_equal(GPR(RAX), d->eax);
            assert_int_equal(fx.cpu->s.rflags & FLAGS_ARITH, d->eflags & FLAGS_ARITH);
        }
    }
    munmap(low, 4096);
}

/* What a byte-by-byte copy gives, for every small overlap and over a page's end. */
static void test_movs(void **state)
{
    u8 want[0x3000];
    fx_mode(&fx, FX_LONG);
    for (int delta = -20; delta <= 20; delta++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            u8 *ram = fx.ram + 0x10000;
            for (unsigned n = 0; n < sizeof(want); n++)
                want[n] = ram[n] = (u8)(n * 7 + (n >> 8));
            unsigned src = 0x0f00, dst = src + (unsigned)delta, count = 0x1800 / size;
            for (unsigned n = 0; n < count; n++) {
                u8 elem[8];
                memcpy(elem, want + src + n * size, size);
                memcpy(want + dst + n * size, elem, size);
            }
            GPR(RSI) = 0x10000 + src;
            GPR(RDI) = 0x10000 + dst;
            GPR(RCX) = count;
            if (size == 1)
                assert_int_equal(FX(&fx, 0xf3, 0xa4), -1);
            else if (size == 2)
                assert_int_equal(FX(&fx, 0xf3, 0x66, 0xa5), -1);
            else if (size == 4)
                assert_int_equal(FX(&fx, 0xf3, 0xa5), -1);
            else
                assert_int_equal(FX(&fx, 0xf3, 0x48, 0xa5), -1);
            assert_int_equal(GPR(RCX), 0);
            assert_int_equal(GPR(RSI), 0x10000 + src + count * size);
            assert_memory_equal(ram, want, sizeof(want));
        }
    }
}

static void test_string_fault(void **state)
{
    fx_mode(&fx, FX_LONG);
    GPR(RDI) = FX_RAM - 0x1008; /* what lies behind RAM is not mapped */
    GPR(RCX) = 0x400;
    GPR(RAX) = 0x1122334455667788;
    assert_int_equal(FX(&fx, 0xf3, 0x48, 0xab), EXC_PF); /* rep stosq */
    assert_int_equal(GPR(RDI), FX_RAM);
    assert_int_equal(GPR(RCX), 0x400 - 0x201);
    assert_int_equal(fx.cpu->s.cr2, FX_RAM);
    assert_int_equal(fx.cpu->s.rip, FX_CODE);
    assert_int_equal(*(u64 *)(fx.ram + FX_RAM - 8), GPR(RAX));
}

static void test_string_event(void **state)
{
    fx_mode(&fx, FX_LONG);
    fx.vcpu.events = VCPU_INTR;
    GPR(RDI) = 0x10000;
    GPR(RCX) = 0x8000;
    unsigned turns = 0;
    do {
        u64 before = GPR(RCX);
        assert_int_equal(FX(&fx, 0xf3, 0xaa), -1); /* rep stosb */
        assert_true(GPR(RCX) < before);
        turns++;
    } while (fx.cpu->s.rip == FX_CODE);
    assert_int_equal(GPR(RCX), 0);
    assert_true(turns > 1 && turns < 100);
    fx.vcpu.events = 0;
}

static void test_scan(void **state)
{
    fx_mode(&fx, FX_LONG);
    memset(fx.ram + 0x10000, 'a', 3000);
    fx.ram[0x10000 + 2500] = 0;
    GPR(RDI) = 0x10000;
    GPR(RCX) = UINT64_MAX;
    GPR(RAX) = 0;
    assert_int_equal(FX(&fx, 0xf2, 0xae), -1); /* repne scasb */
    assert_int_equal(GPR(RDI), 0x10000 + 2501);
    assert_true(flag(FLAG_ZF));
    GPR(RSI) = 0x10000;
    GPR(RDI) = 0x10001;
    GPR(RCX) = 3000;
    assert_int_equal(FX(&fx, 0xf3, 0xa6), -1); /* repe cmpsb */
    assert_int_equal(GPR(RSI), 0x10000 + 2500);
    assert_false(flag(FLAG_ZF));
    GPR(RCX) = 0;
    assert_int_equal(FX(&fx, 0xf3, 0xa6), -1); /* no turn at all */
    assert_false(flag(FLAG_ZF));
}

/* The address size wraps inside the segment. */
static void test_string_wrap(void **state)
{
    fx_mode(&fx, FX_REAL);
    memset(fx.ram, 0, 0x10000);
    GPR(RDI) = 0xfff0;
    GPR(RCX) = 0x20;
    GPR(RAX) = 0x55;
    assert_int_equal(FX(&fx, 0xf3, 0xaa), -1);
    assert_int_equal(GPR(RDI), 0x10);
    assert_int_equal(fx.ram[0xffff], 0x55);
    assert_int_equal(fx.ram[0x0f], 0x55);
    assert_int_equal(fx.ram[0x10], 0);
}

static u64 port_value;

static u64 on_read(void *opaque, u64 off, unsigned size)
{
    return port_value++ & 0xff;
}

static void on_write(void *opaque, u64 off, unsigned size, u64 v)
{
    port_value = v << 8 | size;
}

static void test_ports(void **state)
{
    static const struct region_ops ops = {.read = on_read, .write = on_write};
    struct region r = {.name = "port", .size = 4, .ops = &ops};
    fx_mode(&fx, FX_LONG);
    assert_int_equal(bus_map(&fx.vm.pio, &r, 0x300), 0);
    GPR(RDX) = 0x300;
    GPR(RAX) = 0x12345678;
    assert_int_equal(FX(&fx, 0x66, 0xef), -1); /* out dx, ax */
    assert_int_equal(port_value, 0x567802);
    port_value = 0x41;
    GPR(RDI) = 0x10000;
    GPR(RCX) = 4;
    assert_int_equal(FX(&fx, 0xf3, 0x6c), -1); /* rep insb */
    assert_memory_equal(fx.ram + 0x10000, "ABCD", 4);
    /* A page that cannot be written: the port is not read. */
    port_value = 0x41;
    GPR(RDI) = FX_RAM;
    assert_int_equal(FX(&fx, 0x6c), EXC_PF);
    assert_int_equal(port_value, 0x41);
    bus_unmap(&fx.vm.pio, &r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alu),          cmocka_unit_test(test_split_lock),
        cmocka_unit_test(test_divide),       cmocka_unit_test(test_bit_string),
        cmocka_unit_test(test_stack32),      cmocka_unit_test(test_limit),
        cmocka_unit_test(test_decimal),      cmocka_unit_test(test_decimal_native),
        cmocka_unit_test(test_movs),         cmocka_unit_test(test_string_fault),
        cmocka_unit_test(test_string_event), cmocka_unit_test(test_scan),
        cmocka_unit_test(test_string_wrap),  cmocka_unit_test(test_ports),
    };
    return cmocka_run_group_tests_name("exec", tests, setup, teardown);
}
