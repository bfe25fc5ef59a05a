/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets by their first letter, but for queries (query.c).  What is not known gets the empty
 * answer, as the protocol wants it; errors are errno's numbers.  What takes a packet apart gives
 * false when it makes no sense, for gdb_command() to answer EINVAL.  The machine is paused while
 * any of this runs.
 */
#include "gdb/internal.h"

#include <string.h>

static struct vcpu *vcpu_of(struct gdb_session *s)
{
    return &s->vm->vcpu[s->cpu];
}

static struct cpu_state *fetch(struct gdb_session *s)
{
    s->vm->engine->get_state(vcpu_of(s), s->state);
    return s->state;
}

static u8 task_priority(struct gdb_session *s)
{
    const struct vcpu_intc *ic = &vcpu_of(s)->intc;

    return ic->get_tpr ? ic->get_tpr(ic->opaque) : 0;
}

/* ---------------------------------------------------------------- registers -- */

static void read_registers(struct gdb_session *s)
{
    const struct cpu_state *st = fetch(s);
    u8 buf[GDB_REG_BYTES_MAX], cr8 = task_priority(s);

    gdb_begin(&s->out);
    for (unsigned i = 0; i < gdb_regs_general(s->regs); i++) {
        gdb_reg_read(s->regs, i, st, cr8, buf);
        gdb_hex(&s->out, buf, gdb_reg_size(s->regs, i));
    }
    gdb_session_send(s);
}

static bool read_register(struct gdb_session *s, const char *text)
{
    u8 buf[GDB_REG_BYTES_MAX];
    u64 n;

    if (!gdb_number(&text, &n) || n >= gdb_regs_count(s->regs))
        return false;
    gdb_reg_read(s->regs, (unsigned)n, fetch(s), task_priority(s), buf);
    gdb_begin(&s->out);
    gdb_hex(&s->out, buf, gdb_reg_size(s->regs, (unsigned)n));
    gdb_session_send(s);
    return true;
}

/* A state that no processor is in is refused as one from a damaged file is. */
static bool give_back(struct gdb_session *s)
{
    struct cpu_state *st = s->state;

    if (!(st->efer & EFER_LMA) || !(st->seg[CS].attr & SEG_L))
        st->rip = (u32)st->rip;
    if (cpu_state_desc.loaded(st, NULL))
        return false;
    s->vm->engine->set_state(vcpu_of(s), st);
    return true;
}

static bool write_register(struct gdb_session *s, const char *text)
{
    u8 buf[GDB_REG_BYTES_MAX];
    u64 n;

    if (!gdb_number(&text, &n) || *text++ != '=' || n >= gdb_regs_count(s->regs))
        return false;
    unsigned size = gdb_reg_size(s->regs, (unsigned)n);
    if (strlen(text) != 2 * size || !gdb_unhex(text, buf, size) ||
        !gdb_reg_write(s->regs, (unsigned)n, fetch(s), buf))
        return false;
    if (!give_back(s))
        return false;
    gdb_reply(s, "OK");
    return true;
}

/* All or nothing; what cannot be written must be as it is. */
static bool write_registers(struct gdb_session *s, const char *text)
{
    struct cpu_state *st = fetch(s);
    u8 buf[GDB_REG_BYTES_MAX], is[GDB_REG_BYTES_MAX], cr8 = task_priority(s);
    size_t have = strlen(text);

    for (unsigned i = 0; i < gdb_regs_general(s->regs) && have; i++) {
        unsigned size = gdb_reg_size(s->regs, i);
        if (have < 2 * size || !gdb_unhex(text, buf, size))
            return false;
        text += 2 * size;
        have -= 2 * size;
        gdb_reg_read(s->regs, i, st, cr8, is);
        if (memcmp(is, buf, size) && !gdb_reg_write(s->regs, i, st, buf))
            return false;
    }
    if (!give_back(s))
        return false;
    gdb_reply(s, "OK");
    return true;
}

