/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which code may be executed as it is (src/direct/screen.c). */
#include "direct/screen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants these first. */
#include <cmocka.h>

enum { PAGE = 4096, REFUSED = -1 };

struct bytes {
    const char *name;
    u8 len;
    u8 b[10];
};

/* Refused wherever they are. */
static const struct bytes host[] = {
    {"cpuid", 2, {0x0f, 0xa2}},
    {"sysenter", 2, {0x0f, 0x34}},
    {"xgetbv", 3, {0x0f, 0x01, 0xd0}},
    {"vmcall", 3, {0x0f, 0x01, 0xc1}},
    {"vmmcall", 3, {0x0f, 0x01, 0xd9}},
    {"vmfunc", 3, {0x0f, 0x01, 0xd4}},
    {"enclu", 3, {0x0f, 0x01, 0xd7}},
    {"rdpru", 3, {0x0f, 0x01, 0xfd}},
    {"rdrand eax", 3, {0x0f, 0xc7, 0xf0}},
    {"rdrand edi", 3, {0x0f, 0xc7, 0xf7}},
    {"rdseed eax", 3, {0x0f, 0xc7, 0xf8}},
    {"rdseed edi", 3, {0x0f, 0xc7, 0xff}},
    {"rdpid r9", 5, {0xf3, 0x41, 0x0f, 0xc7, 0xf9}},
};

/* Stopped at where they are instructions. */
static const struct bytes stopped[] = {
    {"sldt eax", 3, {0x0f, 0x00, 0xc0}},
    {"sldt [rax]", 3, {0x0f, 0x00, 0x00}},
    {"str ecx", 3, {0x0f, 0x00, 0xc9}},
    {"verr dx", 3, {0x0f, 0x00, 0xe2}},
    {"verw [rsp]", 4, {0x0f, 0x00, 0x2c, 0x24}},
    {"sgdt [rax]", 3, {0x0f, 0x01, 0x00}},
    {"sidt [rax]", 3, {0x0f, 0x01, 0x08}},
    {"sidt [rip]", 7, {0x0f, 0x01, 0x0d, 1, 2, 3, 4}},
    {"smsw eax", 3, {0x0f, 0x01, 0xe0}},
    {"smsw [rbx]", 3, {0x0f, 0x01, 0x23}},
    {"lar eax, ecx", 3, {0x0f, 0x02, 0xc1}},
    {"lsl eax, [rsp]", 4, {0x0f, 0x03, 0x04, 0x24}},
    {"xsave [rdi]", 3, {0x0f, 0xae, 0x27}},
    {"xsaveopt [rdi]", 3, {0x0f, 0xae, 0x37}},
    {"xsavec [rsp + 64]", 5, {0x0f, 0xc7, 0x64, 0x24, 0x40}},
    {"int 0x80", 2, {0xcd, 0x80}},
    {"int 4", 2, {0xcd, 0x04}},
};

/* Nobody's business. */
static const struct bytes harmless[] = {
    {"syscall", 2, {0x0f, 0x05}},
    {"rdtsc", 2, {0x0f, 0x31}},
    {"rdtscp", 3, {0x0f, 0x01, 0xf9}},
    {"int3", 1, {0xcc}},
    {"int 3", 2, {0xcd, 0x03}},
    {"ud2", 2, {0x0f, 0x0b}},
    {"hlt", 1, {0xf4}},
    {"lldt ax", 3, {0x0f, 0x00, 0xd0}},
    {"lgdt [rax]", 3, {0x0f, 0x01, 0x10}},
    {"invlpg [rax]", 3, {0x0f, 0x01, 0x38}},
    {"swapgs", 3, {0x0f, 0x01, 0xf8}},
    {"clac", 3, {0x0f, 0x01, 0xca}},
    {"fxsave [rax]", 3, {0x0f, 0xae, 0x00}},
    {"ldmxcsr [rax]", 3, {0x0f, 0xae, 0x10}},
    {"xrstor [rax]", 3, {0x0f, 0xae, 0x28}},
    {"mfence", 3, {0x0f, 0xae, 0xf0}},
    {"sfence", 3, {0x0f, 0xae, 0xf8}},
    {"wrfsbase rax", 5, {0xf3, 0x48, 0x0f, 0xae, 0xd0}},
    {"cmpxchg8b [rax]", 3, {0x0f, 0xc7, 0x08}},
    {"cmpxchg16b [rdi]", 4, {0x48, 0x0f, 0xc7, 0x0f}},
    {"jo far ahead", 6, {0x0f, 0x80, 0xa2, 0x34, 0, 0}},
    {"bt", 3, {0x0f, 0xa3, 0xc1}},
    {"push fs", 2, {0x0f, 0xa0}},
};

