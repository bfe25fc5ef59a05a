/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Builds the PC, top to bottom: memory, interrupts, timers, PCI and its functions, ISA chips,
 * firmware.  This and its neighbours pc_*.c are the only files that name addresses and interrupt
 * numbers (pc_map.h).
 *
 * PCI slots: 0 host bridge, 1 PIIX3 (functions: 0 ISA bridge, 1 IDE, 3 power management), 2 VGA,
 * from 3 on network cards, virtio disks, virtio console, entropy, balloon.
 */
#include "board/pc.h"
#include "board/pc_map.h"
#include "disk/disk.h"
#include "net/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLOT_HOST = 0, SLOT_PIIX = 1, SLOT_VGA = 2, SLOT_FIRST = 3, SLOT_COUNT = 32 };
#define DEVFN(slot, fn) ((slot) << 3 | (fn))

/* GSIs that HPET timers may be routed to: those that no ISA interrupt uses. */
#define HPET_GSIS 0x00ff0000u

/* ------------------------------------------------------------- interrupts -- */

/* A line from one of a GSI's sources: n = gsi | source << 8. */
static void gsi_set(void *opaque, unsigned n, bool level)
{
    struct pc_irqs *q = opaque;
    unsigned gsi = n & 0xff, bit = 1u << (n >> 8);
    pthread_mutex_lock(&q->lock);
    bool was = q->level[gsi];
    if (level)
        q->level[gsi] |= (u8)bit;
    else
        q->level[gsi] &= (u8)~bit;
    bool is = q->level[gsi];
    if (was != is) {
        if (gsi < 16)
            i8259_set(q->pic, gsi, is);
        ioapic_set(q->ioapic, gsi == IRQ_PIT ? 2 : gsi, is);
    }
    pthread_mutex_unlock(&q->lock);
}

/* An edge waits in every controller that lets it through. */
static bool gsi_pending(void *opaque, unsigned n)
{
    struct pc_irqs *q = opaque;
    unsigned gsi = n & 0xff, pin = gsi == IRQ_PIT ? 2 : gsi;
    bool pic = gsi < 16 && i8259_unmasked(q->pic, gsi);
    bool ioapic = ioapic_unmasked(q->ioapic, pin);

    return (pic || ioapic) && (!pic || i8259_pending(q->pic, gsi)) &&
           (!ioapic || ioapic_pending(q->ioapic, pin));
}

static struct irq gsi_line(struct pc *pc, unsigned gsi, unsigned source)
{
    return (struct irq){gsi_set, &pc->irqs, gsi | source << 8, gsi_pending};
}

static struct irq isa_line(struct pc *pc, unsigned irq)
{
    return gsi_line(pc, irq, IRQ_SRC_ISA);
}

/* The PIT's (0) or the RTC's (1) output, which the HPET may cut off. */
static struct irq legacy_timer_line(struct pc *pc, unsigned n)
{
    return (struct irq){hpet_legacy_in, &pc->hpet, n, hpet_legacy_pending};
}

int pc_add_bells(struct pc *pc, struct virtio_pci *p, struct err *e)
{
    return pc->vm->engine->doorbells ? virtio_pci_add_bells(p, pc->vm->loop, e) : 0;
}

static struct msi_sink apic_messages(struct pc *pc)
{
    return (struct msi_sink){lapic_msi, &pc->lapics, lapic_msi_pending};
}

static void reset_line(void *opaque, unsigned n, bool level)
{
    if (level)
        vm_request_reset(opaque);
}

static void power_off_line(void *opaque, unsigned n, bool level)
{
    if (level)
        vm_request_end(opaque, VM_POWEROFF, 0);
}

static void a20_line(void *opaque, unsigned n, bool level)
{
    struct pc *pc = opaque;
    u32 lines = level ? __atomic_or_fetch(&pc->a20_lines, 1u << n, __ATOMIC_ACQ_REL)
                      : __atomic_and_fetch(&pc->a20_lines, ~(1u << n), __ATOMIC_ACQ_REL);
    vm_set_a20(pc->vm, lines);
}

static void debug_exit(void *opaque, int code)
{
    vm_request_end(opaque, VM_DEBUG, code);
}