/* ------------------------------------------------------------------- points -- */

/* False: the engine has no means for it. */
static bool can_have(struct gdb_session *s, enum debug_kind kind, u64 addr)
{
    struct vm *vm = s->vm;
    bool mapped = !vm->engine->debug_registers || kind != DEBUG_EXEC;
    u64 gpa;

    for (unsigned i = 0; !mapped && i < vm->ncpus; i++) /* the engine puts an INT3 there */
        mapped = vm->engine->translate(&vm->vcpu[i], addr, &gpa);
    return mapped && (!vm->engine->debug_registers || debug_registers(&vm->debug) <= 4);
}

/* Z and z: type,addr,kind. */
static bool point(struct gdb_session *s, const char *text, bool set)
{
    static const u8 kinds[] = {DEBUG_EXEC, DEBUG_OWN, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS};
    struct debug *d = &s->vm->debug;
    u64 type, addr, len;

    if (!gdb_number(&text, &type) || *text++ != ',' || !gdb_number(&text, &addr) ||
        *text++ != ',' || !gdb_number(&text, &len) || len > DEBUG_WATCH_LEN_MAX)
        return false;
    if (type >= ARRAY_SIZE(kinds)) {
        gdb_reply(s, "");
        return true;
    }
    enum debug_kind kind = kinds[type];
    bool ok = true;
    if (!set) {
        debug_remove(d, kind, addr, (u32)len);
    } else {
        ok = debug_set(d, kind, addr, (u32)len);
        if (ok && !can_have(s, kind, addr)) {
            debug_remove(d, kind, addr, (u32)len);
            ok = false;
        }
    }
    gdb_reply(s, ok ? "OK" : "E28");
    return true;
}

/* ------------------------------------------------------------------- threads -- */

/* A thread's number: -1 all, 0 any, else the vCPU; false: there is none such. */
static bool thread(const struct gdb_session *s, const char **text, s64 *n)
{
    u64 v;

    if (!strncmp(*text, "-1", 2)) {
        *text += 2;
        *n = -1;
        return true;
    }
    if (!gdb_number(text, &v) || v > s->vm->ncpus)
        return false;
    *n = (s64)v;
    return true;
}

static bool choose_thread(struct gdb_session *s, const char *text)
{
    char what = *text++;
    s64 n;

    if ((what != 'g' && what != 'c') || !thread(s, &text, &n))
        return false;
    if (what == 'g' && n > 0)
        s->cpu = (unsigned)n - 1;
    if (what == 'c')
        s->resume_cpu = n > 0 ? (unsigned)n - 1 : s->cpu;
    gdb_reply(s, "OK");
    return true;
}

/* ----------------------------------------------------------------- going on -- */

/* c and s: on from an address, perhaps. */
static bool go(struct gdb_session *s, const char *text, enum gdb_action action)
{
    enum gdb_action what[VM_CPUS_MAX];
    u64 addr;

    if (*text) {
        if (!gdb_number(&text, &addr) || *text || !canonical(addr))
            return false;
        s->cpu = s->resume_cpu;
        fetch(s)->rip = addr;
        if (!give_back(s))
            return false;
    }
    for (unsigned i = 0; i < VM_CPUS_MAX; i++)
        what[i] = action == GDB_STEP ? GDB_STAY : GDB_GO;
    if (action == GDB_STEP)
        what[s->resume_cpu] = GDB_STEP;
    gdb_resume(s, what);
    return true;
}

/* C and S: the signal is nobody's. */
static bool go_signal(struct gdb_session *s, const char *text, enum gdb_action action)
{
    const char *semicolon = strchr(text, ';');

    return go(s, semicolon ? semicolon + 1 : "", action);
}

