# The single door to everything: `make demo` opens one, `make test` proves it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/facegate
TARGET := $(or $(CARGO_TARGET_DIR),target)/release
export PATH := $(HOME)/.cargo/bin:$(CACHE)/tools/bin:$(PATH)
# Always the whole workspace, so that every command shares one build of the dependencies.
CARGO_FLAGS := --release --workspace --locked

.PHONY: help demo test lint build bench mutants networks photos accuracy setup-build setup-test

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: build networks photos ## install what is missing, build, and open a door for a real face
	$(TARGET)/facegate demo

test: setup-test ## install what is missing, check style and dependencies, run every test
	@$(MAKE) --no-print-directory lint networks photos
	cargo nextest run $(CARGO_FLAGS)

lint: ## formatting, clippy, dependencies, documentation, shell scripts
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets --quiet -- -D warnings
	cargo deny --log-level error check bans licenses sources
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
		cargo doc $(CARGO_FLAGS) --no-deps --document-private-items --quiet
	shellcheck cross/setup cross/faiss cross/one-build models/fetch tests/bench/run tests/bench/accuracy \
		tests/bench/onnxruntime tests/mutants .ci/run
	cross/one-build

build: setup-build ## the daemon
	cargo build $(CARGO_FLAGS)

bench: build networks photos ## speed of every stage, against the networks and onnxruntime
	tests/bench/run $(TARGET)/facegate
	cargo build $(CARGO_FLAGS) --example simulate --quiet
	$(TARGET)/examples/simulate --bench

mutants: setup-build ## break the door's state machines on purpose, and see that the tests notice
	tests/mutants

accuracy: build networks ## error rates over a folder of labelled faces (FACEGATE_EVAL)
	tests/bench/accuracy $(TARGET)/facegate

networks: ## the packs that can be had here
	models/fetch --optional door starter door

photos: ## people for the demo and the tests
	models/fetch photos

setup-build:
	@cross/setup build

setup-test:
	@cross/setup test
