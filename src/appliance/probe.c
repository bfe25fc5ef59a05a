/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of descriptions, and how one is recognized: by its content, XML by its root element.
 */
#include "appliance/appliance_int.h"
#include "disk/tar.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define APPLIANCE_FORMATS                                                                          \
    FORMAT(ovf)                                                                                    \
    FORMAT(ova)                                                                                    \
    FORMAT(vbox)                                                                                   \
    FORMAT(libvirt)                                                                                \
    FORMAT(vmx)                                                                                    \
    FORMAT(pvs)                                                                                    \
    FORMAT(xva)                                                                                    \
    FORMAT(vmc)                                                                                    \
    FORMAT(hyperv)                                                                                 \
    FORMAT(hyperv_cim)                                                                             \
    FORMAT(vmcx)                                                                                   \
    FORMAT(xlcfg)

#define FORMAT(name) extern const struct appliance_format appliance_##name;
APPLIANCE_FORMATS
#undef FORMAT

const struct appliance_format *const appliance_formats[] = {
#define FORMAT(name) &appliance_##name,
    APPLIANCE_FORMATS
#undef FORMAT
        NULL,
};

/* The local name of the root element.  UTF-16 is looked at by its bytes that are not zero. */
static void find_root(struct ap_probe *p)
{
    char plain[4096];
    size_t n = 0, k = 0;

    for (size_t i = 0; i < p->len && n < sizeof(plain) - 1; i++)
        if (p->head[i] && p->head[i] < 0x80)
            plain[n++] = (char)p->head[i];
    plain[n] = 0;
    const char *s = plain;
    for (;;) {
        s += strspn(s, " \t\r\n");
        if (!strncmp(s, "<?", 2))
            s = strstr(s, "?>");
        else if (!strncmp(s, "<!--", 4))
            s = strstr(s, "-->");
        else
            break;
        if (!s)
            return;
        s = strchr(s, '>') + 1;
    }
    if (*s != '<' || !isalpha((unsigned char)s[1]))
        return;
    for (s++; k < sizeof(p->root) - 1 && (isalnum((unsigned char)*s) || strchr("_-.:", *s)) && *s;
         s++)
        if (*s == ':')
            k = 0;
        else
            p->root[k++] = *s;
    p->root[k] = 0;
}

bool ap_in_folder(const char *folder, char *out)
{
    static const char *const endings[] = {".vmx", ".vbox", ".ovf"};
    DIR *d = opendir(folder);
    unsigned found = 0;
    struct stat st;

    if (!d)
        return false;
    for (struct dirent *x; (x = readdir(d));) {
        const char *dot = strrchr(x->d_name, '.');
        for (unsigned i = 0; dot && *x->d_name != '.' && i < ARRAY_SIZE(endings); i++)
            if (!strcmp(dot, endings[i]) &&
                snprintf(out, PATH_MAX, "%s/%s", folder, x->d_name) < PATH_MAX)
                found++;
    }
    closedir(d);
    if (found == 1)
        return true;
    return snprintf(out, PATH_MAX, "%s/config.pvs", folder) < PATH_MAX && !stat(out, &st);
}

/* What packs whole files: an appliance must be unpacked first. */
static int check_packed(const struct ap_probe *p, struct err *e)
{
    static const struct {
        const char *mark, *name, *how;
        size_t len;
    } packers[] = {{"\x1f\x8b", "gzip", "gunzip", 2},
                   {"\x28\xb5\x2f\xfd", "zstd", "unzstd", 4},
                   {"\xfd"
                    "7zXZ",
                    "xz", "unxz", 5},
                   {"PK\3\4", "ZIP", "unzip", 4},
                   {"Rar!", "RAR", "unrar x", 4},
                   {"7z\xbc\xaf", "7-Zip", "7z x", 4}};
    static const char *const endings[] = {".ova", ".ovf", ".xva", ".box", ".gz", ".tgz",
                                          ".zst", ".xz",  ".zip", ".rar", ".7z"};
    const char *dot = strrchr(p->path, '.');
    bool named = false;

    for (unsigned i = 0; dot && i < ARRAY_SIZE(endings); i++)
        named |= !strcasecmp(dot, endings[i]);
    for (unsigned i = 0; named && i < ARRAY_SIZE(packers); i++)
        if (!memcmp(p->head, packers[i].mark, packers[i].len))
            return err_set(e, EINVAL, "is packed by %s: unpack it first (%s does)", packers[i].name,
                           packers[i].how);
    return 0;
}

static int probe_all(const struct appliance_format **f, const struct ap_probe *p, struct err *e)
{
    int r = check_packed(p, e);

    for (unsigned i = 0; !r && appliance_formats[i]; i++) {
        r = appliance_formats[i]->probe(p, e);
        if (r > 0) {
            *f = appliance_formats[i];
            return 0;
        }
    }
    return r;
}

static int find_in(const struct appliance_format **f, struct ap_probe *p, struct err *e)
{
    struct disk_options o = {.readonly = true, .no_lock = true, .no_uring = true};
    struct file *file;
    u8 *head;
    int r;

    if (file_open(&file, p->path, 0, &o, NULL))
        return 0; /* whoever wants it as a disk says why not */
    head = calloc(1, AP_HEAD + TAR_BLOCK);
    p->head = head;
    p->len = min(file->size, (u64)AP_HEAD);
    r = head ? file_read(file, 0, head, p->len) : -ENOMEM;
    if (r) {
        r = err_set(e, -r, "%s", strerror(-r));
    } else {
        p->text = !memchr(head, 0, p->len);
        find_root(p);
        if (!*p->root && tar_probe(head))
            p->tar = file;
        r = probe_all(f, p, e);
    }
    free(head);
    file_close(file);
    return r;
}

int appliance_find(const struct appliance_format **f, const char *path, struct err *e)
{
    struct ap_probe p = {.path = path};
    char inner[PATH_MAX];
    struct stat st;

    *f = NULL;
    if (strstr(path, "://") || stat(path, &st))
        return 0;
    if (S_ISDIR(st.st_mode)) {
        if (!ap_in_folder(path, inner))
            return 0;
        p.path = inner;
    } else if (!S_ISREG(st.st_mode)) {
        return 0;
    }
    return find_in(f, &p, e) ? err_prefix(e, "%s", path) : 0;
}
