/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Builds the machine of a Xen PVH guest, top to bottom, as Xen's toolstack lays it out: RAM, ACPI
 * tables at 0xfc000000, Xen's special pages below 0xff000000, local APICs.
 *
 * ACPI is of the hardware-reduced kind: three ports for sleep and reset stand for all of what a PC
 * has there.
 */
#include "board/xen_pvh.h"

#include "base/endian.h"
#include "board/pc_map.h"
#include "core/mem.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define MAP_TABLES  0xfc000000ull
#define MAP_RSDP    0xfc008000ull
#define MAP_SPECIAL 0xfeff8000ull
enum { TABLES_SIZE = 0x9000, PORT_SLEEP = 0x600 };

static int map(struct xen_pvh *m, struct bus *b, struct region *r, u64 base, struct err *e)
{
    int ret = bus_map(b, r, base);
    if (ret)
        return err_set(e, -ret, "%s at 0x%llx does not fit on the %s bus", r->name,
                       (unsigned long long)base, b->name);
    return 0;
}

static int map_ram(struct xen_pvh *m, struct region *r, const char *name, u64 off, u64 base,
                   u64 size, struct err *e)
{
    u8 *hva = m->vm->mem.hva + off;
    if (!size)
        return 0;
    *r = (struct region){.name = name, .size = size, .hva = hva, .whva = hva};
    e820_add(&m->e820, base, size, E820_RAM);
    return map(m, &m->vm->mmio, r, base, e);
}

static int open_memory(struct xen_pvh *m, struct err *e)
{
    u64 ram = m->vm->mem.ram_size;
    if (m->cfg.xen == XEN_PV) { /* no holes */
        m->ram_below = ram;
        return map_ram(m, &m->ram_low, "RAM", 0, 0, ram, e);
    }
    m->ram_below = min(ram, MAP_RAM_BELOW);
    m->ram_above = ram - m->ram_below;
    int r = map_ram(m, &m->ram_low, "low RAM", 0, 0, MAP_LOW_TOP, e);
    e820_add(&m->e820, MAP_LOW_TOP, MAP_HIGH - MAP_LOW_TOP, E820_RESERVED);
    if (!r)
        r = map_ram(m, &m->ram_high, "RAM", MAP_HIGH, MAP_HIGH, m->ram_below - MAP_HIGH, e);
    e820_add(&m->e820, MAP_TABLES, TABLES_SIZE, E820_ACPI);
    e820_add(&m->e820, MAP_SPECIAL, XEN_SPECIAL_PAGES * PAGE_SIZE, E820_RESERVED);
    if (!r)
        r = map_ram(m, &m->ram_4g, "RAM above 4 GiB", m->ram_below, MAP_4G, m->ram_above, e);
    return r;
}

/* -------------------------------------------------------------------- ACPI -- */

static u64 ports_read(void *opaque, u64 off, unsigned size)
{
    return 0; /* sleep status: WAK_STS clear */
}

static void ports_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct xen_pvh *m = opaque;
    if (off == ACPI_SLEEP_CONTROL && val == ACPI_SLEEP_OFF)
        vm_request_end(m->vm, VM_POWEROFF, 0);
    else if (off == ACPI_RESET && val == ACPI_RESET_VALUE)
        vm_request_reset(m->vm);
}

static const struct region_ops ports_ops = {
    .read = ports_read, .write = ports_write, .min_width = 1, .max_width = 1};

static int open_acpi(struct xen_pvh *m, struct err *e)
{
    int r = acpi_build_reduced(&m->acpi, m->vm->ncpus, PORT_SLEEP, e);
    if (r)
        return r;
    m->tables_hva = mem_alloc(&m->vm->mem, TABLES_SIZE);
    if (!m->tables_hva || m->acpi.len > MAP_RSDP - MAP_TABLES)
        return err_set(e, ENOMEM, "no room for ACPI tables");
    m->tables = (struct region){
        .name = "ACPI tables", .size = TABLES_SIZE, .hva = m->tables_hva, .whva = m->tables_hva};
    m->ports =
        (struct region){.name = "ACPI ports", .size = ACPI_PORTS, .ops = &ports_ops, .opaque = m};
    r = map(m, &m->vm->mmio, &m->tables, MAP_TABLES, e);
    return r ? r : map(m, &m->vm->pio, &m->ports, PORT_SLEEP, e);
}

