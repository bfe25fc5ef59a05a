# SPDX-License-Identifier: GPL-2.0-or-later
"""A Xen guest that suspends itself, is saved, and wakes up in a new domain: disk, network, balloon, processors."""
import hashlib, os, time

from .control import Qmp
from .machine import Machine, Scratch, guest, tool
from .net import Server
from .save import save, wirt

# Waits for the balloon.
UNTIL = "while [ $(sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo) -%s %d ]; do sleep 0.1; done; sleep 1"
# Writes numbers to the disk, past every cache, and checks at the end that none is missing.
WRITER = "n=0; while [ ! -e /tmp/stop ]; do n=$((n + 1)); printf '%511s\\n' $n; done | " \
    "dd of=/dev/xvda bs=512 oflag=direct iflag=fullblock count=100000 2>/dev/null"


def total(m):
    return int(m.run("grep MemTotal /proc/meminfo").split()[-2])


def look(m, server, digest):
    m.run("wget -q -O - http://10.0.2.2:%d/file | sha256sum | grep -q %s" % (server.port, digest), 120)
    m.run("seq 1 20000 | sort -rn | head -n 1 | grep -x 20000", 60)


def awake(m, mode):
    """The serial port's driver drops what comes while it sleeps."""
    if mode == "hvm":
        m.expect(r"Restarting tasks ... done", 60)
        time.sleep(1)


def saved(cpus, times, mode="pvh"):
    kernel, initrd = guest("cloud")
    data = os.urandom(4 << 20)
    console = "ttyS0" if mode == "hvm" else "hvc0"
    digest = hashlib.sha256(data).hexdigest()
    with Scratch() as d, Server(data) as server:
        disk, file = os.path.join(d, "disk.img"), os.path.join(d, "saved")
        tool("truncate", "-s", "64M", disk)
        args = ("--pv", "xen,mode=" + mode, "--kernel", kernel, "--initrd", initrd, "--append", "console=%s panic=-1" % console, "--cpus", cpus,
                "--memory", "512M", "--disk", disk, "--net", "user")
        socket = os.path.join(d, "qmp")
        for turn in range(times + 1):
            with Machine(*args, "--qmp", "unix:" + socket) as m:
                if not turn:
                    m.expect(r"eth0 has 10\.0\.2\.15", 180)
                    m.expect(r"[#$] $", 30)
                    whole = total(m)
                    Qmp(socket).cmd("balloon", value=448 << 20)
                    m.run(UNTIL % ("gt", whole - 65000))
                    memory = total(m)
                    m.run("(%s) & true" % WRITER)
                    wirt("save", socket, file, "--keep-running")
                    awake(m, mode)
                else:
                    awake(m, mode)
                    m.send("")
                    m.expect(r"[#$] $", 60)
                    if total(m) != memory:
                        m.fail("the balloon is of another size than before")
                    m.run("dmesg | grep -q 'xen:grant_table: Grant tables using version 1' && ! dmesg | grep -E 'BUG|Oops|WARN'")
                look(m, server, digest)
                if turn < times:
                    save(m, socket, file)
                    args = ("--load", file)
                    continue
                m.run("touch /tmp/stop; wait; sync")
                m.run("n=$(dd if=/dev/xvda bs=512 count=100000 2>/dev/null | tr -d ' \\000' | wc -l); [ $n -gt 100 ] && "
                      "dd if=/dev/xvda bs=512 count=$n 2>/dev/null | tr -d ' ' > /tmp/a; seq $n | cmp - /tmp/a", 120)
                Qmp(socket).cmd("balloon", value=512 << 20)
                m.run(UNTIL % ("lt", whole))
                m.send("exit")
                m.finish(0, 60)


def not_saved():
    """A save that fails: the guest goes on where it was."""
    kernel, initrd = guest("cloud")
    with Scratch() as d:
        socket = os.path.join(d, "qmp")
        with Machine("--pv", "xen", "--kernel", kernel, "--initrd", initrd, "--append", "console=hvc0 panic=-1", "--net", "none",
                     "--qmp", "unix:" + socket) as m:
            m.expect(r"[#$] $", 120)
            wirt("save", socket, os.path.join(d, "no", "where"), status=2)
            if "takes no snapshots" not in wirt("snapshot", socket, "one", status=2):
                m.fail("a snapshot is refused for another reason")
            m.run("seq 1 20000 | sort -rn | head -n 1 | grep -x 20000", 60)
            m.send("exit")
            m.finish(0, 60)


TESTS = [
    ("xen saved, pvh", lambda: saved(1, 1), False),
    ("xen saved, pvh, 4 cpus", lambda: saved(4, 3), True),
    ("xen saved, pv", lambda: saved(1, 1, "pv"), False),
    ("xen saved, pv, 4 cpus", lambda: saved(4, 3, "pv"), True),
    ("xen saved, hvm", lambda: saved(1, 1, "hvm"), True),
    ("xen saved, hvm, 4 cpus", lambda: saved(4, 2, "hvm"), True),
    ("xen not saved", not_saved, False),
]
