# pg_presplit: what can be done here. The work is in tests/*.sh; everything is cached as tests/env.sh says.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The server that `make install` installs into.
PG_CONFIG ?= /usr/lib/postgresql/15/bin/pg_config
export PG_CONFIG

TOOLS := . tests/lib/build.sh; take_lock; claim_target

.PHONY: help setup build install test test-15 test-18 test-pure demo bench-forecast mutants freeze fmt lint clean

help: ## this list
	@echo 'pg_presplit: make TARGET'
	@sed -nE 's/^([a-z][a-z0-9 -]*):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  %-16s %s\n", $$1, $$2}'
	@echo 'PG_CONFIG=$(PG_CONFIG) names the server for build, install and lint.'

setup: ## install what is missing: packages, cargo-pgrx, PostgreSQL 18 (Debian 12; root or sudo)
	@bash tests/setup.sh

build: setup ## debug build for the server of PG_CONFIG
	@. tests/env.sh; $(TOOLS); build_extension "$$PG_CONFIG"

install: setup ## release build, installed into the server of PG_CONFIG
	@. tests/env.sh; $(TOOLS); install_extension "$$PG_CONFIG" --release

test: setup ## every test, PostgreSQL 15 and 18
	@bash tests/run.sh all

test-15 test-18: test-%: setup ## every test, one PostgreSQL
	@bash tests/run.sh $*

test-pure: ## formatting, lints and tests that need no server
	@bash tests/run.sh pure

mutants: setup ## take rules of resharding away, one after the other: a test must fail each time (MUTANTS_PG=18 for PostgreSQL 18)
	@bash tests/mutants/run.sh $${MUTANTS_PG:-15}

demo: setup ## a year of flights from a plain database into shards (DEMO_PG=18 for PostgreSQL 18)
	@bash tests/demo/run.sh

bench-forecast: setup ## score the forecaster against others, on generated and on real series
	@. tests/env.sh; $(TOOLS); bash benches/forecast/run.sh

freeze: setup ## keep the install script of this version for the test of updates
	@. tests/env.sh; $(TOOLS); install_extension "$$PG_CONFIG_15"; mkdir -p sql/install; version=$$(sed -nE 's/^version = "(.*)"/\1/p' Cargo.toml | head -n 1); cp "$$("$$PG_CONFIG_15" --sharedir)/extension/pg_presplit--$$version.sql" sql/install/

fmt: ## format the Rust sources
	@cargo fmt

lint: setup ## clippy, pure face and server face of PG_CONFIG
	@. tests/env.sh; $(TOOLS); lint "$$PG_CONFIG"

clean: ## remove the builds (not the tools and downloads)
	@. tests/env.sh; cargo clean; rm -rf results
