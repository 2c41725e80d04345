# Every target installs what it needs (.ci/tools, Debian or Ubuntu) and works from a clean clone.
SHELL := /bin/bash
FUZZTIME ?= 20s

build: ## bin/offbake, static
	CGO_ENABLED=0 go build -trimpath -o bin/offbake ./cmd/offbake

test: ## everything, as CI runs it
	.ci/test

demo: build ## the whole job on this machine, with a small internet on loopback
	examples/demo/run

lint: ## vet, staticcheck, gofmt, shellcheck
	.ci/tools && .ci/lint

bench: ## ratios to a bare loop and to the stock tools, in one run
	.ci/tools && .ci/bench

fuzz: ## every fuzz target for FUZZTIME
	FUZZTIME=$(FUZZTIME) .ci/fuzz

sweep: ## every fault at every request, and the long comparisons with dnf and rpm, whole
	.ci/tools && OFFBAKE_SWEEP=whole go test -count=1 -timeout 60m -run 'Sweep' ./...
	OFFBAKE_SWEEP=whole go test -count=1 -timeout 120m ./bundle/rpm/...

check: lint test ## what a change must pass

clean: ## what the targets above made in this folder
	rm -rf bin .cache

.PHONY: build test demo lint bench fuzz sweep check clean
