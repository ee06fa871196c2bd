# demo and test are where to start; each target makes the venv it needs and reuses it.
# Needs make, a C compiler, Python 3.11 or newer with its headers and venv, and a package index for pip.
#
#   make demo            a blocklist server on loopback, four lookups, a table
#   make test            the test suite; PYTEST_ARGS="-k cache" narrows it; COVERAGE=1 counts the branches meanwhile
#   make chaos CHAOS_S=3600   lookups among liars for so many seconds, against a known truth
#   make lint            ruff, mypy --strict, and src_c by gcc and clang with every warning an error
#   make analyze         src_c by gcc's analyzer and clang-tidy, its tests under valgrind, the fuzzers' inputs replayed
#   make asan            the C code and the engine under the address, undefined and thread sanitizers
#   make fuzz FUZZ_S=60  so many seconds of each fuzzer, all at once; FUZZ_SEED=2 for another course
#   make coverage-c      the lines of src_c that tests run; fewer than 95 % fail
#   make coverage-decide the branches of the Python code that reads and decides, by its own tests; as above
#   make coverage        the suite with the branches of the Python code counted; fewer than 95 % fail
#   make sbom            dist/sbom.json: what an installation holds, in CycloneDX; make audit asks pip-audit about it
#   make soak SOAK_S=600 the daemon under Postfix-like traffic while lists and nameservers fail and recover
#   make load            the daemon under 10,000 requests a second on 500 connections: nothing lost, order kept
#   make mutants         does a test fail for each small fault put into what decides? (an hour; MUTANTS=FILE for one)
#   make mutants-c FILE=transport.c   the same of a file of src_c
#   make bench           every benchmark, about fifteen minutes; writes benchmarks/RESULTS.md
#   make bench-save      the small operations alone, kept in .benchmarks/ to be compared with
#   make bench-compare   the same again: fails if one takes a fifth longer than in the run kept last
#   make clean           everything these targets made, the venv included
#
# PYTHON=python3.12 names another interpreter, VENV=DIR another place for the venv.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
COVERAGE ?=

