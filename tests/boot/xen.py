# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernels as Xen guests: what they print, and which hypercalls they make."""
import os, re

from .machine import Machine, Scratch, guest

# The calls of a stock kernel on Xen 4.17, from its first to its first timer; without console_io,
# EVTCHNOP_send and SCHEDOP_yield.
ORDER = [(17, 6), (12, 7), (34, 9), (17, 0), (17, 1), (24, 10), (32, 11), (34, 23), (34, 0), (34, 1), (34, 1), (24, 7),
         (24, 13), (24, 5), (32, 1), (32, 12), (32, 13), (24, 9), (24, 7), (24, 7), (24, 8)]


def options(cpus):
    kernel, initrd = guest("cloud")
    return ["--pv", "xen", "--kernel", kernel, "--initrd", initrd, "--cpus", cpus, "--memory", "512M"]


def pvh(cpus, engine=None):
    with Machine(*options(cpus), "--append", "console=hvc0 panic=-1", "--net", "none", engine=engine) as m:
        m.expect(r"clocksource: Switched to clocksource xen", 120)
        m.expect(r"Linux \S+ on Wirt: %d CPU" % cpus, 120)
        m.expect(r"[#$] $", 30)
        if "PVH" not in m.run("cat /sys/hypervisor/guest_type"):
            m.fail("it is no PVH guest")
        log = m.run("dmesg")
        for line in ("Hypervisor detected: Xen HVM", "Booting kernel on Xen PVH", "Xen version: 4.17.7"):
            if line not in log:
                m.fail("the kernel did not say %r" % line)
        irqs = m.run("cat /proc/interrupts")
        count = {k: sum(map(int, re.findall(r"\d+", v))) for k, v in re.findall(r"^(HYP|LOC):((?: +\d+)+)", irqs, re.M)}
        if not count["HYP"] or count["LOC"]:
            m.fail("interrupts come by another way: %r" % count)
        m.run("seq 1 20000 | sort -rn | head -n 1 | grep -x 20000")
        m.send("exit")
        m.finish(0, 60)


def order():
    with Scratch() as d:
        trace = os.path.join(d, "trace")
        with Machine(*options(1), "--append", "console=hvc0 panic=-1 wirt.run='true'", "--net", "none", "--trace", "xen",
                     "--serial", "file:" + os.path.join(d, "console")) as m:
            m.finish(0, 180)
            calls = [(int(a), int(b)) for a, b in re.findall(r"cpu0: \[(\d+)\] \w+ (\d+)", m.text())]
        calls = [c for c in calls if c[0] != 18 and c not in ((32, 4), (29, 0))]
        if calls[:len(ORDER)] != ORDER:
            m.fail("hypercalls came in another order: %r" % calls[:len(ORDER)])


TESTS = [
    ("xen pvh 1 cpu", lambda: pvh(1), False),
    ("xen pvh 4 cpus", lambda: pvh(4), True),
    ("xen pvh hypercalls", order, False),
]
