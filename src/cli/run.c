/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `wirt run`: opens the machine, runs it, closes it in the opposite order, and says by the exit
 * status how it ended.
 */
#include "board/pc_state.h"
#include "board/vm_state.h"
#include "board/xen_pvh.h"
#include "board/xen_state.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/run_config.h"
#include "control/control.h"
#include "control/place.h"
#include "core/lazymem.h"
#include "gdb/gdb.h"
#include "kvm/trial.h"
#include "ui/chardev.h"
#include "ui/display_text.h"
#include "ui/screenshot.h"
#include "ui/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

struct run {
    struct run_config c;
    struct vm vm;
    struct pc *pc; /* one of the two */
    struct xen_pvh *xen;
    struct signals signals;
    struct display_text *text;
    struct input input;
    struct control *control;
    struct gdb *gdb;
    struct vnc *vnc;
    struct tap *tap; /* on the first serial port, for the web console */
    struct web *web;
    bool vm_open;
};

static void quit(void *opaque)
{
    struct run *r = opaque;
    vm_request_end(&r->vm, VM_QUIT, 0);
}

static void reset(void *opaque)
{
    struct run *r = opaque;
    vm_request_reset(&r->vm);
}

static void power_button(void *opaque)
{
    struct run *r = opaque;
    if (r->pc)
        piix4_pm_power_button(&r->pc->pm);
    else
        xen_pvh_power_button(r->xen);
}

static void on_signal(void *opaque, int sig)
{
    if (sig != SIGWINCH)
        quit(opaque);
}

/* `auto`: KVM where it is a whole and fast processor, and nothing is asked of it that only the
 * software engines do. */
static const struct engine_ops *choose_engine(const struct run_config *c)
{
    struct kvm_trial t = {0};
    const char *why = c->check               ? "--check compares the software engines"
                      : c->perf_map          ? "--perf-map is about translated code"
                      : c->m.xen != XEN_NONE ? "Xen's interface needs it"
                      : c->m.hyperv          ? "the Hyper-V interface needs it"
                                             : NULL;
    if (!why) {
        kvm_trial(&t, true);
        why = t.why;
    }
    if (c->verbose && *why)
        fprintf(stderr, "wirt: engine soft: %s%s\n", t.exists ? "/dev/kvm: " : "", why);
    else if (c->verbose)
        fprintf(stderr, "wirt: engine kvm: 1000 turns of a loop take %.0f us in it\n", t.loop_us);
    return *why ? &engine_soft : &engine_kvm;
}

static int find_engine(const struct run_config *c, const struct engine_ops **engine, struct err *e)
{
    if (!strcmp(c->engine, "auto"))
        *engine = choose_engine(c);
    else if (!strcmp(c->engine, "kvm"))
        *engine = &engine_kvm;
    else
        *engine = strcmp(c->engine, "interp") ? &engine_soft : &engine_interp;
    if (*engine == &engine_kvm && c->m.xen != XEN_NONE)
        return err_set(e, ENOTSUP,
                       "--engine kvm does not offer Xen's interface: soft and interp do");
    if (*engine != &engine_kvm && c->m.kvm)
        return err_set(
            e, ENOTSUP,
            "--pv kvm is the kernel's own interface: the engine kvm alone has it, and \"wirt "
            "doctor\" says what it needs");
    if (*engine == &engine_kvm && c->m.hyperv)
        return err_set(e, ENOTSUP,
                       "--engine kvm does not offer the Hyper-V interface: soft and interp do");
    return 0;
}

/* `auto`: a saved machine whose guest uses what KVM does not offer goes on on `soft`. */
static int suit_loaded(struct run *r, const struct engine_ops *engine, struct err *e)
{
    struct err why;

    if (!r->c.in || engine != &engine_kvm || r->c.m.kvm || strcmp(r->c.engine, "auto") ||
        !vm_check_processor(&r->vm, r->c.in, &why))
        return 0;
    if (r->c.verbose)
        fprintf(stderr, "wirt: engine soft after all: %s\n", why.msg);
    return vm_switch_engine(&r->vm, &engine_soft, e);
}

static int open_chardevs(struct run *r, struct err *e)
{
    const struct stdio_keys keys = {quit, reset, power_button, r};
    struct machine_config *m = &r->c.m;
    for (unsigned i = 0; i < m->nserials; i++) {
        int ret = chardev_open(&m->serial[i], r->c.serial[i], r->vm.loop, &keys, e);
        if (ret)
            return err_prefix(e, "--serial");
    }
    if (r->c.web.at.port && m->nserials) {
        if (tap_open(&r->tap, r->vm.loop, m->serial[0], e))
            return -ENOMEM;
        m->serial[0] = tap_chardev(r->tap);
    }
    if (r->c.console && chardev_open(&m->console, r->c.console, r->vm.loop, &keys, e))
        return err_prefix(e, "--console");
    return 0;
}

