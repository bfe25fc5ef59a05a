# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole Debian as a Xen guest, to its login prompt: root file system on xvda1, eth0 by DHCP; it reboots and
powers off when control/shutdown says so."""
import os, re, subprocess

from .control import Qmp
from .machine import CACHE, Machine, Scratch, tool

PART = 1 << 20  # where tools/make-debian-disk puts the partition


def boot_files(disk, folder):
    """The kernel and initramfs of the Debian on a disk."""
    part = "%s?offset=%d" % (disk, PART)
    names = tool("debugfs", "-R", "ls -l /boot", part)
    out = []
    for kind in "vmlinuz", "initrd.img":
        name = re.search(r"%s-\S+" % re.escape(kind), names).group(0)
        out.append(os.path.join(folder, kind))
        tool("debugfs", "-R", "dump /boot/%s %s" % (name, out[-1]), part)
    return out


def login(m, kind, console):
    m.login()
    m.run("grep -qx %s /sys/hypervisor/guest_type && grep -qE '^/dev/xvda1 / ext4' /proc/mounts && ! ls /dev/sd?" % kind)
    m.run("[ $(readlink /sys/class/net/e*0*/device/driver | sed s,.*/,,) = vif ]")
    m.run("for i in $(seq 30); do ip -4 -o addr | grep -q 10.0.2.15 && break; sleep 1; done; ip -4 -o addr | grep 10.0.2.15", 90)
    state = m.run("systemctl is-system-running --wait || true", 300).split()
    if not {"running", "degraded"} & set(state):
        m.fail("systemd says %r" % state)


def debian(mode, cpus):
    base = os.path.join(CACHE, "debian12.img")
    tool("tools/make-debian-disk", base)
    with Scratch() as d:
        disk, qmp = os.path.join(d, "disk.img"), os.path.join(d, "qmp")
        tool("cp", "--sparse=always", base, disk)
        kernel, initrd = boot_files(disk, d)
        console = "ttyS0" if mode == "hvm" else "hvc0"
        kind = {"pvh": "PVH", "pv": "PV", "hvm": "HVM"}[mode]
        with Machine("--pv", "xen,mode=" + mode, "--kernel", kernel, "--initrd", initrd, "--append",
                     "root=/dev/xvda1 rw console=" + console, "--cpus", cpus, "--memory", "1G", "--disk", disk, "--net", "user",
                     "--qmp", "unix:" + qmp) as m:
            login(m, kind, console)
            m.write_file()
            Qmp(qmp).cmd("x-xen-shutdown", reason="reboot")
            login(m, kind, console)
            m.check_file()
            Qmp(qmp).cmd("x-xen-shutdown", reason="poweroff")
            m.expect(r"Power down|reboot: System halted", 120)
            m.finish(0, 60)
        with open(disk, "rb") as f, open(os.path.join(d, "part"), "wb") as out:
            f.seek(PART)
            subprocess.run(["dd", "bs=1M", "conv=sparse"], stdin=f, stdout=out, stderr=subprocess.DEVNULL, check=True)
        tool("e2fsck", "-fn", os.path.join(d, "part"))


TESTS = [
    ("xen debian, pvh", lambda: debian("pvh", 1), True),
    ("xen debian, pvh, 4 cpus", lambda: debian("pvh", 4), True),
    ("xen debian, pv", lambda: debian("pv", 1), True),
    ("xen debian, pv, 4 cpus", lambda: debian("pv", 4), True),
    ("xen debian, hvm", lambda: debian("hvm", 1), True),
]
