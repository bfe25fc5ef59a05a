/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands about the machine as a whole, with the names and replies of QEMU's QAPI schema
 * (docs/interop/qemu-qmp-ref).  Those that QMP has not start with "x-".
 */
#include "control/internal.h"
#include "ui/screenshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------- life -- */

static int query_status(struct control_call *call, struct err *e)
{
    bool paused = call->machine->vm->paused;
    control_return(call, json_pack("{s:b, s:b, s:s}", "running", !paused, "singlestep", 0, "status",
                                   paused ? "paused" : "running"));
    return CONTROL_DONE;
}

static int stop(struct control_call *call, struct err *e)
{
    vm_pause(call->machine->vm);
    return CONTROL_DONE;
}

static int cont(struct control_call *call, struct err *e)
{
    vm_resume(call->machine->vm);
    return CONTROL_DONE;
}

static int system_reset(struct control_call *call, struct err *e)
{
    call->control->wants_reset = true;
    vm_request_reset(call->machine->vm);
    return CONTROL_DONE;
}

static int system_powerdown(struct control_call *call, struct err *e)
{
    if (call->machine->pc)
        piix4_pm_power_button(&call->machine->pc->pm);
    else if (call->machine->xen)
        xen_pvh_power_button(call->machine->xen);
    else
        return err_set(e, ENODEV, "the machine has no power button");
    control_event(call->control, "POWERDOWN", NULL);
    return CONTROL_DONE;
}

static struct xen *xen_of(const struct control_machine *m)
{
    return m->xen ? m->xen->xen : m->pc ? m->pc->xen : NULL;
}

/* What Xen's toolstack writes into control/shutdown. */
static int xen_shutdown(struct control_call *call, struct err *e)
{
    struct xen *x = xen_of(call->machine);
    const char *how = control_str(call, "reason", "poweroff");
    if (!x)
        return err_set(e, ENODEV, "the machine is no Xen guest");
    if (strcmp(how, "poweroff") && strcmp(how, "reboot") && strcmp(how, "halt"))
        return err_set(e, EINVAL, "reason: %.20s is none of poweroff, reboot, halt", how);
    xen_shutdown_guest(x, how);
    return CONTROL_DONE;
}

/* How much memory the guest is to keep, in bytes. */
static int balloon(struct control_call *call, struct err *e)
{
    const struct vm *vm = call->machine->vm;
    struct xen *x = xen_of(call->machine);
    s64 value = control_int(call, "value", 0);
    if (!x)
        return err_set(e, ENODEV, "the machine has no balloon that the host sets");
    if (value <= 0 || (u64)value > vm->mem.ram_size)
        return err_set(e, EINVAL, "value: %lld is not in 1 to %llu", (long long)value,
                       (unsigned long long)vm->mem.ram_size);
    xen_set_memory(x, (u64)value >> 10);
    return CONTROL_DONE;
}

static int quit(struct control_call *call, struct err *e)
{
    call->control->wants_quit = true;
    vm_request_end(call->machine->vm, VM_QUIT, 0);
    return CONTROL_DONE;
}

static int inject_nmi(struct control_call *call, struct err *e)
{
    struct vm *vm = call->machine->vm;
    for (unsigned i = 0; i < vm->ncpus; i++)
        vcpu_raise(&vm->vcpu[i], VCPU_NMI);
    return CONTROL_DONE;
}

/* -------------------------------------------------------------- questions -- */

static int query_name(struct control_call *call, struct err *e)
{
    json_t *name = json_string(call->machine->vm->name);
    control_return(call, name ? json_pack("{s:o}", "name", name) : NULL);
    return CONTROL_DONE;
}

static int query_uuid(struct control_call *call, struct err *e)
{
    static const u8 none[16];
    const struct control_machine *m = call->machine;
    const u8 *u = m->pc ? m->pc->cfg.uuid : m->xen ? m->xen->cfg.uuid : none;
    char text[40], *p = text;
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        p += sprintf(p, "%02x", u[i]);
    }
    control_return(call, json_pack("{s:s}", "UUID", text));
    return CONTROL_DONE;
}

