/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder against libzydis over the code of programs that are installed, over the same bytes
 * taken for 32-bit and 16-bit code, and over random instructions.  What may differ and why is
 * listed in zydis_compare.c.
 *
 * Without arguments: the test.  With "bench": nanoseconds an instruction.  With hexadecimal bytes:
 * what both make of them in each mode.
 */
#include "zydis_compare.h"

#include "base/endian.h"
#include "cpu/ops.h"

#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { SHOWN = 40, RANDOM_EACH = 1500000 };

/* Differences found, the first of each kind shown. */
struct tally {
    u64 count, wrong;
    unsigned shown;
    char seen[SHOWN][96];
};

static void tell(struct tally *t, const u8 *p, size_t avail, enum code_mode mode, const char *why)
{
    t->wrong++;
    for (unsigned n = 0; n < t->shown; n++)
        if (!strcmp(t->seen[n], why))
            return;
    if (t->shown == SHOWN)
        return;
    snprintf(t->seen[t->shown++], sizeof(t->seen[0]), "%s", why);
    fprintf(stderr, "%2d bits:", mode * 8);
    for (size_t n = 0; n < min(avail, (size_t)INSN_MAX); n++)
        fprintf(stderr, " %02x", p[n]);
    fprintf(stderr, ": %s\n", why);
}

static void check(struct tally *t, const u8 *p, size_t avail, enum code_mode mode, unsigned *len)
{
    char buf[160];
    const char *why = zydis_compare(p, avail, mode, len, buf, sizeof(buf));
    t->count++;
    if (why)
        tell(t, p, avail, mode, why);
}

static void sweep(struct tally *t, const u8 *p, size_t size, enum code_mode mode)
{
    for (size_t at = 0; at < size;) {
        unsigned len;
        check(t, p + at, size - at, mode, &len);
        at += len;
    }
}

/* The .text section of an ELF file; NULL when there is none. */
static const u8 *map_text(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) || st.st_size < 4096) {
        close(fd);
        return NULL;
    }
    const u8 *m = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (m == MAP_FAILED)
        return NULL;
    const Elf64_Ehdr *eh = (const void *)m;
    if (!memcmp(m, ELFMAG, SELFMAG) && m[EI_CLASS] == ELFCLASS64) {
        const Elf64_Shdr *sh = (const void *)(m + eh->e_shoff);
        for (unsigned n = 0; n < eh->e_shnum; n++)
            if (!strcmp((const char *)m + sh[eh->e_shstrndx].sh_offset + sh[n].sh_name, ".text")) {
                *size = sh[n].sh_size;
                return m + sh[n].sh_offset;
            }
    }
    munmap((void *)m, st.st_size);
    return NULL;
}

static const char *const programs[] = {
    "/bin/bash",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/x86_64-linux-gnu/libm.so.6",
    "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "/usr/lib/x86_64-linux-gnu/libx264.so.164",
    "/usr/lib/x86_64-linux-gnu/libdav1d.so.6",
};

static void test_programs(void **state)
{
    struct tally t = {0};
    unsigned found = 0;
    for (unsigned n = 0; n < ARRAY_SIZE(programs); n++) {
        size_t size;
        const u8 *text = map_text(programs[n], &size);
        if (!text)
            continue;
        found++;
        sweep(&t, text, size, CODE64);
        size = min(size, (size_t)(512 * KIB));
        sweep(&t, text, size, CODE32);
        sweep(&t, text, size, CODE16);
    }
    print_message("%u programs, %llu instructions\n", found, (unsigned long long)t.count);
    assert_true(found > 0);
    assert_int_equal(t.wrong, 0);
}

static u64 rng(u64 *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s * 0x2545f4914f6cdd1dull;
}

/* Random bytes of which more than a few are instructions: prefixes, escapes, then anything. */
static void make_random(u8 *b, u64 *s)
{
    static const u8 prefix[] = {0x66, 0xf2, 0xf3, 0x67, 0x2e, 0x36,
                                0x26, 0x64, 0x65, 0xf0, 0x48, 0x43};
    u64 r = rng(s);
    unsigned n = 0;
    for (unsigned k = 0; k < INSN_MAX + 1; k += 8)
        le64_put(b + k, rng(s));
    for (unsigned k = r & 7 ? (r >> 3) % 4 : r >> 3 & 15; k && n < 12; k--)
        b[n++] = prefix[(r >> (8 + 4 * k)) % sizeof(prefix)];
    if (r >> 60 & 1)
        b[n++] = 0x40 | (r >> 40 & 15);
    switch (r >> 56 & 7) {
    case 0:
    case 1:
        b[n++] = 0x0f;
        break;
    case 2:
        b[n++] = 0x0f;
        b[n++] = r >> 55 & 1 ? 0x38 : 0x3a;
        break;
    case 3:
        b[n++] = 0xc4;
        b[n] = (b[n] & 0xe0) | (1 + (r >> 50) % 3) | (r >> 54 & 1 ? 0xe0 : 0);
        break;
    case 4:
        b[n++] = 0xc5;
        break;
    default:
        break;
    }
}

