PYTHON ?= python3
OLDEST_PYTHON ?= $(shell command -v python3.11 || echo $(PYTHON))
# the longest pages first, so that both workers end together
TESTS = docs/getting_started.rst README.md docs/user_guide tests skvib
# two workers, each with a thread of its own: OpenMP threads that spin on a core in use would slow both
TWO_WORKERS = OMP_NUM_THREADS=1

.PHONY: bench clean demo docs help lint test test-oldest types

help: ## what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1: \2/p' Makefile

demo: .venv/installed ## the first example, as in README
	.venv/bin/python docs/examples/plot_01_first_fit.py

lint: .venv/installed ## style of the code
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types: .venv/installed ## types, strictly in nn
	.venv/bin/python -m mypy

test: lint types ## style, types, tests, and examples of all docstrings and pages
	$(TWO_WORKERS) SCIPY_ARRAY_API=1 .venv/bin/python -m pytest -n 2 --dist worksteal --doctest-modules --doctest-glob=README.md --doctest-glob="*.rst" \
		--cov --cov-report=term --cov-fail-under=97 $(TESTS)

# the whole suite once more, with the lowest of all versions that setup.cfg allows
test-oldest: .venv-oldest/installed ## tests with the lowest versions
	# of torch 2.4 and scikit-learn 1.6 themselves: what they do with what is newer than they are
	$(TWO_WORKERS) .venv-oldest/bin/python -m pytest -n 2 --dist worksteal -W ignore::pytest.PytestRemovedIn10Warning \
		-W 'ignore:You are using `torch.load`:FutureWarning' tests

.venv/installed: setup.cfg constraints.txt
	@echo "Installing torch, scikit-learn and what the tests need into .venv: once, a minute or more"
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet -c constraints.txt -e ".[demo,domains,test]"
	touch $@

.venv-oldest/installed: setup.cfg constraints-oldest.txt
	$(OLDEST_PYTHON) -m venv .venv-oldest
	sed -n '/^install_requires/,/^$$/s/^    \([a-z-]*\)>=/\1==/p' setup.cfg > .venv-oldest/lowest.txt
	.venv-oldest/bin/python -m pip install --quiet -c constraints-oldest.txt -r .venv-oldest/lowest.txt -e ".[test]"
	touch $@

# the short benchmarks, under 15 minutes in all, or one by name: make bench NAME=privacy
NAME = limits fit predict
bench: .venv/benchmarked ## the short benchmarks, or one: NAME=privacy
	.venv/bin/python -m benchmarks $(NAME)

.venv/benchmarked: .venv/installed
	.venv/bin/python -m pip install --quiet -c constraints.txt -e ".[bench]"
	touch $@

# the site, in docs/_build/html/index.html
docs: .venv/documented ## the site, in docs/_build/html
	$(TWO_WORKERS) .venv/bin/python -m sphinx -W --keep-going -b html docs docs/_build/html
	# a page that would fetch something fails the build
	! grep -rlE '<(script|link|img)[^>]+(src|href)="https?:' docs/_build/html --include=*.html

.venv/documented: .venv/installed
	.venv/bin/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	touch $@

clean: ## remove what the others made, environments included
	rm -rf .venv .venv-oldest .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache docs/_build docs/_generated docs/gallery docs/generated
