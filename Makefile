# make demo   set up, build, run the main job, say where the report is
# make test   set up, then lint and every test, against the release build and the one with run-time checks
# Also: make setup, lint, format, docs, bench, clean. All can be repeated; each does only what is missing.

PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
FC ?= gfortran
ifeq ($(origin FC),default)
FC := gfortran
endif
SOURCES := pyproject.toml meson.build meson.options $(shell find fortran src -type f -not -name '*.pyc')
FORTRAN := $(shell find fortran examples -name '*.f90')
FINDENT := findent -i2 -k- -c2
PIP := python -m pip install --quiet
BUILD := $(PIP) --no-build-isolation --no-deps --upgrade
TWICE := -n 2 --dist loadfile  # two processes, each file in one of them
# compiler warnings in our own sources are errors where we test, not where people install
STRICT := --config-settings=setup-args=-Dstrict=$(if $(filter test,$(MAKECMDGOALS)),true,false)

.PHONY: demo test setup machine lint format docs bench clean

demo: $(VENV)/.installed
	concerto demo --out concerto-demo

# The compiler, headers and venv module that a bare machine lacks: installed with apt as root or through sudo,
# otherwise the line to run is printed.
machine:
	@missing=""; \
	command -v $(FC) >/dev/null 2>&1 || missing="$$missing gfortran"; \
	command -v $(PYTHON) >/dev/null 2>&1 || { echo "python3 (3.11 or newer) is needed"; exit 2; }; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, PYTHON=... names another one"; exit 2; }; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	$(PYTHON) -c 'import sys, sysconfig, os; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || missing="$$missing python3-dev"; \
	command -v gcc >/dev/null 2>&1 || missing="$$missing gcc"; \
	command -v pkg-config >/dev/null 2>&1 || missing="$$missing pkg-config"; \
	[ -z "$$missing" ] && exit 0; \
	if command -v apt-get >/dev/null 2>&1; then \
	  if [ "$$(id -u)" = 0 ]; then SUDO=; elif sudo -n true 2>/dev/null; then SUDO="sudo -n"; else SUDO=no; fi; \
	  if [ "$$SUDO" != no ]; then \
	    echo "installing$$missing"; \
	    $$SUDO apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq --no-install-recommends $$missing >/dev/null && exit 0; \
	  fi; \
	fi; \
	echo "This machine lacks:$$missing. Run one of these, then make again:"; \
	echo "  Debian, Ubuntu:  sudo apt-get install -y$$missing"; \
	echo "  Fedora, RHEL:    sudo dnf install -y gcc-gfortran gcc python3-devel pkgconf-pkg-config"; \
	echo "  macOS:           brew install gcc pkg-config"; \
	echo "  conda:           conda install -c conda-forge fortran-compiler c-compiler pkg-config"; \
	exit 2

$(VENV)/.dependencies: pyproject.toml | machine
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) meson-python meson ninja "numpy>=2.0"
	@python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; print("\n".join(p["dependencies"]))' > $(VENV)/requirements.txt
	@$(PIP) -r $(VENV)/requirements.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.dependencies $(SOURCES)
	@echo "building concerto"
	@$(BUILD) --config-settings=build-dir=build/release $(STRICT) .
	@touch $@

setup: $(VENV)/.installed

$(VENV)/.development: $(VENV)/.dependencies
	@python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; print("\n".join(p["dev"] + p["docs"]))' > $(VENV)/development.txt
	@$(PIP) -r $(VENV)/development.txt
	@touch $@

# The build with all run-time checks stands beside the release and is chosen by PYTHONPATH.
build/checks.installed: $(VENV)/.dependencies $(SOURCES)
	@echo "building with run-time checks"
	@rm -rf build/checks-site
	@$(BUILD) --target build/checks-site --config-settings=build-dir=build/checks --config-settings=setup-args=-Dchecks=true .
	@touch $@

test: $(VENV)/.installed $(VENV)/.development build/checks.installed lint
	python -m pytest $(TWICE)
	PYTHONPATH=build/checks-site python -m pytest $(TWICE) -m "not slow and not release"

lint: $(VENV)/.development
	ruff check .
	ruff format --check .
	@for f in $(FORTRAN); do $(FINDENT) < $$f | cmp -s - $$f || { echo "$$f: run make format"; bad=1; }; done; [ -z "$$bad" ]

format: $(VENV)/.development
	ruff check --fix .
	ruff format .
	@for f in $(FORTRAN); do $(FINDENT) < $$f > $$f.new && { cmp -s $$f.new $$f && rm $$f.new || mv $$f.new $$f; }; done

docs: $(VENV)/.installed $(VENV)/.development
	python -m sphinx -q -W -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(VENV)/.installed
	concerto bench

clean:
	rm -rf build $(VENV) docs/_build concerto-demo
