# Shell programs live in e2e/scripts; `make help` lists what there is.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short=7 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
PREFIX  ?= /usr/local
SCRIPTS := e2e/scripts

.DEFAULT_GOAL := build
.PHONY: help build install uninstall cross test test-short race lint fuzz e2e test-vm test-docker-machine test-swarm docs check bench demo demo-clean release

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

# The tag leaves out of urfave/cli what writes manual pages, which nothing here uses: 250 kB.
build: ## bin/machine for this computer
	CGO_ENABLED=0 go build -tags urfave_cli_no_docs,grpcnotrace -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/machine

BINDIR = $(DESTDIR)$(PREFIX)/bin
install: build ## machine, and docker-machine as a link to it, into DESTDIR and PREFIX (/usr/local); DOCKER_MACHINE=no: no link
	install -d '$(BINDIR)'
	install -m 0755 bin/machine '$(BINDIR)/machine'
ifneq ($(DOCKER_MACHINE),no)
	@if [ -f '$(BINDIR)/docker-machine' ] && [ ! -L '$(BINDIR)/docker-machine' ]; then \
		echo 'the docker-machine that is there becomes docker-machine.old'; \
		mv '$(BINDIR)/docker-machine' '$(BINDIR)/docker-machine.old'; fi
	ln -sf machine '$(BINDIR)/docker-machine'
endif

uninstall: ## take away what install put there
	rm -f '$(BINDIR)/machine'
	@if [ "$$(readlink '$(BINDIR)/docker-machine')" = machine ]; then rm -f '$(BINDIR)/docker-machine'; fi

cross: ## check that it builds for every platform we release for
	@$(SCRIPTS)/cross.sh

test: ## every test, installing what they need: what CI runs
	@$(SCRIPTS)/test.sh

test-short: ## what needs neither Docker nor root
	@$(SCRIPTS)/test.sh short

race: ## unit tests with the race detector
	go test -race -shuffle=on ./...

lint: ## golangci-lint, and the architecture test that needs no tool
	@$(SCRIPTS)/lint.sh

fuzz: ## each fuzz target for FUZZTIME (default 30s)
	@$(SCRIPTS)/fuzz.sh '$(FUZZTIME)'

e2e: ## the black-box suites on real Docker Engines; RUN selects by name
	@$(SCRIPTS)/e2e.sh '$(RUN)'

test-vm: ## the suite on virtual machines of QEMU, part of test too; minutes without KVM
	@$(SCRIPTS)/vm.sh '$(RUN)'

test-docker-machine: ## docker-machine's own tests against this program, part of test too
	@$(SCRIPTS)/docker-machine.sh

test-swarm: ## long suites of large swarms, beyond what test runs; RUN selects by name
	@$(SCRIPTS)/swarm.sh '$(RUN)'

docs: ## regenerate the command reference
	go run ./cmd/machine docs docs/reference
	go test ./cmd/machine -run DriverPages -update
	go test ./cmd/internal/lifecycle -run Troubleshooting -update

check: test ## the same as test

bench: ## measure speed into docs/benchmarks.md
	@$(SCRIPTS)/bench.sh docs/benchmarks.md

demo: ## a three-node swarm on this computer
	@$(SCRIPTS)/demo.sh

demo-clean: ## remove what demo made
	@$(SCRIPTS)/demo-clean.sh

release: ## archives, checksums and SBOMs in dist/, nothing published
	goreleaser release --clean --snapshot
