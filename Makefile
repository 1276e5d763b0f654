# What this project is built, run and tested with; `make` alone lists the targets.

CARGO ?= cargo
PREFIX ?= /usr/local
BINARY := $(or $(CARGO_TARGET_DIR),target)/release/gantry

.PHONY: help
help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*##  *\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: run
run:  ## build Gantry and start it: a registry on 127.0.0.1:5000, data in ./gantry-data
	$(CARGO) run --release -p gantry -- serve

.PHONY: build
build:  ## build the release binary
	$(CARGO) build --release -p gantry

.PHONY: test
test:  ## everything: unit and integration tests, then real clients against the release binary
	$(CARGO) test --workspace
	$(MAKE) --no-print-directory e2e

.PHONY: e2e
e2e: build  ## real clients against the release binary; installs what it needs where it may
	scripts/tools.sh
	GANTRY=$(abspath $(BINARY)) e2e/run

.PHONY: e2e-all
e2e-all: build  ## the same with helm and cosign, which take minutes to install
	scripts/tools.sh --all
	GANTRY=$(abspath $(BINARY)) e2e/run --all

.PHONY: bench
bench: build  ## measure beside Distribution and nginx and write docs/performance.md; takes up to 25 minutes
	bench/tools.sh
	$(CARGO) run --release -p gantry-bench -- --write docs/performance.md $(BENCH)

.PHONY: bench-instructions
bench-instructions:  ## count the instructions of the hot paths with valgrind, into docs/performance.md
	CARGO="$(CARGO)" bench/instructions.sh

.PHONY: lint
lint:  ## formatting and clippy, without warnings
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

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
