/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The debugger's stub: packets, registers, memory, points, and how vCPUs stop at them.  The machine
 * has 2 MiB of RAM, two processors in real mode and no board; what it "runs" the test runs by
 * hand.
 */
#include "base/endian.h"
#include "gdb/internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct vm vm;
static struct region ram;
static struct gdb_session *s;
static char said[1 << 20];
static size_t said_len;
static bool hung_up;

static void on_send(void *opaque, const u8 *buf, size_t n)
{
    assert_true(said_len + n < sizeof(said));
    memcpy(said + said_len, buf, n);
    said_len += n;
    said[said_len] = 0;
}

static void on_hang_up(void *opaque)
{
    hung_up = true;
}

static void open_session(enum gdb_arch arch)
{
    static const struct gdb_session_ops ops = {on_send, on_hang_up, NULL};

    hung_up = false;
    s = gdb_session_new(&vm, NULL, arch, &ops);
    assert_non_null(s);
}

static void open_vm(const struct engine_ops *engine)
{
    const struct cpu_config cfg = {.count = 2, .model = "max"};

    assert_int_equal(vm_init(&vm, "test", 2 * MIB, NULL), 0);
    ram = (struct region){.name = "ram", .size = 2 * MIB, .hva = vm.mem.hva, .whva = vm.mem.hva};
    assert_int_equal(bus_map(&vm.mmio, &ram, 0), 0);
    assert_int_equal(vm_open_cpus(&vm, engine, &cfg, NULL), 0);
    vm_reset_now(&vm);
}

static int set_up(void **state)
{
    open_vm(&engine_interp);
    open_session(GDB_X86_64);
    return 0;
}

static int tear_down(void **state)
{
    if (s)
        gdb_session_free(s);
    s = NULL;
    vm_destroy(&vm);
    return 0;
}

static void input(const char *bytes)
{
    said_len = 0;
    said[0] = 0;
    gdb_session_input(s, (const u8 *)bytes, strlen(bytes));
}

/* A packet; gives the data of the answer, or "" when there is none. */
static const char *ask(const char *data)
{
    static char answer[GDB_PACKET_MAX + 1];
    static struct gdb_in in;
    char text[GDB_PACKET_MAX + 16];
    u8 sum = 0;

    for (const char *p = data; *p; p++)
        sum = (u8)(sum + *p);
    snprintf(text, sizeof(text), "$%s#%02x", data, sum);
    input(text);
    answer[0] = 0;
    for (size_t i = 0; i < said_len; i++) {
        enum gdb_got got = gdb_take(&in, (u8)said[i]);
        assert_true(got == GDB_NOTHING || got == GDB_PACKET);
        if (got == GDB_PACKET)
            strcpy(answer, in.data);
    }
    return answer;
}

#define answers(packet, answer) assert_string_equal(ask(packet), answer)

static struct cpu_state *state_of(unsigned n)
{
    static struct cpu_state st;

    vm.engine->get_state(&vm.vcpu[n], &st);
    return &st;
}

/* ------------------------------------------------------------------ packets -- */

static void test_acknowledge(void **state)
{
    input("$?#3f");
    assert_string_equal(said, "+$T05thread:1;#d7");
    input("-");
    assert_string_equal(said, "$T05thread:1;#d7"); /* the same again */
    input("$?#40");
    assert_string_equal(said, "-");
    input("$?#zz");
    assert_string_equal(said, "-");
    input("$noise$?"); /* cut off, and begun anew */
    assert_string_equal(said, "");
    input("$?#3f");
    assert_string_equal(said, "+$T05thread:1;#d7");
    answers("QStartNoAckMode", "OK");
    input("$?#3f");
    assert_string_equal(said, "$T05thread:1;#d7");
    input("$?#40"); /* wrong, and nobody asks for it again */
    assert_string_equal(said, "");
    input("POST / HTTP/1.1\r\n\r\n$k#6b"); /* a web page */
    assert_true(hung_up);
    assert_string_equal(said, "");
    assert_int_equal(vm.end, VM_RUNNING);
}

