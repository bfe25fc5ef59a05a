/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82371AB (PIIX4), function 3: power management and SMBus (data sheet 290562).
 *
 * What ACPI calls the fixed hardware: PM1a event, control and timer block, one GPE block, the SMI
 * command port.  There is no system management mode: writing the FADT's ACPI_ENABLE and
 * ACPI_DISABLE to port 0xb2 switches SCI_EN at once, and APMC_EN (DEVACTB bit 25) is set from
 * reset on, by which SeaBIOS knows that there is nothing to set up.  Entering S5 (SUS_TYP 0 with
 * SUS_EN) pulses the power_off line; other sleep types are ignored.
 *
 * Device monitors, clock throttling and general-purpose outputs keep what is written and do
 * nothing.  The SMBus has no devices: each transaction ends with DEV_ERR at once.
 */
#include "dev/piix4_pm.h"

#include "base/endian.h"

#include <string.h>

enum {
    CFG_PMBASE = 0x40,
    CFG_DEVACTB = 0x58,
    CFG_PMREGMISC = 0x80,
    CFG_SMBBA = 0x90,
    CFG_SMBHSTCFG = 0xd2,
    APMC_EN_BYTE = CFG_DEVACTB + 3,
    APMC_EN = 1 << 1,     /* bit 25 of the dword */
    BASE_ENABLE = 1 << 0, /* of PMREGMISC and SMBHSTCFG */
    INTERRUPT_LINE = 0x3c,

    STS_TMR = 1 << 0,
    STS_GBL = 1 << 5,
    STS_PWRBTN = 1 << 8,
    STS_RTC = 1 << 10,
    STS_WAK = 1 << 15,
    STS_ALL = STS_TMR | 1 << 4 | STS_GBL | STS_PWRBTN | STS_RTC | STS_WAK,
    EN_ALL = STS_TMR | STS_GBL | STS_PWRBTN | STS_RTC,

    CNT_SCI_EN = 1 << 0,
    CNT_KEPT = 0x1c03,
    CNT_SLP_EN = 1 << 13,

    SMB_STS_DEV_ERR = 1 << 2,
    SMB_STS_W1C = 0x1e,
    SMB_CNT_START = 1 << 6,
    SMB_CNT_KILL = 1 << 1,
};

/* ------------------------------------------------------------ PM1 and GPE -- */

static u64 pm_ticks(const struct piix4_pm *p)
{
    return muldiv64(clock_now(p->clock), PM_TIMER_HZ, NS_PER_SEC);
}

/* TMR_STS is set whenever bit 23 changes. */
static void sync_timer(struct piix4_pm *p)
{
    u64 n = pm_ticks(p) >> 23;

    if (n != p->tmr_seen)
        p->pm1_sts |= STS_TMR;
    p->tmr_seen = n;
}

static void update_sci(struct piix4_pm *p)
{
    bool level = (p->pm1_cnt & CNT_SCI_EN) &&
                 ((p->pm1_sts & p->pm1_en & EN_ALL) || (p->gpe_sts & p->gpe_en));

    if ((p->pm1_en & STS_TMR) && !(p->pm1_sts & STS_TMR))
        timer_set(p->clock, &p->timer,
                  muldiv64((p->tmr_seen + 1) << 23, NS_PER_SEC, PM_TIMER_HZ) + 1);
    if (level == p->sci_level)
        return;
    p->sci_level = level;
    irq_set(&p->sci, level);
}

static void timer_fired(void *opaque)
{
    struct piix4_pm *p = opaque;

    pthread_mutex_lock(&p->pci.lock);
    sync_timer(p);
    update_sci(p);
    pthread_mutex_unlock(&p->pci.lock);
}

void piix4_pm_power_button(struct piix4_pm *p)
{
    pthread_mutex_lock(&p->pci.lock);
    trace(p->pci.bus->trace, acpi, "power button");
    p->pm1_sts |= STS_PWRBTN;
    update_sci(p);
    pthread_mutex_unlock(&p->pci.lock);
}

