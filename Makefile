# Two commands: `make book` reads, `make test` checks. Both need Python >= 3.10, make and pip, nothing else.

PYTHON ?= python3
VENV ?= .venv
# Where torch comes from: the CPU build, which is small. For a GPU: make book TORCH_INDEX=.../whl/cu130
# in a fresh environment. Where this index cannot be reached, pip goes on with the indexes it has.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# A file's tests go to one worker, which builds their models and books once.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder

BIN := $(VENV)/bin
TORCH = $(shell grep -oE '^torch==[0-9.]+' requirements.lock)
PIP := $(BIN)/python -m pip --disable-pip-version-check
HTML := _build/html/index.html
PAGES = _config.yml _toc.yml $(wildcard book/*.md book/references.bib book/_ext/*.py book/_static/* book/_static/explorer/* book/editions/*.md book/editions/*/*.ipynb)

.PHONY: book html pdf epub pictures slides student test check-pages audit lab bench bench-gpu edition lock clean distclean help
.DEFAULT_GOAL := help

book: $(VENV)/.user  ## environment, editions that are out of date, HTML at _build/html/index.html
	$(BIN)/python -m cclib editions build
	@$(MAKE) --no-print-directory html
	$(BIN)/python -m cclib teach slides
	@echo "The book: $(HTML)"

html: _build/.whole  ## compile the pages only, warnings as errors

# The stamp is written after a build without a warning. Sphinx warns about a page only when it reads it,
# so a failed build forgets what it read. A new table of contents stands on every page: all are written anew,
# as they are when a static file changed, since Sphinx copies those only beside a page that it writes. Pages of
# chapters that are gone go with them.
_build/.whole: $(PAGES)
	@rm -f $@ _build/html/book.pdf _build/html/book.epub $(if $(filter _toc.yml _config.yml book/_ext/% book/_static/%,$?),&& rm -rf _build/.doctrees _build/html/book)
	$(BIN)/jupyter-book build . --path-output . -W -n --keep-going --quiet || { rm -rf _build/.doctrees; exit 1; }
	@touch $@

pdf: $(VENV)/.dev html  ## the book as one PDF, _build/html/book.pdf, printed by an installed Chromium or Chrome
	$(BIN)/python -m cclib pdf

epub: html  ## the book as an EPUB, _build/html/book.epub
	$(BIN)/jupyter-book build . --path-output . --builder custom --custom-builder epub -W -n --keep-going --quiet

pictures: $(VENV)/.dev html  ## README's pictures, book/pictures, of the built book
	$(BIN)/python -m cclib pictures

slides: html  ## a deck for each session of the course, in _build/html/slides
	$(BIN)/python -m cclib teach slides

student: $(VENV)/.user  ## all notebooks without solutions, in _build/student
	$(BIN)/python -m cclib teach student

test: $(VENV)/.dev  ## linter, formatter, pytest; PYTEST_ARGS="-n 2 -m 'not slow'" for less
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check-pages: $(VENV)/.dev  ## the built book in an installed Chromium or Chrome: every page, and the explorer
	@test -f $(HTML) || { echo "there is no book at $(HTML): make book"; exit 1; }
	BOOK=_build/html $(BIN)/python -m pytest tests/test_browser.py tests/test_explorer.py

audit: $(VENV)/.dev  ## known vulnerabilities of the locked versions, by pip-audit
	$(BIN)/python .ci/audit requirements.lock

lab: $(VENV)/.user  ## JupyterLab on the source notebooks
	$(BIN)/jupyter lab notebooks

bench: $(VENV)/.dev  ## every script in speed/, each prints its table [MODEL=file.gguf DATA_DIR=mmlu]
	@ls speed/*.py >/dev/null 2>&1 || { echo "there is no script in speed/"; exit 1; }
	@for script in speed/*.py; do \
		echo "== $$script"; set --; \
		case $$script in */early_exit.py|*/gains.py|*/throughput.py) \
			set -- $${MODEL:+--model "$$MODEL"} $${DATA_DIR:+--data-dir "$$DATA_DIR"};; \
		esac; \
		$(BIN)/python $$script "$$@" || exit 1; \
	done

bench-gpu: $(VENV)/.dev  ## true shapes with random weights on this machine's GPU; writes speed/results and what plans go by
	$(BIN)/python speed/gpu.py

# What these hold reaches the command through its environment: neither make nor the shell reads it as text
# of its own, whatever characters a model's name has.
GIVEN := NAME MODEL MODELS BENCHMARK DATA_DIR LIMIT
$(foreach v,$(GIVEN),$(eval override $(v) := $$(value $(v))))
export $(GIVEN)

edition: $(VENV)/.user  ## add one to the book: NAME=... MODELS="small large" BENCHMARK=... [DATA_DIR=...] [LIMIT=...] [DEVICE=auto]
	@test -n "$$NAME" -a -n "$$MODELS" || { echo 'usage: make edition NAME=mine MODELS="small large" BENCHMARK=mmlu'; exit 2; }
	$(BIN)/python -m cclib editions add --models="$$MODELS" $${BENCHMARK:+--benchmark="$$BENCHMARK"} \
		$${DATA_DIR:+--data-dir="$$DATA_DIR"} $${LIMIT:+--limit="$$LIMIT"} $${DEVICE:+--device="$$DEVICE"} -- "$$NAME"
	@$(MAKE) --no-print-directory book

clean:  ## remove built pages and executed notebooks; recorded traces stay
	rm -rf _build book/_static/explorer
	rm -f book/editions/*/*.ipynb

distclean: clean  ## remove the environment too
	rm -rf $(VENV) *.egg-info

# ---- environment -------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and f"Python >= 3.10 is needed, found {sys.version}; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# torch first: a plain requirement would bring several gigabytes of CUDA along
$(VENV)/.user: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --retries 1 $(TORCH) -c requirements.lock $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	$(PIP) install --quiet -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.user
	$(PIP) install --quiet -r requirements-dev.lock
	@touch $@

# One resolution for the Pythons and systems of [tool.uv] in pyproject.toml; what is locked stays where it
# can, so remove a line (or the file) to move on. CUDA's packages are left out: torch pins its own.
COMPILE := _build/lock/bin/uv pip compile pyproject.toml --quiet --universal --no-python-downloads \
	--python-version 3.10 --no-header --no-annotate --extra book --extra api
ALL_SYSTEMS := implementation_name == 'cpython' and \(\(.*'arm64'.*'aarch64'.*'x86_64'.*'AMD64'.*\)\)
TIDY := sed -E "s/ (;|and) $(ALL_SYSTEMS)$$//; s/implementation_name == 'cpython' and //" | grep -vE '^(nvidia|cuda|triton)'

lock:  ## resolve anew: requirements.lock, and requirements-dev.lock for what only tests need
	@$(PYTHON) -m venv _build/lock && _build/lock/bin/pip install --quiet --disable-pip-version-check uv
	@touch requirements.lock requirements-dev.lock
	cp requirements.lock _build/lock/user.txt
	$(COMPILE) -o _build/lock/user.txt
	{ echo "# make lock"; cat _build/lock/user.txt | $(TIDY); } > requirements.lock
	cat _build/lock/user.txt requirements-dev.lock | grep -v '^-r' > _build/lock/all.txt
	$(COMPILE) --extra dev -o _build/lock/all.txt
	{ echo "# make lock"; echo "-r requirements.lock"; \
		grep -vxF -f _build/lock/user.txt _build/lock/all.txt | $(TIDY); } > requirements-dev.lock

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS="$$(printf '\t')" read -r target what; do printf '%-12s %s\n' "$$target" "$$what"; done
