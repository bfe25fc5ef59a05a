# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's Xen as a guest: its shim, a PVH guest that runs a stock kernel as a PV guest inside itself, and the
whole hypervisor with a PV dom0 on the full PC, started by GRUB or directly."""
import glob, gzip, os, shutil

from .machine import CACHE, TOP, Machine, Scratch, guest, tool


def xen_files(name, pattern):
    tool("tools/get-guest", name)
    return glob.glob(os.path.join(CACHE, "guests", name, pattern))[0]


def look_inside(m, kind, cpus):
    """At the shell of a PV guest."""
    m.expect(r"Linux \S+ on Wirt: %d CPU.*eth0 has 10\.0\.2\.15" % cpus, 400)
    m.expect(r"[#$] $", 60)
    if "PV" not in m.run("cat /sys/hypervisor/guest_type").split():
        m.fail("it is no PV guest")
    log = m.run("dmesg")
    for line in ("Hypervisor detected: Xen PV", "Booting kernel on Xen", "Xen version: 4.17") + kind:
        if line not in log:
            m.fail("the kernel did not say %r" % line)
    m.run("seq 1 20000 | sort -rn | head -n 1 | grep -x 20000", 120)


def shim(cpus):
    kernel, initrd = guest("cloud")
    with Scratch() as d:
        disk = os.path.join(d, "disk.img")
        tool("sh", "-c", "truncate -s 64M %s && mkfs.ext4 -q -F %s" % (disk, disk))
        with Machine("--pv", "xen", "--kernel", xen_files("xen-utils", "usr/lib/xen-4.17/boot/xen-shim"), "--initrd",
                     "%s console=hvc0 panic=-1,%s" % (kernel, initrd), "--append", "pv-shim console=xen,pv loglvl=error guest_loglvl=none", "--cpus", cpus,
                     "--memory", "768M", "--disk", disk, "--net", "user") as m:
            look_inside(m, ("xen:events: Using 2-level ABI",), cpus)
            m.run("mount /dev/xvda /mnt && dd if=/dev/urandom of=/mnt/a bs=64k count=64 2>/dev/null && cp /mnt/a /tmp/a && "
                  "umount /mnt && mount /dev/xvda /mnt && cmp /mnt/a /tmp/a && umount /mnt", 120)
            m.send("exit")
            m.finish(0, 60)


def hostile():
    """Debian's Xen gives our hostile PV guest the same answers as Wirt (tests/guest/pv_hostile.c; the test
    guest/pv_hostile asks Wirt), but for a few that the guest itself names."""
    guest_elf = os.path.join(TOP, "build", "tests", "guest", "pv_hostile.elf")
    with Machine("--pv", "xen", "--kernel", xen_files("xen-utils", "usr/lib/xen-4.17/boot/xen-shim"), "--initrd", guest_elf,
                 "--append", "pv-shim console=xen,pv loglvl=error guest_loglvl=none", "--memory", "256M", "--net", "none",
                 "--no-reboot") as m:
        got = m.expect(r"(\d+) tries, (\d+) with another answer than Xen's", 120)
        if int(got.group(1)) < 800 or int(got.group(2)):
            m.fail("Xen answers otherwise")
        m.finish(0, 60)


GRUB = """
serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
menuentry "Xen" {
  multiboot2 /boot/xen.gz %s
  module2 /boot/vmlinuz console=hvc0 panic=-1
  module2 /boot/initrd.gz
}
"""
XEN = "console=com1 com1=115200,8n1 dom0_mem=512M"


def make_cd(folder, xen, kernel, initrd):
    top = os.path.join(folder, "cd")
    os.makedirs(os.path.join(top, "boot/grub"))
    for source, name in (xen, "xen.gz"), (kernel, "vmlinuz"), (initrd, "initrd.gz"):
        shutil.copy(source, os.path.join(top, "boot", name))
    with open(os.path.join(top, "boot/grub/grub.cfg"), "w") as f:
        f.write(GRUB % XEN)
    iso = os.path.join(folder, "cd.iso")
    tool("grub-mkrescue", "-o", iso, top)
    return iso


def dom0(cpus, way, model):
    """dom0 owns the PC: disk, network card, ACPI power-off."""
    xen = xen_files("xen", "boot/xen-4.17-amd64.gz")
    kernel, initrd = guest("generic")
    with Scratch() as d:
        if way == "grub":
            start = ("--cdrom", make_cd(d, xen, kernel, initrd))
        else:
            plain = os.path.join(d, "xen")
            with gzip.open(xen) as f, open(plain, "wb") as out:
                shutil.copyfileobj(f, out)
            start = ("--kernel", plain, "--initrd", "%s console=hvc0 panic=-1,%s" % (kernel, initrd),
                     "--append", XEN + " no-real-mode")
        with Machine(*start, "--cpus", cpus, "--memory", "1G", "--cpu", model, "--net", "user,model=e1000") as m:
            look_inside(m, (), cpus)
            m.run("grep -q xen-pcpu /proc/interrupts && grep -q 'xen-pirq .* eth0' /proc/interrupts")
            m.send("exit")
            m.finish(0, 60)


TESTS = [
    ("xen shim, 1 cpu", lambda: shim(1), False),
    ("xen shim, 2 cpus", lambda: shim(2), True),
    ("xen shim, hostile guest", hostile, False),
    ("xen dom0 by grub, smap", lambda: dom0(1, "grub", "max"), True),
    ("xen dom0 by grub, no smap", lambda: dom0(1, "grub", "qemu64"), True),
    ("xen dom0, 2 cpus", lambda: dom0(2, "direct", "max"), True),
]
