/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC: i440FX with PIIX3/PIIX4 and everything on it.  pc.c builds it, top to bottom.
 */
#ifndef WIRT_BOARD_PC_H
#define WIRT_BOARD_PC_H

#include "board/acpi.h"
#include "board/config.h"
#include "board/e820.h"
#include "board/loader.h"
#include "core/vm.h"
#include "dev/debugcon.h"
#include "dev/e1000.h"
#include "dev/fw_cfg.h"
#include "dev/hpet.h"
#include "dev/i28f.h"
#include "dev/i440fx.h"
#include "dev/i8042.h"
#include "dev/i82078.h"
#include "dev/i8237.h"
#include "dev/i8254.h"
#include "dev/i8259.h"
#include "dev/ioapic.h"
#include "dev/isa_debug_exit.h"
#include "dev/lapic.h"
#include "dev/mc146818.h"
#include "dev/ns16550.h"
#include "dev/pci.h"
#include "dev/piix3.h"
#include "dev/piix3_ide.h"
#include "dev/piix4_pm.h"
#include "dev/port92.h"
#include "dev/stdvga.h"
#include "dev/uhci.h"
#include "dev/usb_hid.h"
#include "dev/usb_storage.h"
#include "dev/virtio_balloon.h"
#include "dev/virtio_blk.h"
#include "dev/virtio_console.h"
#include "dev/virtio_gpu.h"
#include "dev/virtio_input.h"
#include "dev/virtio_net.h"
#include "dev/virtio_rng.h"
#include "dev/xhci.h"
#include "pv/hyperv/hyperv.h"
#include "pv/xen/platform_pci.h"

/* Who drives an interrupt line that several may drive; a bit each in pc_irqs.level. */
enum { IRQ_SRC_ISA, IRQ_SRC_ISA2, IRQ_SRC_PIRQ, IRQ_SRC_SCI, IRQ_SRC_HPET };
enum { PC_GSIS = 24 };

/* Interrupt lines on their way to the PICs (0-15) and the I/O APIC (all; 0 arrives at pin 2). */
struct pc_irqs {
    struct i8259 *pic;
    struct ioapic *ioapic;
    u8 level[PC_GSIS];
    pthread_mutex_t lock; /* after device and PCI locks, before the PIC's and the I/O APIC's */
};

struct pc_nic {
    struct nic_backend *backend; /* NULL = no cable */
    unsigned slot;
    struct virtio_net *virtio; /* one of the two */
    struct e1000 *e1000;
    u8 e1000_mac[6];
    struct region rom;
};

struct pc_vblk {
    struct blk *blk;
    unsigned slot;
    struct virtio_blk *dev;
};

struct pc {
    struct vm *vm;
    struct machine_config cfg;
    struct e820 e820;
    u64 ram_below, ram_above; /* bytes of RAM below and from 4 GiB */
    bool direct;              /* a kernel is booted without firmware */
    bool ran;                 /* the first reset has happened */
    struct boot_entry entry;  /* direct */
    struct acpi_tables acpi;

    struct region ram_low, ram_high, ram_4g, firmware;
    struct i28f flash; /* UEFI variables; size 0: there is none */
    int flash_fd;      /* where they are kept, -1 = nowhere */
    u32 a20_lines;     /* bit 0: i8042, bit 1: port 92; atomic */

    struct pc_irqs irqs;
    struct i8259 pic;
    struct ioapic ioapic;
    struct lapic_bus lapics;
    struct hpet hpet;
    struct i8254 pit;
    struct mc146818 rtc;
    struct i8237 dma;

    struct pci_bus pci;
    struct i440fx host;
    struct piix3 isa;
    struct piix3_ide ide;
    struct piix4_pm pm;
    struct stdvga *stdvga; /* one of the two, or none */
    struct virtio_gpu *gpu;
    struct vga *vga;                /* of whatever video card there is; NULL: none */
    const struct region *vga_rom;   /* its BIOS, may be empty */
    struct virtio_input *vinput[2]; /* keyboard, tablet */
    struct display screen;          /* for viewers */
    struct input_sink input;        /* for whoever types and points; pc_input.c */
    struct pc_pointer {             /* where the absolute pointer was last; any thread */
        pthread_mutex_t lock;
        unsigned x, y;
        bool known;
    } pointer;

    struct port92 port92;
    struct i8042 kbd;
    struct ns16550 serial[MACHINE_SERIALS_MAX];
    struct i82078 fdc;
    struct fw_cfg fw_cfg;
    struct debugcon debugcon[2]; /* ports 0x402 and 0xe9 */
    FILE *debugcon_file;
    struct isa_debug_exit debug_exit;

