/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables: signatures, lengths and checksums when placed; that the loader script does the same
 * as acpi_relocate(); that iasl disassembles each table without complaint.
 */
#include "base/endian.h"
#include "board/acpi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BASE = 0x7fe0000 };

static void build(struct acpi_tables *t, unsigned cpus)
{
    struct acpi_config c = {.cpus = cpus, .pci_hole = 0x8000000, .floppy = true, .serials = 2};
    assert_int_equal(acpi_build(t, &c, NULL), 0);
}

static u8 sum(const u8 *p, u32 n)
{
    u8 s = 0;
    while (n--)
        s += *p++;
    return s;
}

static const u8 *table(const struct acpi_tables *t, u64 gpa)
{
    assert_in_range(gpa, BASE, BASE + t->len - 1);
    return t->data + (gpa - BASE);
}

static void test_placed(void **state)
{
    for (unsigned cpus = 1; cpus <= 64; cpus += 21) {
        struct acpi_tables t;
        build(&t, cpus);
        acpi_relocate(&t, BASE);
        assert_memory_equal(t.rsdp, "RSD PTR ", 8);
        assert_int_equal(sum(t.rsdp, 20), 0);
        assert_int_equal(sum(t.rsdp, 36), 0);
        const u8 *xsdt = table(&t, le64_get(t.rsdp + 24)), *rsdt = table(&t, le32_get(t.rsdp + 16));
        assert_memory_equal(xsdt, "XSDT", 4);
        assert_memory_equal(rsdt, "RSDT", 4);
        u32 n = (le32_get(xsdt + 4) - 36) / 8;
        assert_int_equal(n, (le32_get(rsdt + 4) - 36) / 4);
        assert_int_equal(n, 5);
        for (u32 i = 0; i < n; i++) {
            u64 at = le64_get(xsdt + 36 + i * 8);
            assert_int_equal(at, le32_get(rsdt + 36 + i * 4));
            const u8 *p = table(&t, at);
            assert_int_equal(sum(p, le32_get(p + 4)), 0);
        }
        assert_int_equal(sum(xsdt, le32_get(xsdt + 4)), 0);
        assert_int_equal(sum(rsdt, le32_get(rsdt + 4)), 0);
        const u8 *fadt = table(&t, le64_get(xsdt + 36));
        assert_memory_equal(fadt, "FACP", 4);
        const u8 *dsdt = table(&t, le32_get(fadt + 40)), *facs = table(&t, le32_get(fadt + 36));
        assert_int_equal(le32_get(fadt + 40), le64_get(fadt + 140));
        assert_memory_equal(dsdt, "DSDT", 4);
        assert_int_equal(sum(dsdt, le32_get(dsdt + 4)), 0);
        assert_memory_equal(facs, "FACS", 4);
        assert_int_equal((facs - t.data) % 64, 0);
        acpi_free(&t);
    }
}

/* What firmware does with etc/table-loader. */
static void run_script(struct acpi_tables *t, const u8 *script, u32 len, u64 base)
{
    for (; len; script += ACPI_LOADER_ENTRY, len -= ACPI_LOADER_ENTRY) {
        const char *file = (const char *)script + 4;
        u8 *p = strcmp(file, "etc/acpi/rsdp") ? t->data : t->rsdp;
        u32 a, b, c;
        switch (le32_get(script)) {
        case 1:
            break;
        case 2:
            assert_string_equal((const char *)script + 60, "etc/acpi/tables");
            p += le32_get(script + 116);
            if (script[120] == 8)
                le64_put(p, le64_get(p) + base);
            else
                le32_put(p, (u32)(le32_get(p) + base));
            break;
        case 3:
            a = le32_get(script + 60);
            b = le32_get(script + 64);
            c = le32_get(script + 68);
            p[a] -= sum(p + b, c);
            break;
        default:
            fail();
        }
    }
}

static void test_script(void **state)
{
    struct acpi_tables a, b;
    u32 len;
    build(&a, 4);
    build(&b, 4);
    u8 *script = acpi_loader_script(&a, &len);
    assert_non_null(script);
    run_script(&a, script, len, BASE);
    acpi_relocate(&b, BASE);
    assert_memory_equal(a.rsdp, b.rsdp, ACPI_RSDP_SIZE);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    free(script);
    acpi_free(&a);
    acpi_free(&b);
}

static void test_iasl(void **state)
{
    struct acpi_tables t;
    char dir[] = "/tmp/wirt-acpi-XXXXXX", cmd[200], path[100];
    assert_non_null(mkdtemp(dir));
    build(&t, 64);
    acpi_relocate(&t, BASE);
    const u8 *xsdt = table(&t, le64_get(t.rsdp + 24));
    u32 n = (le32_get(xsdt + 4) - 36) / 8;
    for (u32 i = 0; i <= n; i++) {
        const u8 *p = i < n ? table(&t, le64_get(xsdt + 36 + i * 8))
                            : table(&t, le32_get(table(&t, le64_get(xsdt + 36)) + 40));
        snprintf(path, sizeof(path), "%s/t%u.aml", dir, i);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(p, 1, le32_get(p + 4), f), le32_get(p + 4));
        fclose(f);
        snprintf(cmd, sizeof(cmd),
                 "cd %s && iasl -d t%u.aml >log 2>&1 && ! grep -qi 'error\\|"
                 "incorrect\\|invalid' log",
                 dir, i);
        if (system(cmd)) {
            snprintf(cmd, sizeof(cmd), "cat %s/log", dir);
            system(cmd);
            fail_msg("table %u", i);
        }
    }
    snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
    assert_int_equal(system(cmd), 0);
    acpi_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placed),
        cmocka_unit_test(test_script),
        cmocka_unit_test(test_iasl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
