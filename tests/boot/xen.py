# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernels as Xen guests: what they print, and which hypercalls they make."""
import hashlib, os, re, socket, subprocess, threading, time

from .machine import Machine, Scratch, guest, initrd_with, tool
from .net import Server, free_port

# The calls of a stock kernel on Xen 4.17, from its first to its first timer; without console_io,
# EVTCHNOP_send and SCHEDOP_yield.  (24, 13) is made only where TSCs are told to be stable: not by that Xen.
ORDER = [(17, 6), (12, 7), (34, 9), (17, 0), (17, 1), (24, 10), (32, 11), (34, 23), (34, 0), (34, 1), (34, 1), (24, 7),
         (24, 13), (24, 5), (32, 1), (32, 12), (32, 13), (24, 9), (24, 7), (24, 7), (24, 8)]


def options(cpus, mode="pvh", name="cloud"):
    kernel, initrd = guest(name)
    return ["--pv", "xen,mode=" + mode, "--kernel", kernel, "--initrd", initrd, "--cpus", cpus, "--memory", "512M"]


def pvh(cpus, name="cloud", engine=None):
    with Machine(*options(cpus, "pvh", name), "--append", "console=hvc0 panic=-1", "--net", "none", engine=engine) as m:
        m.expect(r"clocksource: Switched to clocksource xen", 120)
        m.expect(r"Linux \S+ on Wirt: %d CPU" % cpus, 120)
        m.expect(r"[#$] $", 30)
        if "PVH" not in m.run("cat /sys/hypervisor/guest_type"):
            m.fail("it is no PVH guest")
        log = m.run("dmesg")
        for line in ("Hypervisor detected: Xen HVM", "Booting kernel on Xen PVH", "Xen version: 4.17.7",
                     "xen:grant_table: Grant tables using version 1 layout"):
            if line not in log:
                m.fail("the kernel did not say %r" % line)
        irqs = m.run("cat /proc/interrupts")
        count = {k: sum(map(int, re.findall(r"\d+", v))) for k, v in re.findall(r"^(HYP|LOC):((?: +\d+)+)", irqs, re.M)}
        if not count["HYP"] or count["LOC"]:
            m.fail("interrupts come by another way: %r" % count)
        m.run("seq 1 20000 | sort -rn | head -n 1 | grep -x 20000")
        m.send("exit")
        m.finish(0, 60)


def pv(cpus, name="cloud", engine=None):
    """Classic PV: the proof lines of a kernel on Xen, processors, processes, signals and a power-off."""
    with Machine(*options(cpus, "pv", name), "--append", "console=hvc0 panic=-1", "--net", "none", engine=engine) as m:
        m.expect(r"Linux \S+ on Wirt: %d CPU" % cpus, 180)
        m.expect(r"[#$] $", 60)
        m.run("grep -qx PV /sys/hypervisor/guest_type && grep -qix 000220f0 /sys/hypervisor/properties/features")
        log = m.run("dmesg", 60)
        for line in ("Hypervisor detected: Xen PV", "Booting kernel on Xen", "Xen version: 4.17.7 (preserve-AD)",
                     "xen:events: Using FIFO-based ABI", "Using NULL legacy PIC", "installing Xen timer for CPU %d" % (cpus - 1)):
            if line not in log:
                m.fail("the kernel did not say %r" % line)
        if "HVM callback vector" in log:
            m.fail("the kernel was offered an upcall vector")
        irqs = m.run("cat /proc/interrupts")
        for line in (r"xen-percpu +-virq +timer0", r"xen-dyn +-event +xenbus"):
            if not re.search(line, irqs):
                m.fail("no interrupt %r" % line)
        m.run("seq 1 20000 | sort -rn | head -n 1 | grep -x 20000", 60)
        m.run("for i in $(seq 40); do (true) & done; wait; sh -c 'kill -SEGV $$'; [ $? = 139 ]", 60)
        m.send("exit")
        m.finish(0, 60)


def compat(model, mode="pv"):
    """32-bit programs in a 64-bit PV guest: INT 80h, SYSCALL (AMD's model) or SYSENTER (Intel's), a signal, and an LDT."""
    with Scratch() as d:
        program = os.path.join(d, "compat")
        tool("gcc", "-m32", "-O1", "-nostdlib", "-static", "-ffreestanding", "-fno-pic", "-no-pie", "-fno-stack-protector",
             "-o", program, os.path.join(os.path.dirname(__file__), "guest", "compat.c"))
        args = options(1, mode)
        args[args.index("--initrd") + 1] = initrd_with(guest("cloud")[1], d, {"bin/compat": program})
        with Machine(*args, "--append", "console=hvc0 panic=-1", "--net", "none", "--cpu", model) as m:
            m.expect(r"[#$] $", 180)
            said = m.run("compat", 60)
            for word in "int80-good", "vdso-good", "signal-good":
                if word not in said:
                    m.fail("not %s" % word)
            m.send("exit")
            m.finish(0, 60)