static void place_acpi(struct xen_pvh *m)
{
    struct acpi_tables placed = m->acpi;
    placed.data = m->tables_hva;
    memset(placed.data, 0, TABLES_SIZE);
    memcpy(placed.data, m->acpi.data, m->acpi.len);
    acpi_relocate(&placed, MAP_TABLES);
    memcpy(m->tables_hva + (MAP_RSDP - MAP_TABLES), placed.rsdp, ACPI_RSDP_SIZE);
}

/* -------------------------------------------------------------------- life -- */

static int load_pv(struct xen_pvh *m, const struct boot_files *f, struct err *e)
{
    struct xen_pv_info info;
    xen_pv_info(m->xen, &info);
    int r = xen_pv_build(f, m->vm->mem.hva, m->vm->mem.ram_size, &info, &m->pv, e);
    return r ? r : xen_pv_start(m->xen, m->pv.root, m->pv.store, m->pv.console, e);
}

static int load(struct xen_pvh *m, struct err *e)
{
    struct boot_files f = {m->cfg.kernel, m->cfg.initrd, m->cfg.append, true};
    if (m->cfg.xen == XEN_PV)
        return load_pv(m, &f, e);
    struct boot_mem bm = {m->vm->mem.hva, m->ram_below, &m->e820, MAP_RSDP, false};
    place_acpi(m);
    return loader_load(&f, &bm, &m->entry, e);
}

/* vm->reset: all vCPUs are parked. */
static void reset(void *opaque)
{
    struct xen_pvh *m = opaque;
    struct err e;
    lapic_bus_reset(&m->lapics);
    if (m->ran) {
        xen_reset(m->xen);
        if (load(m, &e)) {
            fprintf(stderr, "wirt: reboot: %s\n", e.msg);
            vm_request_end(m->vm, VM_FAILED, 0);
        }
        mem_wrote(&m->vm->mem, m->vm->mem.hva, m->ram_below);
    }
    m->ran = true;
}

static void stood(void *opaque, u64 ns)
{
    struct xen_pvh *m = opaque;
    if (!m->cfg.have_rtc_start)
        xen_stood(m->xen, ns);
}

static void boot_state(void *opaque, struct cpu_state *s)
{
    struct xen_pvh *m = opaque;
    if (m->cfg.xen == XEN_PV) {
        xen_pv_state(s);
        s->rip = m->pv.entry;
        s->gpr[RSI] = m->pv.start_info;
        s->gpr[RSP] = m->pv.stack;
        s->cr3 = m->pv.root << PAGE_SHIFT;
        return;
    }
    loader_state(&m->entry, s);
    s->mtrr_def_type = 0x806; /* everything is memory; no fixed ranges */
}

static int open_blk(struct xen_pvh *m, struct xen_config *xc, const struct disk_config *d,
                    bool cdrom, struct err *e)
{
    struct disk_options o = {.readonly = d->readonly,
                             .snapshot = d->snapshot,
                             .cache = d->cache,
                             .format = d->format,
                             .allow_external = d->allow_external,
                             .root = d->root,
                             .trace = &m->vm->trace};
    struct blk **b = &m->blk[m->nblks];
    if (xc->ndisks == XEN_DISKS_MAX)
        return err_set(e, E2BIG, "%s: more than %d disks", d->path, XEN_DISKS_MAX);
    int r = disk_open(b, d->path, &o, e);
    if (r)
        return r;
    m->nblks++;
    xc->disk[xc->ndisks++] = (struct xen_disk){*b, cdrom, d->xvd};
    return 0;
}

static int open_disks(struct xen_pvh *m, struct xen_config *xc, struct err *e)
{
    int r = 0;
    for (unsigned i = 0; !r && i < m->cfg.ndisks; i++)
        r = open_blk(m, xc, &m->cfg.disk[i], false, e);
    for (unsigned i = 0; !r && i < m->cfg.ncdroms; i++)
        if (m->cfg.cdrom[i])
            r = open_blk(m, xc, &(struct disk_config){.path = m->cfg.cdrom[i], .readonly = true},
                         true, e);
    return r;
}

