/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as the debugger's processor sees it, or physical (Qqemu.PhyMemMode).  Device
 * registers are not reached: reading them would change the machine.
 */
#include "gdb/internal.h"

#include <string.h>

/* Where the page of a linear address lies; false: nowhere. */
static bool find(struct gdb_session *s, u64 addr, u64 *gpa)
{
    struct vm *vm = s->vm;

    *gpa = addr;
    if (!s->physical && !vm->engine->translate(&vm->vcpu[s->cpu], addr, gpa))
        return false;
    *gpa &= __atomic_load_n(&vm->a20_mask, __ATOMIC_ACQUIRE);
    return true;
}

/* As many bytes as there are, up to the first that cannot be read. */
static u64 read_memory(struct gdb_session *s, u64 addr, u8 *buf, u64 len)
{
    u64 done = 0, gpa;

    while (done < len) {
        u64 n = min(len - done, (u64)PAGE_SIZE - ((addr + done) & PAGE_MASK));
        if (!find(s, addr + done, &gpa) || !mem_read(&s->vm->dma, gpa, buf + done, n))
            break;
        done += n;
    }
    return done;
}

/* ROM too: the memory under it is written, as a debugger's user expects of a breakpoint there. */
static bool write_page(struct gdb_session *s, u64 gpa, const u8 *buf, u64 len)
{
    const struct region *r = bus_find(&s->vm->mmio, gpa);

    return r && r->whva && mem_write(&s->vm->dma, gpa, buf, len);
}

static bool write_memory(struct gdb_session *s, u64 addr, const u8 *buf, u64 len)
{
    bool ok = true;
    u64 gpa;

    for (u64 done = 0; ok && done < len;) {
        u64 n = min(len - done, (u64)PAGE_SIZE - ((addr + done) & PAGE_MASK));
        ok = find(s, addr + done, &gpa) && write_page(s, gpa, buf + done, n);
        done += n;
    }
    for (unsigned i = 0; i < s->vm->ncpus; i++) /* it may have been a page table */
        vcpu_raise(&s->vm->vcpu[i], VCPU_FLUSH);
    return ok;
}

static bool range(const char **text, u64 *addr, u64 *len)
{
    return gdb_number(text, addr) && *(*text)++ == ',' && gdb_number(text, len);
}

bool gdb_memory_read(struct gdb_session *s, const char *text, bool binary)
{
    u8 buf[GDB_PACKET_MAX / 2];
    u64 addr, len;

    if (!range(&text, &addr, &len) || *text)
        return false;
    len = min(len, (u64)(GDB_PACKET_MAX - 8) / 2);
    u64 n = read_memory(s, addr, buf, len);
    if (len && !n) {
        gdb_reply(s, "E14");
        return true;
    }
    gdb_begin(&s->out);
    if (binary) {
        gdb_text(&s->out, "b");
        gdb_binary(&s->out, buf, n);
    } else {
        gdb_hex(&s->out, buf, n);
    }
    gdb_session_send(s);
    return true;
}

bool gdb_memory_write(struct gdb_session *s, const char *text, bool binary)
{
    const char *end = s->in.data + s->in.len;
    u8 buf[GDB_PACKET_MAX];
    u64 addr, len;

    if (!range(&text, &addr, &len) || *text++ != ':' || len > sizeof(buf))
        return false;
    u64 have = (u64)(end - text);
    if (binary ? have != len : have != 2 * len || !gdb_unhex(text, buf, len))
        return false;
    if (binary)
        memcpy(buf, text, len);
    gdb_reply(s, write_memory(s, addr, buf, len) ? "OK" : "E14");
    return true;
}