static int query_version(struct control_call *call, struct err *e)
{
    int major = 0, minor = 0, micro = 0;
    sscanf(WIRT_VERSION, "%d.%d.%d", &major, &minor, &micro);
    control_return(call, json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "micro", micro, "minor",
                                   minor, "major", major, "package", "Wirt " WIRT_VERSION));
    return CONTROL_DONE;
}

static int query_commands(struct control_call *call, struct err *e)
{
    const struct control *c = call->control;
    json_t *list = json_array();
    json_array_append_new(list, json_pack("{s:s}", "name", "qmp_capabilities"));
    for (unsigned t = 0; t < c->ntables; t++)
        for (unsigned i = 0; i < c->table[t].n; i++)
            json_array_append_new(list, json_pack("{s:s}", "name", c->table[t].rows[i].name));
    control_return(call, list);
    return CONTROL_DONE;
}

static int query_target(struct control_call *call, struct err *e)
{
    control_return(call, json_pack("{s:s}", "arch", "x86_64"));
    return CONTROL_DONE;
}

static int query_kvm(struct control_call *call, struct err *e)
{
    const struct engine_ops *en = call->machine->vm->engine;
    bool enabled = en && !strcmp(en->name, "kvm");
    control_return(call, json_pack("{s:b, s:b}", "enabled", enabled, "present",
                                   enabled || !access("/dev/kvm", R_OK | W_OK)));
    return CONTROL_DONE;
}

static int query_cpus_fast(struct control_call *call, struct err *e)
{
    const struct vm *vm = call->machine->vm;
    json_t *list = json_array();
    for (unsigned i = 0; i < vm->ncpus; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/machine/unattached/device[%u]", i);
        json_array_append_new(
            list, json_pack("{s:i, s:i, s:s, s:s, s:{s:i, s:i, s:i}}", "cpu-index", (int)i,
                            "thread-id", (int)__atomic_load_n(&vm->vcpu[i].tid, __ATOMIC_RELAXED),
                            "qom-path", path, "target", "x86_64", "props", "socket-id", (int)i,
                            "core-id", 0, "thread-id", 0));
    }
    control_return(call, list);
    return CONTROL_DONE;
}

static void add_drive(json_t *list, const char *name, bool removable, const struct blk *b)
{
    json_t *o = json_pack("{s:s, s:s, s:b, s:b}", "device", name, "type", "unknown", "removable",
                          removable, "locked", 0);
    json_t *file = b ? json_string(b->path) : NULL;
    if (file) {
        json_t *image = json_pack("{s:O, s:s, s:I}", "filename", file, "format", "raw",
                                  "virtual-size", (json_int_t)b->size);
        json_object_set_new(o, "inserted",
                            json_pack("{s:o, s:b, s:s, s:b, s:o}", "file", file, "ro", b->readonly,
                                      "drv", "raw", "encrypted", 0, "image", image));
    }
    json_array_append_new(list, o);
}

static int query_block(struct control_call *call, struct err *e)
{
    const struct pc *pc = call->machine->pc;
    json_t *list = json_array();
    char name[32];
    for (unsigned i = 0; pc && i < ARRAY_SIZE(pc->ide_blk); i++)
        if (pc->ide_blk[i]) {
            snprintf(name, sizeof(name), "ide%u-%u", i / 2, i % 2);
            add_drive(list, name, false, pc->ide_blk[i]);
        }
    for (unsigned i = 0; pc && i < pc->cfg.nfloppies; i++) {
        snprintf(name, sizeof(name), "floppy%u", i);
        add_drive(list, name, true, pc->floppy_blk[i]);
    }
    for (unsigned i = 0; pc && i < pc->nvblks; i++) {
        snprintf(name, sizeof(name), "virtio%u", i);
        add_drive(list, name, false, pc->vblk[i].blk);
    }
    control_return(call, list);
    return CONTROL_DONE;
}

