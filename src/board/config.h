/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a machine is to be made of, in plain data.  The command line fills it now, appliances and
 * the control socket later; board/pc.c builds the machine from it.  Strings belong to whoever
 * filled it and must live as long as the machine.
 */
#ifndef WIRT_BOARD_CONFIG_H
#define WIRT_BOARD_CONFIG_H

#include "base/types.h"
#include "core/backend.h"
#include "disk/disk.h"
#include "net/net.h"

enum {
    MACHINE_DISKS_MAX = 20, /* 4 places on IDE, the rest virtio */
    MACHINE_CDROMS_MAX = 4,
    MACHINE_FLOPPY_MAX = 2,
    MACHINE_NICS_MAX = 8,
    MACHINE_SERIALS_MAX = 4,
    MACHINE_USB_DISKS_MAX = 4,
};

enum disk_bus { DISK_BUS_IDE, DISK_BUS_VIRTIO };

struct disk_config {
    const char *path;
    enum disk_bus bus;
    bool readonly;
    bool snapshot; /* writes are thrown away at the end */
    char *clone;   /* writes go to this overlay; malloc'ed; NULL = none */
    bool anew;     /* a machine that is loaded: another image than the saved one's, on purpose */
    const char *format;   /* a name of disk_format_name(); NULL = found out by looking */
    bool allow_external;  /* files that the image names may lie outside its directory */
    const char *root;     /* or anywhere in this one; NULL = there is none */
    const char *vhd_size; /* of VHD images: "chs" or "current"; NULL = as their creator meant it */
    enum disk_cache cache;
    unsigned xvd; /* Xen guests: 1 = xvda, 2 = xvdb; 0 = the next free */
};

/* Xen's interface: none, or the kind of guest. */
enum xen_mode { XEN_NONE, XEN_PVH, XEN_HVM, XEN_PV };

/* A machine of Xen's interface alone, without a PC around it (board/xen_pvh.h). */
static inline bool xen_alone(enum xen_mode m)
{
    return m == XEN_PVH || m == XEN_PV;
}

enum vga_kind { VIDEO_NONE, VIDEO_STD, VIDEO_VIRTIO };

/* What is plugged into the USB; all zero: there is none. */
struct usb_config {
    bool on;   /* the controller is there */
    bool uhci; /* PIIX3's two ports, else xHCI with eight */
    bool tablet, keyboard;
    struct disk_config disk[MACHINE_USB_DISKS_MAX];
    unsigned ndisks;
};

enum rtc_base { RTC_UTC, RTC_LOCALTIME };

/* In place of a file's name: UEFI firmware where its package puts it. */
#define FIRMWARE_EFI "efi"

struct machine_config {
    const char *name;
    const char *identity; /* what addresses and the UUID derive from; NULL = name */
    u8 uuid[16];          /* as text reads, big-endian; all zero: made from the name */
    unsigned cpus;
    u64 memory; /* bytes, a multiple of 1 MiB */

    struct disk_config disk[MACHINE_DISKS_MAX];
    unsigned ndisks;
    const char *cdrom[MACHINE_CDROMS_MAX]; /* NULL entry = empty drive */
    unsigned ncdroms;
    const char *floppy[MACHINE_FLOPPY_MAX];
    unsigned nfloppies;
    struct net_config nic[MACHINE_NICS_MAX]; /* model empty = virtio */
    unsigned nnics;

    /* Opened by the caller, closed by pc_close(); NULL = a port with nothing behind it. */
    struct chardev *serial[MACHINE_SERIALS_MAX];
    unsigned nserials;       /* ports that exist */
    struct chardev *console; /* virtio console, NULL = none */

    enum vga_kind vga;
    u32 vga_width, vga_height; /* preferred size, 0 = the card's default */
    bool virtio_input;         /* a virtio keyboard and tablet */
    struct usb_config usb;
    bool rng, balloon;
    enum xen_mode xen;
    bool kvm;    /* KVM's interface, which the engine kvm alone has */
    bool hyperv; /* Microsoft's interface; beside XEN_HVM it comes first */

    const char *firmware;   /* NULL = SeaBIOS where its package puts it, "efi" = OVMF */
    const char *efi_vars;   /* file of the firmware's variables; NULL = they end with the machine */
    bool efi_vars_readonly; /* a clone: what is written stays in memory */
    const char *kernel;     /* direct boot; NULL = boot by firmware */
    const char *initrd;     /* Multiboot, PVH: a comma-separated list of modules */
    const char *append;
    const char *boot; /* order of "a" floppy, "c" disk, "d" CD, "n" network; NULL = "cda" */

    enum rtc_base rtc;
    s64 rtc_start; /* a start date in seconds since 1970 UTC when have_rtc_start */
    bool have_rtc_start;

    /* What made this machine, to be kept when it is saved: pairs of option and argument, a zero
     * behind each (cli/saved_options.h). */
    const char *options;
    u64 options_len;
    bool loading; /* memory and state come from a saved machine: nothing is put into memory now */

    bool debug_exit;      /* isa-debug-exit at port 0xf4 */
    const char *debugcon; /* file for ports 0x402 and 0xE9, NULL = trace only */
};

/* Defaults: one processor, 512 MiB, VGA, virtio-rng and balloon, one serial port, no disks. */
void machine_config_init(struct machine_config *m);

/* The locally administered address of card n: from the machine's name, so that machines side by
 * side differ and each keeps its own. */
void machine_default_mac(const struct machine_config *c, unsigned n, u8 mac[6]);

#endif