py := $(VENV)/bin/python
comma := ,
sources := setup.py $(wildcard dnsbl/*/*.pyx dnsbl/*/*.pxd dnsbl/*/*.pxi src_c/*.c src_c/*.h)

.PHONY: demo test chaos lint analyze asan fuzz fuzz-engine fuzz-readers fuzz-c coverage coverage-c coverage-decide \
  sbom audit soak load mutants mutants-c bench bench-save bench-compare clean needs FORCE
.DELETE_ON_ERROR:

demo: $(VENV)/.extension
	$(py) -m dnsbl demo

# $(call counted,ARGUMENTS OF PYTEST,OF THE REPORT): the branches that the tests run; fewer than 95 % fail.
define counted
$(py) -m coverage erase
$(py) -m coverage run -m pytest $(1)
$(py) -m coverage combine --quiet
$(py) -m coverage report $(2) --skip-covered --show-missing --fail-under=95
endef

test: $(VENV)/.test $(VENV)/.extension
ifeq ($(COVERAGE),)
	$(py) -m pytest $(PYTEST_ARGS)
else
	$(call counted,$(PYTEST_ARGS))
endif

CHAOS_S ?= 60

chaos: $(VENV)/.test $(VENV)/.extension
	CHAOS_S=$(CHAOS_S) $(py) -m pytest -s tests/lookup/test_chaos.py $(PYTEST_ARGS)

# Tests compare a set with a frozenset and give lambdas defaults; what they import need not carry types.
mypy_outside = $(VENV)/bin/mypy --explicit-package-bases --no-strict-equality --allow-untyped-calls \
  --no-warn-unused-ignores --disable-error-code=misc --disable-error-code=import-untyped \
  --disable-error-code=import-not-found

lint: $(VENV)/.lint $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	MYPYPATH=tests $(mypy_outside) tests
	MYPYPATH=benchmarks $(mypy_outside) benchmarks
	for cc in gcc clang; do for f in src_c/*.c; do \
	  $$cc -std=c11 -Wall -Wextra -Werror -O2 -c -o /dev/null $$f || exit 1; done; done

asan: $(VENV)/.test $(VENV)/.extension
	.ci/sanitize $(py)

analyze: $(VENV)/.base
	for f in src_c/*.c; do gcc -std=c11 -Wall -Wextra -Werror -O2 -fanalyzer -c -o /dev/null $$f || exit 1; done
	ls src_c/*.c | xargs -P 2 -n 4 sh -c 'clang-tidy --quiet "$$@" -- -std=c11 -Isrc_c' sh
	$(MAKE) -C tests/c valgrind
	$(MAKE) -C tests/fuzz replay PYTHON=$(abspath $(py))

FUZZ_S ?= 60
FUZZ_SEED ?= 1

fuzz: $(VENV)/.test $(VENV)/.extension
	$(MAKE) -j 4 fuzz-c fuzz-engine fuzz-readers

fuzz-c:
	$(MAKE) -j 2 -C tests/fuzz run PYTHON=$(abspath $(py)) FUZZ_S=$(FUZZ_S) FUZZ_SEED=$(FUZZ_SEED)

fuzz-engine:
	HOSTILE_S=$(FUZZ_S) HOSTILE_SEED=$(FUZZ_SEED) $(py) -m pytest -q -o timeout=0 tests/fuzz/test_hostile.py

fuzz-readers:
	PYTHONPATH=. $(py) tests/fuzz/readers.py $(FUZZ_S) $(FUZZ_SEED)

coverage-c: $(VENV)/.test $(VENV)/.extension
	.ci/coverage-c $(py)

# The rooms that read and decide, by their own tests. The tests of the others run programs and depend on their pace,
# which the counting changes: `make coverage` counts all of them, where there is time.
decide := cache config health mail names policy subject zones

coverage-decide: $(VENV)/.test $(VENV)/.extension
	$(call counted,-q $(decide:%=tests/%) tests/test_cases_answers.py tests/test_cases_subjects.py,\
	  --include='$(subst $() ,$(comma),$(decide:%=dnsbl/%/*))')

coverage: coverage-c
	$(MAKE) test COVERAGE=1

sbom: $(VENV)/.base
	$(py) .ci/sbom dist/sbom.json

audit: $(VENV)/.base
	$(call install,pip-audit)
	$(py) -m pip_audit --skip-editable

SOAK_S ?= 600

soak: $(VENV)/.test $(VENV)/.extension
	$(py) tests/load/soak.py $(SOAK_S)

load: $(VENV)/.test $(VENV)/.extension
	$(py) tests/load/flood.py

mutants: $(VENV)/.test $(VENV)/.extension
	$(py) tests/mutants.py $(MUTANTS)

FILE ?= transport.c

mutants-c: $(VENV)/.test $(VENV)/.extension
	$(py) tests/c/mutants.py $(FILE)

bench: $(VENV)/.bench $(VENV)/.extension
	$(py) benchmarks/run.py

micro := $(py) -m pytest -q -p no:cacheprovider benchmarks/micro.py --benchmark-only \
  --benchmark-storage=file://.benchmarks --benchmark-columns=median,min,iqr --benchmark-sort=name

bench-save: $(VENV)/.bench $(VENV)/.extension
	$(micro) --benchmark-save=micro

bench-compare: $(VENV)/.bench $(VENV)/.extension
	$(micro) --benchmark-compare --benchmark-compare-fail=min:20%

clean:
	rm -rf $(VENV) .benchmarks build dist .coverage .coverage.* *.egg-info .pytest_cache .mypy_cache .ruff_cache
	rm -rf .hypothesis tests/c/build tests/fuzz/build
	rm -f dnsbl/*/*.so dnsbl/*/*.c
	find dnsbl tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# The venv, and one stamp for each set of packages in it. A changed pyproject.toml installs again. The build
# backend's warnings are about editable installs as such.
install = @echo "make: installing into $(VENV): $(1)"; \
  PYTHONWARNINGS=ignore $(py) -m pip --disable-pip-version-check install --quiet $(1) || { \
  echo "make: pip could not install that; it asks the package index that '$(py) -m pip config list' shows" >&2; \
  exit 1; }

$(VENV)/.base: pyproject.toml
	@$(MAKE) --no-print-directory needs
	@test -x $(py) || $(PYTHON) -m venv $(VENV)
	$(call install,'pip>=25.1' 'setuptools>=77' 'Cython>=3.1')
	$(call install,--no-build-isolation --editable '.[testing$(comma)metrics]')
	@touch $@

$(VENV)/.test $(VENV)/.lint: $(VENV)/.%: $(VENV)/.base
	$(call install,--group $*)
	@touch $@

# pydnsbl and aiodnsbl ask for older aiodns and pycares, but run on these; with their own choice they could not
# share a venv with pycares 5.
$(VENV)/.bench: $(VENV)/.base
	$(call install,--group bench)
	$(call install,--no-deps pydnsbl==1.1.7 aiodnsbl==1.0.0)
	@touch $@

# Built in place, again when a source changed or the built file is gone.
$(VENV)/.extension: $(VENV)/.base $(sources) $(if $(wildcard dnsbl/engine/_engine.*.so),,FORCE)
	$(py) setup.py --quiet build_ext --inplace
	@touch $@

FORCE:

# All that the machine lacks, at once, each by its Debian package.
needs:
	@lacks=""; packages=""; \
	if ! echo '#include <stdlib.h>' | $(CC) -fsyntax-only -x c - 2>/dev/null; then \
	  lacks="$$lacks, a C compiler"; packages="$$packages build-essential"; fi; \
	if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  lacks="$$lacks, Python 3.11 or newer (PYTHON=$(PYTHON))"; packages="$$packages python3-dev python3-venv"; \
	else \
	  if ! $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then \
	    lacks="$$lacks, Python's venv"; packages="$$packages python3-venv"; fi; \
	  if ! $(PYTHON) -c 'import os, sys, sysconfig; \
	      sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'; then \
	    lacks="$$lacks, Python's headers"; packages="$$packages python3-dev"; fi; \
	fi; \
	if [ -n "$$lacks" ]; then \
	  echo "make: this machine lacks$${lacks#,}. On Debian: apt install$$packages" >&2; exit 1; fi
