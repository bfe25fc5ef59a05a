/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values on the command line.
 */
#include "cli/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int parse_number(u64 *v, const char *s, u64 lo, u64 hi, struct err *e)
{
    char *end;
    errno = 0;
    u64 n = isdigit((unsigned char)*s) ? strtoull(s, &end, 10) : 0;
    if (!isdigit((unsigned char)*s) || *end || errno || n < lo || n > hi)
        return err_set(e, EINVAL, "\"%s\" is no number from %llu to %llu", s,
                       (unsigned long long)lo, (unsigned long long)hi);
    *v = n;
    return 0;
}

static u64 suffix(const char *s)
{
    static const char letters[] = "KMGTP";
    const char *p = *s ? strchr(letters, toupper((unsigned char)*s)) : NULL;
    if (!p)
        return 0;
    s++;
    if (*s == 'i')
        s++;
    if (*s == 'B')
        s++;
    return *s ? 0 : 1ull << (10 * (p - letters + 1));
}

int parse_size(u64 *v, const char *s, u64 unit, struct err *e)
{
    u64 whole = 0, part = 0, scale = 1;
    const char *p = s;
    bool digits = false;
    for (; isdigit((unsigned char)*p) && whole < 1ull << 58; p++, digits = true)
        whole = whole * 10 + (u64)(*p - '0');
    if (digits && *p == '.')
        for (p++; isdigit((unsigned char)*p) && scale < 1000000; p++, scale *= 10)
            part = part * 10 + (u64)(*p - '0');
    u64 mul = *p ? suffix(p) : unit;
    if (!digits || !mul || whole > (1ull << 62) / mul)
        return err_set(e, EINVAL, "\"%s\" is no size, such as 512M or 2G", s);
    *v = whole * mul + part * mul / scale;
    return 0;
}

int parse_uuid(u8 uuid[16], const char *s, struct err *e)
{
    const char *p = s;
    for (unsigned i = 0; i < 16; i++) {
        unsigned byte;
        if (i == 4 || i == 6 || i == 8 || i == 10)
            if (*p++ != '-')
                goto bad;
        if (!isxdigit((unsigned char)p[0]) || !isxdigit((unsigned char)p[1]) ||
            sscanf(p, "%2x", &byte) != 1)
            goto bad;
        uuid[i] = (u8)byte;
        p += 2;
    }
    if (!*p)
        return 0;
bad:
    return err_set(e, EINVAL, "\"%s\" is no UUID, such as 123e4567-e89b-12d3-a456-426614174000", s);
}

int parse_rtc(struct machine_config *m, const char *s, struct err *e)
{
    struct tm tm = {0};
    const char *end;
    m->have_rtc_start = false;
    m->rtc = !strcmp(s, "localtime") ? RTC_LOCALTIME : RTC_UTC;
    if (!strcmp(s, "utc") || !strcmp(s, "localtime"))
        return 0;
    end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!end)
        end = strptime(s, "%Y-%m-%d", &tm);
    if (!end || *end)
        return err_set(e, EINVAL, "\"%s\" is none of utc, localtime, 2026-01-31T12:00:00", s);
    m->rtc_start = timegm(&tm);
    m->have_rtc_start = true;
    return 0;
}