/* ----------------------------------------------------------------- memory -- */

static int map(struct bus *b, struct region *r, u64 base, struct err *e)
{
    int ret = bus_map(b, r, base);
    if (ret)
        return err_set(e, -ret, "%s at 0x%llx does not fit on the %s bus", r->name,
                       (unsigned long long)base, b->name);
    return 0;
}

static int map_ram(struct pc *pc, struct region *r, const char *name, u64 ram_off, u64 base,
                   u64 size, struct err *e)
{
    if (!size)
        return 0;
    u8 *hva = pc->vm->mem.hva + ram_off;
    *r = (struct region){.name = name, .size = size, .hva = hva, .whva = hva};
    return map(&pc->vm->mmio, r, base, e);
}

static int open_memory(struct pc *pc, struct err *e)
{
    u64 ram = pc->vm->mem.ram_size;
    pc->ram_below = min(ram, MAP_RAM_BELOW);
    pc->ram_above = ram - pc->ram_below;
    e820_add(&pc->e820, 0, pc->ram_below, E820_RAM);
    if (pc->cfg.xen == XEN_HVM)
        e820_add(&pc->e820, MAP_XEN, MAP_XEN_SIZE, E820_RESERVED);
    e820_add(&pc->e820, MAP_4G, pc->ram_above, E820_RAM);
    int r = map_ram(pc, &pc->ram_low, "low RAM", 0, 0, MAP_LOW_TOP, e);
    if (!r)
        r = map_ram(pc, &pc->ram_high, "RAM", MAP_HIGH, MAP_HIGH, pc->ram_below - MAP_HIGH, e);
    if (!r)
        r = map_ram(pc, &pc->ram_4g, "RAM above 4 GiB", pc->ram_below, MAP_4G, pc->ram_above, e);
    return r;
}

/* ---------------------------------------------------- interrupts and time -- */

static s64 rtc_date(const struct machine_config *c)
{
    time_t now = time(NULL);
    if (c->have_rtc_start)
        return c->rtc_start;
    if (c->rtc == RTC_LOCALTIME) {
        struct tm tm;
        localtime_r(&now, &tm);
        return (s64)now + tm.tm_gmtoff;
    }
    return (s64)now;
}

static int open_interrupts(struct pc *pc, struct err *e)
{
    struct vm *vm = pc->vm;
    struct trace *t = &vm->trace;

    pthread_mutex_init(&pc->irqs.lock, NULL);
    pc->irqs.pic = &pc->pic;
    pc->irqs.ioapic = &pc->ioapic;
    i8259_init(&pc->pic, (struct irq){lapic_lint0, &pc->lapics, 0}, t);
    ioapic_init(&pc->ioapic, 0, apic_messages(pc), t);
    lapic_bus_init(&pc->lapics, vm->vcpu, vm->ncpus, vm->clock, &pc->pic, t);
    pc->lapics.eoi = ioapic_eoi;
    pc->lapics.eoi_opaque = &pc->ioapic;
    pc->ioapic.route = lapic_route;
    pc->ioapic.route_opaque = &pc->lapics;
    pc->lapics_open = true;

    int r = map(&vm->pio, &pc->pic.region[0], 0x20, e);
    if (!r)
        r = map(&vm->pio, &pc->pic.region[1], 0xa0, e);
    if (!r)
        r = map(&vm->pio, &pc->pic.elcr, 0x4d0, e);
    if (!r)
        r = map(&vm->mmio, &pc->ioapic.region, MAP_IOAPIC, e);
    if (!r)
        r = map(&vm->mmio, &pc->lapics.region, MAP_LAPIC, e);
    return r;
}

