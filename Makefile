# SPDX-License-Identifier: GPL-2.0-or-later
# A thin front to Meson.  `make run` and `make test` do all the set-up on a fresh Debian 12.
BUILD   ?= build
CACHE   ?= .cache
APPEND   = console=ttyS0 quiet

.PHONY: all help run test test-all bench bench-disk bench-vnc fuzz web format install clean packages-run packages-test

help:
	@echo 'make run       build Wirt and boot a small Linux in it (installs what is missing)'
	@echo 'make test      build and run the tests'
	@echo 'make test-all  the long tests too'
	@echo 'make bench     native against Wirt and, where installed, QEMU'
	@echo 'make bench-disk  wirt disk convert against qemu-img; fio in a guest against QEMU'
	@echo 'make bench-vnc  full motion over VNC: pictures a second, and what they cost the guest'
	@echo 'make fuzz      every fuzz target for FUZZ_SECONDS (default 60) each'
	@echo 'make web       build with the web console (fetches noVNC and xterm.js by npm)'
	@echo 'make install   to DESTDIR/usr/local'
	@echo 'make format    clang-format over the tree'

all: packages-run $(BUILD)/build.ninja
	@ninja -C $(BUILD) wirt

packages-run:
	@tools/install-packages run
packages-test:
	@tools/install-packages run test

$(BUILD)/build.ninja:
	@meson setup $(BUILD) >/dev/null

$(CACHE)/appliance.initrd.gz: tools/make-initrd
	@tools/get-guest cloud
	@tools/make-initrd cloud $@

run: all $(CACHE)/appliance.initrd.gz
	@$(BUILD)/wirt run --kernel $(CACHE)/guests/cloud/boot/vmlinuz-* --initrd $(CACHE)/appliance.initrd.gz \
	    --append "$(APPEND)" --memory 512M --net user $(ARGS)

test: packages-test
	@tests/run
test-all: packages-test
	@tools/install-packages view web test-web
	@tools/get-web
	@tests/run --all
bench: all
	@tools/install-packages bench
	@tests/bench/bench
bench-vnc: all
	@tools/install-packages test
	@tests/bench/vnc
bench-disk: all
	@tools/install-packages bench
	@tests/bench/disk-convert
	@tests/bench/disk-io
fuzz: packages-test
	@tools/install-packages web
	@tests/fuzz/fuzz-all $(FUZZ_SECONDS)

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

# The web console: fetches noVNC and xterm.js by npm, and builds them in.
web: packages-run
	@tools/install-packages web
	@tools/get-web
	@[ ! -e $(BUILD)/build.ninja ] || meson setup --reconfigure $(BUILD) -Dweb=enabled >/dev/null
	@[ -e $(BUILD)/build.ninja ] || meson setup $(BUILD) -Dweb=enabled >/dev/null
	@ninja -C $(BUILD) wirt

install: all
	@meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-asan build-fuzz
