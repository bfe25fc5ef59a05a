/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS 2.8: BIOS, system, chassis, processors, memory (array, device, mapped address), boot
 * status, end.  The baseboard is left out, as is everything that would tell of the host.
 */
#include "board/smbios.h"
#include "base/endian.h"
#include "base/err.h"
#include "core/mem.h"

#include <stdio.h>
#include <string.h>

struct builder {
    struct smbios_tables *t;
    u16 handle;
    u16 count;
    u32 largest;
    u32 start; /* of the structure in hand */
    unsigned strings;
};

static u8 *begin(struct builder *b, u8 type, u8 len, u16 handle)
{
    BUG_ON(b->t->len + len > SMBIOS_MAX);
    b->start = b->t->len;
    u8 *p = b->t->data + b->t->len;
    p[0] = type;
    p[1] = len;
    le16_put(p + 2, handle);
    b->t->len += len;
    b->strings = 0;
    return p;
}

/* Adds a string to the structure in hand; returns its number. */
static u8 string(struct builder *b, const char *s)
{
    u32 n = (u32)strnlen(s, 64);
    if (!n)
        return 0;
    BUG_ON(b->t->len + n + 2 > SMBIOS_MAX);
    memcpy(b->t->data + b->t->len, s, n);
    b->t->len += n;
    b->t->data[b->t->len++] = 0;
    return (u8)++b->strings;
}

static void end(struct builder *b)
{
    b->t->data[b->t->len++] = 0;
    if (!b->strings)
        b->t->data[b->t->len++] = 0;
    b->largest = max(b->largest, b->t->len - b->start);
    b->count++;
}

static void bios_and_system(struct builder *b, const struct smbios_config *c)
{
    u8 *p = begin(b, 0, 24, 0x0000);
    le16_put(p + 6, 0xe800);     /* start segment */
    le64_put(p + 10, 1ull << 3); /* characteristics: not told */
    p[19] = 1 << 4;              /* a virtual machine */
    p[20] = p[21] = p[22] = p[23] = 0xff;
    p[4] = string(b, "Wirt");
    p[5] = string(b, WIRT_VERSION);
    p[8] = string(b, "01/01/2024");
    end(b);

    p = begin(b, 1, 27, 0x0100);
    /* The first three fields are little-endian since 2.6. */
    be32_put(p + 8, le32_get(c->uuid));
    be16_put(p + 12, le16_get(c->uuid + 4));
    be16_put(p + 14, le16_get(c->uuid + 6));
    memcpy(p + 16, c->uuid + 8, 8);
    p[24] = 6; /* woken by the power switch */
    p[4] = string(b, "Wirt");
    p[5] = string(b, "Wirt PC (i440FX + PIIX)");
    p[6] = string(b, WIRT_VERSION);
    p[7] = string(b, c->name);
    end(b);

    p = begin(b, 3, 22, 0x0300);
    p[5] = 1; /* chassis: other */
    p[9] = p[10] = p[11] = 3;
    p[12] = 2;
    p[4] = string(b, "Wirt");
    end(b);
}

static void processor(struct builder *b, unsigned n)
{
    char socket[16];
    snprintf(socket, sizeof(socket), "CPU %u", n);
    u8 *p = begin(b, 4, 42, (u16)(0x0400 + n));
    p[5] = 3;                /* central processor */
    p[6] = 1;                /* family: other */
    p[24] = 0x41;            /* populated, enabled */
    p[25] = 1;               /* upgrade: other */
    memset(p + 26, 0xff, 6); /* no cache information */
    p[35] = p[36] = p[37] = 1;
    le16_put(p + 38, 1 << 2); /* 64 bits */
    le16_put(p + 40, 1);
    p[4] = string(b, socket);
    p[7] = string(b, "Wirt");
    end(b);
}

static void mapped(struct builder *b, u16 handle, u64 base, u64 len)
{
    u8 *p = begin(b, 19, 31, handle);
    le32_put(p + 4, (u32)(base >> 10));
    le32_put(p + 8, (u32)((base + len - 1) >> 10));
    le16_put(p + 12, 0x1000);
    p[14] = 1;
    if (base + len > 0xffffffffull << 10) {
        le32_put(p + 4, UINT32_MAX);
        le32_put(p + 8, UINT32_MAX);
        le64_put(p + 15, base);
        le64_put(p + 23, base + len - 1);
    }
    end(b);
}

static void memory(struct builder *b, const struct smbios_config *c)
{
    u8 *p = begin(b, 16, 23, 0x1000);
    p[4] = 1; /* location: other */
    p[5] = 3; /* system memory */
    p[6] = 3; /* no error correction */
    le32_put(p + 7, 0x80000000);
    le16_put(p + 11, 0xfffe);
    le16_put(p + 13, 1);
    le64_put(p + 15, c->memory);
    end(b);

    u64 mib = c->memory >> 20;
    p = begin(b, 17, 40, 0x1100);
    le16_put(p + 4, 0x1000);
    le16_put(p + 6, 0xfffe);
    le16_put(p + 8, 0xffff);
    le16_put(p + 10, 0xffff);
    le16_put(p + 12, mib < 0x7fff ? (u16)mib : 0x7fff);
    p[14] = 9; /* form factor: DIMM */
    p[18] = 7; /* type: RAM */
    le16_put(p + 19, 1 << 1);
    le32_put(p + 28, mib < 0x7fff ? 0 : (u32)mib);
    p[16] = string(b, "DIMM 0");
    p[23] = string(b, "Wirt");
    end(b);

    mapped(b, 0x1300, 0, c->ram_below);
    if (c->memory > c->ram_below)
        mapped(b, 0x1301, 4 * GIB, c->memory - c->ram_below);
}

static u8 checksum(const u8 *p, unsigned n)
{
    u8 sum = 0;
    while (n--)
        sum += *p++;
    return (u8)-sum;
}

void smbios_relocate(struct smbios_tables *t, u32 gpa)
{
    u8 *a = t->anchor;
    le32_put(a + 24, gpa);
    a[21] = 0;
    a[21] = checksum(a + 16, 15);
    a[4] = 0;
    a[4] = checksum(a, SMBIOS_ANCHOR_SIZE);
}

void smbios_build(struct smbios_tables *t, const struct smbios_config *c)
{
    struct builder b = {.t = t};
    memset(t, 0, sizeof(*t));
    bios_and_system(&b, c);
    /* One structure a socket; beyond 16 nobody counts them here. */
    for (unsigned i = 0; i < min(c->cpus, 16u); i++)
        processor(&b, i);
    memory(&b, c);
    begin(&b, 32, 11, 0x2000); /* boot status: no errors */
    end(&b);
    begin(&b, 127, 4, 0x7f00);
    end(&b);

    u8 *a = t->anchor;
    memcpy(a, "_SM_", 4);
    a[5] = SMBIOS_ANCHOR_SIZE;
    a[6] = 2;
    a[7] = 8;
    le16_put(a + 8, (u16)b.largest);
    memcpy(a + 16, "_DMI_", 5);
    le16_put(a + 22, (u16)t->len);
    le16_put(a + 28, b.count);
    a[30] = 0x28;
    smbios_relocate(t, 0);
}
