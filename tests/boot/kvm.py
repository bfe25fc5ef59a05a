# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine `kvm` on a KVM that is whole, whatever the host is: in a machine of QEMU's TCG, which
has AMD-V.  There Debian's kernel offers /dev/kvm; the flat guests run on it, and Linux boots on it.

TCG is no exact processor, so some checks of the flat guests fail on it, on KVM or not: these are
known by name.  The same guests pass whole on the engine `soft` inside the same machine."""
import glob, os, re, shutil, subprocess

from . import stand
from .machine import CACHE, PATIENCE, TOP, WIRT, Failed, Scratch, Skip, guest, initrd_with, tool

# Checks that must pass, and those that TCG (or, where said, KVM) gets wrong.
FLAT = {
    # no segment limits
    "real": (33, "word across 64 KiB|word across 64 KiB of the stack|past 64 KiB by a 32-bit address"),
    # neither limits nor VME
    "vm86": (30, "past 64 KiB|VME: .*|VIF cleared, IF not|VIF set|IF and IOPL as VIF and 3|VIF from IF|its handler ran|"
                 "flags that it saw saved"),
    # reserved bits of page table entries
    "prot_paging": (18, "reserved bit 21|PAE: reserved bit 52|PAE: reserved bit of a PDPTE|PSE-36"),
    "long_paging": (56, "reserved address bit|NX is reserved without EFER.NXE|PS in a PML4 entry|"
                        "reserved bit of a 1 GiB page|reserved bit of a 2 MiB page"),
    # alignment checks, RDPID
    "long_misc": (30, "no sysenter in long mode|alignment check.*|wrgsbase, not canonical|xgetbv, no such register"),
    # error codes of gates
    "long_faults": (68, "non-canonical stack|int through a gate not present|int beyond the IDT|int of a gate of ring 0|"
                        "#NP on #UD is #NP"),
    # INT1, DR7.GD; KVM: I/O breakpoints
    "debug": (30, "int1|I/O breakpoint|DR6.B2|general detect|DR6.BD|GD cleared|RF in the flags of a fault"),
}

# What Linux runs as on the engine; the words that its log, or what --stats says, must have.  PCI
# interrupts without MSIs are levels, and their ends leave the kernel's local APICs.
LINUX = {
    "one": ("--cpus 1", "", "echo forty-$((6 * 7))", "forty-42"),
    "split": ("--cpus 2 --irqchip split --disk disk,bus=virtio", "pci=nomsi",
              "dd if=/dev/zero of=/dev/vda bs=4k count=64 oflag=direct && grep -c ^processor /proc/cpuinfo",
              r"64\+0 records out(?s:.*)^2$(?s:.*)^ +[1-9]\d+  exits for the end of an I/O APIC's interrupt"),
    "user": ("--cpus 2 --irqchip user --disk disk,bus=virtio", "",
             "dd if=/dev/zero of=/dev/vda bs=4k count=64 oflag=direct && grep -c ^processor /proc/cpuinfo",
             r"64\+0 records out(?s:.*)^2$"),
    "four": ("--cpus 4 --pv kvm", "", "dmesg | grep -o kvm-clock:.Using.msrs; "
             "grep -c ^processor /proc/cpuinfo", r"^kvm-clock: Using msrs$(?s:.*)^4$"),
}
# One machine from engine to engine: each goes on where the other stopped.
PATH = (("kvm", "--irqchip split"), ("soft", ""), ("kvm", "--irqchip user"), ("kvm", "--irqchip split"))

SCRIPT = r"""#!/bin/sh
cd /t
for g in %s; do echo "flat $g"; ./guest_run kvm $g.bin | grep -v ^PASS; done
dd if=/dev/zero of=disk bs=1M count=1 2>/dev/null
mkfifo in
sleep 100000 > in &
khz=$(dmesg | sed -n 's/.*tsc: Detected \([0-9]*\)\.\([0-9]*\) MHz.*/\1\2/p')
base="--kernel vmlinuz --initrd initrd --memory 192M --net none"
append="console=ttyS0 quiet panic=-1 tsc_early_khz=$khz"
linux() { # name, options, kernel's options, command
    echo "linux $1"
    ./wirt run -v --engine kvm --stats $base $2 --append "$append $3 wirt.run='$4'" < in
    echo "linux $1 ended: $?"
}
%s
stand() { # irqchip; engine that goes on
    echo "stand $1 $2"
    rm -f log
    ./wirt run --engine kvm --irqchip $1 --kernel stand.elf --memory 16M --net none --name st < in >> log 2>&1 &
    sleep 8; ./wirt stop st; sleep 1; echo stood >> log; sleep 3; ./wirt cont st
    sleep 5; ./wirt save st saved; wait $!; echo stood >> log; sleep 3
    ./wirt run --load saved --engine $2 --name st < in >> log 2>&1 &
    sleep 6; ./wirt quit st; wait $!
    cat log
    echo
    echo "stand $1 $2 ended: 0"
}
stand user kvm
stand split kvm
stand split soft
echo "path"
./wirt run --name path $base --engine kvm --append "$append wirt.run='n=0; while [ \$n -lt 400 ]; do n=\$((n + 1)); echo turn \$n; usleep 100000; done; echo whole way'" < in > path.log &
saves() { # turn to wait for
    while ! grep -q "^turn $1" path.log; do usleep 200000; done
    ./wirt save path path.saved
    wait $!
}
%s
wait $!
echo "path ended: $?"
tail -n 40 path.log
"""


def make_script():
    linux = "\n".join('linux %s "%s" "%s" "%s"' % (name, opts, kernel, run.replace("$", "\\$"))
                      for name, (opts, kernel, run, _) in LINUX.items())
    path = "\n".join('saves %d; ./wirt run --load path.saved --engine %s %s --name path < in >> path.log &' % (40 * (i + 1), engine, opts)
                     for i, (engine, opts) in enumerate(PATH[1:]))
    return SCRIPT % (" ".join(FLAT), linux, path)


def libraries(*programs):
    """{path: file} of what the dynamic linker loads for them."""
    out = subprocess.run(["ldd"] + list(programs), stdout=subprocess.PIPE, text=True, check=True).stdout
    files = set(re.findall(r"(?:=> |^\s+)(/\S+) \(0x", out, re.M))
    return {f.lstrip("/"): f for f in files}


def run_inside(folder):
    """What the machine printed."""
    build = os.path.dirname(WIRT)
    programs = {"t/wirt": WIRT, "t/guest_run": os.path.join(build, "tests/guest/guest_run")}
    kernel, initrd = guest("cloud")
    host = os.path.join(CACHE, "cloud-kvm.initrd.gz")
    tool("tools/make-initrd", "cloud", host, "irqbypass", "kvm", "ccp", "kvm-amd")
    files = dict(libraries(*programs.values()), **programs)
    files.update({"t/%s.bin" % g: os.path.join(build, "tests/guest/%s.bin" % g) for g in FLAT})
    files["t/stand.elf"] = stand.kernel(folder)
    files.update({"t/vmlinuz": kernel, "t/initrd": initrd})
    script = os.path.join(folder, "run")
    with open(script, "w") as f:
        f.write(make_script())
    files["t/run"] = script
    cmd = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "1200", "-nographic", "-no-reboot", "-net", "none",
           "-kernel", kernel, "-initrd", initrd_with(host, folder, files),
           "-append", "console=ttyS0 quiet panic=-1 mitigations=off wirt.run='sh /t/run'"]
    try:
        r = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                           timeout=1500 * PATIENCE)
    except subprocess.TimeoutExpired as e:
        raise Failed("no end:\n" + (e.stdout or b"").decode("utf-8", "replace")[-3000:])
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", r.stdout.decode("utf-8", "replace"))


def check_flat(name, text):
    passes, known = FLAT[name]
    m = re.search(r"^(\d+) passed, (\d+) failed", text, re.M)
    if not m:
        raise Failed("%s: no end:\n%s" % (name, text[-1500:]))
    # "FAIL NAME vec ..." or "FAIL NAME" and numbers
    failed = [re.sub(r"( vec [0-9a-f]{8}.*|( [0-9a-f]{4})+)$", "", f) for f in re.findall(r"^FAIL (.*)$", text, re.M)]
    new = [f for f in failed if not re.fullmatch(known, f)]
    if new or int(m.group(1)) < passes:
        raise Failed("%s: %s passed (%d expected), failed: %s" % (name, m.group(1), passes, ", ".join(new)))


def part(text, start, end):
    """What lies between two lines."""
    m = re.search(r"^%s\n(.*?)^%s(.*?)$" % (start, end), text, re.M | re.S)
    if not m:
        raise Failed("%s: no end:\n%s" % (start, text[-2500:]))
    return m.group(1), m.group(2)


def in_amd_v():
    if not shutil.which("qemu-system-x86_64"):
        raise Skip("no qemu-system-x86_64")
    with Scratch() as folder:
        text = run_inside(folder)
    for name in FLAT:
        m = re.search(r"^flat %s\n(.*?)(?=^flat |^linux )" % name, text, re.M | re.S)
        if not m:
            raise Failed("%s did not run:\n%s" % (name, text[-2500:]))
        check_flat(name, m.group(1))
    for name, (_, _, _, want) in LINUX.items():
        log, status = part(text, "linux " + name, "linux %s ended: " % name)
        if status != "0" or not re.search(want, log, re.M):
            raise Failed("Linux on kvm, %s: %s\n%s" % (name, status, log[-3000:]))
    for name in ("user kvm", "split kvm", "split soft"):
        pieces = [stand.readings(p) for p in part(text, "stand " + name, "stand %s ended: " % name)[0].split("stood\n")]
        stand.check("a pause on kvm, irqchip " + name.split()[0], pieces[0], pieces[1])
        stand.check("saved, from irqchip " + name.replace(" ", " to "), pieces[1], pieces[2])
    log, status = text[text.index("\npath\n"):], part(text, "path", "path ended: ")[1]
    turns = [int(n) for n in re.findall(r"^turn (\d+)", log, re.M)]
    if status != "0" or "whole way" not in log or turns != list(range(turns[0], 401)):
        raise Failed("from engine to engine: %s\n%s" % (status, log[-3000:]))


TESTS = [("engine kvm in a machine with AMD-V", in_amd_v, True)]
