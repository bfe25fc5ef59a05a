/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firmware image at the top of 4 GiB, and what firmware is told: fw_cfg and CMOS.  Written for
 * SeaBIOS 1.16 (src/fw/paravirt.c, src/boot.c), which is what Debian ships; OVMF, for UEFI, reads
 * the same.
 */
#include "base/endian.h"
#include "board/pc.h"
#include "board/pc_map.h"
#include "board/smbios.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRMWARE_MAX = 16 << 20, BIOS_WINDOW = 128 << 10 };

bool pc_find_rom(const char *name, char *path, size_t size)
{
    static const char *const dirs[] = {"/usr/share/seabios", "/usr/share/qemu",
                                       "/usr/lib/ipxe/qemu", "/usr/share/ovmf",
                                       "/usr/share/OVMF",    "/usr/local/share/qemu"};
    if (strchr(name, '/')) {
        snprintf(path, size, "%s", name);
        return !access(path, R_OK);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++) {
        snprintf(path, size, "%s/%s", dirs[i], name);
        if (!access(path, R_OK))
            return true;
    }
    return false;
}

u8 *pc_read_rom(const char *name, u64 max_size, u64 *size, struct err *e)
{
    char path[512];
    struct image im;
    if (!pc_find_rom(name, path, sizeof(path)) && !strchr(name, '/')) {
        err_set(e, ENOENT, "%s: not found; Debian has it in the package %s", name,
                strstr(name, "pxe")    ? "ipxe-qemu"
                : strstr(name, "OVMF") ? "ovmf"
                                       : "seabios");
        return NULL;
    }
    if (image_open(&im, path, e))
        return NULL;
    u8 *buf = NULL;
    if (!im.size || im.size > max_size) {
        err_set(e, EINVAL, "%s: %llu bytes; 1 to %llu are possible here", path,
                (unsigned long long)im.size, (unsigned long long)max_size);
    } else if (!(buf = malloc(im.size))) {
        err_set(e, ENOMEM, "%s: out of memory", path);
    } else if (image_read(&im, 0, buf, im.size, e)) {
        free(buf);
        buf = NULL;
    }
    *size = im.size;
    image_close(&im);
    return buf;
}

bool pc_wants_efi(const struct pc *pc)
{
    return pc->cfg.firmware && !strcmp(pc->cfg.firmware, FIRMWARE_EFI);
}

int pc_load_firmware(struct pc *pc, u8 **bios, struct err *e)
{
    const char *name = pc->cfg.firmware;
    char path[512];
    u64 size;
    if (!name)
        name = "bios-256k.bin";
    else if (pc_wants_efi(pc))
        name = "OVMF_CODE_4M.fd";
    else if (!strchr(name, '/') && !access(name, R_OK)) /* a file of this name right here */
        snprintf(path, sizeof(path), "./%s", name), name = path;
    u8 *image = pc_read_rom(name, FIRMWARE_MAX, &size, e);
    if (!image)
        return err_prefix(e, "firmware");
    /* The reset vector is in its last 16 bytes, and SeaBIOS's lie there with a far jump. */
    if (size < 64 * KIB || size % (4 * KIB)) {
        free(image);
        return err_set(e, EINVAL, "%s: %llu bytes are no size of a firmware image", name,
                       (unsigned long long)size);
    }
    u64 room = max(size, (u64)BIOS_WINDOW);
    u8 *mem = mem_alloc(&pc->vm->mem, room);
    if (!mem) {
        free(image);
        return err_set(e, ENOMEM, "%s: no memory for firmware", name);
    }
    memset(mem, 0xff, room - size);
    memcpy(mem + room - size, image, size);
    free(image);
    pc->firmware = (struct region){.name = "firmware", .size = room, .hva = mem};
    *bios = mem + room - BIOS_WINDOW;
    int r = bus_map(&pc->vm->mmio, &pc->firmware, MAP_4G - room);
    return r ? err_set(e, -r, "%s: %s", name, strerror(-r)) : 0;
}

/* ------------------------------------------------------------------ fw_cfg -- */

struct text {
    char buf[4096];
    size_t len;
};

static void printf_like(2, 3) add_line(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->buf + t->len, sizeof(t->buf) - t->len, fmt, ap);
    va_end(ap);
    if (n > 0 && t->len + (size_t)n < sizeof(t->buf))
        t->len += (size_t)n;
}

/* Device paths as SeaBIOS's src/boot.c builds them, in the order that the user wants. */
static void boot_order(const struct pc *pc, struct text *t)
{
    const char *order = pc->cfg.boot ? pc->cfg.boot : "cda";
    for (; *order; order++) {
        for (unsigned i = 0; *order == 'a' && i < pc->cfg.nfloppies; i++)
            add_line(t, "/pci@i0cf8/isa@1/fdc@03f0/floppy@%u\n", i);
        for (unsigned i = 0; (*order == 'c' || *order == 'd') && i < 4; i++) {
            enum ata_kind kind = pc->ide.ch[i / 2].drive[i % 2].kind;
            if (kind == (*order == 'c' ? ATA_DISK : ATA_CDROM))
                add_line(t, "/pci@i0cf8/ide@1,1/drive@%u/disk@%u\n", i / 2, i % 2);
        }
        for (unsigned i = 0; *order == 'c' && i < pc->nvblks; i++)
            add_line(t, "/pci@i0cf8/scsi@%x/disk@0,0\n", pc->vblk[i].slot);
        for (unsigned i = 0; *order == 'n' && i < pc->cfg.nnics; i++)
            add_line(t, "/pci@i0cf8/ethernet@%x/ethernet-phy@0\n", pc->nic[i].slot);
    }
}