static void test_long_packets(void **state)
{
    char *big = malloc(GDB_PACKET_MAX * 3);

    memset(big, 'x', GDB_PACKET_MAX * 3);
    big[0] = '$';
    strcpy(big + GDB_PACKET_MAX * 2, "#00");
    input(big);
    assert_string_equal(said, "-");
    free(big);
    answers("?", "T05thread:1;");
    answers("", "");
    answers("nonsense", "");
    answers("qNonsense", "");
    answers("vMustReplyEmpty", "");
}

/* --------------------------------------------------------------- description -- */

static void test_features(void **state)
{
    char packet[80], *all = calloc(1, 1 << 16);
    size_t len = 0;

    assert_non_null(strstr(ask("qSupported:multiprocess+;hwbreak+"), "qXfer:features:read+"));
    for (;;) {
        snprintf(packet, sizeof(packet), "qXfer:features:read:target.xml:%zx,1f3", len);
        const char *a = ask(packet);
        assert_true(*a == 'm' || *a == 'l');
        strcpy(all + len, a + 1);
        len += strlen(a + 1);
        if (*a == 'l')
            break;
    }
    assert_string_equal(all, s->xml);
    assert_non_null(strstr(all, "<architecture>i386:x86-64</architecture>"));
    assert_non_null(strstr(all, "org.gnu.gdb.i386.avx"));
    free(all);
    answers("qXfer:features:read:other.xml:0,10", "E00");
    answers("qXfer:features:read:target.xml:ffffffffffffffff,10", "E22");
    assert_non_null(strstr(ask("qHostInfo"), "ptrsize:8"));
}

/* ----------------------------------------------------------------- registers -- */

static void write_and_read(unsigned n)
{
    char packet[80], want[80];
    unsigned size = gdb_reg_size(s->regs, n);
    u8 buf[GDB_REG_BYTES_MAX];

    snprintf(packet, sizeof(packet), "p%x", n);
    snprintf(want, sizeof(want), "%s", ask(packet));
    assert_int_equal(strlen(want), 2 * size);
    /* as it is: always allowed, but for what cannot be written */
    snprintf(packet, sizeof(packet), "P%x=%s", n, want);
    const char *a = ask(packet);
    assert_true(!strcmp(a, "OK") || !strcmp(a, "E22"));
    /* one bit other: either refused or so */
    assert_true(gdb_unhex(want, buf, size));
    buf[0] ^= 1;
    sprintf(packet, "P%x=", n);
    for (unsigned i = 0; i < size; i++)
        sprintf(packet + strlen(packet), "%02x", buf[i]);
    bool taken = !strcmp(ask(packet), "OK");
    char other[80];
    snprintf(other, sizeof(other), "%s", strchr(packet, '=') + 1);
    snprintf(packet, sizeof(packet), "p%x", n);
    assert_string_equal(ask(packet), taken ? other : want);
}

static void test_registers(void **state)
{
    for (unsigned n = 0; n < gdb_regs_count(s->regs); n++)
        write_and_read(n);
    answers("P0=efcdab8967452301", "OK"); /* RAX */
    assert_true(state_of(0)->gpr[RAX] == 0x0123456789abcdef);
    answers("P1=0100000000000000", "OK"); /* RBX */
    assert_int_equal(state_of(0)->gpr[RBX], 1);
    answers("P10=0080000000000000", "OK"); /* RIP */
    assert_int_equal(state_of(0)->rip, 0x8000);
    answers("P12=00100000", "OK"); /* CS, in real mode */
    assert_int_equal(state_of(0)->seg[CS].base, 0x10000);
    answers("P0=00", "E22");
    answers("P0", "E22");
    answers("pffff", "E22");
    answers("Pffff=00", "E22");
    char *all = strdup(ask("g"));
    assert_int_equal(strlen(all), 2 * (17 * 8 + 7 * 4 + 80 + 32 + 16 * 16 + 4));
    char *packet = malloc(strlen(all) + 2);
    sprintf(packet, "G%s", all);
    packet[1] = packet[1] == '0' ? '1' : '0';
    answers(packet, "OK");
    assert_int_not_equal(state_of(0)->gpr[RAX] & 0xf0, 0xe0);
    sprintf(packet, "G%s", all);
    packet[strlen(packet) - 1] = 0;
    answers(packet, "E22");
    free(packet);
    free(all);
    /* flags that would be another mode, and reserved bits of MXCSR */
    answers("P11=02000200", "E22");
    answers("P11=d50c0000", "OK");
    assert_int_equal(state_of(0)->rflags, 0xcd7);
    answers("Hg2", "OK");
    answers("P0=0200000000000000", "OK");
    assert_int_equal(state_of(1)->gpr[RAX], 2);
}

