/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Open Virtualization Format, DMTF DSP0243 1.x and 2.x: the envelope, its files and disks, and
 * which of its virtual systems is meant.  What VMware (namespace vmw) and VirtualBox (vbox) add is
 * read where it matters: the firmware.
 *
 * Left out: compressed and chunked files, delta disks, network booting, and all sections that
 * configure the guest's inside (ProductSection's properties and their like).
 */
#include "appliance/ovf.h"
#include "disk/tar.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool ovf_units(const char *quantity, const char *units, u64 *bytes)
{
    static const struct {
        const char *name;
        unsigned shift;
    } names[] = {{"kilobytes", 10}, {"megabytes", 20}, {"gigabytes", 30}, {"terabytes", 40},
                 {"bytes", 0},      {"byte", 0},       {"kb", 10},        {"mb", 20},
                 {"gb", 30},        {"tb", 40}};
    u64 v, factor = 1;
    const char *p = units ? units : "byte";

    if (!ap_number(quantity, &v))
        return false;
    p += strspn(p, " ");
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (!strncasecmp(p, names[i].name, strlen(names[i].name))) {
            factor = 1ull << names[i].shift;
            p += strlen(names[i].name);
            break;
        } else if (i + 1 == ARRAY_SIZE(names)) {
            return false;
        }
    for (p += strspn(p, " "); *p == '*'; p += strspn(p, " ")) {
        char *end;
        u64 base = strtoull(p + 1, &end, 10), power = 1, all = 1;
        if (end == p + 1)
            return false;
        end += strspn(end, " ");
        if (*end == '^') {
            const char *digits = end + 1;
            power = strtoull(digits, &end, 10);
            if (end == digits || power > 63)
                return false;
        }
        for (u64 i = 0; i < power; i++)
            if (__builtin_mul_overflow(all, base, &all))
                return false;
        if (__builtin_mul_overflow(factor, all, &factor))
            return false;
        p = end;
    }
    return !*p && !__builtin_mul_overflow(v, factor, bytes);
}

/* ----------------------------------------------------------------------- files -- */

static int locate_in_archive(struct ovf *o, const char *href, const char **path, struct err *e)
{
    struct appliance *a = o->a;
    struct disk_options opt = {.readonly = true, .no_lock = true, .no_uring = true};
    char *url = tar_url(o->archive, href, 0);
    struct file *f = NULL;

    *path = url ? ap_keep(a, url, strlen(url)) : NULL;
    free(url);
    if (!*path)
        return ap_nomem(a, e);
    if (file_open(&f, *path, FILE_EMPTY_OK, &opt, e))
        return a->line ? err_prefix(e, "%s:%u", a->label, a->line) : err_prefix(e, "%s", a->label);
    file_close(f);
    return 0;
}

/* A name is part of a URI there: %20 is a blank. */
static const char *decoded(struct appliance *a, const char *href)
{
    char *out = ap_keep(a, href, strlen(href)), *q = out;
    unsigned c;

    for (const char *p = href; out && *p; p++)
        if (*p == '%' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2]) &&
            sscanf(p + 1, "%2x", &c) == 1 && c) {
            *q++ = (char)c;
            p += 2;
        } else {
            *q++ = *p;
        }
    if (q)
        *q = 0;
    return out;
}

static int locate(struct ovf *o, const char *name, const char **path, struct err *e)
{
    return o->archive ? locate_in_archive(o, name, path, e) : ap_file(o->a, name, path, e);
}

int ovf_locate(struct ovf *o, const char *href, const char **path, struct err *e)
{
    const char *other = strchr(href, '%') ? decoded(o->a, href) : NULL;

    if (strstr(href, "://") && strncasecmp(href, "file://", 7))
        return ap_bad(o->a, e, "%.200s is not in the package: it must be fetched first", href);
    return other && !locate(o, other, path, NULL) ? 0 : locate(o, href, path, e);
}

static const struct xml *by_id(const struct xml *section, const char *element, const char *attr,
                               const char *id)
{
    for (const struct xml *x = xml_child(section, element); x; x = xml_next(x))
        if (xml_get(x, attr) && !strcmp(xml_get(x, attr), id))
            return x;
    return NULL;
}

