# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine under gdb: stops, steps, watches, registers, memory, threads, interrupts, detach."""
import os, re, signal, socket, subprocess, time

from .machine import Failed, Machine, PATIENCE, Scratch, Skip, TOP, WIRT, end_with_parent, guest, tool

SETUP = """set confirm off
set pagination off
set width 0
set python print-stack none
"""

LOOK = """
echo \\n-- threads\\n
info threads
echo \\n-- step\\n
stepi
print/x $rip
echo \\n-- break\\n
break tick
continue
info registers rip cs efer
print *(long*)&counter
stepi
stepi
stepi
print/x $rcx
print/x $rdx
echo \\n-- write\\n
set var *(long*)&counter = 0x1000
set var $rdx = 0x123456789abcdef0
set var $eflags = $eflags | 1
print/x $rdx
info registers eflags
echo \\n-- again\\n
continue
print/x *(long*)&counter
delete
echo \\n-- watch\\n
watch *(long*)&watched
continue
continue
print *(long*)&watched
delete
echo \\n-- access\\n
awatch *(long*)&stop_flag
continue
delete
echo \\n-- memory\\n
x/2gx 0xffffffff80000000+(long)&pattern
print $xmm1.v2_int64[1]
set var $xmm1.v2_int64[1] = 7
print $xmm1.v2_int64[1]
print $st0
print *(long*)0x400000000
maintenance packet Qqemu.PhyMemMode:1
x/2gx &pattern
maintenance packet Qqemu.PhyMemMode:0
echo \\n-- cpus\\n
hbreak ap_loop
continue
info threads
thread 2
print $rip
delete
set var *(long*)&ap_counter = 5
stepi
print *(long*)&ap_counter
thread 1
print $rip
echo \\n-- monitor\\n
monitor info status
monitor no such thing
monitor help
echo \\n-- running\\n
continue
echo \\n-- interrupted\\n
print *(long*)&ap_counter > 100
break tick
"""

GONE = """
detach
"""

END = """
delete
set var *(int*)&stop_flag = 1
continue
"""

# (section, regular expression): what must be said there.
WANTED = [
    ("threads", r"\* 1 +Thread 1 \(CPU#0 \[running\]\)"),
    ("threads", r"  2 +Thread 2 \(CPU#1 \[not started\]\)"),
    ("step", r"\$\d+ = 0x100005"),
    ("break", r"hit Breakpoint 1, [^\n]*tick"),
    ("break", r"rip +(0x[0-9a-f]+) +\1 <tick>"),
    ("break", r"efer +0x500 "),
    ("break", r"\$\d+ = 0\n"),
    ("break", r"\$\d+ = 0x1234\n"),
    ("break", r"\$\d+ = 0x1235\n"),
    ("write", r"\$\d+ = 0x123456789abcdef0"),
    ("write", r"eflags .* CF "),
    ("again", r"hit Breakpoint 1"),
    ("again", r"\$\d+ = 0x1000\n"),
    ("watch", r"Old value = 4096\nNew value = 4112\n"),
    ("watch", r"Old value = 4112\nNew value = 4128\n"),
    ("watch", r"\$\d+ = 4128"),
    ("access", r"hit Hardware access \(read/write\) watchpoint[^\n]*\n\nValue = 0\n"),
    ("memory", r"0xffffffff80[0-9a-f]+[^\n]*:\s+0x1122334455667788\s+0x99aabbccddeeff00"),
    ("memory", r"\$\d+ = -7373874951294615808"),
    ("memory", r"\$\d+ = 7\n"),
    ("memory", r"\$\d+ = 3\.14159265358979323"),
    ("memory", r"Cannot access memory at address 0x400000000"),
    ("memory", r"PhyMemMode:1\nreceived: \"OK\"\n0x10[0-9a-f]+[^\n]*:\s+0x1122334455667788"),
    ("cpus", r"Thread 2 [^\n]*hit (Hardware assisted b|B)reakpoint[^\n]*ap_loop"),
    ("cpus", r"\* 2 +Thread 2 \(CPU#1 \[running\]\)"),
    ("cpus", r"<ap_loop>"),
    ("cpus", r" = 6\n"),
    ("monitor", r'"status": "paused"'),
    ("monitor", r'"no such thing" is none'),
    ("monitor", r"system_reset +presses"),
    ("running", r"received signal SIGINT"),
    ("interrupted", r" = 1\n"),
]
# What emulates a processor for KVM knows no breakpoints on data.
POOR_LOOK = re.sub(r"echo \\n-- (watch|access)\\n\n(?s:.*?)(?=echo \\n--)", "", LOOK)
POOR_WANTED = [w for w in WANTED if w[0] not in ("watch", "access")]


def kernel(folder):
    obj, elf = os.path.join(folder, "gdb.o"), os.path.join(folder, "gdb.elf")
    tool("nasm", "-f", "elf64", "-o", obj, os.path.join(TOP, "tests/boot/guest/gdb.asm"))
    tool("ld", "-n", "--no-warn-rwx-segments", "-Ttext", "0x100000", "-e", "start32", "-o", elf, obj)
    return elf


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Gdb:
    """gdb in batch mode, with an interrupt when it says that the machine runs."""

    def __init__(self, folder, where, elf, script, before=""):
        path = os.path.join(folder, "script.gdb")
        with open(path, "w") as f:
            # a script ends at its first error, so each line goes by python
            f.write(SETUP + before + "target remote %s\n" % where)
            f.write("python\nimport gdb, sys\nfor line in %r.split('\\n'):\n    try:\n"
                    "        gdb.execute(line) if line else None\n        sys.stdout.flush()\n"
                    "    except gdb.error as e:\n        print('error:', e, flush=True)\nend\n" % script)
        self.p = subprocess.Popen(["gdb", "-nx", "-q", "-batch", "-x", path, elf], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, preexec_fn=end_with_parent, start_new_session=True)
        os.set_blocking(self.p.stdout.fileno(), False)
        self.text = ""

    def finish(self, timeout=60):
        end = time.monotonic() + timeout * PATIENCE
        sent = False
        while self.p.poll() is None:
            if time.monotonic() > end:
                self.p.kill()
                raise Failed("gdb did not end:\n" + self.text[-3000:])
            if not sent and "-- running" in self.text:
                time.sleep(1)
                self.p.send_signal(signal.SIGINT)
                sent = True
            time.sleep(0.05)
            self.text += (self.p.stdout.read() or b"").decode("utf-8", "replace")
        self.text += (self.p.stdout.read() or b"").decode("utf-8", "replace")
        self.p.stdout.close()
        return self.text