int parse_pv(struct machine_config *m, const char *s, struct err *e)
{
    static const struct {
        const char *word;
        enum xen_mode mode;
    } words[] = {{"xen", XEN_PVH},
                 {"xen,mode=pvh", XEN_PVH},
                 {"xen,mode=hvm", XEN_HVM},
                 {"xen,mode=pv", XEN_PV}};
    if (!strcmp(s, "kvm")) {
        m->kvm = true;
        return 0;
    }
    if (!strcmp(s, "hyperv")) {
        m->hyperv = true;
        return 0;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        if (!strcmp(s, words[i].word)) {
            m->xen = words[i].mode;
            return 0;
        }
    return err_set(e, EINVAL,
                   "\"%s\" is none of xen, xen,mode=pvh, xen,mode=pv, xen,mode=hvm, hyperv, kvm",
                   s);
}

int parse_disk(struct disk_config *d, const char *s, struct err *e)
{
    char *name = malloc(strlen(s) + 1), *out = name;
    const char *p = s;
    if (!name)
        return err_set(e, ENOMEM, "out of memory");
    memset(d, 0, sizeof(*d));
    for (; *p && (*p != ',' || p[1] == ','); p++) {
        *out++ = *p;
        if (*p == ',')
            p++;
    }
    *out = 0;
    d->path = name;
    while (*p == ',') {
        const char *opt = ++p;
        size_t n = strcspn(p, ",");
        p += n;
        if (n == 7 && !memcmp(opt, "bus=ide", n))
            d->bus = DISK_BUS_IDE;
        else if (n == 10 && !memcmp(opt, "bus=virtio", n))
            d->bus = DISK_BUS_VIRTIO;
        else if (n == 8 && !memcmp(opt, "readonly", n))
            d->readonly = true;
        else if (n == 8 && !memcmp(opt, "snapshot", n))
            d->snapshot = true;
        else if (n > 6 && !memcmp(opt, "clone=", 6) && !d->clone)
            d->clone = strndup(opt + 6, n - 6);
        else if (n == 14 && !memcmp(opt, "allow-external", n))
            d->allow_external = true;
        else if (n > 7 && !memcmp(opt, "format=", 7) && disk_format_name(opt + 7, n - 7))
            d->format = disk_format_name(opt + 7, n - 7);
        else if (n == 12 && !memcmp(opt, "vhd-size=chs", n))
            d->vhd_size = "chs";
        else if (n == 16 && !memcmp(opt, "vhd-size=current", n))
            d->vhd_size = "current";
        else if (n > 6 && n < 20 && !memcmp(opt, "cache=", 6)) {
            char cache[20] = {0};
            memcpy(cache, opt + 6, n - 6);
            if (disk_cache_parse(&d->cache, cache, e)) {
                free(name);
                free(d->clone);
                d->path = NULL;
                return -EINVAL;
            }
        } else {
            free(name);
            free(d->clone);
            d->path = NULL;
            return err_set(e, EINVAL,
                           "\"%.*s\" is none of bus=ide, bus=virtio, readonly, snapshot, "
                           "clone=FILE, cache=MODE, format=NAME, allow-external, vhd-size=chs, "
                           "vhd-size=current",
                           (int)n, opt);
        }
    }
    if (*name)
        return 0;
    free(name);
    free(d->clone);
    d->path = d->clone = NULL;
    return err_set(e, EINVAL, "\"%s\" names no file", s);
}

int parse_vga(struct machine_config *m, const char *s, struct err *e)
{
    static const char *const kind[] = {
        [VIDEO_NONE] = "none", [VIDEO_STD] = "std", [VIDEO_VIRTIO] = "virtio"};
    size_t n = strcspn(s, ",");
    unsigned w = 0, h = 0;
    int used = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(kind); i++) {
        if (n != strlen(kind[i]) || memcmp(s, kind[i], n))
            continue;
        m->vga = (enum vga_kind)i;
        m->vga_width = m->vga_height = 0;
        if (!s[n])
            return 0;
        if (i == VIDEO_NONE || sscanf(s + n, ",%4ux%4u%n", &w, &h, &used) != 2 || s[n + used] ||
            w < 320 || w > 2560 || w % 8 || h < 200 || h > 1600)
            return err_set(e, EINVAL,
                           "\"%s\" is no size from 320x200 to 2560x1600, its width a multiple of 8",
                           s + n + 1);
        m->vga_width = w;
        m->vga_height = h;
        return 0;
    }
    return err_set(e, EINVAL, "\"%s\" is none of std, virtio, none", s);
}

static int usb_word(struct usb_config *u, const char *w, size_t n, struct err *e)
{
    static const char *const words[] = {"uhci", "xhci", "none", "tablet", "keyboard"};
    bool *const flag[] = {&u->uhci, NULL, NULL, &u->tablet, &u->keyboard};
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        if (n != strlen(words[i]) || memcmp(w, words[i], n))
            continue;
        if (flag[i])
            *flag[i] = true;
        else if (i == 1)
            u->uhci = false;
        return 0;
    }
    return err_set(e, EINVAL,
                   "\"%.*s\" is none of uhci, xhci, tablet, keyboard, storage=FILE, none", (int)n,
                   w);
}

int parse_usb(struct usb_config *u, const char *s, struct err *e)
{
    u->on = true;
    for (;;) {
        size_t n = strcspn(s, ",");
        if (!strncmp(s, "storage=", 8)) { /* to the end: options of the disk follow */
            struct disk_config *d = &u->disk[u->ndisks];
            if (u->ndisks == MACHINE_USB_DISKS_MAX)
                return err_set(e, E2BIG, "more than %d USB disks", MACHINE_USB_DISKS_MAX);
            int r = parse_disk(d, s + 8, e);
            if (!r)
                u->ndisks++;
            return r;
        }
        int r = usb_word(u, s, n, e);
        if (r || !s[n])
            return r;
        s += n + 1;
    }
}
