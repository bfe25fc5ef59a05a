#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""pack.py PAGE WEB OUT.c OUT.bin: all files of the web console, packed by gzip, as one blob with a
table.  PAGE: our own page; WEB: what tools/get-web fetched."""
import gzip, os, sys

page, web, out_c, out_bin = sys.argv[1:5]
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".txt": "text/plain; charset=utf-8"}
files = {}


def add(name, path, kind=None):
    files[name] = (path, kind or TYPES[os.path.splitext(name)[1]])


for name in ("index.html", "wirt.js", "wirt.css"):
    add("" if name == "index.html" else name, os.path.join(page, name), TYPES[os.path.splitext(name)[1]])
for part in ("core", "vendor"):
    for folder, _, names in os.walk(os.path.join(web, "novnc", part)):
        for name in names:
            if name.endswith(".js"):
                path = os.path.join(folder, name)
                add("novnc/" + os.path.relpath(path, os.path.join(web, "novnc")), path)
add("novnc/LICENSE.txt", os.path.join(web, "novnc", "LICENSE.txt"))
add("xterm/xterm.js", os.path.join(web, "xterm", "lib", "xterm.js"))
add("xterm/xterm.css", os.path.join(web, "xterm", "css", "xterm.css"))
add("xterm/LICENSE.txt", os.path.join(web, "xterm", "LICENSE"))
add("xterm/fit.js", os.path.join(web, "fit", "lib", "addon-fit.js"))
blob, rows = b"", []
for name in sorted(files):
    path, kind = files[name]
    data = open(path, "rb").read()
    if name.startswith("xterm/") and name.endswith(".js"):
        data = b"\n".join(l for l in data.split(b"\n") if not l.startswith(b"//# sourceMappingURL="))
    packed = gzip.compress(data, 9, mtime=0)
    rows.append('    {"%s", "%s", %d, %d},' % (name, kind, len(blob), len(packed)))
    blob += packed
open(out_bin, "wb").write(blob)
open(out_c, "w").write("""/* Made by pack.py. */
#include "ui/web_assets.h"

__asm__(".section .rodata\\n.global web_blob\\nweb_blob:\\n.incbin \\"%s\\"\\n.byte 0\\n.text\\n");

const struct web_asset web_assets[] = {
%s
};
const unsigned web_asset_count = sizeof(web_assets) / sizeof(web_assets[0]);
""" % (os.path.abspath(out_bin), "\n".join(rows)))