    unsigned next_slot; /* of PCI bus 0 */
    struct blk *ide_blk[4];
    struct blk *floppy_blk[MACHINE_FLOPPY_MAX];
    struct pc_vblk vblk[MACHINE_DISKS_MAX];
    unsigned nvblks;
    struct pc_nic nic[MACHINE_NICS_MAX];
    struct virtio_console *console;
    struct virtio_rng *rng;
    struct virtio_balloon *balloon;
    struct pc_usb {
        struct uhci *uhci; /* one of the two, or none */
        struct xhci *xhci;
        struct usb_hid *keyboard, *tablet;
        struct usb_storage *disk[MACHINE_USB_DISKS_MAX];
        struct blk *blk[MACHINE_USB_DISKS_MAX];
    } usb;
    bool lapics_open, fw_cfg_open;
    struct xen *xen; /* Xen HVM guests; else NULL */
    struct xen_platform *platform;
    struct hyperv *hyperv; /* NULL: not offered */
    u32 unplugged;         /* IDE drives that the guest has sent away, a bit each */
    struct loop_job go_on; /* after a load: looks at virtio queues; pc_state.c */
};

/*
 * Builds the machine into vm, whose memory (cfg->memory) and processors are open, and hangs itself
 * into vm->reset.  *pc is zeroed memory.  -errno with one line; pc_close() cleans up either way.
 */
int pc_open(struct pc *pc, struct vm *vm, const struct machine_config *cfg, struct err *e);
/* When no vCPU runs any more; before vm_destroy(). */
void pc_close(struct pc *pc);

/* ---- between the board's files ---- */

/* pc_disks.c: images, the IDE function at 1.1, the floppy controller, virtio disks. */
int pc_open_ide(struct pc *pc, const struct irq irq[2], struct err *e);
int pc_open_floppy(struct pc *pc, struct irq irq, struct err *e);
int pc_open_virtio_disks(struct pc *pc, struct err *e);
/* Notifications by eventfd, under an engine that rings them. */
int pc_add_bells(struct pc *pc, struct virtio_pci *p, struct err *e);
void pc_close_disks(struct pc *pc);
/* Opens what d names, for whatever bus. */
int pc_open_image(struct pc *pc, struct blk **b, const struct disk_config *d, struct err *e);

/* pc_state.c: the clock stood for ns of the host's time. */
void pc_stood(void *opaque, u64 ns);

/* pc_video.c: the video card at devfn, its ports and its window. */
int pc_open_video(struct pc *pc, unsigned devfn, struct err *e);
void pc_close_video(struct pc *pc);

/* pc_usb.c: the controller, at function 2 of the PIIX3's slot (UHCI) or in a slot of its own. */
int pc_open_usb(struct pc *pc, struct err *e);
void pc_drain_usb(struct pc *pc); /* waits for disk requests */
void pc_close_usb(struct pc *pc);

/* pc_input.c: which device gets keys and the pointer. */
void pc_open_input(struct pc *pc);

/* pc_firmware.c: the firmware image, fw_cfg, CMOS. */
int pc_load_firmware(struct pc *pc, u8 **bios, struct err *e);
bool pc_wants_efi(const struct pc *pc);
/* pc_flash.c: its variables, after it was loaded. */
int pc_open_flash(struct pc *pc, struct err *e);
void pc_close_flash(struct pc *pc);
/* A firmware file by its name in the usual places, or by path; malloc'ed. */
u8 *pc_read_rom(const char *name, u64 max, u64 *size, struct err *e);
/* The path where pc_read_rom() finds a file, or false. */
bool pc_find_rom(const char *name, char *path, size_t size);
int pc_fill_fw_cfg(struct pc *pc, struct err *e);
void pc_fill_cmos(struct pc *pc);

/* pc_xen.c: Xen's interface and platform device. */
int pc_open_xen(struct pc *pc, unsigned devfn, struct err *e);
void pc_reset_xen(struct pc *pc);

/* pc_direct.c: direct kernel boot; what firmware would have done. */
int pc_direct_load(struct pc *pc, struct err *e);
void pc_direct_reset(struct pc *pc);
/* pc_text.c: the text screen for it; pc_has_text(): there will be one. */
void pc_direct_text(struct pc *pc);
bool pc_has_text(const struct pc *pc);
void pc_direct_state(void *opaque, struct cpu_state *s);

#endif
