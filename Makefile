# The single door to everything: `make demo` opens one, `make test` proves it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/facegate
BUILT := $(or $(CARGO_TARGET_DIR),target)/release
export PATH := $(HOME)/.cargo/bin:$(CACHE)/tools/bin:$(PATH)
# Where cross/setup puts the packages of the tests' Python clients.
export FACEGATE_PYTHONPATH := $(CACHE)/tools/python
# Always the whole workspace, so that every command shares one build of the dependencies.
CARGO_FLAGS := --release --workspace --locked
# SUITE=trixie: built in Debian 13's root; STATIC=yes: with OpenBLAS in the program.
CROSS_FLAGS = $(addprefix --suite ,$(SUITE)) $(if $(STATIC),--static)

.PHONY: help demo test lint build bench mutants fuzz networks photos accuracy cross deb package-test board-test
.PHONY: setup-build setup-roots setup-test

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: build networks photos ## install what is missing, build, and open a door for a real face
	$(BUILT)/facegate demo

test: setup-test ## install what is missing, check style and dependencies, run every test
	@$(MAKE) --no-print-directory lint networks photos
	cargo nextest run $(CARGO_FLAGS)
	FUZZ_SECONDS=3 fuzz/run --if-possible

lint: ## formatting, clippy, dependencies, documentation, shell scripts
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets --quiet -- -D warnings
	cargo deny --log-level error check bans licenses sources
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
		cargo doc $(CARGO_FLAGS) --no-deps --document-private-items --quiet
	shellcheck --external-sources cross/root cross/build cross/package cross/reproduce .ci/run
	shellcheck cross/setup cross/faiss cross/faiss-build cross/one-build cross/package-test systemd/check \
		cross/board/prepare cross/board/boot cross/board/test cross/board/door \
		models/fetch tests/bench/run tests/bench/accuracy tests/bench/onnxruntime tests/bench/wear tests/mutants fuzz/run fuzz/instrument
	shellcheck --shell=bash cross/package-steps cross/systemd-steps
	shellcheck --shell=sh systemd/debian/preinst systemd/debian/postinst systemd/debian/prerm systemd/debian/postrm
	shellcheck --shell=sh cross/build-id cross/board/init cross/board/guest cross/board/gpio cross/board/pi
	cross/one-build
	systemd/check
	@# Nothing here runs these: their lines can be expanded, at least.
	@$(MAKE) --no-print-directory --dry-run bench accuracy cross deb package-test board-test >/dev/null
	@$(MAKE) --no-print-directory --dry-run deb TARGET=armv7 SUITE=trixie STATIC=yes >/dev/null

build: setup-build ## the daemon
	cargo build $(CARGO_FLAGS)

bench: build networks photos ## speed of every stage, against the networks and onnxruntime
	tests/bench/run $(BUILT)/facegate
	cargo build $(CARGO_FLAGS) --example simulate --example simulate-fleet --example fleet-sizes --quiet
	$(BUILT)/examples/simulate --bench
	$(BUILT)/examples/fleet-sizes
	$(BUILT)/examples/simulate-fleet
	cargo nextest run $(CARGO_FLAGS) --test it --run-ignored only --no-capture -E 'test(/^fleet::figures::/)'

mutants: setup-build ## break the door and anti-passback on purpose, and see that the tests notice
	tests/mutants

fuzz: setup-build ## feed libFuzzer's inputs to all that reads bytes from outside (FUZZ_SECONDS each, 300)
	fuzz/run

accuracy: build networks ## error rates over a folder of labelled faces (FACEGATE_EVAL)
	tests/bench/accuracy $(BUILT)/facegate

cross: setup-roots ## the daemon for boards, TARGET=aarch64, armv7 or x86_64, by Debian's own toolchain (needs root once; SUITE, STATIC: see docs/boards)
	cross/build $(or $(TARGET),aarch64) $(CROSS_FLAGS)

# Said before anything is built.
ifneq ($(filter deb,$(MAKECMDGOALS)),)
$(if $(TARGET),,$(if $(SUITE)$(STATIC),$(error SUITE and STATIC go with a TARGET)))
endif

deb: setup-roots $(if $(TARGET),,build) ## a Debian package to give to others, TARGET=aarch64, armv7 or x86_64; else one for systems like this machine's
	$(if $(TARGET),cross/build $(TARGET) $(CROSS_FLAGS) >/dev/null)
	cross/package $(TARGET) $(if $(TARGET),$(SUITE))

package-test: setup-roots build networks photos ## install, upgrade, downgrade, remove and purge the package in a Debian 13 root, and run its service there under systemd
	cross/package-test $$(cross/package)

board-test: setup-roots networks photos ## the ARM package on emulated boards: systemd, camera, GPIO, REST, reboots; a Raspberry Pi 3's pins
	cross/board/test

networks: ## the packs that can be had here
	models/fetch --optional door starter door

photos: ## people for the demo and the tests
	models/fetch photos

setup-build:
	@cross/setup build

setup-roots:
	@cross/setup roots

setup-test:
	@cross/setup test