/* What pc_close() would have closed, had pc_open() been reached. */
static void close_chardevs(struct run *r)
{
    struct machine_config *m = &r->c.m;
    for (unsigned i = 0; i < m->nserials; i++)
        if (m->serial[i])
            m->serial[i]->ops->close(m->serial[i]);
    if (m->console)
        m->console->ops->close(m->console);
}

/* More than the host has in all would end in the kernel's killing somebody. */
static int check_memory(u64 wanted, struct err *e)
{
    struct sysinfo si;
    if (sysinfo(&si))
        return 0;
    u64 all = (u64)(si.totalram + si.totalswap) * si.mem_unit;
    if (wanted > all)
        return err_set(e, ENOMEM, "--memory: %llu MiB are wanted, the host has %llu",
                       (unsigned long long)(wanted >> 20), (unsigned long long)(all >> 20));
    return 0;
}

/* The machine's, whichever it is; NULL = it has none. */
static struct display *screen_of(struct run *r)
{
    if (!r->c.m.vga)
        return NULL;
    return r->pc ? &r->pc->screen : r->xen ? &r->xen->screen : NULL;
}

static const struct input_sink *keys_of(const struct run *r)
{
    return r->pc ? &r->pc->input : r->xen && r->c.m.vga ? &r->xen->input : NULL;
}

static void on_web_button(void *opaque, unsigned buttons)
{
    if (buttons & WEB_POWER)
        power_button(opaque);
    if (buttons & WEB_RESET)
        reset(opaque);
}

static int open_web(struct run *r, struct err *e)
{
    const struct web_machine m = {.loop = r->vm.loop,
                                  .display = screen_of(r),
                                  .vnc = r->vnc,
                                  .serial = r->tap,
                                  .press = on_web_button,
                                  .opaque = r};
    char url[WEB_URL_MAX];
    if (web_open(&r->web, &m, &r->c.web, url, e))
        return err_prefix(e, "--web");
    fprintf(stderr, "wirt: the machine is at %s\n", url);
    return 0;
}

/* Places of --display vnc=, and one beside the control socket for `wirt view`. */
static int open_vnc(struct run *r, struct err *e)
{
    const struct run_config *c = &r->c;
    struct vnc_config own = {0};
    if (!screen_of(r) || (!c->have_name && !c->nvncs && !c->web.at.port))
        return 0;
    int ret = vnc_open(&r->vnc, r->vm.loop, screen_of(r), &r->input, c->m.name, e);
    if (!ret && c->have_name)
        ret = place_path(own.at.address, c->m.name, ".vnc", e);
    if (!ret && c->have_name)
        ret = vnc_listen(r->vnc, &own, e);
    for (unsigned i = 0; !ret && i < c->nvncs; i++)
        if (vnc_listen(r->vnc, &c->vnc[i], e))
            ret = err_prefix(e, "--display");
    return ret || !c->web.at.port ? ret : open_web(r, e);
}

/* The name's socket, and those of --qmp; none without either. */
static int open_control(struct run *r, struct err *e)
{
    const struct run_config *c = &r->c;
    struct control_machine m = {.vm = &r->vm, .pc = r->pc, .xen = r->xen};
    m.display = screen_of(r);
    if (keys_of(r)) {
        input_init(&r->input, keys_of(r));
        m.input = &r->input;
    }
    int ret = 0;
    if (!c->have_name && !c->nqmps && !c->have_gdb)
        return open_vnc(r, e);
    ret = control_open(&r->control, &m, e);
    if (!ret && c->have_name && control_listen_name(r->control, c->m.name, e))
        ret = err_prefix(e, "--name");
    for (unsigned i = 0; !ret && i < c->nqmps; i++)
        if (control_listen(r->control, c->qmp[i], e))
            ret = err_prefix(e, "--qmp");
    if (!ret && c->have_gdb && gdb_open(&r->gdb, &r->vm, r->control, &c->gdb, e))
        ret = err_prefix(e, "--gdb");
    return ret ? ret : open_vnc(r, e);
}

static int open_xen(struct run *r, struct err *e)
{
    r->xen = calloc(1, sizeof(*r->xen));
    if (!r->xen) {
        close_chardevs(r);
        return err_set(e, ENOMEM, "out of memory");
    }
    return xen_pvh_open(r->xen, &r->vm, &r->c.m, e);
}

/* Two engines, and comparing them, take long: a guest's timer interrupts would leave no time for
 * it. */
enum { CHECK_SLOW = 16 };

