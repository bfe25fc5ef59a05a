/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt's domains, as `virsh dumpxml` and virt-install write them for QEMU and for Xen: the
 * element `domain` of libvirt's formatdomain.  Disks are written in place.  libvirt names files by
 * absolute paths: those outside the description's folder need --appliance allow-external.
 *
 * Left out: disks of storage pools and of networks other than NBD, and devices of the host.
 */
#include "appliance/appliance_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int libvirt_probe(const struct ap_probe *p, struct err *e)
{
    return !strcmp(p->root, "domain");
}

/* ---------------------------------------------------------------------- memory -- */

/* libvirt's units: k, KiB and KB are three ways to say two things. */
static bool scaled(const char *quantity, const char *unit, u64 *bytes)
{
    static const char letters[] = "KMGTP";
    u64 v, factor = KIB, step = 1024;
    const char *letter;

    if (!ap_number(quantity, &v))
        return false;
    if (unit && (ap_same(unit, "b") || ap_same(unit, "bytes"))) {
        factor = 1;
    } else if (unit) {
        letter = strchr(letters, *unit & ~0x20);
        if (!letter || !*letter)
            return false;
        if (unit[1] && !ap_same(unit + 1, "iB")) {
            if (!ap_same(unit + 1, "B"))
                return false;
            step = 1000;
        }
        factor = 1;
        for (const char *p = letters; p <= letter; p++)
            factor *= step;
    }
    return !__builtin_mul_overflow(v, factor, bytes);
}

/* ---------------------------------------------------------------------- drives -- */

/* The number of a target's letter: vda 1, xvdb 2; 0 = has none. */
static unsigned letter_of(const char *target)
{
    size_t n = target ? strlen(target) : 0;

    return n && target[n - 1] >= 'a' && target[n - 1] <= 'z' ? (unsigned)(target[n - 1] - 'a') + 1
                                                             : 0;
}

static int source_of(struct appliance *a, const struct xml *disk, const char **file, struct err *e)
{
    const struct xml *s = xml_child(disk, "source"), *host = xml_child(s, "host");
    const char *type = xml_get(disk, "type"), *name = xml_get(s, "file");

    *file = NULL;
    if (ap_same(type, "block"))
        name = xml_get(s, "dev");
    if (ap_same(type, "dir"))
        return ap_bad(a, e, "a disk that is a folder");
    if (ap_same(type, "network")) {
        const char *port = xml_get(host, "port"), *export = xml_get(s, "name");
        if (!ap_same(xml_get(s, "protocol"), "nbd") || !xml_get(host, "name"))
            return ap_bad(a, e, "a disk on a network by \"%.40s\", which Wirt does not read",
                          xml_get(s, "protocol") ? xml_get(s, "protocol") : "?");
        if (!a->o.allow_external)
            return ap_bad(a, e, "a disk on a network (--appliance allow-external allows that)");
        *file = ap_print(a, "nbd://%.200s:%.8s/%.200s", xml_get(host, "name"),
                         port ? port : "10809", export ? export : "");
        return *file ? 0 : ap_nomem(a, e);
    }
    if (ap_same(type, "volume"))
        return ap_bad(a, e, "a disk of the storage pool \"%.80s\": its file must be named",
                      xml_get(s, "pool") ? xml_get(s, "pool") : "?");
    if (!name || !*name)
        return 0;
    *file = name;
    return 0;
}

