/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS: the anchor's checksums, and a walk over the structures.
 */
#include "base/endian.h"
#include "board/smbios.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static u8 sum(const u8 *p, unsigned n)
{
    u8 s = 0;
    while (n--)
        s += *p++;
    return s;
}

static void check(u64 memory, u64 below, unsigned cpus)
{
    static const u8 uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    struct smbios_config c = {"a machine", uuid, cpus, memory, below};
    struct smbios_tables t;
    unsigned n = 0, largest = 0;
    bool seen[128] = {false};
    smbios_build(&t, &c);
    smbios_relocate(&t, 0xf0100);
    assert_int_equal(sum(t.anchor, SMBIOS_ANCHOR_SIZE), 0);
    assert_int_equal(sum(t.anchor + 16, 15), 0);
    assert_int_equal(le32_get(t.anchor + 24), 0xf0100);
    const u8 *p = t.data;
    while (p < t.data + t.len) {
        const u8 *start = p;
        seen[p[0]] = true;
        if (p[0] == 1)
            assert_memory_equal(p + 8, "\4\3\2\1\6\5\10\7\11\12\13\14\15\16\17\20", 16);
        p += p[1];
        while (p[0] || p[1])
            p++;
        p += 2;
        n++;
        if ((unsigned)(p - start) > largest)
            largest = (unsigned)(p - start);
    }
    assert_ptr_equal(p, t.data + t.len);
    assert_int_equal(le16_get(t.anchor + 28), n);
    assert_int_equal(le16_get(t.anchor + 8), largest);
    assert_int_equal(le16_get(t.anchor + 22), t.len);
    static const u8 types[] = {0, 1, 3, 4, 16, 17, 19, 32, 127};
    for (unsigned i = 0; i < sizeof(types); i++)
        assert_true(seen[types[i]]);
}

static void test_tables(void **state)
{
    check(512 * MIB, 512 * MIB, 1);
    check(8 * GIB, 3 * GIB, 64);
    check(1024 * GIB, 3 * GIB, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