static void write_pm1_cnt(struct piix4_pm *p, u16 val)
{
    p->pm1_cnt = val & CNT_KEPT;
    if (!(val & CNT_SLP_EN))
        return;
    trace(p->pci.bus->trace, acpi, "sleep type %u", val >> 10 & 7);
    if ((val >> 10 & 7) == PIIX4_S5_TYPE)
        irq_pulse(&p->power_off);
}

/* The aligned dword of the PMBASE block. */
static u32 pm_read32(struct piix4_pm *p, u64 off)
{
    switch (off) {
    case PIIX4_PM1A_EVT:
        sync_timer(p);
        update_sci(p);
        return p->pm1_sts | (u32)p->pm1_en << 16;
    case PIIX4_PM1A_CNT:
        return p->pm1_cnt;
    case PIIX4_PM_TMR:
        return pm_ticks(p) & 0xffffff;
    case PIIX4_GPE0:
        return p->gpe_sts | (u32)p->gpe_en << 16;
    case 0x10:
        return p->pcntrl;
    case 0x20:
        return p->glben;
    case 0x28:
        return p->glbctl;
    case 0x2c:
        return p->devctl;
    default:
        return 0;
    }
}

static u64 pm_read(void *opaque, u64 off, unsigned size)
{
    return pm_read32(opaque, off & ~3ull) >> (8 * (off & 3));
}

/* mask: which bits of the dword were written. */
static void pm_write32(struct piix4_pm *p, u64 off, u32 val, u32 mask)
{
    u32 old;

    switch (off) {
    case PIIX4_PM1A_EVT:
        sync_timer(p);
        p->pm1_sts &= ~(val & mask & STS_ALL);
        p->pm1_en = ((p->pm1_en & ~(mask >> 16)) | (val & mask) >> 16) & EN_ALL;
        break;
    case PIIX4_PM1A_CNT:
        if (mask & 0xffff)
            write_pm1_cnt(p, (p->pm1_cnt & ~mask) | (val & mask));
        break;
    case PIIX4_GPE0:
        p->gpe_sts &= ~(val & mask);
        p->gpe_en = (p->gpe_en & ~(mask >> 16)) | (val & mask) >> 16;
        break;
    case 0x10:
        old = p->pcntrl & ~mask;
        p->pcntrl = old | (val & mask);
        break;
    case 0x20:
        p->glben = (p->glben & ~mask) | (val & mask);
        break;
    case 0x28:
        old = p->glbctl & ~mask;
        p->glbctl = old | (val & mask);
        break;
    case 0x2c:
        old = p->devctl & ~mask;
        p->devctl = old | (val & mask);
        break;
    }
    update_sci(p);
}

static void pm_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct piix4_pm *p = opaque;
    unsigned shift = 8 * (off & 3);
    u32 mask = (size == 4 ? UINT32_MAX : BIT(8 * size) - 1) << shift;

    trace(p->pci.bus->trace, acpi, "pm register %02x/%u = %x", (u32)off, size, (u32)val);
    pm_write32(p, off & ~3ull, (u32)val << shift, mask);
}

/* --------------------------------------------------------- SMI command port -- */

static u64 apm_read(void *opaque, u64 off, unsigned size)
{
    struct piix4_pm *p = opaque;

    return off ? p->apms : p->apmc;
}

static void apm_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct piix4_pm *p = opaque;

    if (off) {
        p->apms = val;
        return;
    }
    p->apmc = val;
    trace(p->pci.bus->trace, acpi, "SMI command %02x", p->apmc);
    if (p->apmc == PIIX4_ACPI_ENABLE)
        p->pm1_cnt |= CNT_SCI_EN;
    else if (p->apmc == PIIX4_ACPI_DISABLE)
        p->pm1_cnt &= ~CNT_SCI_EN;
    update_sci(p);
}

/* ------------------------------------------------------------------ SMBus -- */

