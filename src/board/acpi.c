/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables of the PC, after ACPI 6.4 and, where old guests would trip over more, ACPI 2.0:
 * RSDP, RSDT, XSDT, FADT (revision 3), FACS, DSDT (dsdt.asl), an SSDT with the processors, MADT,
 * HPET, WAET.
 *
 * The tables are built with offsets where pointers belong, and with a list of those places, so that
 * either firmware (through fw_cfg's etc/table-loader) or the board can put them anywhere.
 * Checksums, too, are left to whoever relocates.
 */
#include "board/acpi.h"
#include "base/endian.h"
#include "board/dsdt.h"
#include "board/pc_map.h"
#include "dev/hpet.h"
#include "dev/piix4_pm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ACPI_ROOM = 32 << 10, HEADER = 36 };

/* Generic address structure: space 0 memory, 1 I/O. */
enum { GAS_SIZE = 12, GAS_MEM = 0, GAS_IO = 1 };

static void gas_put(u8 *p, u8 space, u8 bits, u8 access, u64 addr)
{
    p[0] = space;
    p[1] = bits;
    p[2] = 0;
    p[3] = access;
    le64_put(p + 4, addr);
}

static void add_fixup(struct acpi_tables *t, u32 at, u8 size, bool in_rsdp)
{
    BUG_ON(t->nfixups == ACPI_FIXUPS_MAX);
    t->fixup[t->nfixups++] = (struct acpi_fixup){at, size, in_rsdp};
}

static void add_sum(struct acpi_tables *t, u32 at, u32 start, u32 len, bool in_rsdp)
{
    BUG_ON(t->nsums == ACPI_FIXUPS_MAX);
    t->sum[t->nsums++] = (struct acpi_checksum){at, start, len, in_rsdp};
}

/* Begins a table at the end; returns its offset. */
static u32 begin(struct acpi_tables *t, const char *sig, u8 revision)
{
    u32 at = t->len = (u32)align_up(t->len, 16);
    u8 *h = t->data + at;
    memcpy(h, sig, 4);
    h[8] = revision;
    memcpy(h + 10, "WIRT  WIRTPC  ", 14);
    le32_put(h + 24, 1);
    memcpy(h + 28, "WIRT", 4);
    le32_put(h + 32, 1);
    t->len += HEADER;
    return at;
}

static u8 *grow(struct acpi_tables *t, u32 n)
{
    u8 *p = t->data + t->len;
    BUG_ON(n > ACPI_ROOM - t->len);
    t->len += n;
    return p;
}

static void end(struct acpi_tables *t, u32 at)
{
    le32_put(t->data + at + 4, t->len - at);
    add_sum(t, at + 9, at, t->len - at, false);
}

/* Gives a Name()d DWord of the DSDT its value. */
static void patch_name(u8 *aml, u32 len, const char *name, u32 v)
{
    for (u32 i = HEADER; i + 10 <= len; i++) {
        if (aml[i] == 0x08 && !memcmp(aml + i + 1, name, 4) && aml[i + 5] == 0x0c) {
            le32_put(aml + i + 6, v);
            return;
        }
    }
    BUG_ON(true); /* dsdt.asl has lost the name */
}

static u32 build_dsdt(struct acpi_tables *t, const struct acpi_config *c)
{
    u32 at = t->len = (u32)align_up(t->len, 16);
    u8 *p = grow(t, sizeof(dsdt_aml));
    memcpy(p, dsdt_aml, sizeof(dsdt_aml));
    p[9] = 0; /* the checksum is made anew */
    patch_name(p, sizeof(dsdt_aml), "PMIN", (u32)c->pci_hole);
    patch_name(p, sizeof(dsdt_aml), "FLGS", c->floppy | ((1u << c->serials) - 1) << 1);
    add_sum(t, at + 9, at, sizeof(dsdt_aml), false);
    return at;
}

static u32 build_facs(struct acpi_tables *t)
{
    u32 at = t->len = (u32)align_up(t->len, 64);
    u8 *p = grow(t, 64);
    memcpy(p, "FACS", 4);
    le32_put(p + 4, 64);
    p[32] = 1; /* version */
    return at;
}

static u32 build_fadt(struct acpi_tables *t, u32 facs, u32 dsdt)
{
    enum {
        WBINVD = 1 << 0,
        PROC_C1 = 1 << 2,
        SLP_BUTTON = 1 << 5, /* there is no fixed sleep button */
        RTC_S4 = 1 << 7,
        RESET_REG_SUP = 1 << 10,
        LEGACY_DEVICES = 1 << 0,
        HAS_8042 = 1 << 1,
    };
    u32 at = begin(t, "FACP", 3);
    u8 *p = grow(t, 244 - HEADER) - HEADER;
    le32_put(p + 36, facs);
    le32_put(p + 40, dsdt);
    add_fixup(t, at + 36, 4, false);
    add_fixup(t, at + 40, 4, false);
    le16_put(p + 46, IRQ_SCI);
    le32_put(p + 48, PORT_SMI_CMD);
    p[52] = PIIX4_ACPI_ENABLE;
    p[53] = PIIX4_ACPI_DISABLE;
    le32_put(p + 56, PORT_PM_BASE + PIIX4_PM1A_EVT);
    le32_put(p + 64, PORT_PM_BASE + PIIX4_PM1A_CNT);
    le32_put(p + 76, PORT_PM_BASE + PIIX4_PM_TMR);
    le32_put(p + 80, PORT_PM_BASE + PIIX4_GPE0);
    p[88] = 4; /* lengths: PM1 event, PM1 control, timer, GPE0 */
    p[89] = 2;
    p[91] = 4;
    p[92] = 4;
    le16_put(p + 96, 0xfff); /* no C2, no C3 */
    le16_put(p + 98, 0xfff);
    p[108] = 0x32; /* century byte of the RTC */
    le16_put(p + 109, LEGACY_DEVICES | HAS_8042);
    le32_put(p + 112, WBINVD | PROC_C1 | SLP_BUTTON | RTC_S4 | RESET_REG_SUP);
    gas_put(p + 116, GAS_IO, 8, 1, PORT_RESET);
    p[128] = 0x06; /* a full reset */
    le64_put(p + 140, dsdt);
    add_fixup(t, at + 140, 8, false);
    gas_put(p + 148, GAS_IO, 32, 2, PORT_PM_BASE + PIIX4_PM1A_EVT);
    gas_put(p + 172, GAS_IO, 16, 2, PORT_PM_BASE + PIIX4_PM1A_CNT);
    gas_put(p + 208, GAS_IO, 32, 3, PORT_PM_BASE + PIIX4_PM_TMR);
    gas_put(p + 220, GAS_IO, 32, 1, PORT_PM_BASE + PIIX4_GPE0);
    end(t, at);
    return at;
}

static void madt_override(struct acpi_tables *t, u8 irq, u32 gsi, u16 flags)
{
    u8 *p = grow(t, 10);
    p[0] = 2;
    p[1] = 10;
    p[3] = irq;
    le32_put(p + 4, gsi);
    le16_put(p + 8, flags);
}

static void madt_processors(struct acpi_tables *t, unsigned cpus)
{
    for (unsigned i = 0; i < cpus; i++) {
        u8 *p = grow(t, 8);
        p[1] = 8;
        p[2] = (u8)i; /* processor ID, as the SSDT has it */
        p[3] = (u8)i; /* APIC ID */
        le32_put(p + 4, 1);
    }
}

static u32 build_madt(struct acpi_tables *t, const struct acpi_config *c)
{
    enum { PCAT_COMPAT = 1, LEVEL_HIGH = 0xd };
    static const u8 level_irqs[] = {5, IRQ_SCI, 10, 11};
    u32 at = begin(t, "APIC", 3);
    u8 *p = grow(t, 8);
    le32_put(p, (u32)MAP_LAPIC);
    le32_put(p + 4, PCAT_COMPAT);
    madt_processors(t, c->cpus);
    p = grow(t, 12);
    p[0] = 1;
    p[1] = 12;
    le32_put(p + 4, (u32)MAP_IOAPIC);
    madt_override(t, IRQ_PIT, 2, 0);
    for (unsigned i = 0; i < sizeof(level_irqs); i++)
        madt_override(t, level_irqs[i], level_irqs[i], LEVEL_HIGH);
    p = grow(t, 6); /* NMI at LINT1 of every processor */
    p[0] = 4;
    p[1] = 6;
    p[2] = 0xff;
    p[5] = 1;
    end(t, at);
    return at;
}

static u32 build_hpet(struct acpi_tables *t)
{
    u32 at = begin(t, "HPET", 1);
    u8 *p = grow(t, 56 - HEADER) - HEADER;
    le32_put(p + 36, HPET_ID);
    gas_put(p + 40, GAS_MEM, 0, 0, MAP_HPET);
    end(t, at);
    return at;
}

static u32 build_waet(struct acpi_tables *t)
{
    enum { RTC_GOOD = 1, PM_TIMER_GOOD = 2 };
    u32 at = begin(t, "WAET", 1);
    le32_put(grow(t, 4), RTC_GOOD | PM_TIMER_GOOD);
    end(t, at);
    return at;
}

/* Scope (\_SB) with Processor (Cnnn, n, 0, 0) for each: AML by hand, 13 bytes a processor. */
static u32 build_ssdt(struct acpi_tables *t, const struct acpi_config *c)
{
    enum { PROCESSOR = 13, SCOPE = 2 + 5 };
    u32 at = begin(t, "SSDT", 1);
    u32 body = SCOPE + c->cpus * PROCESSOR;
    u8 *p = grow(t, 1);
    p[0] = 0x10; /* ScopeOp; PkgLength of two bytes counts itself */
    p = grow(t, body);
    p[0] = (u8)(0x40 | (body & 0xf));
    p[1] = (u8)(body >> 4);
    memcpy(p + 2, "\\_SB_", 5);
    p += SCOPE;
    for (unsigned i = 0; i < c->cpus; i++, p += PROCESSOR) {
        static const char hex[] = "0123456789ABCDEF";
        p[0] = 0x5b; /* ProcessorOp */
        p[1] = 0x83;
        p[2] = PROCESSOR - 2;
        p[3] = 'C';
        p[4] = '0';
        p[5] = (u8)hex[i >> 4 & 15];
        p[6] = (u8)hex[i & 15];
        p[7] = (u8)i;
    }
    end(t, at);
    return at;
}

static u32 build_root(struct acpi_tables *t, const char *sig, u8 width, const u32 *tables,
                      unsigned n)
{
    u32 at = begin(t, sig, 1);
    for (unsigned i = 0; i < n; i++) {
        u8 *p = grow(t, width);
        le32_put(p, tables[i]);
        add_fixup(t, at + HEADER + i * width, width, false);
    }
    end(t, at);
    return at;
}

static void build_rsdp(struct acpi_tables *t, u32 rsdt, u32 xsdt)
{
    u8 *r = t->rsdp;
    memcpy(r, "RSD PTR ", 8);
    memcpy(r + 9, "WIRT  ", 6);
    r[15] = 2;
    le32_put(r + 16, rsdt);
    le32_put(r + 20, ACPI_RSDP_SIZE);
    le64_put(r + 24, xsdt);
    add_fixup(t, 16, 4, true);
    add_fixup(t, 24, 8, true);
    add_sum(t, 8, 0, 20, true);
    add_sum(t, 32, 0, ACPI_RSDP_SIZE, true);
}

static int start(struct acpi_tables *t, struct err *e)
{
    memset(t, 0, sizeof(*t));
    t->data = calloc(1, ACPI_ROOM);
    return t->data ? 0 : err_set(e, ENOMEM, "ACPI tables: out of memory");
}

int acpi_build(struct acpi_tables *t, const struct acpi_config *c, struct err *e)
{
    int r = start(t, e);
    if (r)
        return r;
    u32 facs = build_facs(t);
    u32 dsdt = build_dsdt(t, c);
    u32 list[5];
    list[0] = build_fadt(t, facs, dsdt);
    list[1] = build_madt(t, c);
    list[2] = build_ssdt(t, c);
    list[3] = build_hpet(t);
    list[4] = build_waet(t);
    u32 rsdt = build_root(t, "RSDT", 4, list, ARRAY_SIZE(list));
    u32 xsdt = build_root(t, "XSDT", 8, list, ARRAY_SIZE(list));
    build_rsdp(t, rsdt, xsdt);
    return 0;
}

/* Name (_S5, Package () {5, 0, 0, 0}) */
static u32 build_dsdt_reduced(struct acpi_tables *t)
{
    static const u8 s5[] = {0x08, '_', 'S', '5', '_', 0x12, 7, 4, 0x0a, 5, 0, 0, 0};
    u32 at = begin(t, "DSDT", 2);
    memcpy(grow(t, sizeof(s5)), s5, sizeof(s5));
    end(t, at);
    return at;
}

/* ACPI 5.0, 5.2.9: revision 5 */
static u32 build_fadt_reduced(struct acpi_tables *t, u32 dsdt, u16 ports)
{
    enum {
        SIZE = 268,
        WBINVD = 1 << 0,
        RESET_REG_SUP = 1 << 10,
        HW_REDUCED = 1 << 20,
        NO_VGA = 1 << 2,
        NO_CMOS_RTC = 1 << 5,
    };
    u32 at = begin(t, "FACP", 5);
    u8 *p = grow(t, SIZE - HEADER) - HEADER;
    le32_put(p + 40, dsdt);
    add_fixup(t, at + 40, 4, false);
    le16_put(p + 96, 0xfff); /* no C2, no C3 */
    le16_put(p + 98, 0xfff);
    le16_put(p + 109, NO_VGA | NO_CMOS_RTC);
    le32_put(p + 112, WBINVD | RESET_REG_SUP | HW_REDUCED);
    gas_put(p + 116, GAS_IO, 8, 1, ports + ACPI_RESET);
    p[128] = ACPI_RESET_VALUE;
    le64_put(p + 140, dsdt);
    add_fixup(t, at + 140, 8, false);
    gas_put(p + 244, GAS_IO, 8, 1, ports + ACPI_SLEEP_CONTROL);
    gas_put(p + 256, GAS_IO, 8, 1, ports + ACPI_SLEEP_STATUS);
    end(t, at);
    return at;
}

int acpi_build_reduced(struct acpi_tables *t, unsigned cpus, u16 ports, struct err *e)
{
    int r = start(t, e);
    if (r)
        return r;
    u32 dsdt = build_dsdt_reduced(t);
    u32 list[2] = {build_fadt_reduced(t, dsdt, ports)};
    list[1] = begin(t, "APIC", 3);
    le32_put(grow(t, 8), (u32)MAP_LAPIC);
    madt_processors(t, cpus);
    end(t, list[1]);
    u32 rsdt = build_root(t, "RSDT", 4, list, ARRAY_SIZE(list));
    u32 xsdt = build_root(t, "XSDT", 8, list, ARRAY_SIZE(list));
    build_rsdp(t, rsdt, xsdt);
    return 0;
}

void acpi_free(struct acpi_tables *t)
{
    free(t->data);
    t->data = NULL;
}

void acpi_relocate(struct acpi_tables *t, u64 gpa)
{
    for (unsigned i = 0; i < t->nfixups; i++) {
        const struct acpi_fixup *f = &t->fixup[i];
        u8 *p = (f->in_rsdp ? t->rsdp : t->data) + f->at;
        if (f->size == 8)
            le64_put(p, le64_get(p) + gpa);
        else
            le32_put(p, (u32)(le32_get(p) + gpa));
    }
    for (unsigned i = 0; i < t->nsums; i++) {
        const struct acpi_checksum *s = &t->sum[i];
        u8 *base = s->in_rsdp ? t->rsdp : t->data, sum = 0;
        for (u32 k = 0; k < s->len; k++)
            sum += base[s->start + k];
        base[s->at] -= sum;
    }
}

/* Commands of QEMU's hw/acpi/bios-linker-loader.c; file names of 56 bytes. */
u8 *acpi_loader_script(const struct acpi_tables *t, u32 *len)
{
    enum { ALLOCATE = 1, ADD_POINTER = 2, ADD_CHECKSUM = 3, ZONE_HIGH = 1, ZONE_FSEG = 2 };
    static const char tables[] = "etc/acpi/tables", rsdp[] = "etc/acpi/rsdp";
    u32 n = 2 + t->nfixups + t->nsums;
    u8 *script = calloc(n, ACPI_LOADER_ENTRY), *p = script;
    if (!script)
        return NULL;
    le32_put(p, ALLOCATE);
    strcpy((char *)p + 4, rsdp);
    le32_put(p + 60, 16);
    p[64] = ZONE_FSEG;
    p += ACPI_LOADER_ENTRY;
    le32_put(p, ALLOCATE);
    strcpy((char *)p + 4, tables);
    le32_put(p + 60, 64);
    p[64] = ZONE_HIGH;
    p += ACPI_LOADER_ENTRY;
    for (unsigned i = 0; i < t->nfixups; i++, p += ACPI_LOADER_ENTRY) {
        le32_put(p, ADD_POINTER);
        strcpy((char *)p + 4, t->fixup[i].in_rsdp ? rsdp : tables);
        strcpy((char *)p + 60, tables);
        le32_put(p + 116, t->fixup[i].at);
        p[120] = t->fixup[i].size;
    }
    for (unsigned i = 0; i < t->nsums; i++, p += ACPI_LOADER_ENTRY) {
        le32_put(p, ADD_CHECKSUM);
        strcpy((char *)p + 4, t->sum[i].in_rsdp ? rsdp : tables);
        le32_put(p + 60, t->sum[i].at);
        le32_put(p + 64, t->sum[i].start);
        le32_put(p + 68, t->sum[i].len);
    }
    *len = n * ACPI_LOADER_ENTRY;
    return script;
}
