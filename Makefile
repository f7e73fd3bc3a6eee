# Everything a newcomer runs. Each target sees to its own set-up; the second time that is a handful of cheap checks.
#
#   make dev     build, and start a three-zone cluster here; ARGS="--port 9000" is passed on
#   make build   build bin/trireme
#   make test    the whole test suite, as CI runs it; WORKERS=4 is how many files of the end-to-end tests run at once
#   make verify  every check that changes nothing: format, lints, structure, generated code
#   make chaos   faults against a cluster in network namespaces; SCENARIO=zone-cut,5 SEED=7 choose (as root)
#   make chaos-kill  everything killed under load for MINUTES=10, and Docker Swarm beside it (as root)
#   make sim     seeds of the simulation: SEEDS=1000, SEED=the first one; SEEDS=1 TRACE=file writes down all of one run
#   make sim-planted  the bugs that are planted on purpose, and how many seeds it took to find each
#   make bench   figures: commits a second, placements a second, passes of the controllers, what tasks use, reads of the API
#   make bench-core   the core beside etcd: writes, reads, and the gap when a leader is killed; ARGS="--rounds 1" is passed on
#   make bench-launch  the start of tasks beside Docker's own and Swarm's; ARGS="--rounds 1 --tasks 20" is passed on (as root)
#   make bench-fleet  5,000 simulated agents and 100,000 tasks: the time to RUNNING, and the memory; ARGS="--agents 300" is passed on
#   make fix     repair what can be repaired: format, lints, generated code
#   make clean   remove what was built, except the RocksDB library

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.NOTPARALLEL:
.PHONY: dev build test chaos chaos-kill verify sim sim-planted bench bench-core bench-fleet bench-launch fix clean setup-build setup-run setup-test

SETUP := deploy/setup
CACHE := $(or $(TRIREME_CACHE),$(HOME)/.cache/trireme)
PYTHON_DIR := $(shell $(SETUP)/python.sh --dir)

# Build output outlives a checkout, and RocksDB comes from the library that set-up built.
export CARGO_TARGET_DIR ?= $(CACHE)/target
export ROCKSDB_LIB_DIR ?= $(shell $(SETUP)/rocksdb.sh --dir)
export ROCKSDB_STATIC ?= 1

# For the tests: the binary under test, and where the AWS clients for Python and for JavaScript are.
export TRIREME_BIN := $(CURDIR)/bin/trireme
export TRIREME_PYTHON := $(PYTHON_DIR)/bin/python
export TRIREME_ANSIBLE := $(PYTHON_DIR)/ansible
export TRIREME_NODE := $(shell $(SETUP)/node.sh --dir)
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin:$(CACHE)/bin

PYTHON_TESTS := $(wildcard chaos-tests/e2e/test_*.py)
# So many files of them at once. They mostly wait: that is more than there are processors.
WORKERS ?= 4
# The end-to-end tests that passed, a line each.
PASSED = $(CARGO_TARGET_DIR)/e2e-passed

setup-build:
	@$(SETUP)/packages.sh build
	@$(SETUP)/rocksdb.sh
	@$(SETUP)/checkout.sh

setup-run:
	@$(SETUP)/packages.sh run test
	@$(SETUP)/docker.sh
	@$(SETUP)/image.sh
	@$(SETUP)/python.sh

setup-test:
	@$(SETUP)/tools.sh
	@$(SETUP)/node.sh

# A hard link where the file systems allow it: a later build makes a new file and leaves a running cluster its own.
define link-binary
@mkdir -p bin
@built="$$CARGO_TARGET_DIR/debug/trireme"; \
	[[ "$$built" -ef bin/trireme ]] || ln -f "$$built" bin/trireme 2>/dev/null || cp -f "$$built" bin/trireme
endef

build: setup-build
	@cargo build --locked --package trireme
	$(link-binary)

# `.trireme/env` puts bin on PATH; who has no aws CLI finds one there.
dev: setup-run build
	@[[ -e bin/aws ]] || command -v aws >/dev/null || ln -sfn $(PYTHON_DIR)/bin/aws bin/aws
	@exec bin/trireme dev $(ARGS)

# The binary is built with everything else, with the same features of every dependency, so that none is built twice.
test: setup-run setup-test verify
	cargo build --workspace --bins --tests --locked
	$(link-binary)
	cargo nextest run --workspace --locked
	@rm -f $(PASSED)
	TRIREME_PASSED=$(PASSED) $(TRIREME_PYTHON) -m pytest -p no:cacheprovider --durations 10 \
		-n $(WORKERS) --max-worker-restart 0 --dist loadfile --no-loadscope-reorder $(PYTHON_TESTS)
	cargo xtask coverage $(PASSED)

# What is asked of the chaos tests; the seed is the time when none is given.
SCENARIO ?= all
MINUTES ?= 10
SEED_FLAG := $(if $(SEED),--seed $(SEED))

# Beside the binary its next version, to upgrade to. Cargo keeps both builds; the second time this is a link.
define link-next
@cargo build --locked --package trireme --features next-level
@mkdir -p bin
@cp -f "$$CARGO_TARGET_DIR/debug/trireme" bin/trireme-next
endef

export TRIREME_NEXT_BIN := $(CURDIR)/bin/trireme-next

chaos: setup-run
	$(link-next)
	@$(MAKE) --no-print-directory build
	@cargo run --locked --package chaos-tests --bin chaos -- --scenario $(SCENARIO) $(SEED_FLAG)

chaos-kill: setup-run build
	@cargo run --locked --package chaos-tests --bin chaos-kill -- --minutes $(MINUTES) $(SEED_FLAG)

verify: setup-build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo xtask tidy
	cargo xtask codegen --check

# Each seed is a process; as many at once as there are processors.
sim: setup-build
	@cargo build --locked --package trireme-sim
ifneq ($(TRACE),)
	"$$CARGO_TARGET_DIR/debug/sim" one $(SEED) --trace $(TRACE)
else
	"$$CARGO_TARGET_DIR/debug/sim" many --seeds $(or $(SEEDS),100) $(if $(SEED),--first $(SEED))
endif

sim-planted: setup-build
	@cargo build --locked --package trireme-sim --features planted
	"$$CARGO_TARGET_DIR/debug/sim" planted --limit $(or $(SEEDS),1000) $(if $(SEED),--first $(SEED)) $(BUGS)

bench: setup-build
	cargo bench --locked --package trireme-raft --bench rate
	cargo bench --locked --package trireme-scheduler --package trireme-controllers --package trireme-dispatcher --package trireme-delivery --benches
	cargo bench --locked --package trireme-ecs-api --bench front

bench-core: setup-build
	@$(SETUP)/packages.sh bench
	cargo build --release --locked --package trireme --package trireme-bench
	"$$CARGO_TARGET_DIR/release/bench-core" --trireme "$$CARGO_TARGET_DIR/release/trireme" $(ARGS)

bench-fleet: setup-build
	cargo build --release --locked --package trireme --package trireme-bench
	"$$CARGO_TARGET_DIR/release/bench-fleet" --trireme "$$CARGO_TARGET_DIR/release/trireme" $(ARGS)

bench-launch: setup-run setup-build
	cargo build --release --locked --package trireme --package trireme-bench
	"$$CARGO_TARGET_DIR/release/bench-launch" --trireme "$$CARGO_TARGET_DIR/release/trireme" $(ARGS)

fix: setup-build
	cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets --locked
	cargo xtask codegen
	cargo fmt --all

clean:
	cargo clean
	rm -rf bin
