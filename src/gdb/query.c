/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queries and settings: what the stub can do, threads, the description of the registers, physical
 * memory and steps as QEMU's stub has them (its docs/system/gdb.rst), `monitor`.
 */
#include "gdb/internal.h"

#include <stdlib.h>
#include <string.h>

enum { STEP_ENABLE = 1, STEP_NO_IRQ = 2, STEP_NO_TIMER = 4 };

typedef void query_fn(struct gdb_session *s, const char *arg);

static void supported(struct gdb_session *s, const char *arg)
{
    s->swbreak = strstr(arg, "swbreak+") != NULL;
    s->hwbreak = strstr(arg, "hwbreak+") != NULL;
    gdb_begin(&s->out);
    gdb_format(&s->out,
               "PacketSize=%x;qXfer:features:read+;vContSupported+;QStartNoAckMode+;hwbreak+",
               GDB_PACKET_MAX);
    gdb_session_send(s);
}

static void no_ack(struct gdb_session *s, const char *arg)
{
    gdb_reply(s, "OK");
    s->no_ack = true;
}

/* qXfer:features:read:target.xml:OFFSET,LENGTH */
static void features(struct gdb_session *s, const char *arg)
{
    static const char name[] = "target.xml:";
    u64 off, len, all = strlen(s->xml);

    if (strncmp(arg, name, sizeof(name) - 1)) {
        gdb_reply(s, "E00");
        return;
    }
    arg += sizeof(name) - 1;
    if (!gdb_number(&arg, &off) || *arg++ != ',' || !gdb_number(&arg, &len) || off > all) {
        gdb_reply(s, "E22");
        return;
    }
    gdb_begin(&s->out);
    gdb_text(&s->out, off + min(len, all) < all ? "m" : "l");
    u64 want = min(len, all - off), done = gdb_binary(&s->out, s->xml + off, want);
    s->out.buf[1] = off + done < all ? 'm' : 'l';
    gdb_session_send(s);
}

static void list_threads(struct gdb_session *s)
{
    if (s->next_listed >= s->vm->ncpus) {
        gdb_reply(s, "l");
        return;
    }
    gdb_begin(&s->out);
    gdb_text(&s->out, "m");
    for (const char *comma = ""; s->next_listed < s->vm->ncpus; comma = ",")
        gdb_format(&s->out, "%s%x", comma, ++s->next_listed);
    gdb_session_send(s);
}

static void first_threads(struct gdb_session *s, const char *arg)
{
    s->next_listed = 0;
    list_threads(s);
}

static void more_threads(struct gdb_session *s, const char *arg)
{
    list_threads(s);
}

static void thread_info(struct gdb_session *s, const char *arg)
{
    char text[64];
    u64 n;

    if (!gdb_number(&arg, &n) || !n || n > s->vm->ncpus) {
        gdb_reply(s, "E22");
        return;
    }
    s->vm->engine->get_state(&s->vm->vcpu[n - 1], s->state);
    const struct cpu_state *st = s->state;
    int len = snprintf(text, sizeof(text), "CPU#%u [%s]", (unsigned)n - 1,
                       st->wait_sipi ? "not started"
                       : st->halted  ? "halted"
                                     : "running");
    gdb_begin(&s->out);
    gdb_hex(&s->out, text, (size_t)len);
    gdb_session_send(s);
}

static void current(struct gdb_session *s, const char *arg)
{
    gdb_begin(&s->out);
    gdb_format(&s->out, "QC%x", s->cpu + 1);
    gdb_session_send(s);
}

static void attached(struct gdb_session *s, const char *arg)
{
    gdb_reply(s, "1");
}

/* lldb's: which processor this is. */
static void host_info(struct gdb_session *s, const char *arg)
{
    bool small = s->regs == &gdb_regs_i386;
    const char *triple = small ? "i386-unknown-none" : "x86_64-unknown-none";

    gdb_begin(&s->out);
    gdb_text(&s->out, "triple:");
    gdb_hex(&s->out, triple, strlen(triple));
    gdb_format(&s->out, ";endian:little;ptrsize:%u;", small ? 4 : 8);
    gdb_session_send(s);
}

static void physical_mode(struct gdb_session *s, const char *arg)
{
    gdb_reply(s, s->physical ? "1" : "0");
}

static void set_physical_mode(struct gdb_session *s, const char *arg)
{
    s->physical = *arg == '1';
    gdb_reply(s, *arg == '0' || *arg == '1' ? "OK" : "E22");
}

static void step_bits(struct gdb_session *s, const char *arg)
{
    gdb_begin(&s->out);
    gdb_format(&s->out, "ENABLE=%x,NOIRQ=%x,NOTIMER=%x", STEP_ENABLE, STEP_NO_IRQ, STEP_NO_TIMER);
    gdb_session_send(s);
}

/* The clock stands while the debugger's user looks, so timers never gain on a step. */
static void step(struct gdb_session *s, const char *arg)
{
    gdb_begin(&s->out);
    gdb_format(&s->out, "0x%x", STEP_ENABLE | STEP_NO_TIMER | (s->step_irqs ? 0 : STEP_NO_IRQ));
    gdb_session_send(s);
}

static void set_step(struct gdb_session *s, const char *arg)
{
    u64 v;

    if (!gdb_number(&arg, &v)) {
        gdb_reply(s, "E22");
        return;
    }
    s->step_irqs = !(v & STEP_NO_IRQ);
    gdb_reply(s, "OK");
}

static void monitor(struct gdb_session *s, const char *arg)
{
    char line[512];
    size_t n = strlen(arg) / 2;

    if (n >= sizeof(line) || strlen(arg) % 2 || !gdb_unhex(arg, line, n)) {
        gdb_reply(s, "E22");
        return;
    }
    line[n] = 0;
    gdb_monitor_line(s, line);
}

static const struct {
    const char *name; /* with what ends it */
    query_fn *fn;
} queries[] = {
    {"qSupported", supported},
    {"QStartNoAckMode", no_ack},
    {"qXfer:features:read:", features},
    {"qfThreadInfo", first_threads},
    {"qsThreadInfo", more_threads},
    {"qThreadExtraInfo,", thread_info},
    {"qC", current},
    {"qAttached", attached},
    {"qHostInfo", host_info},
    {"qqemu.PhyMemMode", physical_mode},
    {"Qqemu.PhyMemMode:", set_physical_mode},
    {"qqemu.sstepbits", step_bits},
    {"Qqemu.sstep=", set_step},
    {"qqemu.sstep", step},
    {"qRcmd,", monitor},
};

bool gdb_query(struct gdb_session *s, const char *text)
{
    for (unsigned i = 0; i < ARRAY_SIZE(queries); i++) {
        size_t n = strlen(queries[i].name);
        if (strncmp(text, queries[i].name, n))
            continue;
        bool takes = strchr(":,=", queries[i].name[n - 1]) != NULL;
        if (!takes && text[n] && text[n] != ':')
            continue;
        queries[i].fn(s, text + n);
        return true;
    }
    return false;
}