static void test_registers_32(void **state)
{
    gdb_session_free(s);
    open_session(GDB_I386);
    assert_non_null(strstr(s->xml, "<architecture>i386</architecture>"));
    for (unsigned n = 0; n < gdb_regs_count(s->regs); n++)
        write_and_read(n);
    answers("P4=00010203", "OK"); /* ESP */
    assert_int_equal(state_of(0)->gpr[RSP], 0x03020100);
    assert_int_equal(strlen(ask("g")), 2 * (10 * 4 + 6 * 4 + 80 + 32 + 8 * 16 + 4));
}

/* -------------------------------------------------------------------- memory -- */

static void test_memory(void **state)
{
    answers("M1000,4:01020304", "OK");
    assert_memory_equal(vm.mem.hva + 0x1000, "\1\2\3\4", 4);
    answers("m1000,4", "01020304");
    answers("m1fffff,8", "00"); /* up to the end of memory */
    answers("m200000,4", "E14");
    answers("mfffffffffffffff0,20", "E14");
    answers("M1000,4:010203", "E22");
    answers("M1000,ffffffffffffffff:01", "E22");
    answers("M1000,1:zz", "E22");
    answers("m1000", "E22");
    answers("m,", "E22");
    answers("x1000", "E22");
    answers("M1ffffe,4:01020304", "E14");
    answers("X2000,0:", "OK");
    answers("X2000,3:a}\x03"
            "b",
            "OK"); /* 'a', an escaped '#', 'b' */
    assert_memory_equal(vm.mem.hva + 0x2000, "a#b", 3);
    answers("X2000,3:ab", "E22");
    answers("x2000,3", "ba#b");
    assert_int_equal(strlen(ask("m0,ffffff")), GDB_PACKET_MAX - 8);
}

static void test_paged_memory(void **state)
{
    struct cpu_state *st = state_of(1);

    st->cr0 |= CR0_PE | CR0_PG;
    st->cr3 = 0x10000;
    le32_put(vm.mem.hva + 0x10000, 0x11007);
    le32_put(vm.mem.hva + 0x11000 + 4 * 5, 0x7007); /* 5000h is 7000h */
    vm.engine->set_state(&vm.vcpu[1], st);
    memcpy(vm.mem.hva + 0x7000, "inside", 6);
    answers("Hg2", "OK");
    answers("m5000,6", "696e73696465");
    answers("m6000,1", "E14");
    answers("M6000,1:00", "E14");
    answers("qqemu.PhyMemMode", "0");
    answers("Qqemu.PhyMemMode:1", "OK");
    answers("m7000,2", "696e");
    answers("m6000,1", "00");
    answers("Qqemu.PhyMemMode:0", "OK");
    answers("Qqemu.PhyMemMode:2", "E22");
    answers("Hg1", "OK");
    answers("m5000,1", "00");
}

/* ------------------------------------------------------------------- threads -- */