/* ----------------------------------------------------------------- screen -- */

/* Drawing and packing a big screen takes a while: on a thread of its own. */
struct dump {
    struct control_call *call;
    struct display *display;
    enum picture format;
    const char *path; /* call->args has it */
    pthread_t thread;
    struct loop_job done;
    struct err why;
};

static void *dump_thread(void *opaque)
{
    struct dump *d = opaque;
    screenshot_write(d->display, d->path, d->format, &d->why);
    loop_post(d->call->machine->vm->loop, &d->done);
    return NULL;
}

static void on_dumped(void *opaque)
{
    struct dump *d = opaque;
    pthread_join(d->thread, NULL);
    control_done(d->call, &d->why);
    free(d);
}

static void cancel_dump(struct control_call *call)
{
    struct dump *d = call->state;
    pthread_join(d->thread, NULL);
    loop_cancel(call->machine->vm->loop, &d->done);
    free(d);
}

static int screendump(struct control_call *call, struct err *e)
{
    const char *path = control_str(call, "filename", NULL);
    const char *format = control_str(call, "format", "");
    size_t n = strlen(path);
    if (!call->machine->display)
        return err_set(e, ENODEV, "there is no console to take a screendump from");
    if (*format && strcmp(format, "ppm") && strcmp(format, "png"))
        return err_set(e, EINVAL, "Invalid parameter '%.20s': ppm and png are known", format);
    struct dump *d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(e, ENOMEM, "out of memory");
    d->call = call;
    d->display = call->machine->display;
    d->path = path;
    d->format = !strcmp(format, "png") ? PICTURE_PNG : PICTURE_PPM; /* QMP's default */
    if (!*format && n > 4 && !strcasecmp(path + n - 4, ".png"))
        d->format = PICTURE_PNG;
    d->done = (struct loop_job){.fn = on_dumped, .opaque = d};
    int r = pthread_create(&d->thread, NULL, dump_thread, d);
    if (r) {
        free(d);
        return err_set(e, r, "a thread for the picture: %s", strerror(r));
    }
    call->state = d;
    call->cancel = cancel_dump;
    return CONTROL_PENDING;
}

static int screen_text(struct control_call *call, struct err *e)
{
    struct display *d = call->machine->display;
    char *text = d ? display_text(d) : NULL;
    json_t *v = text ? json_string(text) : NULL;
    bool had_text = text;
    free(text);
    if (!v)
        return err_set(e, EIO, "the screen is %s",
                       had_text ? "not UTF-8" : "in a graphics mode: it has no text");
    control_return(call, json_pack("{s:o}", "text", v));
    return CONTROL_DONE;
}

const struct control_command control_commands[] = {
    {"query-status", {{0}}, query_status},
    {"query-name", {{0}}, query_name},
    {"query-uuid", {{0}}, query_uuid},
    {"query-version", {{0}}, query_version},
    {"query-commands", {{0}}, query_commands},
    {"query-target", {{0}}, query_target},
    {"query-kvm", {{0}}, query_kvm},
    {"query-cpus-fast", {{0}}, query_cpus_fast},
    {"query-block", {{0}}, query_block},
    {"stop", {{0}}, stop},
    {"cont", {{0}}, cont},
    {"system_reset", {{0}}, system_reset},
    {"system_powerdown", {{0}}, system_powerdown},
    {"balloon", {{"value", CONTROL_INT}}, balloon},
    {"x-xen-shutdown", {{"reason", CONTROL_STR, true}}, xen_shutdown},
    {"quit", {{0}}, quit},
    {"inject-nmi", {{0}}, inject_nmi},
    {"screendump", {{"filename", CONTROL_STR}, {"format", CONTROL_STR, true}}, screendump},
    {"x-screen-text", {{0}}, screen_text},
};
const unsigned control_command_count = ARRAY_SIZE(control_commands);