/* vCont;ACTION[:THREAD]...: the leftmost that fits a vCPU counts. */
static bool cont(struct gdb_session *s, const char *text)
{
    enum gdb_action what[VM_CPUS_MAX];
    bool given[VM_CPUS_MAX] = {0}, any = false, interrupts = false;

    for (unsigned i = 0; i < VM_CPUS_MAX; i++)
        what[i] = GDB_STAY;
    while (*text == ';') {
        char c = *++text;
        s64 n = -1;
        text += !!c;
        u64 signal;
        if ((c == 'C' || c == 'S') && !gdb_number(&text, &signal))
            c = 0;
        if (*text == ':' && (text++, !thread(s, &text, &n)))
            c = 0;
        if (!c || !strchr("cCsSt", c) || (*text && *text != ';'))
            return false;
        enum gdb_action a = c == 't' ? GDB_STAY : c == 's' || c == 'S' ? GDB_STEP : GDB_GO;
        interrupts |= c == 't';
        for (unsigned i = 0; i < s->vm->ncpus; i++) {
            bool meant = n == -1 || (n == 0 ? i == s->resume_cpu : i == (unsigned)n - 1);
            if (!meant || given[i])
                continue;
            given[i] = true;
            what[i] = a;
            any |= a != GDB_STAY;
        }
    }
    if (any)
        gdb_resume(s, what);
    else if (interrupts)
        gdb_tell_stop(s);
    return any || interrupts;
}

/* ------------------------------------------------------------------- the end -- */

static void kill(struct gdb_session *s)
{
    s->over = true;
    vm_request_end(s->vm, VM_QUIT, 0);
}

static void detach(struct gdb_session *s)
{
    gdb_reply(s, "OK");
    s->over = true; /* gdb_session_free() lets the machine go on */
}

static bool v_command(struct gdb_session *s, const char *text)
{
    if (!strcmp(text, "Cont?"))
        gdb_reply(s, "vCont;c;C;s;S;t");
    else if (!strncmp(text, "Cont;", 5))
        return cont(s, text + 4);
    else if (!strncmp(text, "Kill", 4)) {
        gdb_reply(s, "OK");
        kill(s);
    } else
        gdb_reply(s, "");
    return true;
}

static bool is_alive(struct gdb_session *s, const char *text)
{
    s64 n;

    if (!thread(s, &text, &n) || n <= 0)
        return false;
    gdb_reply(s, "OK");
    return true;
}

void gdb_command(struct gdb_session *s)
{
    const char *text = s->in.data + 1;
    bool ok = true;

    switch (s->in.data[0]) {
    case '?':
        gdb_tell_stop(s);
        break;
    case 'g':
        read_registers(s);
        break;
    case 'G':
        ok = write_registers(s, text);
        break;
    case 'p':
        ok = read_register(s, text);
        break;
    case 'P':
        ok = write_register(s, text);
        break;
    case 'm':
        ok = gdb_memory_read(s, text, false);
        break;
    case 'x':
        ok = gdb_memory_read(s, text, true);
        break;
    case 'M':
        ok = gdb_memory_write(s, text, false);
        break;
    case 'X':
        ok = gdb_memory_write(s, text, true);
        break;
    case 'Z':
        ok = point(s, text, true);
        break;
    case 'z':
        ok = point(s, text, false);
        break;
    case 'H':
        ok = choose_thread(s, text);
        break;
    case 'T':
        ok = is_alive(s, text);
        break;
    case 'c':
        ok = go(s, text, GDB_GO);
        break;
    case 's':
        ok = go(s, text, GDB_STEP);
        break;
    case 'C':
        ok = go_signal(s, text, GDB_GO);
        break;
    case 'S':
        ok = go_signal(s, text, GDB_STEP);
        break;
    case 'v':
        ok = v_command(s, text);
        break;
    case 'D':
        detach(s);
        break;
    case 'k':
        kill(s);
        break;
    case 'q':
    case 'Q':
        if (gdb_query(s, s->in.data))
            break;
        /* fall through */
    default:
        gdb_reply(s, "");
        break;
    }
    if (!ok)
        gdb_reply(s, "E22");
}