static int open_timers(struct pc *pc, struct err *e)
{
    struct vm *vm = pc->vm;
    struct trace *t = &vm->trace;
    struct irq lines[HPET_ROUTES] = {0};
    for (unsigned i = 0; i < PC_GSIS; i++)
        lines[i] = gsi_line(pc, i, IRQ_SRC_HPET);
    hpet_init(&pc->hpet, vm->clock, lines, HPET_GSIS, apic_messages(pc), t);
    i8254_init(&pc->pit, vm->clock, legacy_timer_line(pc, 0), t);
    mc146818_init(&pc->rtc, vm->clock, legacy_timer_line(pc, 1), rtc_date(&pc->cfg), t);
    int r = map(&vm->mmio, &pc->hpet.region, MAP_HPET, e);
    if (!r)
        r = map(&vm->pio, &pc->pit.region, 0x40, e);
    if (!r)
        r = map(&vm->pio, &pc->pit.speaker, 0x61, e);
    if (!r)
        r = map(&vm->pio, &pc->rtc.region, 0x70, e);
    return r;
}

/* -------------------------------------------------------------------- PCI -- */

static int open_chipset(struct pc *pc, u8 *bios, struct err *e)
{
    struct vm *vm = pc->vm;
    struct irq isa[16];
    struct irq reset = {reset_line, vm, 0};
    for (unsigned i = 0; i < 16; i++)
        isa[i] = gsi_line(pc, i, IRQ_SRC_PIRQ);

    pci_bus_init(&pc->pci, &vm->trace, &vm->pio, vm->dma);
    pc->pci.msi = apic_messages(pc);
    int r = piix3_init(&pc->isa, &pc->pci, DEVFN(SLOT_PIIX, 0), isa, reset);
    BUG_ON(r);
    r = i440fx_init(&pc->host, &pc->pci, bios, &pc->isa.rcr_region, e);
    if (r)
        return r;
    /* SeaBIOS looks for this to know that fw_cfg is there. */
    pci_set_subsystem(&pc->host.pci, 0x1af4, 0x1100);
    r = piix4_pm_init(&pc->pm, &pc->pci, DEVFN(SLOT_PIIX, 3), vm->clock,
                      gsi_line(pc, IRQ_SCI, IRQ_SRC_SCI), (struct irq){power_off_line, vm, 0});
    BUG_ON(r);
    r = map(&vm->pio, &pc->host.conf_address, 0xcf8, e);
    if (!r)
        r = map(&vm->pio, &pc->host.conf_data, 0xcfc, e);
    if (!r)
        r = map(&vm->pio, &pc->pm.apm, PORT_SMI_CMD, e);
    return r;
}

/* iPXE's option ROM, when the user wants to boot from the network. */
static void open_nic_rom(struct pc *pc, struct pc_nic *nic, struct pci_dev *dev, const char *name)
{
    u64 size;
    struct err why;
    if (!pc->cfg.boot || !strchr(pc->cfg.boot, 'n'))
        return;
    u8 *rom = pc_read_rom(name, MIB, &size, &why);
    u8 *mem = rom ? mem_alloc(&pc->vm->mem, align_up(size, PAGE_SIZE)) : NULL;
    if (mem) {
        memcpy(mem, rom, size);
        nic->rom = (struct region){.name = "nic rom", .size = align_up(size, PAGE_SIZE)};
        nic->rom.hva = mem;
        pci_rom_init(dev, &nic->rom);
    } else {
        trace(&pc->vm->trace, board, "no network boot: %s", rom ? "no memory" : why.msg);
    }
    free(rom);
}

static int open_nic(struct pc *pc, unsigned n, struct err *e)
{
    struct vm *vm = pc->vm;
    struct net_config c = pc->cfg.nic[n];
    struct pc_nic *nic = &pc->nic[n];
    static const u8 none[6];
    int r = net_open(&nic->backend, &c, vm->loop, vm->clock, &vm->trace, e);
    if (r)
        return r;
    if (!memcmp(c.mac, none, 6))
        machine_default_mac(&pc->cfg, n, c.mac);
    nic->slot = pc->next_slot++;
    if (!strcmp(c.model, "e1000")) {
        struct e1000_config ec = {.backend = nic->backend};
        memcpy(ec.mac, c.mac, 6);
        memcpy(nic->e1000_mac, c.mac, 6);
        nic->e1000 = calloc(1, sizeof(*nic->e1000));
        if (!nic->e1000)
            return err_set(e, ENOMEM, "e1000: out of memory");
        r = e1000_init(nic->e1000, &pc->pci, DEVFN(nic->slot, 0), &ec, vm->clock);
        if (r)
            return err_set(e, -r, "e1000: %s", strerror(-r));
        open_nic_rom(pc, nic, &nic->e1000->pci, "pxe-e1000.rom");
        return 0;
    }
    struct virtio_net_options o = {0};
    memcpy(o.mac, c.mac, 6);
    nic->virtio = calloc(1, sizeof(*nic->virtio));
    if (!nic->virtio)
        return err_set(e, ENOMEM, "virtio-net: out of memory");
    r = virtio_net_init(nic->virtio, &pc->pci, DEVFN(nic->slot, 0), vm->loop, nic->backend, &o, e);
    if (!r)
        r = pc_add_bells(pc, &nic->virtio->vp, e);
    if (!r)
        open_nic_rom(pc, nic, &nic->virtio->vp.pci, "pxe-virtio.rom");
    return r;
}