/* How many stops a page has; nothing is known of it. */
static int screen_whole(const u8 *page, u16 site[SCREEN_SITES])
{
    struct screened s;

    if (!screen_page(page, NULL, 0, &s))
        return REFUSED;
    assert_int_equal(s.npatches, 0);
    memcpy(site, s.site, sizeof(s.site));
    return (int)s.nsites;
}

/* A page of `fill` with x at `at`, as far as it goes. */
static int screen(u8 fill, const struct bytes *x, unsigned at, u16 site[SCREEN_SITES])
{
    static u8 page[PAGE];

    memset(page, fill, PAGE);
    for (unsigned i = 0; i < x->len && at + i < PAGE; i++)
        page[at + i] = x->b[i];
    return screen_whole(page, site);
}

static void expect(int got, int wanted, const char *name, unsigned at)
{
    if (got != wanted)
        fail_msg("%s at %#x: %d instead of %d", name, at, got, wanted);
}

static const unsigned places[] = {1, 2, 5, 15, 60, 61, 1000, 2047, 4000, 4080};

static void test_nothing(void **state)
{
    static const u8 fills[] = {0x00, 0x90, 0xcc, 0xf4, 0xff, 0x48, 0xc3};
    static u8 page[PAGE];
    u16 site[SCREEN_SITES];

    for (unsigned i = 0; i < ARRAY_SIZE(fills); i++) {
        memset(page, fills[i], PAGE);
        expect(screen_whole(page, site), 0, "a page of one byte", fills[i]);
    }
}

static void test_host(void **state)
{
    static const u8 prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x40, 0x48, 0x4f,
                                  0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
    u16 site[SCREEN_SITES];

    for (unsigned k = 0; k < ARRAY_SIZE(host); k++) {
        const struct bytes *x = &host[k];
        for (unsigned at = 0; at + x->len <= PAGE; at++)
            expect(screen(0x90, x, at, site), REFUSED, x->name, at);
        for (unsigned p = 0; p < ARRAY_SIZE(prefixes); p++) {
            struct bytes with = {x->name, x->len + 1, {prefixes[p]}};
            memcpy(with.b + 1, x->b, x->len);
            expect(screen(0x90, &with, 100, site), REFUSED, x->name, prefixes[p]);
        }
        /* the constant of mov eax or rax, a displacement, a pile of nothing */
        struct bytes in = {x->name, x->len + 1, {0xb8}};
        memcpy(in.b + 1, x->b, x->len);
        expect(screen(0x90, &in, 500, site), REFUSED, x->name, 500);
        in.b[0] = 0xe8;
        expect(screen(0x90, &in, 500, site), REFUSED, x->name, 500);
        expect(screen(0x00, x, 500, site), REFUSED, x->name, 500);
        expect(screen(0xff, x, 501, site), REFUSED, x->name, 501);
    }
}

