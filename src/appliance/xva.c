/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What XenServer and XCP-ng export (.xva): a tar with ova.xml first, the objects of xapi's database
 * (VM, VBD, VIF, VDI) in XML-RPC's clothes, and then the disks in pieces (disk/xva.c), which are
 * read in place.  A VM that was booted by its BIOS or UEFI is a PC with Xen's interface, as there;
 * a paravirtual one needs its kernel by --kernel, since the bootloaders of dom0 that take it from
 * the disk (pygrub) are not here.
 *
 * Left out: the digests of the pieces, snapshots, and exports of XenServer before 4.1.
 */
#include "appliance/appliance_int.h"
#include "disk/tar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct xva_file {
    struct appliance *a;
    char *archive;
    const struct xml *objects; /* <data> */
};

static int is_first(void *opaque, const struct tar_member *m, struct err *e)
{
    return strcmp(m->name, "ova.xml") ? -ENOENT : 1;
}

static int xva_probe(const struct ap_probe *p, struct err *e)
{
    return p->tar && tar_walk(p->tar, is_first, NULL, NULL) == 1;
}

/* ------------------------------------------------------------ XML-RPC's structs -- */

/* The member of that name of <struct>: its <value>. */
static const struct xml *member(const struct xml *s, const char *name)
{
    for (const struct xml *x = xml_child(s, "member"); x; x = xml_next(x)) {
        const char *n = xml_text(x, "name");
        if (n && !strcmp(n, name))
            return xml_child(x, "value");
    }
    return NULL;
}

/* A scalar: directly in <value>, or in a typed element there; NULL = none, or empty. */
static const char *scalar(const struct xml *s, const char *name)
{
    const struct xml *v = member(s, name);

    if (v && v->child && !v->child->child)
        v = v->child;
    return v && *v->text ? v->text : NULL;
}

static bool is_class(const struct xml *object, const char *class)
{
    const char *c = scalar(xml_child(object, "struct"), "class");

    return c && !strcmp(c, class);
}

static const struct xml *snapshot_of(const struct xml *object)
{
    return xml_child(member(xml_child(object, "struct"), "snapshot"), "struct");
}

/* The object that a reference ("Ref:7") is of. */
static const struct xml *by_ref(struct xva_file *x, const char *ref)
{
    for (const struct xml *o = xml_child(x->objects, "value"); o && ref; o = xml_next(o)) {
        const char *id = scalar(xml_child(o, "struct"), "id");
        if (id && !strcmp(id, ref))
            return o;
    }
    return NULL;
}

/* --------------------------------------------------------------------- the VM -- */

static int add_vbd(struct xva_file *x, const struct xml *vbd, struct err *e)
{
    struct appliance *a = x->a;
    const char *type = scalar(vbd, "type"), *ref = scalar(vbd, "VDI"), *url;
    const char *mode = scalar(vbd, "mode"), *device = scalar(vbd, "userdevice");
    const struct xml *vdi = by_ref(x, ref);
    struct ap_drive d = {.kind = AP_DISK, .bus = AP_XEN, .format = "xva", .overlay = true};
    u64 n = 0, size;

    a->line = vbd->line;
    ap_number(device, &n);
    if (n > 23)
        return ap_bad(a, e, "userdevice %llu of a disk", (unsigned long long)n);
    d.place = (unsigned)n;
    d.xvd = (unsigned)n + 1;
    d.readonly = mode && !strcmp(mode, "RO");
    d.where = ap_print(a, "xvd%c", (char)('a' + n));
    if (!d.where)
        return ap_nomem(a, e);
    if (type && !strcmp(type, "CD")) {
        d = (struct ap_drive){.kind = AP_CDROM, .bus = AP_IDE, .place = d.place, .where = d.where};
        return ap_drive(a, &d, e); /* its disc is not in the export */
    }
    if (!vdi || !is_class(vdi, "VDI"))
        return ap_bad(a, e, "%s: its VDI %.40s is not in the export", d.where, ref ? ref : "");
    if (!ap_number(scalar(snapshot_of(vdi), "virtual_size"), &size) || !size ||
        size > (u64)INT64_MAX / 2)
        return ap_bad(a, e, "%s: its virtual_size is no size", d.where);
    if (strlen(ref) > 60 || strchr(ref, '/') || strchr(ref, '#'))
        return ap_bad(a, e, "%s: \"%.60s\" is no reference", d.where, ref);
    char folder[64];
    snprintf(folder, sizeof(folder), "%s/", ref);
    url = tar_url(x->archive, folder, size);
    d.file = url ? ap_keep(a, url, strlen(url)) : NULL;
    free((char *)url);
    return d.file ? ap_drive(a, &d, e) : ap_nomem(a, e);
}