def sections(text):
    out, name = {}, None
    for part in re.split(r"^-- (\w+)$", text, flags=re.M)[1:]:
        if name is None:
            name = part
        else:
            out[name] = part
            name = None
    return out


def look(engine, script=LOOK, wanted=WANTED):
    with Scratch() as d:
        elf = kernel(d)
        if engine == "soft":
            where = os.path.join(d, "gdb.sock")
            place = "unix:" + where
        else:
            port = free_port()
            where, place = "tcp:127.0.0.1:%d" % port, "tcp::%d" % port
        with Machine("--kernel", elf, "--memory", "16M", "--cpus", "2", "--net", "none", "--serial", "none", "--debug-exit",
                     "--gdb", place + ",wait", engine=engine) as m:
            wait_for(m, where)
            text = Gdb(d, where, elf, script + GONE).finish(120)
            check(engine, text, wanted)
            # after the detach there is no breakpoint any more and the machine goes on
            text = Gdb(d, where, elf, "\nprint *(long*)&ap_counter > 100\n" + END).finish()
            if "= 1\n" not in text or "exited with code 03" not in text:
                raise Failed("%s: after the detach: %s" % (engine, text))
            m.finish(3)


def wait_for(m, where):
    """Until the machine listens."""
    end = time.monotonic() + 20 * PATIENCE
    while time.monotonic() < end:
        if where.startswith("/"):
            if os.path.exists(where):
                return
        else:
            line = "0100007F:%04X" % int(where.rsplit(":", 1)[1])
            if any(line in l for l in open("/proc/net/tcp")):
                return
        m.pump(0.1)
        if m.p.poll() is not None:
            break
    m.fail("nobody listens at " + where)


def gdb_soft():
    look("soft")


def gdb_interp():
    look("interp")


def gdb_kvm():
    """On a KVM that is no whole processor what fails is skipped, as with the flat guests."""
    doctor = subprocess.run([WIRT, "doctor"], stdout=subprocess.PIPE, text=True).stdout
    m = re.search(r"^(ok|-) +/dev/kvm +(.*)$", doctor, re.M)
    if not os.path.exists("/dev/kvm") or "mode:" not in m.group(2) and m.group(1) != "ok":
        raise Skip("/dev/kvm: " + m.group(2))
    if m.group(1) == "ok":
        look("kvm")
        return
    try:
        look("kvm", POOR_LOOK, POOR_WANTED)
    except Failed:
        raise Skip("the KVM of this host is no whole processor: " + m.group(2))


def check(engine, text, wanted):
    said = sections(text)
    for name, pattern in wanted:
        if not re.search(pattern, said.get(name, ""), re.M):
            raise Failed("%s: %r was not said under \"%s\":\n%s" % (engine, pattern, name, text[-6000:]))


def linux(console, *args):
    """A Linux that was booted without thinking of debuggers: attach, stop in a system call, step, go on to the next one,
    detach; then it goes on."""
    kernel_file, initrd = guest("cloud")
    with Scratch() as d:
        sock = os.path.join(d, "gdb.sock")
        with Machine("--kernel", kernel_file, "--initrd", initrd, "--append", "console=%s nokaslr quiet" % console, "--memory",
                     "256M", "--net", "none", "--cpus", "2", "--gdb", "unix:" + sock, *args) as m:
            m.expect("# $", 120)
            said = m.run("grep ' [tT] __x64_sys_getpid$' /proc/kallsyms")
            at = "0x" + re.search(r"([0-9a-f]{16}) [tT] __x64_sys_getpid", said).group(1)
            m.send("while :; do sh -c 'echo $$' >/dev/null; done & sleep 1; kill $!; echo ever''ything")
            text = Gdb(d, sock, "/bin/true", "\nhbreak *%s\ncontinue\nprint/x $rip\nstepi\nprint/x $rip - %s\ncontinue\n"
                       "print/x $rip\ndelete\n" % (at, at) + GONE).finish()
            if not re.search(r"\$1 = %s\n(?s:.*)\$2 = 0x[1-9a-f]\n(?s:.*)\$3 = %s\n(?s:.*)detached" % (at, at), text):
                raise Failed("no stops in the kernel: " + text + m.text()[-500:])
            m.expect("everything", 60)
            m.send("poweroff -f")
            m.finish()


def gdb_linux():
    linux("ttyS0")


def gdb_xen_pv():
    linux("hvc0", "--pv", "xen,mode=pv")


TESTS = [
    ("gdb on soft", gdb_soft, False),
    ("gdb on interp", gdb_interp, False),
    ("gdb on kvm", gdb_kvm, False),
    ("gdb on a Linux guest", gdb_linux, True),
    ("gdb on a classic PV guest", gdb_xen_pv, True),
]