static int open_virtio(struct pc *pc, struct err *e)
{
    struct vm *vm = pc->vm;
    int r = 0;
    if (pc->cfg.console) {
        pc->console = calloc(1, sizeof(*pc->console));
        r = pc->console ? virtio_console_init(pc->console, &pc->pci, DEVFN(pc->next_slot++, 0),
                                              vm->loop, pc->cfg.console)
                        : -ENOMEM;
    }
    if (!r && pc->cfg.rng) {
        pc->rng = calloc(1, sizeof(*pc->rng));
        r = pc->rng ? virtio_rng_init(pc->rng, &pc->pci, DEVFN(pc->next_slot++, 0), vm->clock)
                    : -ENOMEM;
    }
    if (!r && pc->cfg.balloon) {
        pc->balloon = calloc(1, sizeof(*pc->balloon));
        r = pc->balloon
                ? virtio_balloon_init(pc->balloon, &pc->pci, DEVFN(pc->next_slot++, 0), vm->loop)
                : -ENOMEM;
    }
    for (unsigned i = 0; !r && pc->cfg.virtio_input && i < ARRAY_SIZE(pc->vinput); i++) {
        pc->vinput[i] = calloc(1, sizeof(*pc->vinput[i]));
        r = pc->vinput[i] ? virtio_input_init(pc->vinput[i], &pc->pci, DEVFN(pc->next_slot++, 0),
                                              i ? VINPUT_TABLET : VINPUT_KEYBOARD)
                          : -ENOMEM;
    }
    return r ? err_set(e, -r, "virtio: %s", strerror(-r)) : 0;
}

static int check_slots(const struct machine_config *c, struct err *e)
{
    unsigned n = SLOT_FIRST + c->nnics + !!c->console + c->rng + c->balloon + 2 * c->virtio_input +
                 (c->usb.on && !c->usb.uhci) + (c->xen == XEN_HVM);
    for (unsigned i = 0; i < c->ndisks; i++)
        n += c->disk[i].bus == DISK_BUS_VIRTIO;
    if (n > SLOT_COUNT)
        return err_set(e, E2BIG, "%u devices are too many for one PCI bus: %d fit", n,
                       SLOT_COUNT - SLOT_FIRST);
    return 0;
}

static int open_pci_devices(struct pc *pc, struct err *e)
{
    struct irq ide_irq[2] = {isa_line(pc, IRQ_IDE0), isa_line(pc, IRQ_IDE1)};
    int r = check_slots(&pc->cfg, e);
    if (!r)
        r = pc_open_ide(pc, ide_irq, e);
    if (!r)
        r = pc_open_video(pc, DEVFN(SLOT_VGA, 0), e);
    pc->next_slot = SLOT_FIRST;
    for (unsigned i = 0; !r && i < pc->cfg.nnics; i++)
        r = open_nic(pc, i, e);
    if (!r)
        r = pc_open_virtio_disks(pc, e);
    if (!r)
        r = open_virtio(pc, e);
    if (!r)
        r = pc_open_usb(pc, e);
    if (!r && pc->cfg.xen == XEN_HVM)
        r = pc_open_xen(pc, DEVFN(pc->next_slot++, 0), e);
    if (!r && pc->cfg.hyperv)
        r = hyperv_open(&pc->hyperv, pc->vm, &pc->lapics, e);
    return r;
}