static int open_nics(struct xen_pvh *m, struct xen_config *xc, struct err *e)
{
    static const u8 none[6];
    for (unsigned i = 0; i < m->cfg.nnics; i++) {
        struct net_config c = m->cfg.nic[i];
        int r = net_open(&m->net[i], &c, m->vm->loop, m->vm->clock, &m->vm->trace, e);
        if (r)
            return r;
        if (!memcmp(c.mac, none, 6))
            machine_default_mac(&m->cfg, i, c.mac);
        xc->nic[xc->nnics].net = m->net[i];
        memcpy(xc->nic[xc->nnics++].mac, c.mac, 6);
    }
    return 0;
}

static int open_xen(struct xen_pvh *m, struct err *e)
{
    struct machine_config *c = &m->cfg;
    struct xen_e820 map_[E820_MAX];
    struct xen_config xc = {
        .special_gfn = MAP_SPECIAL >> PAGE_SHIFT, .map = map_, .pv = c->xen == XEN_PV};
    for (unsigned i = 0; i < m->e820.n; i++)
        map_[xc.nmap++] = (struct xen_e820){m->e820.e[i].base, m->e820.e[i].len, m->e820.e[i].type};
    memcpy(xc.uuid, c->uuid, 16);
    xc.wallclock = c->have_rtc_start ? c->rtc_start : (s64)time(NULL);
    xc.console = c->console ? c->console : c->serial[0];
    if (c->vga) {
        xc.screen = &m->screen;
        xc.input = &m->input;
        xc.width = c->vga_width;
        xc.height = c->vga_height;
    }
    int r = open_disks(m, &xc, e);
    if (!r)
        r = open_nics(m, &xc, e);
    return r ? r : xen_open(&m->xen, m->vm, &m->lapics, &xc, e);
}

static int open_debugcon(struct xen_pvh *m, struct err *e)
{
    if (m->cfg.debugcon) {
        m->debugcon_file = fopen(m->cfg.debugcon, "we");
        if (!m->debugcon_file)
            return err_set(e, errno, "%s: %s", m->cfg.debugcon, strerror(errno));
    }
    debugcon_init(&m->debugcon, m->debugcon_file, &m->vm->trace);
    return map(m, &m->vm->pio, &m->debugcon.region, 0xe9, e);
}

int xen_pvh_open(struct xen_pvh *m, struct vm *vm, const struct machine_config *cfg, struct err *e)
{
    m->vm = vm;
    m->cfg = *cfg;
    display_init(&m->screen, NULL);
    if (cfg->xen == XEN_PV && strcmp(vm->engine->name, "soft") &&
        strcmp(vm->engine->name, "interp"))
        return err_set(e, EINVAL,
                       "a classic PV guest runs on the engines soft and interp, not on %s",
                       vm->engine->name);
    int r = open_memory(m, e);
    if (r)
        return r;
    lapic_bus_init(&m->lapics, vm->vcpu, vm->ncpus, vm->clock, NULL, &vm->trace);
    m->lapics_open = true;
    if (cfg->xen != XEN_PV)
        r = map(m, &vm->mmio, &m->lapics.region, MAP_LAPIC, e);
    if (!r && cfg->xen != XEN_PV)
        r = open_acpi(m, e);
    if (!r)
        r = open_debugcon(m, e);
    if (!r)
        r = open_xen(m, e);
    if (!r && !cfg->loading)
        r = load(m, e);
    if (r)
        return r;
    vm->reset = reset;
    vm->stood = stood;
    vm->boot_state = boot_state;
    vm->board = m;
    return 0;
}

void xen_pvh_power_button(struct xen_pvh *m)
{
    xen_shutdown_guest(m->xen, "poweroff");
}

void xen_pvh_close(struct xen_pvh *m)
{
    xen_close(m->xen);
    display_destroy(&m->screen);
    for (unsigned i = 0; i < MACHINE_NICS_MAX; i++)
        if (m->net[i])
            m->net[i]->ops->close(m->net[i]);
    for (unsigned i = 0; i < m->nblks; i++)
        m->blk[i]->ops->close(m->blk[i]);
    for (unsigned i = 0; i < MACHINE_SERIALS_MAX; i++)
        if (m->cfg.serial[i])
            m->cfg.serial[i]->ops->close(m->cfg.serial[i]);
    if (m->cfg.console)
        m->cfg.console->ops->close(m->cfg.console);
    if (m->lapics_open)
        lapic_bus_destroy(&m->lapics);
    if (m->debugcon_file)
        fclose(m->debugcon_file);
    acpi_free(&m->acpi);
}