static void test_threads(void **state)
{
    answers("qfThreadInfo", "m1,2");
    answers("qsThreadInfo", "l");
    answers("qC", "QC1");
    answers("Hg2", "OK");
    answers("qC", "QC2");
    answers("Hg0", "OK");
    answers("qC", "QC2");
    answers("Hc-1", "OK");
    answers("Hg3", "E22");
    answers("Hgffffffffffffffffff", "E22");
    answers("Hx1", "E22");
    answers("T2", "OK");
    answers("T3", "E22");
    answers("T0", "E22");
    answers("qThreadExtraInfo,2", "435055233120"
                                  "5b6e6f7420737461727465645d");
    answers("qThreadExtraInfo,3", "E22");
    answers("qAttached", "1");
    answers("vCont?", "vCont;c;C;s;S;t");
    answers("vCont;x", "E22");
    answers("vCont;c:9", "E22");
    answers("vCont", "");
    answers("vCont;", "E22");
    answers("qqemu.sstep", "0x7");
    answers("Qqemu.sstep=1", "OK");
    answers("qqemu.sstep", "0x5");
}

/* -------------------------------------------------------------------- points -- */

static void test_points(void **state)
{
    char packet[40];

    answers("Z0,1000,1", "OK");
    answers("Z0,1000,1", "OK");
    assert_int_equal(vm.debug.nexec, 1);
    answers("Z1,800,1", "OK");
    assert_true(debug_stops_at(&vm.debug, 0x800));
    assert_false(debug_stops_at(&vm.debug, 0x801));
    assert_true(debug_stops_in_page(&vm.debug, 0x1fff));
    assert_false(debug_stops_in_page(&vm.debug, 0x2000));
    answers("z0,1000,1", "OK");
    answers("z0,1000,1", "OK");
    assert_int_equal(vm.debug.nexec, 1);
    answers("Z2,2000,4", "OK");
    answers("Z3,3000,0", "E28");
    answers("Z4,ffffffffffffffff,8", "E28");
    answers("Z2,3000,ffffffff", "E22");
    answers("Z5,3000,1", "");
    answers("Z0", "E22");
    answers("Z9999999999999999999,1,1", "E22");
    for (unsigned i = 0; i < 2 * DEBUG_EXEC_MAX; i++) {
        snprintf(packet, sizeof(packet), "Z0,%x,1", 0x100000 - 16 * i);
        ask(packet);
    }
    assert_int_equal(vm.debug.nexec, DEBUG_EXEC_MAX);
    for (unsigned i = 1; i < vm.debug.nexec; i++)
        assert_true(vm.debug.exec[i - 1].addr < vm.debug.exec[i].addr);
    answers("D", "OK");
    assert_true(hung_up);
    gdb_session_free(s);
    s = NULL;
    assert_int_equal(vm.debug.nexec + vm.debug.nwatch, 0);
    assert_false(vm.paused);
}

static void test_processors_own(void **state)
{
    static struct debug d;
    u64 dr[4], dr7;

    assert_true(debug_set(&d, DEBUG_OWN, 0x1234, 1));
    assert_true(debug_set(&d, DEBUG_WRITE, 0x1004, 12));
    assert_true(debug_set(&d, DEBUG_EXEC, 0x1234, 1)); /* the same place, and nothing more */
    assert_true(debug_set(&d, DEBUG_EXEC, 0x1235, 1));
    assert_int_equal(debug_make_registers(&d, dr, &dr7), 3);
    assert_int_equal(dr[0], 0x1234);
    assert_int_equal(dr[1], 0x1004); /* four bytes, and eight */
    assert_int_equal(dr[2], 0x1008);
    assert_int_equal(dr7, 0x72a | 0x00d00000 | 0x09000000);
    assert_true(debug_set(&d, DEBUG_ACCESS, 0x2001, 2)); /* two bytes: two registers */
    assert_int_equal(debug_registers(&d), 5);
    assert_true(debug_set(&d, DEBUG_READ, 0x2001, 1));
    assert_true(debug_registers(&d) > 4);
}

/* ------------------------------------------------------------------- stopping -- */

static enum run_exit run(unsigned n)
{
    enum run_exit why = vm.engine->run(&vm.vcpu[n]);

    vm.vcpu[n].debug.stopped = why == RUN_DEBUG;
    return why;
}

/* The job that a vCPU's stop posts. */
static void told(void)
{
    said_len = 0;
    vm.debug.stopped(vm.debug.opaque);
    loop_turn(vm.loop, 0);
}