/* -------------------------------------------------------------------- ISA -- */

static int open_isa(struct pc *pc, struct err *e)
{
    struct vm *vm = pc->vm;
    struct trace *t = &vm->trace;
    struct irq reset = {reset_line, vm, 0};
    i8237_init(&pc->dma, vm->dma, t);
    i8042_init(&pc->kbd, isa_line(pc, IRQ_KBD), isa_line(pc, IRQ_MOUSE),
               (struct irq){a20_line, pc, 0}, reset, t);
    port92_init(&pc->port92, (struct irq){a20_line, pc, 1}, reset, t);
    const struct {
        struct region *r;
        u16 port;
    } at[] = {
        {&pc->dma.io0, 0x00},  {&pc->dma.page, 0x80},    {&pc->dma.io1, 0xc0},
        {&pc->kbd.data, 0x60}, {&pc->kbd.control, 0x64}, {&pc->port92.region, 0x92},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        int r = map(&vm->pio, at[i].r, at[i].port, e);
        if (r)
            return r;
    }
    for (unsigned i = 0; i < pc->cfg.nserials; i++) {
        /* COM1 and COM3 share a line, as do COM2 and COM4. */
        struct irq irq = gsi_line(pc, serial_irq[i], i < 2 ? IRQ_SRC_ISA : IRQ_SRC_ISA2);
        ns16550_init(&pc->serial[i], pc->cfg.serial[i], vm->clock, irq, t);
        int r = map(&vm->pio, &pc->serial[i].region, serial_port[i], e);
        if (r)
            return r;
    }
    return pc_open_floppy(pc, isa_line(pc, IRQ_FDC), e);
}

static int open_debug(struct pc *pc, struct err *e)
{
    struct vm *vm = pc->vm;
    if (pc->cfg.debugcon) {
        pc->debugcon_file = fopen(pc->cfg.debugcon, "we");
        if (!pc->debugcon_file)
            return err_set(e, errno, "%s: %s", pc->cfg.debugcon, strerror(errno));
    }
    debugcon_init(&pc->debugcon[0], pc->debugcon_file, &vm->trace);
    debugcon_init(&pc->debugcon[1], pc->debugcon_file, &vm->trace);
    int r = map(&vm->pio, &pc->debugcon[0].region, 0x402, e);
    if (!r)
        r = map(&vm->pio, &pc->debugcon[1].region, 0xe9, e);
    if (!r && pc->cfg.debug_exit) {
        isa_debug_exit_init(&pc->debug_exit, debug_exit, vm);
        r = map(&vm->pio, &pc->debug_exit.region, 0xf4, e);
    }
    return r;
}

static int open_fw_cfg(struct pc *pc, struct err *e)
{
    struct vm *vm = pc->vm;
    fw_cfg_init(&pc->fw_cfg, vm->dma, &vm->trace);
    pc->fw_cfg_open = true;
    int r = map(&vm->pio, &pc->fw_cfg.ports, 0x510, e);
    if (!r)
        r = map(&vm->pio, &pc->fw_cfg.dma_ports, 0x514, e);
    if (!r)
        r = pc_fill_fw_cfg(pc, e);
    return r;
}

/* ------------------------------------------------------------------- life -- */

/* vm->reset: all vCPUs are parked. */
static void pc_reset(void *opaque)
{
    struct pc *pc = opaque;
    vm_set_a20(pc->vm, true);
    pci_bus_reset(&pc->pci);
    /* Where the ACPI tables say it is.  SeaBIOS writes the same; OVMF would choose another place.
     */
    piix4_pm_set_bases(&pc->pm, PORT_PM_BASE, PORT_SMBUS_BASE);
    i8237_reset(&pc->dma);
    i8042_reset(&pc->kbd);
    port92_reset(&pc->port92);
    for (unsigned i = 0; i < pc->cfg.nserials; i++)
        ns16550_reset(&pc->serial[i]);
    if (pc->cfg.nfloppies)
        i82078_reset(&pc->fdc);
    i8254_reset(&pc->pit);
    mc146818_reset(&pc->rtc);
    hpet_reset(&pc->hpet);
    fw_cfg_reset(&pc->fw_cfg);
    if (pc->flash.size)
        i28f_reset(&pc->flash);
    i8259_reset(&pc->pic);
    ioapic_reset(&pc->ioapic);
    lapic_bus_reset(&pc->lapics);
    pc_reset_xen(pc);
    if (pc->hyperv)
        hyperv_reset(pc->hyperv);
    if (pc->direct)
        pc_direct_reset(pc);
    pc->ran = true;
}