/* What begins in the page before, or goes on in the next one. */
static void test_edges(void **state)
{
    u16 site[SCREEN_SITES];

    for (unsigned k = 0; k < ARRAY_SIZE(host); k++) {
        const struct bytes *x = &host[k];
        unsigned op = x->b[0] == 0x0f ? 0 : 2; /* where the 0F is */
        struct bytes tail = {x->name, (u8)(x->len - op - 1), {0}};
        memcpy(tail.b, x->b + op + 1, tail.len);
        expect(screen(0x90, &tail, 0, site), REFUSED, x->name, 0);
        /* of three bytes two are there: the third may be anything */
        if (x->len - op == 3)
            expect(screen(0x90, x, PAGE - op - 2, site), REFUSED, x->name, PAGE - 2);
    }
    /* an 0F alone at the end: the next page is what says no */
    const struct bytes end = {"0f", 1, {0x0f}};
    expect(screen(0x90, &end, PAGE - 1, site), 0, "0f", PAGE - 1);
}

static void test_stopped(void **state)
{
    u16 site[SCREEN_SITES];

    for (unsigned k = 0; k < ARRAY_SIZE(stopped); k++) {
        const struct bytes *x = &stopped[k];
        for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
            expect(screen(0x90, x, places[i], site), 1, x->name, places[i]);
            assert_int_equal(site[0], places[i]);
        }
        expect(screen(0x90, x, 0, site), REFUSED, x->name, 0); /* a prefix may be in front */
        struct bytes rex = {x->name, x->len + 1, {0x48}};
        memcpy(rex.b + 1, x->b, x->len);
        expect(screen(0x90, &rex, 300, site), REFUSED, x->name, 300);
        rex.b[0] = 0x66;
        expect(screen(0x90, &rex, 300, site), REFUSED, x->name, 300);
    }
}

/* In constants of ordinary code the same bytes are none. */
static void test_constants(void **state)
{
    static u8 page[PAGE];
    u16 site[SCREEN_SITES];
    unsigned at = 0;

    memset(page, 0x90, PAGE);
    while (at + 16 < PAGE) { /* movl $0x0f, 8(%rbx); mov $0x000f, %eax; and $0xf, %edx */
        static const u8 code[] = {0xc7, 0x43, 0x08, 0x0f, 0x00, 0x00, 0x00, 0xb8,
                                  0x0f, 0x00, 0x00, 0x00, 0x83, 0xe2, 0x0f, 0xc3};
        memcpy(page + at, code, sizeof(code));
        at += sizeof(code);
    }
    assert_int_equal(screen_whole(page, site), 0);
    for (unsigned k = 0; k < ARRAY_SIZE(stopped); k++) {
        if (stopped[k].len > 4)
            continue;
        memset(page, 0x90, PAGE);
        for (at = 16; at + 32 < PAGE; at += 32) {
            page[at] = 0xb8; /* mov $..., %eax */
            memset(page + at + 1, 0, 4);
            memcpy(page + at + 1, stopped[k].b, stopped[k].len);
        }
        expect(screen_whole(page, site), 0, stopped[k].name, 1);
    }
    for (unsigned k = 0; k < ARRAY_SIZE(harmless); k++)
        for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
            expect(screen(0x90, &harmless[k], places[i], site), 0, harmless[k].name, places[i]);
}

static void test_many(void **state)
{
    static u8 page[PAGE];
    u16 site[SCREEN_SITES];

    memset(page, 0x90, PAGE);
    for (unsigned n = 1; n <= SCREEN_SITES; n++) {
        page[n * 512] = 0xcd;
        page[n * 512 + 1] = 0x80;
        expect(screen_whole(page, site), (int)n, "int 0x80", n);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(site[i], (i + 1) * 512);
    }
    memcpy(page + 100, "\x0f\x03\xc0", 3);
    assert_int_equal(screen_whole(page, site), REFUSED);
    memset(page + 512, 0x90, 2);
    expect(screen_whole(page, site), SCREEN_SITES, "lsl and int 0x80", 100);
    assert_int_equal(site[0], 100);
    memcpy(page + 4000, "\x0f\xa2", 2);
    assert_int_equal(screen_whole(page, site), REFUSED);
}

