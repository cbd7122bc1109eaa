# The commands that people type. `make` alone lists them.

# Which Pythons to build for: `default`, `all`, or minors like `PYTHONS="3.11 3.13"`.
PYTHONS ?= default
PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
# Tests wait more than they compute.
RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))
export RUST_TEST_THREADS
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# --default, --all, or the minors themselves.
find_python = scripts/find-python $(if $(filter default all,$(PYTHONS)),--$(PYTHONS),$(PYTHONS))
newest = $(find_python) | tail -n 1
target = $(CURDIR)/target

.DEFAULT_GOAL := help
.PHONY: help build launcher serve install uninstall check test python-matrix bench bench-compare profile docs clean

help: ## List these commands
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1|/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r name text; do printf 'make %-14s %s\n' "$$name" "$$text"; done
	@echo
	@echo 'PYTHONS=all or PYTHONS="3.11 3.13" chooses the Pythons of build, serve, install and test.'

build: ## Build build/uwring and a build/uwring-3.N for each Python of PYTHONS
	@mkdir -p build
	@pythons=$$($(find_python) | cut -d' ' -f1); \
	$(MAKE) --no-print-directory --jobs="$$(nproc)" launcher $${pythons//3./python-3.}
	@ls build

# The last step of each build has one thread.
python-3.%:
	@python=$$(scripts/find-python 3.$* | cut -d' ' -f2-); \
	echo "uwring-3.$* for $$python"; \
	PYO3_PYTHON="$$python" CARGO_TARGET_DIR="$(target)/py3.$*" $(CARGO) build --release
	@install -D -m 755 "$(target)/py3.$*/release/uwring" "build/uwring-3.$*"

launcher:
	@CARGO_TARGET_DIR="$(target)/launcher" $(CARGO) build --release --no-default-features
	@install -D -m 755 "$(target)/launcher/release/uwring" build/uwring
	@ln -sf uwring build/uwsgi

serve: build ## Build, then serve examples/flask_app.py on http://127.0.0.1:9090/
	@read -r minor python < <($(newest)); \
	venv=".venv/$$minor"; \
	if ! "$$venv/bin/python3" -c 'import flask' 2>/dev/null; then \
		"$$python" -m venv "$$venv"; \
		"$$venv/bin/python3" -m pip install --quiet flask; \
	fi; \
	echo 'http://127.0.0.1:9090/ (Ctrl-C stops it)'; \
	exec build/uwring --http :9090 --chdir examples --module flask_app:app \
		--home "$$PWD/$$venv" --master --processes 2

install: ## Install what `make build` built below PREFIX (/usr/local)
	@if [ ! -x build/uwring ]; then \
		echo 'nothing is built yet: run `make build` first' >&2; exit 1; \
	fi
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/lib/uwring"
	install -m 755 build/uwring "$(DESTDIR)$(PREFIX)/bin/uwring"
	install -m 755 build/uwring-3.* "$(DESTDIR)$(PREFIX)/lib/uwring/"
	install -D -m 644 docs/uwring.1 "$(DESTDIR)$(PREFIX)/share/man/man1/uwring.1"
	install -D -m 644 docs/completions/uwring.bash \
		"$(DESTDIR)$(PREFIX)/share/bash-completion/completions/uwring"
	install -D -m 644 docs/completions/_uwring "$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_uwring"
	install -D -m 644 docs/completions/uwring.fish \
		"$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/uwring.fish"

uninstall: ## Remove what `make install` installed
	rm -f "$(DESTDIR)$(PREFIX)/bin/uwring"
	rm -rf "$(DESTDIR)$(PREFIX)/lib/uwring"
	rm -f "$(DESTDIR)$(PREFIX)/share/man/man1/uwring.1" \
		"$(DESTDIR)$(PREFIX)/share/bash-completion/completions/uwring" \
		"$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_uwring" \
		"$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/uwring.fish"

check: ## Formatting, lints of both builds, licences
	$(CARGO) fmt --check
	@python=$$($(newest) | cut -d' ' -f2-); \
	echo "$(CARGO) clippy for $$python"; \
	PYO3_PYTHON="$$python" CARGO_TARGET_DIR="$(target)/check" \
		$(CARGO) clippy --all-targets --features faults -- -D warnings
	CARGO_TARGET_DIR="$(target)/launcher" \
		$(CARGO) clippy --all-targets --no-default-features -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny --all-features check bans licenses sources; \
	else \
		echo 'cargo-deny is not installed: licences are not checked'; \
	fi

test: check build ## All checks and tests, with each Python of PYTHONS
	@scripts/test-tools
	CARGO_TARGET_DIR="$(target)/launcher" $(CARGO) test --no-default-features --lib
	@pythons=$$($(find_python)); \
	while read -r minor python; do \
		echo "$(CARGO) test for $$python"; \
		PYO3_PYTHON="$$python" CARGO_TARGET_DIR="$(target)/py$$minor" \
			$(CARGO) test --features faults --lib --test main --test allocations; \
	done <<< "$$pythons"
	@read -r minor python < <($(newest)); \
	echo "$(CARGO) test of what must not compile, which no Python changes"; \
	PYO3_PYTHON="$$python" CARGO_TARGET_DIR="$(target)/py$$minor" \
		$(CARGO) test --features faults --test compile
	python3 tests/nginx/check.py build/uwring
	tests/venv/matrix.sh build/uwring .cache/matrix

python-matrix: ## The tests with all supported Pythons; takes root rights (PYTHONS="3.10 3.15")
	@scripts/python-matrix $(filter-out default all,$(PYTHONS))

bench: build ## Compare uwring with its peers (BENCH=--quick for a first look)
	@read -r minor python < <($(newest)); \
	"$$python" benches/head_to_head/run.py --python "$$minor" $(BENCH)

bench-compare: ## Compare the criterion benches with the baseline (BENCH=--instructions: callgrind)
	@read -r minor python < <($(newest)); \
	export PYO3_PYTHON="$$python" CARGO_TARGET_DIR="$(target)/py$$minor"; \
	"$$python" benches/compare.py $(BENCH)

profile: ## Draw where CPU time goes (CASE=tiny-64-h13, APP=app.py, PROFILE=--python, --help)
	@read -r minor python < <($(newest)); \
	"$$python" benches/profile.py $(if $(CASE),--case "$(CASE)") $(if $(APP),--app "$(APP)") $(PROFILE)

docs: ## Write the generated pages anew
	@mkdir -p docs/completions
	@for page in options.md compatibility.md uwring.1 \
			completions/uwring.bash completions/_uwring completions/uwring.fish; do \
		CARGO_TARGET_DIR="$(target)/launcher" $(CARGO) run --quiet --no-default-features -- \
			--dump-page "$$page" > "docs/$$page.new" && mv "docs/$$page.new" "docs/$$page"; \
	done

clean: ## Remove all that was built
	rm -rf build target .venv .cache