static u64 smb_read(void *opaque, u64 off, unsigned size)
{
    struct piix4_pm *p = opaque;

    switch (off) {
    case 0x00:
        return p->smb_sts;
    case 0x02:
        return p->smb_cnt;
    case 0x03:
        return p->smb_cmd;
    case 0x04:
        return p->smb_add;
    case 0x05:
        return p->smb_dat0;
    case 0x06:
        return p->smb_dat1;
    default:
        return 0;
    }
}

static void smb_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct piix4_pm *p = opaque;

    switch (off) {
    case 0x00:
        p->smb_sts &= ~(val & SMB_STS_W1C);
        break;
    case 0x02:
        p->smb_cnt = val & 0x1f & ~SMB_CNT_KILL;
        if (val & SMB_CNT_START)
            p->smb_sts |= SMB_STS_DEV_ERR; /* nobody answers */
        break;
    case 0x03:
        p->smb_cmd = val;
        break;
    case 0x04:
        p->smb_add = val;
        break;
    case 0x05:
        p->smb_dat0 = val;
        break;
    case 0x06:
        p->smb_dat1 = val;
        break;
    }
}

static const struct region_ops pm_ops = {
    .read = pm_read, .write = pm_write, .min_width = 1, .max_width = 4, .aligned = true};
static const struct region_ops apm_ops = {
    .read = apm_read, .write = apm_write, .min_width = 1, .max_width = 1};
static const struct region_ops smb_ops = {
    .read = smb_read, .write = smb_write, .min_width = 1, .max_width = 1};

/* ---------------------------------------------------------- configuration -- */

static void place(struct piix4_pm *p, struct region *r, u16 base, bool on)
{
    struct bus *pio = p->pci.bus->pio;

    if (r->mapped && (!on || r->base != base))
        bus_unmap(pio, r);
    if (on && base && !r->mapped && bus_map(pio, r, base))
        trace(p->pci.bus->trace, acpi, "%s: no place at port %04x", r->name, base);
}

/* PMBASE and the SMBus base are no BARs: each has an enable bit of its own. */
static void place_regions(struct piix4_pm *p)
{
    const u8 *c = p->pci.config;

    place(p, &p->pm, le16_get(c + CFG_PMBASE) & 0xffc0, c[CFG_PMREGMISC] & BASE_ENABLE);
    place(p, &p->smbus, le16_get(c + CFG_SMBBA) & 0xfff0, c[CFG_SMBHSTCFG] & BASE_ENABLE);
}

static void piix4_config_written(struct pci_dev *d, unsigned off, unsigned size)
{
    place_regions(container_of(d, struct piix4_pm, pci));
}

void piix4_pm_set_bases(struct piix4_pm *p, u16 pmbase, u16 smbase)
{
    u8 *c = p->pci.config;

    pthread_mutex_lock(&p->pci.lock);
    le16_put(c + CFG_PMBASE, (pmbase & 0xffc0) | 1);
    le16_put(c + CFG_SMBBA, (smbase & 0xfff0) | 1);
    c[CFG_PMREGMISC] |= BASE_ENABLE;
    c[CFG_SMBHSTCFG] |= BASE_ENABLE;
    place_regions(p);
    pthread_mutex_unlock(&p->pci.lock);
}

/* ------------------------------------------------------------------ life -- */

static void piix4_reset(struct pci_dev *d)
{
    struct piix4_pm *p = container_of(d, struct piix4_pm, pci);

    memset(d->config + 0x40, 0, 0x80);
    memset(d->config + 0xd2, 0, 4);
    le16_put(d->config + CFG_PMBASE, 1);
    le16_put(d->config + CFG_SMBBA, 1);
    d->config[APMC_EN_BYTE] = APMC_EN;
    d->config[INTERRUPT_LINE] = 9;
    p->pm1_sts = 0;
    p->pm1_en = 0;
    p->pm1_cnt = 0;
    p->gpe_sts = 0;
    p->gpe_en = 0;
    p->apmc = 0;
    p->apms = 0;
    p->pcntrl = 0;
    p->glbctl = 0;
    p->devctl = 0;
    p->glben = 0;
    p->smb_sts = 0;
    p->smb_cnt = 0;
    p->tmr_seen = pm_ticks(p) >> 23;
    timer_del(p->clock, &p->timer);
    place_regions(p);
    update_sci(p);
}