static void stopping(void)
{
    /* 8000: mov [9000], al; 8003: inc al; 8005: jmp 8000 */
    static const u8 code[] = {0xa2, 0x00, 0x90, 0xfe, 0xc0, 0xeb, 0xf9};
    struct cpu_state *st;

    memcpy(vm.mem.hva + 0x8000, code, sizeof(code));
    st = state_of(0);
    st->seg[CS].base = st->seg[CS].sel = 0;
    st->rip = 0x8000;
    vm.engine->set_state(&vm.vcpu[0], st);
    answers("QStartNoAckMode", "OK");
    answers("qSupported:hwbreak+", ask("qSupported:hwbreak+"));

    answers("vCont;s:1", ""); /* one step */
    assert_false(vm.paused);
    assert_int_equal(run(0), RUN_DEBUG);
    told();
    assert_true(vm.paused);
    assert_non_null(strstr(said, "$T05thread:1;#"));
    assert_int_equal(state_of(0)->rip, 0x8003);

    answers("Z0,8005,1", "OK"); /* a stop */
    answers("cxyz", "E22");     /* it does not go on from anywhere */
    answers("s8003,", "E22");
    assert_true(vm.paused);
    answers("c", "");
    assert_int_equal(run(0), RUN_DEBUG);
    told();
    assert_non_null(strstr(said, "$T05thread:1;hwbreak:;#"));
    assert_int_equal(state_of(0)->rip, 0x8005);
    answers("c", ""); /* it is still there */
    assert_int_equal(run(0), RUN_DEBUG);
    told();
    answers("z0,8005,1", "OK");

    answers("Z2,8ffe,4", "OK"); /* a watch that the write meets */
    answers("vCont;c", "");
    assert_int_equal(run(0), RUN_DEBUG);
    told();
    assert_non_null(strstr(said, "$T05thread:1;watch:8ffe;#"));
    assert_int_equal(state_of(0)->rip, 0x8003);
    answers("z2,8ffe,4", "OK");

    answers("c", ""); /* and nothing more */
    vcpu_raise(&vm.vcpu[0], VCPU_PAUSE);
    assert_int_equal(run(0), RUN_EVENT);
    vcpu_lower(&vm.vcpu[0], VCPU_PAUSE);
    input("\x03");
    assert_string_equal(said, "$T02thread:1;#d4");
    assert_true(vm.paused);

    vm_resume(&vm); /* by the control socket */
    answers("qAttached", "1");
    assert_true(vm.paused);
    answers("c", "");
    vm_pause(&vm);
    assert_string_equal(said, "$T02thread:1;#d4");

    answers("vCont;s:2", ""); /* the other one waits for its start: the first stays */
    assert_true(vm.vcpu[0].debug.stopped);
    assert_false(vm.vcpu[1].debug.stopped);
    input("\x03");
    answers("vCont;c:1", "");
    assert_true(vm.vcpu[1].debug.stopped);
    vm_request_end(&vm, VM_DEBUG, 5);
    s->watcher.fn(s->watcher.opaque, VM_EVENT_END);
    assert_non_null(strstr(said, "$W05#"));
}

static void test_stopping(void **state)
{
    stopping();
}

static void test_stopping_soft(void **state)
{
    tear_down(NULL);
    open_vm(&engine_soft);
    open_session(GDB_X86_64);
    stopping();
}

static void *run_thread(void *opaque)
{
    return vm.engine->run(&vm.vcpu[0]) == RUN_EVENT ? &vm : NULL;
}