static int open_machine(struct run *r, struct err *e)
{
    struct run_config *c = &r->c;
    struct cpu_config cpu = {.count = c->m.cpus,
                             .model = c->cpu,
                             .irqchip = c->irqchip,
                             .direct = c->direct,
                             .kvm_pv = c->m.kvm,
                             .check = c->check,
                             .perf_map = c->perf_map,
                             .ring3 = c->m.xen == XEN_PV};
    const struct stdio_keys keys = {quit, reset, power_button, r};
    const struct engine_ops *engine = NULL;
    int ret = check_memory(c->m.memory, e);
    if (!ret)
        ret = vm_init(&r->vm, c->m.name, c->m.memory, e);
    if (ret)
        return ret;
    r->vm_open = true;
    if (c->in)
        cpu.features = vm_saved_features(c->in, &cpu.features_len);
    if (c->check)
        clock_slow(r->vm.clock, CHECK_SLOW);
    r->vm.no_reboot = c->no_reboot;
    if (c->trace && trace_enable(&r->vm.trace, c->trace, e))
        return err_prefix(e, "--trace");
    ret = signals_open(&r->signals, r->vm.loop, on_signal, r, e);
    if (!ret)
        ret = find_engine(c, &engine, e);
    if (!ret)
        ret = vm_open_cpus(&r->vm, engine, &cpu, e);
    if (!ret)
        ret = suit_loaded(r, engine, e);
    if (ret)
        return ret;
    ret = open_chardevs(r, e);
    if (!ret && xen_alone(c->m.xen)) {
        ret = open_xen(r, e);
        if (!ret && c->in)
            ret = xen_pvh_load(r->xen, c->in, c->clone ? VM_MEMORY_CLONE : VM_MEMORY_LAZY, e);
        return ret ? ret : open_control(r, e);
    }
    r->pc = ret ? NULL : calloc(1, sizeof(*r->pc));
    if (!r->pc) {
        close_chardevs(r);
        return ret ? ret : err_set(e, ENOMEM, "out of memory");
    }
    ret = pc_open(r->pc, &r->vm, &c->m, e);
    if (!ret && c->in)
        ret = pc_load(r->pc, c->in, c->clone ? VM_MEMORY_CLONE : VM_MEMORY_LAZY, e);
    if (!ret && c->display == DISPLAY_TEXT)
        ret = display_text_open(&r->text, r->vm.loop, r->vm.clock, &r->pc->screen, &r->pc->input,
                                &keys, e);
    return ret ? ret : open_control(r, e);
}

static void close_machine(struct run *r)
{
    web_close(r->web);
    vnc_close(r->vnc);
    gdb_close(r->gdb);
    control_close(r->control);
    display_text_close(r->text);
    if (r->pc)
        pc_close(r->pc);
    if (r->xen)
        xen_pvh_close(r->xen);
    signals_close(&r->signals);
    if (r->vm_open)
        vm_destroy(&r->vm);
    free(r->pc);
    free(r->xen);
}

static int status_of(const struct run *r, enum vm_end end)
{
    switch (end) {
    case VM_POWEROFF:
        return CLI_OK;
    case VM_QUIT:
        return CLI_QUIT;
    case VM_RESET:
        return CLI_RESET;
    case VM_DEBUG:
        return r->vm.exit_code & 0xff;
    default:
        return CLI_FAILED;
    }
}

static int run(struct run *r)
{
    struct err e = {0};
    int status = CLI_ERROR;
    if (!open_machine(r, &e)) {
        status = status_of(r, vm_run(&r->vm));
        if (r->c.stats && r->vm.engine->print_stats)
            r->vm.engine->print_stats(r->vm.e, stderr);
        if (r->c.screenshot && screenshot_write(screen_of(r), r->c.screenshot, PICTURE_BY_NAME, &e))
            status = status ? status : CLI_ERROR;
    }
    if (r->vm_open && vm_memory_damaged(&r->vm)) {
        fprintf(stderr, "wirt: %s\n", lazy_error(&r->vm.mem)->msg);
        return CLI_FAILED;
    }
    close_machine(r);
    if (e.code)
        fprintf(stderr, "wirt: %s\n", e.msg);
    return status;
}

int cli_run(int argc, char **argv)
{
    struct err e = {0};
    int status = CLI_ERROR;
    struct run *r = calloc(1, sizeof(*r));
    if (!r) {
        fprintf(stderr, "wirt: out of memory\n");
        return CLI_ERROR;
    }
    if (run_config_parse(&r->c, argc, argv, &e)) {
        fprintf(stderr, "wirt: %s\n", e.msg);
    } else if (r->c.help) {
        opts_help(stdout);
        status = CLI_OK;
    } else if (r->c.trace && !strcmp(r->c.trace, "help")) {
        trace_help(stdout);
        status = CLI_OK;
    } else {
        signals_block();
        if (run_appliance_prepare(&r->c, &e))
            fprintf(stderr, "wirt: %s\n", e.msg);
        else
            status = run(r);
    }
    if (r->vm_open && vm_memory_damaged(&r->vm))
        return status; /* threads wait for memory, and use all of this */
    run_config_free(&r->c);
    free(r);
    return status;
}
