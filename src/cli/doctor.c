/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `wirt doctor`: what this host offers, a line each, and what would help where something is
 * missing.  Exit status 0 when machines can run, which needs nothing but firmware.
 */
#include "board/pc.h"
#include "cli/cli.h"
#include "direct/trial.h"
#include "kvm/trial.h"
#include "ui/web.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum verdict { GOOD, FAIR, BAD };

static void printf_like(3, 4) line(enum verdict v, const char *what, const char *fmt, ...)
{
    static const char *const mark[] = {"ok  ", "-   ", "MISS"};
    va_list ap;
    printf("%s  %-18s ", mark[v], what);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

/* The first line of a file that starts with key; false when there is none. */
static bool file_line(const char *path, const char *key, char *buf, size_t size)
{
    FILE *f = fopen(path, "re");
    bool found = false;
    if (!f)
        return false;
    while (!found && fgets(buf, (int)size, f)) {
        found = !strncmp(buf, key, strlen(key));
        /* The rest of a long line is not a line of its own. */
        for (int c; !found && !strchr(buf, '\n') && (c = getc(f)) != EOF && c != '\n';)
            ;
    }
    fclose(f);
    buf[strcspn(buf, "\n")] = 0;
    return found;
}

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n)
        if (p > list && p[-1] == ' ' && (p[n] == ' ' || !p[n]))
            return true;
    return false;
}

static void processor(void)
{
    static const char *const wanted[] = {"avx", "avx2", "bmi1", "bmi2", "fma", "aes", "sha_ni"};
    static char flags[8192];
    char model[256], have[128] = "";
    if (file_line("/proc/cpuinfo", "model name", model, sizeof(model))) {
        const char *name = strchr(model, ':');
        line(GOOD, "processor", "%s, %ld online", name ? name + 2 : model,
             sysconf(_SC_NPROCESSORS_ONLN));
    }
    if (!file_line("/proc/cpuinfo", "flags", flags, sizeof(flags)))
        return;
    bool vmx = has_word(flags, "vmx"), svm = has_word(flags, "svm");
    bool guest = has_word(flags, "hypervisor");
    line(vmx || svm ? GOOD : FAIR, "VT-x / AMD-V", "%s%s",
         vmx   ? "VT-x"
         : svm ? "AMD-V"
               : "not offered: guests run on the software engine",
         guest ? " (this host is itself a guest)" : "");
    for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++)
        if (has_word(flags, wanted[i]))
            strcat(strcat(have, *have ? " " : ""), wanted[i]);
    line(has_word(flags, "bmi2") ? GOOD : FAIR, "extensions", "%s", *have ? have : "none");
}

static void kvm(void)
{
    struct kvm_trial t;
    kvm_trial(&t, false);
    if (!*t.why)
        line(GOOD, "/dev/kvm", "works in every mode; `wirt run` uses it (1000 turns: %.0f us)",
             t.loop_us);
    else if (t.exists && !t.opens)
        line(FAIR, "/dev/kvm", "%s; is this user in the group kvm?", t.why);
    else
        line(FAIR, "/dev/kvm", "%s; `wirt run` uses the software engine", t.why);
}

static void direct(void)
{
    struct direct_trial t;
    direct_trial(&t);
    if (*t.why)
        line(FAIR, "direct execution", "%s; programs are translated", t.why);
    else
        line(GOOD, "direct execution", "programs of 64-bit Linux guests; a turn takes %.0f us%s",
             t.turn_us, t.stops ? "" : ", without breakpoints");
}

static bool firmware(void)
{
    static const struct {
        const char *file, *what, *package;
        bool needed;
    } roms[] = {
        {"bios-256k.bin", "firmware", "seabios", true},
        {"vgabios-stdvga.bin", "VGA BIOS", "seabios", false},
        {"pxe-e1000.rom", "network boot", "ipxe-qemu", false},
        {"OVMF.fd", "UEFI", "ovmf", false},
    };
    bool ok = true;
    for (unsigned i = 0; i < ARRAY_SIZE(roms); i++) {
        char path[512];
        if (pc_find_rom(roms[i].file, path, sizeof(path))) {
            line(GOOD, roms[i].what, "%s", path);
        } else {
            line(roms[i].needed ? BAD : FAIR, roms[i].what, "%s is not here: package %s",
                 roms[i].file, roms[i].package);
            ok &= !roms[i].needed;
        }
    }
    return ok;
}

static void memory(void)
{
    char buf[256];
    if (file_line("/proc/meminfo", "MemAvailable:", buf, sizeof(buf)))
        line(GOOD, "memory", "%llu MiB available",
             (unsigned long long)strtoull(buf + 13, NULL, 10) >> 10);
    if (file_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "", buf, sizeof(buf)))
        line(strstr(buf, "[never]") || strstr(buf, "[deny]") ? FAIR : GOOD, "huge pages",
             "shared memory: %s", buf);
    if (file_line("/proc/sys/vm/max_map_count", "", buf, sizeof(buf)))
        line(atol(buf) >= 65530 ? GOOD : FAIR, "vm.max_map_count", "%s", buf);
}

static void limit(const char *name, int resource, u64 wanted, u64 unit, const char *unit_name)
{
    struct rlimit r;
    if (getrlimit((__rlimit_resource_t)resource, &r))
        return;
    if (r.rlim_cur == RLIM_INFINITY)
        line(GOOD, name, "unlimited");
    else
        line(r.rlim_cur >= wanted ? GOOD : FAIR, name, "%llu%s",
             (unsigned long long)(r.rlim_cur / unit), unit_name);
}

static void input_output(void)
{
    long fd = syscall(SYS_io_uring_setup, 0, NULL);
    bool uring = fd < 0 && errno != ENOSYS && errno != EPERM;
    line(uring ? GOOD : FAIR, "io_uring", "%s",
         uring ? "available" : "not available: a pool of threads is used");
    int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (tap >= 0) {
        line(GOOD, "tap interfaces", "/dev/net/tun opens");
        close(tap);
    } else {
        line(FAIR, "tap interfaces", "/dev/net/tun: %s (user-mode network works without)",
             strerror(errno));
    }
}

int cli_doctor(int argc, char **argv)
{
    struct utsname u;
    if (!uname(&u))
        line(GOOD, "host", "%s %s %s", u.sysname, u.release, u.machine);
    processor();
    kvm();
    direct();
    bool ok = firmware();
    memory();
    limit("open files", RLIMIT_NOFILE, 1024, 1, "");
    limit("locked memory", RLIMIT_MEMLOCK, 64 << 10, 1 << 10, " KiB");
    limit("address space", RLIMIT_AS, UINT64_MAX, 1 << 20, " MiB");
    input_output();
    line(web_available() ? GOOD : FAIR, "web console", "%s",
         web_available() ? "built in" : "not in this build (make web)");
    printf("\n%s\n", ok ? "Machines can run here." : "Machines with firmware cannot run here yet.");
    return ok ? CLI_OK : CLI_ERROR;
}