/* A File element of the References, by its id. */
static int find_file(struct ovf *o, const char *id, const char **path, struct err *e)
{
    struct appliance *a = o->a;
    const struct xml *x = by_id(xml_child(o->envelope, "References"), "File", "id", id);
    const char *href = xml_get(x, "href"), *packed = xml_get(x, "compression"),
               *chunk = xml_get(x, "chunkSize");
    struct disk_options opt = {.readonly = true, .no_lock = true, .no_uring = true};
    struct file *f;
    u64 want;

    if (!href)
        return ap_bad(a, e, "no File is called \"%.80s\"", id);
    unsigned line = a->line;
    a->line = x->line;
    if (packed && *packed && strcasecmp(packed, "identity"))
        return ap_bad(a, e,
                      "%.200s: is packed (compression=\"%.40s\"), which Wirt does not read in "
                      "place: unpack the package with its maker's tool",
                      href, packed);
    if (chunk && ap_number(chunk, &want) && want)
        return ap_bad(a, e,
                      "%.200s: is cut into chunks, which Wirt does not read: join them and "
                      "take chunkSize out of the description",
                      href);
    int r = ovf_locate(o, href, path, e);
    if (r)
        return r;
    if (ap_number(xml_get(x, "size"), &want) && !file_open(&f, *path, FILE_EMPTY_OK, &opt, NULL)) {
        u64 size = f->size;
        file_close(f);
        if (size != want)
            return ap_bad(a, e, "%.200s: has %llu bytes and not %llu", href,
                          (unsigned long long)size, (unsigned long long)want);
    }
    a->line = line;
    ap_manifest_file(a, href, *path);
    return 0;
}

static int find_disk(struct ovf *o, const char *id, struct ap_drive *d, struct err *e)
{
    struct appliance *a = o->a;
    const struct xml *section = xml_child(o->envelope, "DiskSection");
    const struct xml *x;
    const char *ref;

    if (!section)
        section = xml_child(o->envelope, "Section"); /* OVF 0.9 */
    x = by_id(section, "Disk", "diskId", id);
    if (!x)
        return ap_bad(a, e, "no Disk is called \"%.80s\"", id);
    a->line = x->line;
    if (xml_get(x, "parentRef") && *xml_get(x, "parentRef"))
        return ap_bad(a, e, "disk %.80s is a delta to another one, which Wirt does not read", id);
    ref = xml_get(x, "fileRef");
    if (ref && *ref)
        return find_file(o, ref, &d->file, e);
    const char *units = xml_get(x, "capacityAllocationUnits");
    if (!ovf_units(xml_get(x, "capacity"), units, &d->fresh) || !d->fresh ||
        d->fresh > (u64)INT64_MAX / 2)
        return ap_bad(a, e, "disk %.80s: its capacity is no size", id);
    d->fresh = align_up(d->fresh, DISK_SECTOR);
    return 0;
}

int ovf_host_resource(struct ovf *o, const char *resource, struct ap_drive *d, struct err *e)
{
    const char *p = resource;

    if (!strncmp(p, "ovf:", 4))
        p += 4;
    p += strspn(p, "/");
    if (!strncmp(p, "disk/", 5))
        return find_disk(o, p + 5, d, e);
    if (!strncmp(p, "file/", 5))
        return find_file(o, p + 5, &d->file, e);
    return ap_bad(o->a, e, "HostResource \"%.80s\" is neither a disk nor a file", resource);
}

/* ---------------------------------------------------------------- the system -- */

static const char *name_of(const struct xml *system)
{
    const char *name = xml_text(system, "Name");

    return name && *name ? name : xml_get(system, "id");
}

static int choose_system(struct ovf *o, struct err *e)
{
    struct appliance *a = o->a;
    char all[200] = "";
    unsigned n = 0;

    for (const struct xml *x = NULL; (x = xml_find(o->envelope, x, "VirtualSystem"));) {
        const char *id = xml_get(x, "id"), *name = name_of(x);
        if (a->o.system && (!id || strcmp(id, a->o.system)) && (!name || strcmp(name, a->o.system)))
            continue;
        if (!n)
            o->system = x;
        size_t used = strlen(all);
        snprintf(all + used, sizeof(all) - used, "%s%s", n ? ", " : "", name ? name : "?");
        n++;
    }
    a->line = 0;
    if (!n && a->o.system)
        return ap_bad(a, e, "holds no machine called \"%s\"", a->o.system);
    if (!n) /* OVF 0.9 has it as Content */
        o->system = xml_child(o->envelope, "Content");
    if (!o->system)
        return ap_bad(a, e, "describes no machine (no VirtualSystem)");
    if (n > 1)
        return ap_bad(a, e, "holds %u machines: --appliance system=NAME chooses one of %s", n, all);
    return 0;
}