static int add_devices(struct xva_file *x, const char *vm, struct err *e)
{
    struct appliance *a = x->a;
    int r = 0;

    for (const struct xml *o = xml_child(x->objects, "value"); o && !r; o = xml_next(o)) {
        const struct xml *s = snapshot_of(o);
        const char *owner = scalar(s, "VM");
        char where[30];
        if (!owner || strcmp(owner, vm))
            continue;
        if (is_class(o, "VBD"))
            r = add_vbd(x, s, e);
        if (!is_class(o, "VIF"))
            continue;
        a->line = s->line;
        snprintf(where, sizeof(where), "VIF %.8s", scalar(s, "device") ? scalar(s, "device") : "?");
        r = ap_nic(a, where, "netfront", scalar(s, "MAC"), NULL, e);
    }
    return r;
}

static void set_kind(struct appliance *a, const struct xml *vm)
{
    const char *type = scalar(vm, "domain_type"), *policy = scalar(vm, "HVM_boot_policy");
    const struct xml *params = xml_child(member(vm, "HVM_boot_params"), "struct");
    const char *firmware = scalar(params, "firmware"), *order = scalar(params, "order");
    bool hvm = type && strcmp(type, "unspecified") ? strcmp(type, "pv") && strcmp(type, "pvh")
                                                   : policy != NULL;

    a->m->xen = hvm ? XEN_HVM : type && !strcmp(type, "pvh") ? XEN_PVH : XEN_PV;
    a->efi = hvm && ap_same(firmware, "uefi");
    for (; hvm && order && *order; order++)
        ap_boot(a, *order == 'c' ? "hd" : *order == 'd' ? "cd" : *order == 'n' ? "net" : "");
    if (!hvm) {
        const char *args = scalar(vm, "PV_args");
        args = args ? args : scalar(vm, "PV_legacy_args");
        ap_note(
            a, "a paravirtual machine: --kernel and --initrd must name what is on its disk%s%.200s",
            args ? "; its command line is: " : "", args ? args : "");
    }
}

static int take_vm(struct xva_file *x, const struct xml *object, struct err *e)
{
    struct appliance *a = x->a;
    const struct xml *vm = snapshot_of(object);
    const char *s = scalar(vm, "memory_static_max");
    u64 n;
    int r;

    a->line = object->line;
    ap_name(a, scalar(vm, "name_label"));
    set_kind(a, vm);
    if (!ap_number(s, &n))
        return ap_bad(a, e, "memory_static_max \"%.40s\" is no number", s ? s : "");
    r = ap_memory(a, n, e);
    if (!r && (s = scalar(vm, "VCPUs_max")))
        r = ap_cpus_text(a, "VCPUs_max", s, e);
    if (!r && (s = scalar(vm, "uuid")))
        r = ap_uuid(a, s, e);
    return r ? r : add_devices(x, scalar(xml_child(object, "struct"), "id"), e);
}

static int choose_vm(struct xva_file *x, const struct xml **out, struct err *e)
{
    struct appliance *a = x->a;
    unsigned n = 0;

    for (const struct xml *o = xml_child(x->objects, "value"); o; o = xml_next(o)) {
        const struct xml *s = snapshot_of(o);
        const char *name = scalar(s, "name_label"), *id = scalar(xml_child(o, "struct"), "id");
        if (!is_class(o, "VM") || !id || ap_true(scalar(s, "is_a_snapshot")) ||
            (a->o.system && (!name || strcmp(name, a->o.system))))
            continue;
        *out = o;
        n++;
    }
    if (n == 1)
        return 0;
    return n ? ap_bad(a, e, "holds %u machines: --appliance system=NAME chooses one", n)
             : ap_bad(a, e, "describes no machine%s", a->o.system ? " of that name" : "");
}

static int take(struct xva_file *x, const struct xml *root, struct err *e)
{
    const struct xml *vm = NULL;

    x->objects = xml_at(member(xml_child(root, "struct"), "objects"), "array/data");
    if (!x->objects)
        return ap_bad(x->a, e, "is no export of XenServer 4.1 or later (no objects)");
    int r = choose_vm(x, &vm, e);
    return r ? r : take_vm(x, vm, e);
}

static int xva_read(struct appliance *a, struct err *e)
{
    struct xva_file x = {.a = a, .archive = realpath(a->path, NULL)};
    struct xml_doc *doc = NULL;
    char *url = x.archive ? tar_url(x.archive, "ova.xml", 0) : NULL, *text = NULL;
    size_t len;
    int r = url         ? ap_slurp(a, url, &text, &len, e)
            : x.archive ? ap_nomem(a, e)
                        : err_set(e, errno, "%s: %s", a->path, strerror(errno));

    if (!r && xml_parse(&doc, text, len, NULL, e))
        r = err_prefix(e, "%s: ova.xml", a->label);
    if (!r) {
        char *label = NULL;
        if (asprintf(&label, "%s: ova.xml", a->path) < 0) {
            r = ap_nomem(a, e);
        } else {
            free(a->label);
            a->label = label;
            r = take(&x, xml_root(doc), e);
        }
    }
    xml_free(doc);
    free(text);
    free(url);
    free(x.archive);
    return r;
}

const struct appliance_format appliance_xva = {
    .title = "XenServer export (XVA)", .probe = xva_probe, .read = xva_read};
