# SPDX-License-Identifier: GPL-2.0-or-later
"""Time in the guest: its clocks agree with one another and with the host's; an idle guest costs
next to nothing."""
import os, re, subprocess, time

from .machine import TOP, Failed, Machine, Scratch, guest, initrd_with


def cpu_seconds(pid):
    f = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def clocks(seconds, load):
    kernel, initrd = guest("cloud")
    with Scratch() as d:
        tool = os.path.join(d, "clocks")
        subprocess.run(["gcc", "-O2", "-static", "-o", tool, os.path.join(TOP, "tests/boot/guest/clocks.c")], check=True)
        busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() if load else 0)]
        try:
            with Machine("--kernel", kernel, "--initrd", initrd_with(initrd, d, {"bin/clocks": tool}), "--append",
                         "console=ttyS0 quiet panic=-1 iomem=relaxed", "--memory", "256M", "--net", "none") as m:
                m.expect(r"[#$] $", 240)
                m.send("clocks %d" % seconds)
                found = {}
                start = None
                for name in ("hpet", "tsc", "pm", "kernel", "rtc", "pit"):
                    found[name] = float(m.expect(r"clock %s ([0-9.]+)\n" % name, seconds * 3 + 60).group(1))
                m.send("exit")
                m.finish()
        finally:
            for b in busy:
                b.kill()
                b.wait()
        for name, s in found.items():
            if abs(s / found["hpet"] - 1) > 0.001:
                raise Failed("the clocks differ by more than 0.1 %%: %r" % found)


def idle():
    """At the shell's prompt the process uses under 2 % of a core."""
    kernel, initrd = guest("cloud")
    with Machine("--kernel", kernel, "--initrd", initrd, "--append", "console=ttyS0 quiet panic=-1", "--memory", "256M",
                 "--net", "user") as m:
        m.expect(r"[#$] $", 180)
        time.sleep(3)
        t0, c0 = time.monotonic(), cpu_seconds(m.p.pid)
        time.sleep(10)
        share = (cpu_seconds(m.p.pid) - c0) / (time.monotonic() - t0)
        if share > 0.02:
            m.fail("an idle guest uses %.1f %% of a core" % (100 * share))
        m.send("exit")
        m.finish()


TESTS = [
    ("time: clocks agree", lambda: clocks(10, False), False),
    ("time: clocks agree for a minute under load", lambda: clocks(60, True), True),
    ("time: an idle guest", idle, False),
]
