# make demo    set up, train on the bundled corpus, print a table of two encoders and the path of a report
# make test    set up, run the tests
# make check   format, lint, spelling, types
# make deep-wccn DATA="--data ravdess=DIR --data nemo=DIR"    arXiv:2311.13678 in three languages: search, Figures 4 to 6
# make bench   measure affekt against others on this machine

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo deep-wccn test check format bench clean

demo: $(READY)
	$(BIN)/affekt reproduce demo/encoders -s 'seeds=[0]' --overwrite

SEARCHED := runs/deep-wccn/search
deep-wccn: $(READY)
	set -e; found=; for pair in emodb,ravdess emodb,nemo ravdess,nemo; do \
	  $(BIN)/affekt search deep-wccn/de-en-pl/small --space deep-wccn-without-beta --trials 4 $(DATA) \
	    -s "train_on=[\"$${pair%,*}\",\"$${pair#*,}\"]" --out $(SEARCHED)/$$pair; \
	  found="$$found --found $(SEARCHED)/$$pair"; \
	done; \
	for figure in figure-4 figure-6; do \
	  $(BIN)/affekt reproduce deep-wccn/$$figure $$found $(DATA) --out runs/deep-wccn/$$figure; \
	done; \
	$(BIN)/affekt reproduce deep-wccn/figure-5 --found $(SEARCHED)/emodb,nemo $(DATA) --out runs/deep-wccn/figure-5

test: $(READY)
	$(BIN)/python -m pytest --numprocesses=auto

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/pyright

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/cache_stores.py
	$(BIN)/python benchmarks/encoding.py
	$(BIN)/python benchmarks/bundled_encoder.py
	$(BIN)/python benchmarks/cached_training.py
	$(BIN)/python benchmarks/against_nkululeko.py

# opensmile's licence forbids commercial use; affekt itself does not need it.
$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable ".[opensmile,audformat,dev]"
	touch $(READY)

clean:
	rm -rf .venv runs
