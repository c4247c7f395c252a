# A thin front to Meson. `make help` lists the goals.
BUILD ?= build
.PHONY: all deps demo test conformance bench lint fuzz clean help
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)
$(BUILD)/build.ninja:
	@meson setup $(BUILD)
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)
## deps          install the Debian packages that building and testing need (root or sudo)
deps:
	@tools/deps
## test          build, then run the tests
test: all
	@meson test -C $(BUILD) --print-errorlogs
clean:
	@rm -rf $(BUILD)
