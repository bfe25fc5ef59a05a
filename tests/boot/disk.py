# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole Debian 12 on a disk image: SeaBIOS, GRUB, ext4, systemd; from IDE and from virtio."""
import os, re, subprocess

from .machine import CACHE, TOP, Failed, Machine, Scratch, tool


def debian(bus):
    base = os.path.join(CACHE, "debian12.img")
    tool("tools/make-debian-disk", base)
    with Scratch() as d:
        image = os.path.join(d, "disk.img")
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", base, image], check=True)
        args = ("--disk", "%s,bus=%s" % (image, bus), "--memory", "1G", "--net", "user,model=virtio")
        with Machine(*args) as m:
            m.expect(r"login: ", 600)
            m.send("root")
            m.expect(r"# $", 60)
            m.run("stty -echo; export TERM=dumb PAGER=cat")
            if "10.0.2.15" not in m.run("for i in $(seq 30); do ip -4 -o addr | grep -q 10.0.2 && break; sleep 1; done; ip -4 -o addr", 90):
                m.fail("no address by DHCP")
            state = m.run("systemctl is-system-running --wait || true", 300).split()
            if not {"running", "degraded"} & set(state):
                m.fail("systemd says %r" % state)
            m.run("dd if=/dev/urandom of=/root/file bs=1M count=8 2>/dev/null; sha256sum /root/file > /root/sum; sync", 120)
            m.send("reboot")
            m.expect(r"login: ", 600)
            m.send("root")
            m.expect(r"# $", 60)
            m.run("sha256sum -c /root/sum", 60)
            m.send("poweroff")
            m.finish(0, 300)
        fsck(image, d)


def fsck(image, d):
    """The first partition's ext4 must be clean, with nothing for e2fsck to mend."""
    start, size = 2048 * 512, os.path.getsize(image) - 2048 * 512
    part = os.path.join(d, "part.img")
    with open(image, "rb") as f, open(part, "wb") as g:
        f.seek(start)
        while True:
            chunk = f.read(1 << 20)
            if not chunk:
                break
            if chunk.count(0) == len(chunk):
                g.seek(len(chunk), 1)
            else:
                g.write(chunk)
        g.truncate(size)
    r = subprocess.run(["/sbin/e2fsck", "-fn", part], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    state = subprocess.run(["/sbin/dumpe2fs", "-h", part], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    if r.returncode or not re.search(r"Filesystem state:\s+clean", state) or "needs_recovery" in state:
        raise Failed("the file system is not clean after power-off:\n%s" % r.stdout[-1500:])


TESTS = [
    ("debian 12 disk on virtio", lambda: debian("virtio"), False),
    ("debian 12 disk on ide", lambda: debian("ide"), True),
]
