# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernels with an initramfs: to a shell, commands, power-off."""
from .machine import Machine, guest


def shell(name, cpus, *more, engine=None, patience=180):
    kernel, initrd = guest(name)
    with Machine("--kernel", kernel, "--initrd", initrd, "--append", "console=ttyS0 quiet panic=-1", "--memory", "512M",
                 "--cpus", cpus, "--net", "none", *more, engine=engine) as m:
        line = m.expect(r"Linux \S+ on Wirt: (\d+) CPU", patience)
        if int(line.group(1)) != cpus:
            m.fail("the guest sees %s CPUs, not %d" % (line.group(1), cpus))
        m.expect(r"[#$] $", patience)
        if "42" not in m.run("echo $((6 * 7))", patience):
            m.fail("the shell does not calculate")
        if "--check" in more: # each command takes minutes
            m.send("exit")
            return m.finish(0, patience)
        m.run("dd if=/dev/urandom of=/tmp/a bs=64k count=16 2>/dev/null && cp /tmp/a /tmp/b && cmp /tmp/a /tmp/b")
        m.run("seq 1 20000 | sort -rn | head -n 1 | grep -x 20000")
        m.send("exit")
        m.finish(0, 60)


def case(name, cpus, engine=None):
    return lambda: shell(name, cpus, engine=engine)


TESTS = [
    ("linux cloud 1 cpu", case("cloud", 1), False),
    ("linux cloud 4 cpus", case("cloud", 4), False),
    ("linux generic 1 cpu", case("generic", 1), False),
    ("linux generic 4 cpus", case("generic", 4), True),
    ("linux 686", case("686", 1), False),
    ("linux 686-pae", case("686-pae", 1), False),
    ("linux cloud 1 cpu, interpreter", case("cloud", 1, "interp"), True),
    ("linux 686, the translator checked by the interpreter", lambda: shell("686", 1, "--check", patience=1500), True),
]
