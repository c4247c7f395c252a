# A thin front to Meson. `make help` lists the goals.
BUILD ?= build
PYTHON = /usr/bin/python3
.PHONY: all deps demo test conformance vectors bench bench-server lint fuzz clean help
## all           build everything; the programs are in build/bin (the default)
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)
$(BUILD)/build.ninja:
	@meson setup $(BUILD)
## deps          install the Debian packages that building and testing need (root or sudo)
deps:
	@tools/deps
## demo          seal a Debian image with Python, run it in an enclave, compare, tamper, refuse; then a web site under a control plane
demo: all
	@BUILD=$(BUILD) $(PYTHON) tools/demo/demo.py
	@BUILD=$(BUILD) $(PYTHON) tools/demo/control.py
## test          build, then run the tests and the checks of `lint`; about 12 minutes on two cores
test: all
	@$(PYTHON) tools/run_tests.py --build $(BUILD)
## conformance   all of tests/conformance: CPython's own suite and stress-ng, native and in the enclave
conformance: all
	@$(PYTHON) tests/conformance/run.py --build $(BUILD) --all; status=$$?; \
	$(PYTHON) tests/conformance/stressng.py --build $(BUILD) --all && exit $$status
## vectors       a set of attestation vectors against the verifier; DIR=FOLDER: another set in this format
vectors: all
	@$(PYTHON) tests/vectors/run.py --build $(BUILD) $(or $(DIR),tests/vectors/public)
## bench         the benchmarks: native and in the enclave side by side, then the control plane with 20,000 instances
bench: all
	@$(PYTHON) bench/run.py --build $(BUILD)
	@CLOCHE_BUILD=$(BUILD) $(PYTHON) bench/exchange.py --listeners 5000 --fleet 20000
## bench-server  the control plane alone, with 100,000 instances; about 10 minutes
bench-server: all
	@CLOCHE_BUILD=$(BUILD) $(PYTHON) bench/exchange.py --listeners 5000 --fleet 100000
## lint          layers, headers, format, banned functions, enclave binary
lint: all
	@$(PYTHON) tools/run_tests.py --build $(BUILD) --suite lint
## fuzz          each fuzzer for FUZZ_SECONDS (60) under ASan and UBSan
fuzz:
	@$(PYTHON) tests/fuzz/run.py --seconds $(or $(FUZZ_SECONDS),60)
## clean         remove the build directory
clean:
	@rm -rf $(BUILD)
## help          this list
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)