static int add_disk(struct appliance *a, const struct xml *x, unsigned n, struct err *e)
{
    const char *device = xml_get(x, "device"), *bus = xml_get(xml_child(x, "target"), "bus");
    const char *target = xml_get(xml_child(x, "target"), "dev"), *file;
    const char *driver = xml_get(xml_child(x, "driver"), "type");
    struct ap_drive d = {.kind = AP_DISK, .bus = AP_IDE, .place = n + 1000};
    static const struct {
        const char *name;
        enum ap_bus bus;
    } buses[] = {{"ide", AP_IDE},       {"sata", AP_SATA}, {"scsi", AP_SCSI},
                 {"virtio", AP_VIRTIO}, {"nvme", AP_NVME}, {"usb", AP_USB},
                 {"xen", AP_XEN},       {"fdc", AP_FDC},   {"sd", AP_USB}};
    u64 order;

    a->line = x->line;
    for (unsigned i = 0; i < ARRAY_SIZE(buses); i++)
        if (ap_same(bus, buses[i].name))
            d.bus = buses[i].bus;
    if (!bus && target && !strncmp(target, "vd", 2))
        d.bus = AP_VIRTIO;
    if (ap_number(xml_get(xml_child(x, "boot"), "order"), &order) && order < 1000)
        d.place = (unsigned)order;
    d.where = ap_print(a, "%.40s (%.40s)", target ? target : "disk", bus ? bus : "?");
    if (!d.where)
        return ap_nomem(a, e);
    d.xvd = a->m->xen ? letter_of(target) : 0;
    d.readonly = xml_child(x, "readonly");
    d.discard = xml_child(x, "transient");
    int r = source_of(a, x, &file, e);
    if (r)
        return r;
    if (ap_same(device, "cdrom") || ap_same(device, "floppy")) {
        d.kind = ap_same(device, "cdrom") ? AP_CDROM : AP_FLOPPY;
        d.bus = d.kind == AP_FLOPPY ? AP_FDC : d.bus;
        return ap_removable(a, &d, file, e);
    }
    if (!file)
        return ap_bad(a, e, "%s: a disk without a file", d.where);
    if (xml_child(x, "encryption"))
        return ap_bad(a, e, "%s: the disk is encrypted, which Wirt does not read", d.where);
    d.format = ap_same(driver, "raw") ? "raw" : NULL; /* the others say so themselves */
    if (ap_same(xml_get(x, "type"), "network"))
        d.file = file; /* an address of source_of()'s making */
    else
        r = ap_file(a, file, &d.file, e);
    return r ? r : ap_drive(a, &d, e);
}

/* --------------------------------------------------------------------- devices -- */

static int add_nic(struct appliance *a, const struct xml *x, unsigned n, struct err *e)
{
    const char *type = xml_get(x, "type"), *model = xml_get(xml_child(x, "model"), "type");
    const struct xml *s = xml_child(x, "source");
    const char *network = type;
    char where[40];

    a->line = x->line;
    snprintf(where, sizeof(where), "interface %u", n);
    if (ap_same(type, "user") ||
        (ap_same(type, "network") && ap_same(xml_get(s, "network"), "default")))
        network = NULL;
    else if (ap_same(type, "network"))
        network = xml_get(s, "network");
    else if (ap_same(type, "bridge"))
        network = xml_get(s, "bridge");
    return ap_nic(a, where,
                  model       ? model
                  : a->m->xen ? "netfront"
                              : "rtl8139",
                  xml_get(xml_child(x, "mac"), "address"), network, e);
}

static void note_others(struct appliance *a, const struct xml *devices)
{
    static const struct {
        const char *element, *what;
    } missing[] = {{"sound", "no sound card"},
                   {"hostdev", "no device of the host"},
                   {"tpm", "no TPM"},
                   {"filesystem", "no shared folder"},
                   {"parallel", "no parallel port"},
                   {"smartcard", "no smartcard"},
                   {"shmem", "no shared memory"},
                   {"vsock", "no vsock"},
                   {"redirdev", "no USB redirection"}};

    for (unsigned i = 0; i < ARRAY_SIZE(missing); i++) {
        const struct xml *x = xml_child(devices, missing[i].element);
        if (!x)
            continue;
        a->line = x->line;
        ap_note(a, "<%s>: there is %s here", missing[i].element, missing[i].what);
    }
}

static int take_devices(struct appliance *a, const struct xml *devices, struct err *e)
{
    const char *video = xml_get(xml_at(devices, "video/model"), "type");
    unsigned n = 0;
    int r = 0;

    for (const struct xml *x = xml_child(devices, "disk"); x && !r; x = xml_next(x))
        r = add_disk(a, x, n++, e);
    n = 0;
    for (const struct xml *x = xml_child(devices, "interface"); x && !r; x = xml_next(x))
        r = add_nic(a, x, n++, e);
    for (const struct xml *x = xml_child(devices, "serial"); x; x = xml_next(x))
        a->serials += a->serials < MACHINE_SERIALS_MAX;
    for (const struct xml *x = xml_child(devices, "input"); x; x = xml_next(x))
        if (ap_same(xml_get(x, "bus"), "usb")) {
            a->m->usb.on = true;
            a->m->usb.tablet |= ap_same(xml_get(x, "type"), "tablet");
            a->m->usb.keyboard |= ap_same(xml_get(x, "type"), "keyboard");
        } else if (ap_same(xml_get(x, "bus"), "virtio")) {
            a->m->virtio_input = true;
        }
    if (ap_same(video, "none"))
        a->m->vga = VIDEO_NONE;
    else if (ap_same(video, "virtio"))
        a->m->vga = VIDEO_VIRTIO;
    a->run->have_screen = xml_child(devices, "graphics") || xml_child(devices, "video");
    note_others(a, devices);
    return r;
}