def pv_calls():
    """The kernel makes no call that is refused, but one: Xen has no performance counters for it either."""
    with Scratch() as d:
        disk = os.path.join(d, "disk.img")
        tool("truncate", "-s", "16M", disk)
        with Machine(*options(1, "pv"), "--append",
                     "console=hvc0 panic=-1 wirt.run='dd if=/dev/zero of=/dev/xvda bs=64k count=64; ping -c 2 10.0.2.2'",
                     "--disk", disk, "--net", "user", "--trace", "xen", "--serial", "file:" + os.path.join(d, "console")) as m:
            m.finish(0, 180)
            with open(os.path.join(d, "console")) as f:
                if not re.search("64.0 records out.* 2 packets received", f.read(), re.S):
                    m.fail("disk or network did not work")
            calls = re.findall(r"cpu0: \[(\d+)\] (\S+) (\d+) \w+ = (-?\d+)", m.text())
        refused = {c[:3] for c in calls if c[3] in ("-38", "-95", "-1", "-22", "-14") and c[1] not in ("iret", "xenpmu_op")}
        if len(calls) < 1000 or refused:
            m.fail("%d calls, refused: %r" % (len(calls), sorted(refused)))


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


def received(port, data, out):
    """Takes what the guest's nc sends through a forwarded port; tries until it listens."""
    for _ in range(100):
        got, n = hashlib.sha256(), 0
        try:
            with socket.create_connection(("127.0.0.1", port), 30) as s:
                s.settimeout(60)
                while chunk := s.recv(1 << 20):
                    got.update(chunk)
                    n += len(chunk)
        except OSError:
            pass
        if n:
            out.append(got.digest() == hashlib.sha256(data).digest())
            return
        time.sleep(0.2)


