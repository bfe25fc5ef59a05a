# SPDX-License-Identifier: GPL-2.0-or-later
"""From inside the guest: user-mode NAT both ways; a flushed file outlives kill -9."""
import hashlib, http.server, os, signal, socket, threading

from .machine import Machine, Scratch, guest


class Server:
    """An HTTP server on the host's loopback that gives one made-up file."""

    def __init__(self, data):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.httpd.server_address[1]
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.httpd.shutdown()
        self.httpd.server_close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def nat(kernel_name, model):
    kernel, initrd = guest(kernel_name)
    data = os.urandom(4 << 20)
    port = free_port()
    with Server(data) as server, Machine(
            "--kernel", kernel, "--initrd", initrd, "--append", "console=ttyS0 quiet panic=-1", "--memory", "512M",
            "--net", "user,model=%s,hostfwd=tcp:127.0.0.1:%d-:7777" % (model, port)) as m:
        m.expect(r"eth0 has 10\.0\.2\.15", 180)
        m.expect(r"[#$] $", 30)
        m.run("wget -q -O /tmp/got http://10.0.2.2:%d/file" % server.port, 60)
        if hashlib.sha256(data).hexdigest() not in m.run("sha256sum /tmp/got"):
            m.fail("the file arrived changed")
        m.run("nslookup localhost 10.0.2.3 >/dev/null 2>&1; true", 30)
        m.send("nc -l -p 7777 < /tmp/got > /tmp/back; echo server''-over")
        back = b""
        for _ in range(50):
            m.pump(0.2)
            try:
                s = socket.create_connection(("127.0.0.1", port), 20)
            except OSError:
                continue
            s.settimeout(30)
            try:
                while len(back) < len(data):
                    chunk = s.recv(65536)
                    if not chunk:
                        break
                    back += chunk
            except OSError:
                pass
            s.close()
            if back:
                break
        if back != data:
            m.fail("a client of the host got %d bytes of %d through hostfwd, or others" % (len(back), len(data)))
        m.expect("server-over", 30)
        m.send("exit")
        m.finish(0)


def flushed_file_survives(bus):
    """64 MB written and synced in the guest; wirt is killed; the bytes are in the image."""
    kernel, initrd = guest("generic" if bus == "ide" else "cloud")
    dev = "/dev/sda" if bus == "ide" else "/dev/vda"
    with Scratch() as d:
        image = os.path.join(d, "disk.img")
        with open(image, "wb") as f:
            f.truncate(96 << 20)
        with Machine("--kernel", kernel, "--initrd", initrd, "--append", "console=ttyS0 quiet panic=-1", "--memory", "512M",
                     "--disk", "%s,bus=%s" % (image, bus), "--net", "none") as m:
            m.expect(r"Linux \S+ on Wirt", 180)
            m.expect(r"[#$] $", 30)
            m.run("dd if=/dev/urandom of=/tmp/a bs=1M count=64 2>/dev/null", 120)
            digest = m.run("sha256sum /tmp/a").split()
            m.run("dd if=/tmp/a of=%s bs=1M seek=8 2>/dev/null && sync %s && blockdev --flushbufs %s" % (dev, dev, dev), 120)
            os.kill(m.p.pid, signal.SIGKILL)
            m.p.wait()
        with open(image, "rb") as f:
            f.seek(8 << 20)
            found = hashlib.sha256(f.read(64 << 20)).hexdigest()
        if found not in digest:
            m.fail("the flushed bytes are not in the image")


TESTS = [
    ("net virtio-net NAT and hostfwd", lambda: nat("cloud", "virtio"), False),
    ("net e1000 NAT and hostfwd", lambda: nat("generic", "e1000"), False),
    ("disk virtio flushed file survives kill -9", lambda: flushed_file_survives("virtio"), False),
    ("disk ide flushed file survives kill -9", lambda: flushed_file_survives("ide"), False),
]