/* ------------------------------------------------------------------- booting -- */

static int take_file(struct appliance *a, const struct xml *os, const char *element,
                     const char **out, struct err *e)
{
    const struct xml *x = xml_child(os, element);

    if (!x || !*x->text)
        return 0;
    a->line = x->line;
    return ap_file(a, x->text, out, e);
}

static int take_os(struct appliance *a, const struct xml *domain, struct err *e)
{
    const struct xml *os = xml_child(domain, "os"), *type = xml_child(os, "type");
    const char *arch = xml_get(type, "arch"), *append;
    const struct xml *loader = xml_child(os, "loader");

    a->line = type ? type->line : domain->line;
    if (arch && strcmp(arch, "x86_64") && strcmp(arch, "i686"))
        return ap_bad(a, e, "a machine of the architecture %.40s", arch);
    if (type && ap_same(type->text, "exe"))
        return ap_bad(a, e, "a container and no machine");
    if (ap_same(xml_get(domain, "type"), "xen"))
        a->m->xen = !type || ap_same(type->text, "hvm") ? XEN_HVM
                    : ap_same(type->text, "xenpvh")     ? XEN_PVH
                                                        : XEN_PV;
    a->efi = ap_same(xml_get(os, "firmware"), "efi") ||
             ap_same(xml_get(loader, "type"), "pflash") || (loader && strstr(loader->text, "OVMF"));
    for (const struct xml *b = xml_child(os, "boot"); b; b = xml_next(b))
        ap_boot(a, xml_get(b, "dev"));
    int r = take_file(a, os, "kernel", &a->m->kernel, e);
    if (!r)
        r = take_file(a, os, "initrd", &a->m->initrd, e);
    append = xml_text(os, "cmdline");
    if (!r && append && *append && a->m->kernel) {
        a->m->append = ap_keep(a, append, strlen(append));
        r = a->m->append ? 0 : ap_nomem(a, e);
    }
    if (!r && xen_alone(a->m->xen) && !a->m->kernel)
        ap_note(a, "a bootloader of Xen's would take the kernel from the disk: --kernel names it");
    return r;
}

static int take_domain(struct appliance *a, const struct xml *d, struct err *e)
{
    const struct xml *memory = xml_child(d, "memory"), *vcpu = xml_child(d, "vcpu");
    const char *s = xml_text(d, "name"), *reboot = xml_text(d, "on_reboot");
    u64 n;
    int r;

    ap_name(a, s);
    r = take_os(a, d, e);
    s = xml_text(d, "uuid");
    a->line = d->line;
    if (!r && s && *s)
        r = ap_uuid(a, s, e);
    if (!r && memory) {
        a->line = memory->line;
        if (!scaled(memory->text, xml_get(memory, "unit"), &n))
            return ap_bad(a, e, "memory of \"%.40s\" is no size", memory->text);
        r = ap_memory(a, n, e);
    }
    if (!r && vcpu) {
        a->line = vcpu->line;
        s = xml_get(vcpu, "current") ? xml_get(vcpu, "current") : vcpu->text;
        r = ap_cpus_text(a, "vcpu", s, e);
    }
    if (ap_same(xml_get(xml_child(d, "clock"), "offset"), "localtime"))
        a->m->rtc = RTC_LOCALTIME;
    a->run->no_reboot = ap_same(reboot, "destroy");
    return r ? r : take_devices(a, xml_child(d, "devices"), e);
}

static int libvirt_read(struct appliance *a, struct err *e)
{
    return ap_xml(a, take_domain, e);
}

const struct appliance_format appliance_libvirt = {
    .title = "libvirt domain", .probe = libvirt_probe, .read = libvirt_read};