/* CPUID and XGETBV that were executed: UD2 in a copy. */
static void test_patches(void **state)
{
    static u8 page[PAGE], copy[PAGE];
    const u16 known[] = {100, 200, 300};
    struct screened s;

    memset(page, 0x90, PAGE);
    memcpy(page + 100, "\x0f\xa2", 2);
    memcpy(page + 200, "\x0f\x01\xd0", 3);
    memcpy(page + 400, "\xcd\x80", 2);
    assert_false(screen_page(page, NULL, 0, &s));
    assert_false(screen_page(page, known, 1, &s));
    assert_false(screen_page(page, known + 1, 2, &s));
    assert_true(screen_page(page, known, 3, &s)); /* at 300 there is none any more */
    assert_int_equal(s.npatches, 2);
    assert_int_equal(s.nsites, 1);
    assert_int_equal(s.site[0], 400);
    memcpy(copy, page, PAGE);
    screen_patch(copy, &s);
    assert_memory_equal(copy + 99, "\x90\x0f\x0b\x90", 4);
    assert_memory_equal(copy + 199, "\x90\x0f\x0b\xd0\x90", 5);
    assert_true(screen_page(copy, NULL, 0, &s));
    /* the bytes of one in a constant are not to be written over, whoever jumped there */
    memset(page + 99, 0x90, 400);
    for (unsigned at = 20; at < 280; at += 5) {
        page[at] = 0xb8;
        memset(page + at + 1, 0x11, 4);
    }
    memcpy(page + 101, "\x0f\xa2", 2);
    assert_false(screen_page(page, (const u16[]){101}, 1, &s));
    /* nor what begins in another page */
    memset(page, 0x90, PAGE);
    memcpy(page + PAGE - 2, "\x0f\x01", 2);
    assert_false(screen_page(page, (const u16[]){PAGE - 2}, 1, &s));
    page[PAGE - 2] = 0x90;
    page[0] = 0xa2;
    assert_false(screen_page(page, (const u16[]){0}, 1, &s));
    /* more than there is room for */
    u16 many[SCREEN_PATCHES + 1];
    memset(page, 0x90, PAGE);
    for (unsigned i = 0; i <= SCREEN_PATCHES; i++) {
        many[i] = (u16)(64 + 64 * i);
        memcpy(page + many[i], "\x0f\xa2", 2);
    }
    assert_false(screen_page(page, many, SCREEN_PATCHES + 1, &s));
    page[many[3]] = 0x90;
    page[many[3] + 1] = 0x90;
    assert_true(screen_page(page, many, SCREEN_PATCHES + 1, &s));
    assert_int_equal(s.npatches, SCREEN_PATCHES);
}

/* Whatever the bytes are: an answer, the places in order, and no CPUID passes. */
static void test_noise(void **state)
{
    static u8 page[PAGE];
    u16 site[SCREEN_SITES];
    u64 x = 88172645463325252ull;

    for (unsigned n = 0; n < 300; n++) {
        for (unsigned i = 0; i < PAGE; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            page[i] = n & 1 ? (u8)x : (u8[]){0x0f, 0x01, 0xcd, 0x90, 0xc7, 0x66, 0xae, 0x00}[x & 7];
        }
        int r = screen_whole(page, site);
        assert_in_range(r + 1, 0, SCREEN_SITES + 1);
        for (int i = 1; i < r; i++)
            assert_true(site[i - 1] < site[i]);
        for (unsigned i = 0; i + 1 < PAGE && r >= 0; i++)
            assert_false(page[i] == 0x0f && (page[i + 1] == 0xa2 || page[i + 1] == 0x34));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),   cmocka_unit_test(test_host),
        cmocka_unit_test(test_edges),     cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_constants), cmocka_unit_test(test_many),
        cmocka_unit_test(test_patches),   cmocka_unit_test(test_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