static void test_random(void **state)
{
    static const enum code_mode modes[] = {CODE16, CODE32, CODE64};
    struct tally t = {0};
    u64 seed = 0x9e3779b97f4a7c15ull;
    for (unsigned n = 0; n < RANDOM_EACH; n++) {
        u8 b[24];
        unsigned len;
        make_random(b, &seed);
        for (unsigned m = 0; m < ARRAY_SIZE(modes); m++)
            check(&t, b, n & 15 ? INSN_MAX + 1 : (n >> 4) % INSN_MAX, modes[m], &len);
    }
    print_message("%llu random instructions\n", (unsigned long long)t.count);
    assert_int_equal(t.wrong, 0);
}

/* What Zydis cannot say. */
static void test_limits(void **state)
{
    static const u8 nops[16] = {[0 ... 14] = 0x66, [15] = 0x90};
    struct insn i;
    assert_int_equal(decode(&i, nops, 16, CODE64), DECODE_TOO_LONG);
    assert_int_equal(decode(&i, nops + 1, 15, CODE64), DECODE_OK);
    assert_int_equal(i.len, 15);
    for (unsigned n = 0; n < 15; n++)
        assert_int_equal(decode(&i, nops + 1, n, CODE64), DECODE_MORE);
    assert_int_equal(decode(&i, NULL, 0, CODE64), DECODE_MORE);
}

/* Instructions as text. */
static void test_print(void **state)
{
    static const struct {
        enum code_mode mode;
        u8 bytes[12];
        const char *text;
    } cases[] = {
        {CODE64, {0x48, 0x01, 0x5c, 0x88, 0x10}, "add qword [rax+rcx*4+0x10], rbx"},
        {CODE64, {0xf0, 0x0f, 0xb1, 0x0f}, "lock cmpxchg dword [rdi], ecx"},
        {CODE64, {0x8b, 0x05, 0xf0, 0xff, 0xff, 0xff}, "mov eax, dword [rel 0xff6]"},
        {CODE64, {0xf3, 0x48, 0xa5}, "rep movs qword [es:rdi], qword [ds:rsi]"},
        {CODE64, {0x75, 0xfe}, "jne 0x1000"},
        {CODE64, {0xc5, 0xf5, 0xfe, 0x00}, "vpaddd ymm0, ymm1, yword [rax]"},
        {CODE32, {0x64, 0xa1, 0x18, 0, 0, 0}, "mov eax, dword [fs:0x18]"},
        {CODE32, {0xea, 0x78, 0x56, 0x34, 0x12, 0x08, 0x00}, "jmpf 0x8:0x12345678"},
        {CODE32, {0x83, 0xc4, 0xfc}, "add esp, 0xfffffffc"},
        {CODE16, {0x8a, 0x67, 0x04}, "mov ah, byte [bx+4]"},
        {CODE16, {0xcd, 0x10}, "int 0x10"},
        {CODE16, {0x0f, 0x22, 0xc0}, "movcr cr0, eax"},
    };
    for (unsigned n = 0; n < ARRAY_SIZE(cases); n++) {
        struct insn i;
        char text[128];
        assert_int_equal(decode(&i, cases[n].bytes, 12, cases[n].mode), DECODE_OK);
        insn_print(&i, 0x1000, text, sizeof(text));
        assert_string_equal(text, cases[n].text);
    }
}

static int bench(void)
{
    size_t size;
    const u8 *text = map_text("/bin/bash", &size);
    if (!text)
        return 1;
    struct timespec a, b;
    u64 count = 0;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    for (unsigned round = 0; round < 20; round++)
        for (size_t at = 0; at + 16 < size;) {
            struct insn i;
            at += decode(&i, text + at, size - at, CODE64) == DECODE_OK ? i.len : 1;
            count++;
        }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    printf("%.1f ns an instruction\n",
           ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / count);
    return 0;
}

static int show(int argc, char **argv)
{
    static const enum code_mode modes[] = {CODE16, CODE32, CODE64};
    u8 b[16] = {0};
    for (int n = 1; n < argc && n <= 15; n++)
        b[n - 1] = strtoul(argv[n], NULL, 16);
    for (unsigned m = 0; m < ARRAY_SIZE(modes); m++) {
        struct insn i;
        char text[128] = "", why[160];
        unsigned len;
        enum decode_result r = decode(&i, b, argc - 1, modes[m]);
        if (r == DECODE_OK)
            insn_print(&i, 0, text, sizeof(text));
        const char *w = zydis_compare(b, argc - 1, modes[m], &len, why, sizeof(why));
        printf("%d bits: result %d, %u bytes: %s; %s\n", modes[m] * 8, r, i.len, text,
               w ? w : "agreed");
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "bench"))
        return bench();
    if (argc > 1)
        return show(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
