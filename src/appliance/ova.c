/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An OVF package in one file (.ova): a tar with the description first, then a manifest, a
 * certificate and the disks.  Vagrant's boxes for VirtualBox, once unpacked by gunzip, are such
 * archives too.  Nothing is unpacked, and the archive is never written to.
 */
#include "appliance/ovf.h"
#include "disk/tar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct members {
    char ovf[TAR_NAME_MAX], mf[TAR_NAME_MAX];
    bool certificate;
};

static bool ends(const char *name, const char *with)
{
    size_t n = strlen(name), k = strlen(with);

    return n > k && !strcasecmp(name + n - k, with);
}

static int look(void *opaque, const struct tar_member *m, struct err *e)
{
    struct members *s = opaque;

    if (ends(m->name, ".ovf") && !*s->ovf)
        strcpy(s->ovf, m->name);
    else if (ends(m->name, ".mf") && !*s->mf)
        strcpy(s->mf, m->name);
    s->certificate |= ends(m->name, ".cert");
    return 0;
}

static int ova_probe(const struct ap_probe *p, struct err *e)
{
    struct members *s = p->tar ? calloc(1, sizeof(*s)) : NULL;
    int r = 0;

    if (!s)
        return 0;
    r = tar_walk(p->tar, look, s, e);
    if (r >= 0)
        r = *s->ovf != 0;
    else if (!*s->ovf) /* a tar in front, then something else: a disk, perhaps */
        r = 0;
    free(s);
    return r;
}

static int slurp_member(struct ovf *o, const char *name, const char **path, char **text,
                        size_t *len, struct err *e)
{
    int r = ovf_locate(o, name, path, e);

    return r ? r : ap_slurp(o->a, *path, text, len, e);
}

static int read_members(struct ovf *o, const struct members *s, struct err *e)
{
    struct appliance *a = o->a;
    const char *path, *label = ap_print(a, "%s: %s", a->path, s->ovf);
    char *text = NULL;
    size_t len;
    int r = 0;

    if (!label)
        return ap_nomem(a, e);
    if (s->certificate)
        ap_note(a, "who signed it (.cert) is not looked at");
    if (*s->mf) {
        r = slurp_member(o, s->mf, &path, &text, &len, e);
        if (!r)
            r = ap_manifest_parse(a, ap_print(a, "%s: %s", a->path, s->mf), text, len, e);
        free(text);
        text = NULL;
    }
    if (r)
        return r;
    r = slurp_member(o, s->ovf, &path, &text, &len, e);
    if (!r)
        ap_manifest_file(a, s->ovf, path);
    free(a->label);
    a->label = strdup(label);
    if (!a->label)
        r = err_set(e, ENOMEM, "out of memory");
    if (!r)
        r = ovf_read_text(o, text, len, e);
    free(text);
    return r;
}

static int ova_read(struct appliance *a, struct err *e)
{
    struct disk_options opt = {.readonly = true, .no_lock = true, .no_uring = true};
    struct members *s = calloc(1, sizeof(*s));
    char *real = realpath(a->path, NULL); /* last: errno is its own */
    struct ovf o = {.a = a};
    struct file *f;
    int r = real ? 0 : err_set(e, errno, "%s: %s", a->path, strerror(errno));

    if (!r && !s)
        r = ap_nomem(a, e);
    if (!r)
        o.archive = ap_keep(a, real, strlen(real));
    if (!r && !o.archive)
        r = ap_nomem(a, e);
    if (!r)
        r = file_open(&f, a->path, 0, &opt, e);
    if (!r) {
        r = tar_walk(f, look, s, e);
        file_close(f);
        if (r)
            err_prefix(e, "%s", a->path);
        else
            r = read_members(&o, s, e);
    }
    free(s);
    free(real);
    return r;
}

const struct appliance_format appliance_ova = {
    .title = "OVF package (OVA)", .probe = ova_probe, .read = ova_read};