static void choose_configuration(struct ovf *o)
{
    const struct xml *s = xml_child(o->envelope, "DeploymentOptionSection");

    for (const struct xml *c = xml_child(s, "Configuration"); c; c = xml_next(c))
        if (!o->configuration || ap_true(xml_get(c, "default")))
            o->configuration = xml_get(c, "id");
    if (xml_child(s, "Configuration") && o->configuration)
        ap_note(o->a, "of its configurations, \"%.80s\" is taken", o->configuration);
}

static void find_system_and_firmware(struct ovf *o)
{
    const struct xml *os = xml_child(o->system, "OperatingSystemSection");
    const char *text = xml_text(os, "Description");

    ap_system(o->a, text && *text ? text : xml_get(os, "osType"));
    if (o->a->m->rtc != RTC_LOCALTIME && xml_get(os, "osType") &&
        strcasestr(xml_get(os, "osType"), "win"))
        o->a->m->rtc = RTC_LOCALTIME;
    for (const struct xml *c = xml_child(o->hardware, "Config"); c; c = xml_next(c))
        if (ap_same(xml_get(c, "key"), "firmware"))
            o->a->efi = ap_same(xml_get(c, "value"), "efi");
    const struct xml *vbox = xml_at(o->system, "Machine/Hardware/Firmware");
    if (xml_get(vbox, "type") && !strncasecmp(xml_get(vbox, "type"), "EFI", 3))
        o->a->efi = true;
}

static int read_envelope(struct ovf *o, struct err *e)
{
    int r;

    if (strcmp(o->envelope->name, "Envelope"))
        return ap_bad(o->a, e, "is no OVF description");
    r = choose_system(o, e);
    if (r)
        return r;
    o->hardware = xml_child(o->system, "VirtualHardwareSection");
    for (const struct xml *s = xml_child(o->system, "Section"); !o->hardware && s; s = xml_next(s))
        if (xml_child(s, "Item")) /* OVF 0.9 */
            o->hardware = s;
    if (!o->hardware)
        return ap_bad(o->a, e, "describes no hardware (no VirtualHardwareSection)");
    choose_configuration(o);
    ap_name(o->a, name_of(o->system));
    find_system_and_firmware(o);
    return ovf_read_items(o, e);
}

int ovf_read_text(struct ovf *o, const char *text, size_t len, struct err *e)
{
    struct xml_doc *doc;

    if (xml_parse(&doc, text, len, NULL, e))
        return err_prefix(e, "%s", o->a->label);
    o->envelope = xml_root(doc);
    int r = read_envelope(o, e);
    xml_free(doc);
    return r;
}

/* --------------------------------------------------- a description and its files -- */

static int ovf_probe(const struct ap_probe *p, struct err *e)
{
    return !strcmp(p->root, "Envelope");
}

/* box.mf beside box.ovf. */
static int read_manifest(struct appliance *a, struct err *e)
{
    const char *slash = strrchr(a->path, '/'), *stem = ap_stem(a), *label, *path;
    int folder = slash ? (int)(slash + 1 - a->path) : 0;
    char *text;
    size_t len;

    label = stem ? ap_print(a, "%.*s%s.mf", folder, a->path, stem) : NULL;
    if (!label)
        return ap_nomem(a, e);
    if (ap_look(a, label + folder, &path, NULL))
        return 0;
    int r = ap_slurp(a, path, &text, &len, e);
    if (!r)
        r = ap_manifest_parse(a, label, text, len, e);
    free(text);
    if (!r)
        ap_manifest_file(a, a->path + folder, a->path);
    return r;
}

static int ovf_read(struct appliance *a, struct err *e)
{
    struct ovf o = {.a = a};
    char *text;
    size_t len;
    int r = read_manifest(a, e);

    if (!r)
        r = ap_slurp(a, a->path, &text, &len, e);
    if (r)
        return r;
    r = ovf_read_text(&o, text, len, e);
    free(text);
    return r;
}

const struct appliance_format appliance_ovf = {
    .title = "OVF description", .probe = ovf_probe, .read = ovf_read};