/* Code that the translator makes: long mode, a loop over two pages, with a stop in the second. */
static void test_stopping_translated(void **state)
{
    /* 8ff0: inc eax; jmp 9010.  9010: mov [a000], eax; jmp 8ff0 */
    static const u8 one[] = {0xff, 0xc0, 0xe9, 0x19, 0x00, 0x00, 0x00};
    static const u8 two[] = {0xa3, 0x00, 0xa0, 0x00, 0x00, 0xe9, 0xd6, 0xff, 0xff, 0xff};

    tear_down(NULL);
    open_vm(&engine_soft);
    open_session(GDB_X86_64);
    memcpy(vm.mem.hva + 0x8ff0, one, sizeof(one));
    memcpy(vm.mem.hva + 0x9010, two, sizeof(two));
    struct cpu_state *st = state_of(0);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        st->seg[i] = (struct segment){.limit = UINT32_MAX, .sel = 8, .attr = 0x93 | SEG_DB | SEG_G};
    st->seg[CS].attr = 0x9b | SEG_DB | SEG_G;
    st->cr0 |= CR0_PE;
    st->rip = 0x8ff0;
    vm.engine->set_state(&vm.vcpu[0], st);
    answers("c", "");
    for (unsigned i = 0; i < 3; i++) { /* until it is translated and linked */
        u32 *at = (u32 *)(vm.mem.hva + 0xa000), was = *at;
        pthread_t t;
        pthread_create(&t, NULL, run_thread, NULL);
        while (__atomic_load_n(at, __ATOMIC_RELAXED) - was < 100000)
            sched_yield();
        vcpu_raise(&vm.vcpu[0], VCPU_PAUSE);
        void *as_asked;
        pthread_join(t, &as_asked);
        assert_non_null(as_asked);
        vcpu_lower(&vm.vcpu[0], VCPU_PAUSE);
    }
    input("\x03");
    answers("Z0,9010,1", "OK");
    answers("c", "");
    assert_int_equal(run(0), RUN_DEBUG);
    told();
    assert_int_equal(state_of(0)->rip, 0x9010);
    answers("z0,9010,1", "OK");
    answers("Z2,a002,1", "OK");
    u32 eax = (u32)state_of(0)->gpr[RAX];
    answers("c", "");
    assert_int_equal(run(0), RUN_DEBUG);
    told();
    assert_int_equal(state_of(0)->rip, 0x9015);
    assert_int_equal(state_of(0)->gpr[RAX], eax);
    assert_int_equal(le32_get(vm.mem.hva + 0xa000), eax);
}

/* --------------------------------------------------------------- command line -- */

static void parses(const char *spec, const char *address, unsigned port, bool wait)
{
    struct gdb_config c;

    assert_int_equal(gdb_parse(&c, spec, NULL), 0);
    assert_string_equal(c.at.address, address);
    assert_int_equal(c.at.port, port);
    assert_int_equal(c.wait, wait);
}

static void test_parse(void **state)
{
    struct gdb_config c;
    struct err e;

    parses("1234", "127.0.0.1", 1234, false);
    parses(":1234,wait", "127.0.0.1", 1234, true);
    parses("tcp::1234", "127.0.0.1", 1234, false);
    parses("tcp:localhost:1234", "127.0.0.1", 1234, false);
    parses("[::1]:1234", "::1", 1234, false);
    parses("192.0.2.1:1,public", "192.0.2.1", 1, false);
    parses("unix:/tmp/x,wait", "/tmp/x", 0, true);
    parses("tcp::1234,server,nowait", "127.0.0.1", 1234, false);
    assert_int_equal(gdb_parse(&c, "", &e), -EINVAL);
    assert_int_equal(gdb_parse(&c, "x", &e), -EINVAL);
    assert_int_equal(gdb_parse(&c, "0", &e), -EINVAL);
    assert_int_equal(gdb_parse(&c, "65536", &e), -EINVAL);
    assert_int_equal(gdb_parse(&c, "unix:", &e), -EINVAL);
    assert_int_equal(gdb_parse(&c, "1234,what", &e), -EINVAL);
    assert_non_null(strstr(e.msg, "what"));
    assert_int_equal(gdb_parse(&c, "1234,arch=i386", &e), 0);
    assert_int_equal(c.arch, GDB_I386);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_acknowledge, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_packets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_features, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_registers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_registers_32, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_paged_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_points, set_up, tear_down),
        cmocka_unit_test(test_processors_own),
        cmocka_unit_test_setup_teardown(test_stopping, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stopping_soft, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stopping_translated, set_up, tear_down),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
