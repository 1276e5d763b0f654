# What this project is built, run and tested with; `make` alone lists the targets.

CARGO ?= cargo
PREFIX ?= /usr/local
BINARY := $(or $(CARGO_TARGET_DIR),target)/release/gantry

.PHONY: help
help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*##  *\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 28

.PHONY: run
run:  ## build Gantry and start it: a registry on 127.0.0.1:5000, data in ./gantry-data
	$(CARGO) run --release -p gantry -- serve

.PHONY: build
build:  ## build the release binary
	$(CARGO) build --release -p gantry

.PHONY: test
test:  ## everything: unit and integration tests, then real clients against the release binary
	scripts/tools.sh
	$(CARGO) test --workspace
	$(CARGO) test --manifest-path fuzz/Cargo.toml --target-dir $(or $(CARGO_TARGET_DIR),target)
	$(MAKE) --no-print-directory e2e

.PHONY: e2e
e2e: build  ## real clients against the release binary; installs what it needs where it may
	scripts/tools.sh
	GANTRY=$(abspath $(BINARY)) e2e/run

.PHONY: e2e-all
e2e-all: build  ## the same with helm and cosign, which take minutes to install
	scripts/tools.sh --all
	GANTRY=$(abspath $(BINARY)) e2e/run --all

# A debug build: what is measured is what survives, not how fast; and no binary with failpoints lies where releases lie.
CYCLES ?= 1000
CUTS ?= 500
SEED ?= 1
SWEEPING := --set sweep.interval=50ms --set sweep.grace=1s --set sweep.upload_expiry=1s
TORTURED := $(or $(CARGO_TARGET_DIR),target)/debug

.PHONY: torture
torture:  ## kills and power cuts until something acknowledged is lost: CYCLES=1000 CUTS=500 SEED=1 (long; power cuts need root)
	$(CARGO) build -p gantry --features failpoints
	$(CARGO) build -p gantry-torture
	$(TORTURED)/gantry-torture $(TORTURED)/gantry --self-test
	$(TORTURED)/gantry-torture $(TORTURED)/gantry --mode points --seed $(SEED) $(SWEEPING)
	$(TORTURED)/gantry-torture $(TORTURED)/gantry --mode faults --seed $(SEED)
	$(TORTURED)/gantry-torture $(TORTURED)/gantry --mode kill --cycles $(CYCLES) --seed $(SEED)
	$(TORTURED)/gantry-torture $(TORTURED)/gantry --mode kill --cycles $(CYCLES) --seed $(SEED) $(SWEEPING)
	$(TORTURED)/gantry-torture $(TORTURED)/gantry --mode power --cycles $(CUTS) --seed $(SEED)

SECONDS ?= 60
TARGETS ?= $(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs))
# libFuzzer needs flags of an unstable compiler; the stable one takes them when told so.
FUZZ := RUSTC_BOOTSTRAP=1 $(CARGO) fuzz

.PHONY: fuzz
fuzz:  ## every fuzz target for SECONDS=60 each (or TARGETS="request manifest"), guided by coverage; needs cargo-fuzz
	@$(CARGO) fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is not installed: cargo install cargo-fuzz"; exit 1; }
	for target in $(TARGETS); do \
	  mkdir -p fuzz/found/$$target && \
	  $(FUZZ) run --features libfuzzer --sanitizer none $$target fuzz/found/$$target fuzz/corpus/$$target -- \
	    -max_total_time=$(SECONDS) -rss_limit_mb=512 -malloc_limit_mb=128 -timeout=10 -max_len=16384 || exit 1; \
	done

.PHONY: fuzz-keep
fuzz-keep:  ## keep what the last `make fuzz` found, as few and small files as have the same coverage
	for target in $(TARGETS); do \
	  $(FUZZ) run --features libfuzzer --sanitizer none $$target fuzz/corpus/$$target fuzz/found/$$target -- \
	    -set_cover_merge=1 -use_counters=0 -max_len=400 || exit 1; \
	done

.PHONY: bench
bench: build  ## measure beside Distribution and nginx and write docs/performance.md (25 minutes); BENCH="--only ping" prints a part
	bench/tools.sh
	$(CARGO) run --release -p gantry-bench -- $(or $(BENCH),--write docs/performance.md)

.PHONY: bench-instructions
bench-instructions:  ## count the instructions of the hot paths with valgrind, into docs/performance.md
	CARGO="$(CARGO)" bench/instructions.sh

.PHONY: lint
lint:  ## formatting and clippy, without warnings
	$(CARGO) fmt --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy -p gantry -- -D warnings  # as it is released, without what tests switch on
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --manifest-path fuzz/Cargo.toml --target-dir $(or $(CARGO_TARGET_DIR),target) --all-targets -- -D warnings

.PHONY: audit
audit:  ## licences, bans and sources of dependencies (needs cargo-deny)
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check licenses bans sources; \
	else echo "skipped: audit: cargo-deny is not installed"; fi

.PHONY: install
install: build  ## put the program into $(PREFIX)/bin
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/gantry

.PHONY: clean
clean:  ## remove what was built and what scripts/tools.sh put into .tools
	$(CARGO) clean
	rm -rf .tools