int pc_open(struct pc *pc, struct vm *vm, const struct machine_config *cfg, struct err *e)
{
    u8 *bios = NULL;
    pc->vm = vm;
    pc->cfg = *cfg;
    pc->direct = cfg->kernel != NULL;
    pc->flash_fd = -1;
    display_init(&pc->screen, NULL);
    pc_open_input(pc);
    int r = open_memory(pc, e);
    if (!r && !pc->direct)
        r = pc_load_firmware(pc, &bios, e);
    if (!r && (pc_wants_efi(pc) || cfg->efi_vars))
        r = pc_open_flash(pc, e);
    if (!r)
        r = open_interrupts(pc, e);
    if (!r)
        r = open_timers(pc, e);
    if (!r)
        r = open_chipset(pc, bios, e);
    if (!r)
        r = open_pci_devices(pc, e);
    if (!r)
        r = open_isa(pc, e);
    if (!r)
        r = open_debug(pc, e);
    if (r)
        return r;
    struct acpi_config ac = {vm->ncpus, pc->ram_below, cfg->nfloppies > 0, cfg->nserials};
    r = acpi_build(&pc->acpi, &ac, e);
    if (!r)
        r = open_fw_cfg(pc, e);
    if (!r && pc->direct && !cfg->loading)
        r = pc_direct_load(pc, e);
    if (r)
        return r;
    pc_fill_cmos(pc);
    vm->reset = pc_reset;
    vm->stood = pc_stood;
    vm->board = pc;
    if (pc->direct)
        vm->boot_state = pc_direct_state;
    return 0;
}

void pc_close(struct pc *pc)
{
    loop_cancel(pc->vm->loop, &pc->go_on);
    hyperv_close(pc->hyperv);
    xen_close(pc->xen);
    free(pc->platform);
    for (unsigned i = 0; i < ARRAY_SIZE(pc->nic); i++) {
        struct pc_nic *nic = &pc->nic[i];
        if (nic->virtio && nic->virtio->vp.pci.bus) {
            virtio_pci_free_bells(&nic->virtio->vp);
            virtio_net_destroy(nic->virtio);
        }
        if (nic->backend)
            nic->backend->ops->close(nic->backend);
    }
    if (pc->console && pc->console->vp.pci.bus)
        virtio_console_destroy(pc->console);
    if (pc->rng && pc->rng->vp.pci.bus)
        virtio_rng_destroy(pc->rng);
    if (pc->balloon && pc->balloon->vp.pci.bus)
        virtio_balloon_destroy(pc->balloon);
    pc_close_flash(pc);
    pc_close_usb(pc);
    pc_close_disks(pc);
    for (unsigned i = 0; i < MACHINE_SERIALS_MAX; i++)
        if (pc->cfg.serial[i])
            pc->cfg.serial[i]->ops->close(pc->cfg.serial[i]);
    if (pc->cfg.console)
        pc->cfg.console->ops->close(pc->cfg.console);
    if (pc->lapics_open)
        lapic_bus_destroy(&pc->lapics);
    if (pc->fw_cfg_open)
        fw_cfg_destroy(&pc->fw_cfg);
    if (pc->debugcon_file)
        fclose(pc->debugcon_file);
    acpi_free(&pc->acpi);
    display_destroy(&pc->screen);
    pc_close_video(pc);
    for (unsigned i = 0; i < ARRAY_SIZE(pc->nic); i++) {
        free(pc->nic[i].virtio);
        free(pc->nic[i].e1000);
    }
    free(pc->console);
    free(pc->rng);
    free(pc->balloon);
    for (unsigned i = 0; i < ARRAY_SIZE(pc->vinput); i++)
        free(pc->vinput[i]);
}
