/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 440FX PCIset: 82441FX PCI and memory controller (data sheet 290549).
 *
 * What guests use of it: configuration mechanism 1 at 0xcf8 and 0xcfc, and the PAM registers that
 * let firmware copy itself into RAM.  Each of the 13 segments of 0xc0000-0xfffff is a region of its
 * own that reads from RAM or from the BIOS and writes to RAM or to nowhere.
 *
 * The DRAM row boundaries hold what a board with this much memory would; nobody but curious tools
 * reads them.  SMRAM's register is kept (with its lock bit), but there is no system management
 * mode, so nothing hides behind it.  ECC, the error registers and the turbo/reset control register
 * (0x93) are left out: they read as at reset.
 */
#include "dev/i440fx.h"

#include "base/endian.h"

#include <errno.h>
#include <string.h>

enum {
    I440FX_PAM0 = 0x59,
    I440FX_DRB0 = 0x60,
    I440FX_SMRAM = 0x72,

    PAM_READ = 1, /* reads go to RAM */
    PAM_WRITE = 2,

    SMRAM_DEFAULT = 0x02,
    SMRAM_LOCK = 1 << 4,

    CONFADD_ENABLE = 1u << 31,
    PAM_AREA = 0xc0000,
    BIOS_AREA = 0xe0000,
};

/* Segment 0 is 0xf0000-0xfffff (PAM0's high nibble); 1-12 are 16 KiB each from 0xc0000. */
static u64 segment_base(unsigned n)
{
    return n ? PAM_AREA + (n - 1) * 0x4000 : 0xf0000;
}

static u8 segment_attr(const struct i440fx *h, unsigned n)
{
    return h->pci.config[I440FX_PAM0 + (n + 1) / 2] >> (n & 1 ? 0 : 4) & 3;
}

static int map_segment(struct i440fx *h, unsigned n, bool force)
{
    struct region *r = &h->pam[n];
    struct bus *mmio = h->pci.bus->mmio;
    u64 base = segment_base(n);
    u8 attr = segment_attr(h, n);
    u8 *ram = h->ram + (base - PAM_AREA);
    u8 *bios = h->bios && base >= BIOS_AREA ? h->bios + (base - BIOS_AREA) : NULL;
    u8 *hva = attr & PAM_READ ? ram : bios;
    u8 *whva = attr & PAM_WRITE ? ram : NULL;

    if (!force && r->hva == hva && r->whva == whva)
        return 0;
    bus_unmap(mmio, r);
    r->hva = hva;
    r->whva = whva;
    return bus_map(mmio, r, base);
}

/* Nothing else can take the segments' places, so that mapping them again cannot fail. */
static void map_segments(struct i440fx *h)
{
    for (unsigned i = 0; i < I440FX_SEGMENTS; i++)
        map_segment(h, i, false);
}

static void i440fx_config_written(struct pci_dev *d, unsigned off, unsigned size)
{
    struct i440fx *h = container_of(d, struct i440fx, pci);

    if (off < I440FX_PAM0 + 7 && off + size > I440FX_PAM0)
        map_segments(h);
    if (off <= I440FX_SMRAM && off + size > I440FX_SMRAM && (d->config[I440FX_SMRAM] & SMRAM_LOCK))
        d->wmask[I440FX_SMRAM] = 0;
}

void i440fx_shadow_all(struct i440fx *h)
{
    h->pci.config[I440FX_PAM0] = 0x30;
    memset(h->pci.config + I440FX_PAM0 + 1, 0x33, 6);
    map_segments(h);
}

/* Rows of up to 128 MiB in units of 8 MiB, cumulative; the registers end at 2 GiB. */
static void set_dram_rows(struct i440fx *h)
{
    u64 units = h->pci.bus->dma.mem->ram_size / (8 * MIB);

    for (unsigned i = 0; i < 8; i++) {
        u64 row = i == 7 ? units : min(units, (i + 1) * 16ull);
        h->pci.config[I440FX_DRB0 + i] = min(row, 255ull);
    }
}

static void i440fx_reset(struct pci_dev *d)
{
    struct i440fx *h = container_of(d, struct i440fx, pci);

    memset(d->config + I440FX_PAM0, 0, 7);
    d->config[I440FX_SMRAM] = SMRAM_DEFAULT;
    d->wmask[I440FX_SMRAM] = 0x78;
    h->confadd = 0;
    set_dram_rows(h);
    map_segments(h);
}

/* -------------------------------------------- configuration mechanism 1 -- */

/* Only a whole dword at 0xcf8 is CONFADD; its second byte is the PIIX3's reset control. */
static u64 conf_address_read(void *opaque, u64 off, unsigned size)
{
    struct i440fx *h = opaque;

    if (off == 0 && size == 4)
        return __atomic_load_n(&h->confadd, __ATOMIC_RELAXED);
    if (off == 1 && size == 1 && h->rcr)
        return h->rcr->ops->read(h->rcr->opaque, 0, 1);
    return UINT32_MAX;
}

