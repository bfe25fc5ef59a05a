# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux as a guest that knows Microsoft's interface: what it finds, and that all its interrupts come by it."""
import os, re

from .machine import Machine, guest
from .save import Sockets, save


def counts(m):
    """Interrupts by /proc/interrupts' short names, over all processors."""
    text = m.run("cat /proc/interrupts")
    return {k: sum(map(int, re.findall(r"\d+", v))) for k, v in re.findall(r"^(\w+):((?: +\d+)+)", text, re.M)}


def args(cpus, *more):
    kernel, initrd = guest("cloud")
    return ("--pv", "hyperv", "--kernel", kernel, "--initrd", initrd, "--append", "console=ttyS0 panic=-1",
            "--memory", "512M", "--cpus", cpus, "--net", "none") + more


def linux(cpus, engine=None):
    with Machine(*args(cpus), engine=engine) as m:
        m.expect(r"Linux \S+ on Wirt: %d CPU" % cpus, 180)
        m.expect(r"[#$] $", 60)
        log = m.run("dmesg", 60)
        lines = ["Hypervisor detected: Microsoft Hyper-V", "Hyper-V: Using enlightened APIC", "clocksource: hyperv_clocksource_tsc_page"]
        if cpus > 1:
            lines += ["Hyper-V: Using hypercall for remote TLB flush", "Hyper-V: Using IPI hypercalls"]
        for line in lines:
            if line not in log:
                m.fail("the kernel did not say %r" % line)
        clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
        m.run("echo hyperv_clocksource_tsc_page > %s && grep hyperv %s" % (clock, clock))
        m.run("a=$(date +%s); sleep 2; b=$(date +%s); [ $((b - a)) -ge 2 ] && [ $((b - a)) -le 4 ]")
        m.run("for i in $(seq 40); do (seq 1 2000 | sort -rn | head -n 1 | grep -qx 2000) & done; wait", 120)
        n = counts(m)
        if not n["HVS"] or n["LOC"]:
            m.fail("timer interrupts come by another way: %r" % n)
        if cpus > 1 and (not n["CAL"] or n["TLB"]):
            m.fail("no interrupts between processors, or TLB shootdowns by them: %r" % n)
        m.send("reboot -f")
        m.expect(r"Hypervisor detected: Microsoft Hyper-V", 60)
        m.expect(r"[#$] $", 180)
        m.send("exit")
        m.finish(0, 60)


def saved(engine=None):
    """The timers, the clock page and the hypercall page go on in another process."""
    with Sockets() as d:
        file = os.path.join(d.path, "saved")
        with Machine(*args(2), "--qmp", "unix:" + d.qmp(0), engine=engine) as m:
            m.expect(r"[#$] $", 180)
            before = counts(m)["HVS"]
            save(m, d.qmp(0), file)
        with Machine("--load", file, engine=engine) as m:
            m.send("")
            m.expect(r"[#$] $", 60)
            m.run("sleep 1; for i in 1 2 3 4; do (true) & done; wait")
            if counts(m)["HVS"] <= before:
                m.fail("the timers stand still")
            m.send("exit")
            m.finish(0, 60)


def beside_xen():
    """A Xen HVM guest that is offered both takes Xen's, which has moved."""
    with Machine(*args(2, "--pv", "xen,mode=hvm"), "--trace", "cpuid") as m:
        m.expect(r"[#$] $", 180)
        m.run("dmesg | grep 'Hypervisor detected: Xen HVM' && grep -qx HVM /sys/hypervisor/guest_type")
        m.send("exit")
        m.finish(0, 60)
        if not re.search(r"40000000\.0 = 40000005 7263694d", m.text()) or not re.search(r"40000100\.0 = 40000105 566e6558", m.text()):
            m.fail("the leaves are not those of both")


TESTS = [
    ("hyper-v linux, 1 cpu", lambda: linux(1), False),
    ("hyper-v linux, 4 cpus", lambda: linux(4), False),
    ("hyper-v linux, 1 cpu, interp", lambda: linux(1, "interp"), True),
    ("hyper-v, saved and loaded", saved, False),
    ("hyper-v beside xen", beside_xen, False),
]
