/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a client of the debugger's stub sends.  Each 0x00 byte of the input ends a piece; a piece
 * that begins with '!' goes as it is, any other as the contents of a right packet.  Whatever it is,
 * what comes back is '+', '-' and whole packets, the processors' state stays one that a processor
 * can be in, and the machine goes on after the last byte.  Its vCPUs have no threads.
 */
#include "gdb/internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gdb_in answers;

static void on_send(void *opaque, const u8 *buf, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool idle = answers.state == GDB_IDLE;
        BUG_ON(idle && buf[i] != '$' && buf[i] != '+' && buf[i] != '-');
        enum gdb_got got = gdb_take(&answers, buf[i]);
        BUG_ON(got == GDB_BAD || got == GDB_INTERRUPT || got == GDB_STRANGE);
    }
}

static void on_hang_up(void *opaque)
{
    *(bool *)opaque = true;
}

static void feed(struct gdb_session *s, const uint8_t *piece, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    u8 sum = 0, end[3] = "#";

    if (n && piece[0] == '!') {
        gdb_session_input(s, piece + 1, n - 1);
        return;
    }
    for (size_t i = 0; i < n; i++)
        sum = (u8)(sum + piece[i]);
    end[1] = (u8)digits[sum >> 4];
    end[2] = (u8)digits[sum & 15];
    gdb_session_input(s, (const u8 *)"$", 1);
    gdb_session_input(s, piece, n);
    gdb_session_input(s, end, 3);
}

static void check_state(struct vm *vm)
{
    static struct cpu_state st;

    for (unsigned i = 0; i < vm->ncpus; i++) {
        vm->engine->get_state(&vm->vcpu[i], &st);
        BUG_ON(cpu_state_desc.loaded(&st, NULL));
        BUG_ON(vm->vcpu[i].debug.stopped || vm->vcpu[i].debug.step);
    }
    BUG_ON(vm->debug.nexec || vm->debug.nwatch);
    BUG_ON(vm->paused);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct cpu_config cfg = {.count = 2, .model = "max"};
    static struct vm vm;
    static struct region ram;
    static struct control *control;
    bool over = false;

    if (!vm.loop) {
        BUG_ON(vm_init(&vm, "fuzz", 2 * MIB, NULL));
        ram =
            (struct region){.name = "ram", .size = 2 * MIB, .hva = vm.mem.hva, .whva = vm.mem.hva};
        BUG_ON(bus_map(&vm.mmio, &ram, 0));
        BUG_ON(vm_open_cpus(&vm, &engine_interp, &cfg, NULL));
        struct control_machine m = {.vm = &vm};
        BUG_ON(control_open(&control, &m, NULL));
    }
    memset(&answers, 0, sizeof(answers));
    vm_reset_now(&vm);
    const struct gdb_session_ops ops = {on_send, on_hang_up, &over};
    struct gdb_session *s = gdb_session_new(&vm, control, size & 1 ? GDB_I386 : GDB_X86_64, &ops);
    BUG_ON(!s);
    while (size && !over) {
        const uint8_t *end = memchr(data, 0, size);
        size_t n = end ? (size_t)(end - data) : size;
        feed(s, data, n);
        loop_turn(vm.loop, 0);
        n += !!end;
        data += n;
        size -= n;
    }
    gdb_session_free(s);
    check_state(&vm);
    vm.end = VM_RUNNING;
    loop_turn(vm.loop, 0);
    return 0;
}