static void conf_address_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i440fx *h = opaque;

    if (off == 0 && size == 4)
        __atomic_store_n(&h->confadd, val & 0x80fffffc, __ATOMIC_RELAXED);
    else if (off == 1 && size == 1 && h->rcr)
        h->rcr->ops->write(h->rcr->opaque, 0, 1, val);
}

static u64 conf_data_read(void *opaque, u64 off, unsigned size)
{
    struct i440fx *h = opaque;
    u32 a = __atomic_load_n(&h->confadd, __ATOMIC_RELAXED);

    if (!(a & CONFADD_ENABLE) || (a >> 16 & 0xff))
        return UINT32_MAX;
    return pci_config_read(h->pci.bus, a >> 8 & 0xff, (a & 0xfc) + off, size);
}

static void conf_data_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i440fx *h = opaque;
    u32 a = __atomic_load_n(&h->confadd, __ATOMIC_RELAXED);

    if ((a & CONFADD_ENABLE) && !(a >> 16 & 0xff))
        pci_config_write(h->pci.bus, a >> 8 & 0xff, (a & 0xfc) + off, size, val);
}

static const struct region_ops conf_address_ops = {.read = conf_address_read,
                                                   .write = conf_address_write,
                                                   .min_width = 1,
                                                   .max_width = 4,
                                                   .aligned = true};
static const struct region_ops conf_data_ops = {.read = conf_data_read,
                                                .write = conf_data_write,
                                                .min_width = 1,
                                                .max_width = 4,
                                                .aligned = true};

int i440fx_init(struct i440fx *h, struct pci_bus *b, u8 *bios, const struct region *rcr,
                struct err *e)
{
    static const char *const names[I440FX_SEGMENTS] = {
        "pam-f0000", "pam-c0000", "pam-c4000", "pam-c8000", "pam-cc000", "pam-d0000", "pam-d4000",
        "pam-d8000", "pam-dc000", "pam-e0000", "pam-e4000", "pam-e8000", "pam-ec000",
    };
    int r;

    memset(h, 0, sizeof(*h));
    if (pci_dev_init(&h->pci, b, 0, "i440fx", 0x8086, 0x1237, 0x060000, 0))
        return err_set(e, EBUSY, "PCI device 0 is taken: no place for the host bridge");
    pci_set_subsystem(&h->pci, 0x1af4, 0x1100);
    h->pci.config[0x08] = 2; /* revision */
    h->pci.config[0x06] = 0x80;
    h->pci.config[0x07] = 0x02; /* status: fast back-to-back, medium DEVSEL */
    h->pci.config_written = i440fx_config_written;
    h->pci.reset = i440fx_reset;
    memset(h->pci.wmask + I440FX_PAM0, 0x33, 7);
    h->pci.wmask[I440FX_PAM0] = 0x30;
    memset(h->pci.wmask + I440FX_DRB0, 0xff, 8);
    h->pci.config[I440FX_SMRAM] = SMRAM_DEFAULT;
    h->pci.wmask[I440FX_SMRAM] = 0x78;
    h->rcr = rcr;
    h->bios = bios;
    h->ram = b->dma.mem->hva + PAM_AREA;
    set_dram_rows(h);

    h->conf_address = (struct region){
        .name = "pci-conf-address", .size = 4, .ops = &conf_address_ops, .opaque = h};
    h->conf_data =
        (struct region){.name = "pci-conf-data", .size = 4, .ops = &conf_data_ops, .opaque = h};
    for (unsigned i = 0; i < I440FX_SEGMENTS; i++) {
        h->pam[i] = (struct region){.name = names[i], .size = i ? 0x4000 : 0x10000};
        r = map_segment(h, i, true);
        if (r)
            return err_set(e, -r, "the BIOS area at %#llx is taken",
                           (unsigned long long)segment_base(i));
    }
    return 0;
}

/* ------------------------------------------------------------------ state -- */

static const struct field i440fx_fields[] = {
    FIELD_BYTES(struct i440fx, pci.config),
    FIELD(struct i440fx, confadd),
};

static int i440fx_loaded(void *obj, struct err *e)
{
    struct i440fx *h = obj;

    h->pci.wmask[I440FX_SMRAM] = h->pci.config[I440FX_SMRAM] & SMRAM_LOCK ? 0 : 0x78;
    map_segments(h);
    return 0;
}

const struct state_desc i440fx_state = {
    .name = "i440fx",
    .version = 1,
    .fields = i440fx_fields,
    .nfields = ARRAY_SIZE(i440fx_fields),
    .loaded = i440fx_loaded,
};