int piix4_pm_init(struct piix4_pm *p, struct pci_bus *b, unsigned devfn, struct clock *c,
                  struct irq sci, struct irq power_off)
{
    u8 *w = p->pci.wmask;
    int r;

    memset(p, 0, sizeof(*p));
    r = pci_dev_init(&p->pci, b, devfn, "piix4-pm", 0x8086, 0x7113, 0x068000, 1);
    if (r)
        return r;
    pci_set_subsystem(&p->pci, 0x1af4, 0x1100);
    p->pci.config[0x08] = 3;
    p->pci.config[0x06] = 0x80;
    p->pci.config[0x07] = 0x02;
    memset(w + 0x44, 0xff, 0x3c); /* CNTA ... DEVRESJ */
    le16_put(w + CFG_PMBASE, 0xffc0);
    w[CFG_PMREGMISC] = BASE_ENABLE;
    le16_put(w + CFG_SMBBA, 0xfff0);
    memset(w + CFG_SMBHSTCFG, 0xff, 4);
    p->pci.config_written = piix4_config_written;
    p->pci.reset = piix4_reset;
    p->clock = c;
    p->sci = sci;
    p->power_off = power_off;
    p->timer = (struct timer){.fn = timer_fired, .opaque = p};
    p->pm = (struct region){
        .name = "pm", .size = PIIX4_PM_SIZE, .ops = &pm_ops, .opaque = p, .lock = &p->pci.lock};
    p->smbus = (struct region){
        .name = "smbus", .size = 16, .ops = &smb_ops, .opaque = p, .lock = &p->pci.lock};
    p->apm = (struct region){
        .name = "apm", .size = 2, .ops = &apm_ops, .opaque = p, .lock = &p->pci.lock};
    piix4_reset(&p->pci);
    return 0;
}

static const struct field piix4_pm_fields[] = {
    FIELD_BYTES(struct piix4_pm, pci.config),
    FIELD_BITS(struct piix4_pm, pm1_sts, STS_ALL),
    FIELD_BITS(struct piix4_pm, pm1_en, EN_ALL),
    FIELD_BITS(struct piix4_pm, pm1_cnt, CNT_KEPT),
    FIELD(struct piix4_pm, gpe_sts),
    FIELD(struct piix4_pm, gpe_en),
    FIELD(struct piix4_pm, apmc),
    FIELD(struct piix4_pm, apms),
    FIELD(struct piix4_pm, pcntrl),
    FIELD(struct piix4_pm, glbctl),
    FIELD(struct piix4_pm, devctl),
    FIELD(struct piix4_pm, glben),
    FIELD(struct piix4_pm, smb_sts),
    FIELD(struct piix4_pm, smb_cnt),
    FIELD(struct piix4_pm, smb_cmd),
    FIELD(struct piix4_pm, smb_add),
    FIELD(struct piix4_pm, smb_dat0),
    FIELD(struct piix4_pm, smb_dat1),
    FIELD(struct piix4_pm, tmr_seen),
    FIELD_MAX(struct piix4_pm, sci_level, 1),
};

static int piix4_pm_loaded(void *obj, struct err *e)
{
    struct piix4_pm *p = obj;

    pthread_mutex_lock(&p->pci.lock);
    place_regions(p);
    update_sci(p);
    pthread_mutex_unlock(&p->pci.lock);
    return 0;
}

const struct state_desc piix4_pm_state = {
    .name = "piix4_pm",
    .version = 1,
    .fields = piix4_pm_fields,
    .nfields = ARRAY_SIZE(piix4_pm_fields),
    .loaded = piix4_pm_loaded,
};
