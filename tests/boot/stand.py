# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guest's clocks make of a machine that stands: paused, saved, loaded, on each engine and
from one to another.  The guest is guest/stand.c, which reads them without an end."""
import os, re, subprocess, time

from .machine import PATIENCE, TOP, WIRT, Failed, Machine, Scratch, Skip, tool

STOOD = 2  # seconds
HPET_HZ, PM_HZ = 1e8, 3579545.0
LINE = re.compile(r"^clocks (\w{16}) (\w{16}) (\w{16}) (\w{16}) (\w{16})$", re.M)


def kernel(folder):
    elf = os.path.join(folder, "stand.elf")
    tool("gcc", "-m32", "-O1", "-nostdlib", "-static", "-ffreestanding", "-fno-pic", "-no-pie", "-fno-stack-protector",
         "-fno-asynchronous-unwind-tables", "-Wl,-Ttext-segment=0x100000,--build-id=none,-e,start,-z,noseparate-code",
         "-o", elf, os.path.join(TOP, "tests/boot/guest/stand.c"))
    return elf


def readings(text):
    """(TSC ticks, HPET seconds, PM timer seconds, second of the calendar, times that one went back)"""
    return [(int(t, 16), int(h, 16) / HPET_HZ, int(p, 16) / PM_HZ, int(s, 16), int(b, 16)) for t, h, p, s, b in LINE.findall(text)]


def check(what, before, after):
    """Two stretches of readings, between which the machine stood for STOOD seconds or more."""
    if len(before) < 4 or len(after) < 4:
        raise Failed("%s: %d and %d readings" % (what, len(before), len(after)))
    both = before + after
    if both[-1][4]:
        raise Failed("%s: a clock went back %d times" % (what, both[-1][4]))
    (t0, h0, p0, s0, _), (t1, h1, p1, s1, _) = before[-1], after[0]
    rate = (before[-1][0] - before[0][0]) / (before[-1][1] - before[0][1])
    went = {"TSC": (t1 - t0) / rate, "HPET": h1 - h0, "PM timer": p1 - p0}
    for name, s in went.items():
        if not 0 < s < 1.5 * max(PATIENCE, 1):
            raise Failed("%s: the machine stood, and the %s went on by %.3f s: %r" % (what, name, s, went))
        if abs(s - went["HPET"]) > 0.03:
            raise Failed("%s: clocks part: %r" % (what, went))
    if (s1 - s0) % 60 < STOOD - 1 and STOOD + went["HPET"] < 50:
        raise Failed("%s: the calendar went from second %d to %d" % (what, s0, s1))


def more(m, n=6):
    """Readings of the next second or so."""
    start = len(readings(m.text()))
    end = time.monotonic() + 20 * PATIENCE
    while len(readings(m.text())) < start + n:
        if time.monotonic() > end or not m.pump(0.2):
            m.fail("no readings")


def ask(what, *args):
    r = subprocess.run([WIRT, what] + list(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       stdin=subprocess.DEVNULL)
    if r.returncode:
        raise Failed("wirt %s: %s" % (what, r.stdout))


def way(path):
    """path: engines with their options, one after the other; a pause on each, a saved machine between two."""
    with Scratch() as d:
        elf, saved = kernel(d), os.path.join(d, "saved")
        last = None
        for i, (engine, *opts) in enumerate(path):
            q = os.path.join(d, "q%d" % i)
            args = ["--load", saved] if last else ["--kernel", elf, "--memory", "16M", "--net", "none"]
            with Machine(*args, *opts, "--qmp", "unix:" + q, engine=engine) as m:
                what = "%s %s" % (engine, " ".join(opts))
                more(m)
                if last:
                    check("from %s to %s" % (last[0], what), last[1], readings(m.text()))
                ask("stop", q)
                m.pump(0.5)
                before = readings(m.text())
                time.sleep(STOOD)
                ask("cont", q)
                more(m)
                check("a pause on " + what, before, readings(m.text())[len(before):])
                ask("save", q, saved)
                while m.pump(5):
                    pass
                last = (what, readings(m.text()))
            time.sleep(STOOD)


def stand_soft():
    way([("soft",), ("interp",)])


def stand_kvm():
    doctor = subprocess.run([WIRT, "doctor"], stdout=subprocess.PIPE, text=True).stdout
    m = re.search(r"^(\S+) +/dev/kvm +(.*)$", doctor, re.M)
    if m.group(1) != "ok":
        raise Skip("/dev/kvm: " + m.group(2))
    way([("kvm", "--irqchip", "user"), ("soft",), ("kvm", "--irqchip", "split"), ("kvm", "--irqchip", "user")])


TESTS = [
    ("clocks of a machine that stands, soft", stand_soft, False),
    ("clocks of a machine that stands, kvm", stand_kvm, False),
]