static int add_smbios(struct pc *pc)
{
    struct smbios_tables s;
    struct smbios_config c = {pc->cfg.name, pc->cfg.uuid, pc->vm->ncpus,
                              pc->ram_below + pc->ram_above, pc->ram_below};
    smbios_build(&s, &c);
    int r = fw_cfg_add_file(&pc->fw_cfg, "etc/smbios/smbios-anchor", s.anchor, sizeof(s.anchor));
    if (!r)
        r = fw_cfg_add_file(&pc->fw_cfg, "etc/smbios/smbios-tables", s.data, s.len);
    return r;
}

static int add_acpi(struct pc *pc)
{
    u32 len;
    u8 *script = acpi_loader_script(&pc->acpi, &len);
    if (!script)
        return -ENOMEM;
    int r = fw_cfg_add_file(&pc->fw_cfg, "etc/table-loader", script, len);
    if (!r)
        r = fw_cfg_add_file(&pc->fw_cfg, "etc/acpi/tables", pc->acpi.data, pc->acpi.len);
    if (!r)
        r = fw_cfg_add_file(&pc->fw_cfg, "etc/acpi/rsdp", pc->acpi.rsdp, ACPI_RSDP_SIZE);
    free(script);
    return r;
}

int pc_fill_fw_cfg(struct pc *pc, struct err *e)
{
    struct fw_cfg *f = &pc->fw_cfg;
    u8 map[E820_MAX * E820_WIRE];
    /* S3 and S4 are not there: bit 7 clear; S5 is, with its sleep type. */
    static const u8 system_states[6] = {0, 0, 0, 0, 0, 0x80 | PIIX4_S5_TYPE};
    static const u8 boot_fail_wait[4] = {0xff, 0xff, 0xff, 0xff}; /* for ever */
    struct text order = {.len = 0};
    int r = fw_cfg_add(f, FW_CFG_UUID, pc->cfg.uuid, 16);
    if (!r)
        r = fw_cfg_add_u64(f, FW_CFG_RAM_SIZE, pc->vm->mem.ram_size);
    if (!r)
        r = fw_cfg_add_u16(f, FW_CFG_NOGRAPHIC, !pc->cfg.vga);
    if (!r)
        r = fw_cfg_add_u16(f, FW_CFG_NB_CPUS, (u16)pc->vm->ncpus);
    if (!r)
        r = fw_cfg_add_u16(f, FW_CFG_MAX_CPUS, (u16)pc->vm->ncpus);
    if (!r)
        r = fw_cfg_add_u16(f, FW_CFG_BOOT_MENU, 0);
    if (!r)
        r = add_acpi(pc);
    if (!r)
        r = add_smbios(pc);
    e820_wire(&pc->e820, map);
    if (!r)
        r = fw_cfg_add_file(f, "etc/e820", map, pc->e820.n * E820_WIRE);
    boot_order(pc, &order);
    if (!r && order.len)
        r = fw_cfg_add_file(f, "bootorder", order.buf, (u32)order.len + 1);
    if (!r)
        r = fw_cfg_add_file(f, "etc/system-states", system_states, sizeof(system_states));
    if (!r)
        r = fw_cfg_add_file(f, "etc/boot-fail-wait", boot_fail_wait, sizeof(boot_fail_wait));
    if (!r)
        r = fw_cfg_finish(f);
    return r ? err_set(e, -r, "fw_cfg: %s", strerror(-r)) : 0;
}

/* -------------------------------------------------------------------- CMOS -- */

static u8 boot_device(char c)
{
    switch (c) {
    case 'a':
        return 1;
    case 'c':
        return 2;
    case 'd':
        return 3;
    case 'n':
        return 4;
    default:
        return 0;
    }
}

static void cmos16(struct mc146818 *r, u8 index, u64 v)
{
    mc146818_set_cmos(r, index, (u8)v);
    mc146818_set_cmos(r, index + 1, (u8)(v >> 8));
}

/* As Bochs and QEMU lay it out (Bochs: iodev/cmos.cc), which is what firmware reads. */
void pc_fill_cmos(struct pc *pc)
{
    struct mc146818 *r = &pc->rtc;
    const char *order = pc->cfg.boot ? pc->cfg.boot : "cda";
    u64 below_k = pc->ram_below >> 10, above = pc->ram_above >> 16;
    size_t n = strlen(order);

    u8 floppies = 0;
    if (pc->cfg.nfloppies)
        floppies = (u8)(pc->fdc.drive[0].type << 4 | pc->fdc.drive[1].type);
    mc146818_set_cmos(r, 0x10, floppies);
    /* Equipment: mathematics unit, pointing device, floppies. */
    u8 equipment = 0x06;
    if (pc->cfg.nfloppies)
        equipment |= (u8)(1 | (pc->cfg.nfloppies - 1) << 6);
    mc146818_set_cmos(r, 0x14, equipment);
    cmos16(r, 0x15, 640);
    cmos16(r, 0x17, min(below_k - 1024, (u64)0xffff));
    cmos16(r, 0x30, min(below_k - 1024, (u64)0xffff));
    cmos16(r, 0x34, below_k > 16384 ? (below_k - 16384) >> 6 : 0);
    cmos16(r, 0x5b, above);
    mc146818_set_cmos(r, 0x5d, (u8)(above >> 16));
    mc146818_set_cmos(r, 0x5f, (u8)(pc->vm->ncpus - 1));
    mc146818_set_cmos(r, 0x38, (u8)((n > 2 ? boot_device(order[2]) : 0) << 4 | 1));
    mc146818_set_cmos(r, 0x3d,
                      (u8)((n > 1 ? boot_device(order[1]) : 0) << 4 | boot_device(order[0])));
    mc146818_set_cmos(r, 0x39, 0x55); /* LBA translation for all four drives */
}