def devices(cpus, mib, mode="pvh", name="cloud"):
    """A root file system on xvda, eth0 by DHCP, data each way with checksums, balloon, power-off by the store."""
    data = os.urandom(mib << 20)
    port = free_port()
    with Scratch() as d, Server(data) as server:
        disk = os.path.join(d, "disk.img")
        subprocess.run("truncate -s 256M disk.img && mkfs.ext4 -q -F disk.img", shell=True, cwd=d, check=True)
        console = "ttyS0" if mode == "hvm" else "hvc0"
        with Machine(*options(cpus, mode, name), "--append", "console=%s panic=-1" % console, "--disk", disk,
                     "--net", "user,hostfwd=tcp:127.0.0.1:%d-:7777" % port) as m:
            m.expect(r"eth0 has 10\.0\.2\.15", 180)
            m.expect(r"[#$] $", 30)
            log = m.run("dmesg")
            for line in ("Grant tables using version 1 layout",
                         "blkfront: xvda: flush diskcache: enabled; persistent grants: enabled; indirect descriptors: enabled",
                         "xen_netfront: Initialising Xen virtual ethernet driver"):
                if line not in log:
                    m.fail("the kernel did not say %r" % line)
            if m.run("ls /sys/bus/xen/devices").split()[-2:] != ["vbd-51712", "vif-0"]:
                m.fail("other devices than vbd-51712 and vif-0")
            m.run("[ $(ls /sys/class/net/eth0/queues | grep -c rx-) = %d ] && [ $(ls /sys/block/xvda/mq | wc -l) = %d ]"
                  % (cpus, cpus))
            m.run("mount /dev/xvda /mnt && mkdir /mnt/bin && cp /bin/busybox /mnt/bin/ && chroot /mnt /bin/busybox true")
            m.run("wget -q -O /mnt/got http://10.0.2.2:%d/file" % server.port, 120)
            m.run("sync; umount /mnt; mount /dev/xvda /mnt")
            if hashlib.sha256(data).hexdigest() not in m.run("sha256sum /mnt/got", 120):
                m.fail("the file arrived changed")
            m.send("nc -l -p 7777 < /mnt/got; echo server''-over")
            ok = []
            taker = threading.Thread(target=received, args=(port, data, ok))
            taker.start()
            m.expect("server-over", 180)
            taker.join()
            if ok != [True]:
                m.fail("the host got other data than the guest has sent")
            m.expect(r"[#$] $", 30)
            m.run("rm /mnt/got; fstrim /mnt; umount /mnt; e=$(cat /sys/block/xvda/queue/discard_granularity); [ $e -ge 512 ]")
            target = "/sys/devices/system/xen_memory/xen_memory0/target_kb"
            before = int(m.run("grep MemTotal /proc/meminfo").split()[-2])
            m.run("echo $(($(cat %s) - 131072)) > %s; sleep 2" % (target, target))
            if int(m.run("grep MemTotal /proc/meminfo").split()[-2]) > before - 120000:
                m.fail("the balloon did not take 128 MiB")
            m.run("echo $(($(cat %s) + 131072)) > %s; sleep 2" % (target, target))
            if int(m.run("grep MemTotal /proc/meminfo").split()[-2]) != before:
                m.fail("the balloon did not give 128 MiB back")
            m.send("exit")
            m.finish(0, 60)
        if subprocess.run(["e2fsck", "-fn", disk], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            m.fail("the file system is damaged")


def asked_to_end(mode="pvh"):
    """A power-off that is asked for from outside goes by control/shutdown, and the guest ends itself."""
    with Scratch() as d:
        path = os.path.join(d, "qmp")
        with Machine(*options(1, mode), "--append", "console=hvc0 panic=-1", "--net", "none", "--qmp", "unix:" + path) as m:
            m.expect(r"[#$] $", 120)
            m.run(r"mkdir -p /sbin; printf '#!/bin/sh\necho the-guest-was-asked > /dev/console\npoweroff -f\n' > /sbin/poweroff; "
                  "chmod +x /sbin/poweroff")
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(path)
                s.sendall(b'{"execute": "qmp_capabilities"} {"execute": "system_powerdown"}')
                m.expect("the-guest-was-asked", 30)
                m.finish(0, 30)


def hvm(cpus, model):
    """A full PC: the emulated disk and card vanish, xvda and eth0 come; after a reboot too."""
    kernel, initrd = guest("cloud")
    with Scratch() as d:
        disk = os.path.join(d, "disk.img")
        subprocess.run("truncate -s 64M disk.img && mkfs.ext4 -q -F disk.img", shell=True, cwd=d, check=True)
        with Machine("--pv", "xen,mode=hvm", "--kernel", kernel, "--initrd", initrd, "--cpus", cpus, "--append",
                     "console=ttyS0 panic=-1", "--disk", disk, "--net", "user,model=" + model) as m:
            for turn in range(2):
                m.expect(r"Netfront and the Xen platform PCI driver have been compiled for this kernel: unplug emulated NICs", 120)
                m.expect(r"Blkfront and the Xen platform PCI driver have been compiled for this kernel: unplug emulated disks", 10)
                m.expect(r"eth0 has 10\.0\.2\.15", 180)
                m.expect(r"[#$] $", 30)
                m.run("grep -qx HVM /sys/hypervisor/guest_type && grep -q xvda /proc/partitions && ! grep -q sda /proc/partitions")
                m.run("[ $(readlink /sys/class/net/eth0/device/driver | sed s,.*/,,) = vif ]")
                m.run("mount /dev/xvda /mnt && echo %d >> /mnt/turns && sync && wc -l < /mnt/turns | grep -qx %d && umount /mnt"
                      % (turn, turn + 1))
                m.send("exit" if turn else "reboot -f")
            m.finish(0, 60)


# Debian's two kernels as each kind of guest, with one processor and four: (function, mode, kernel, cpus).
KINDS = [(fn, mode, name, cpus) for mode, fn in (("pvh", pvh), ("pv", pv)) for name in ("cloud", "generic") for cpus in (1, 4)]
QUICK = ("xen pvh cloud, 1 cpu", "xen pv cloud, 1 cpu", "xen pvh devices, cloud, 1 cpu")


def kind(fn, mode, name, cpus):
    title = "xen %s%s %s, %d cpu%s"
    plural = "s" if cpus > 1 else ""
    looks = title % (mode, "", name, cpus, plural)
    works = title % (mode, " devices,", name, cpus, plural)
    return [(looks, lambda: fn(cpus, name), looks not in QUICK),
            (works, lambda: devices(cpus, 64, mode, name), works not in QUICK)]


TESTS = [t for k in KINDS for t in kind(*k)] + [
    ("xen pvh hypercalls", order, False),
    ("xen pv hypercalls", pv_calls, False),
    ("xen pv cloud, 1 cpu, interp", lambda: pv(1, engine="interp"), True),
    ("xen pv devices, 16 MiB", lambda: devices(1, 16, "pv"), False),
    ("xen pv 32-bit programs", lambda: compat("qemu64"), False),
    ("xen pv 32-bit programs, max", lambda: compat("max"), True),
    ("xen pvh asked to end", asked_to_end, False),
    ("xen pv asked to end", lambda: asked_to_end("pv"), True),
    ("xen hvm 1 cpu, e1000", lambda: hvm(1, "e1000"), False),
    ("xen hvm 4 cpus, virtio", lambda: hvm(4, "virtio"), True),
    ("xen hvm devices, cloud, 1 cpu", lambda: devices(1, 64, "hvm"), True),
    ("xen hvm devices, generic, 4 cpus", lambda: devices(4, 64, "hvm", "generic"), True),
]
