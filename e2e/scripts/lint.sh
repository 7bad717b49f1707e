#!/usr/bin/env bash
# lint.sh: the architecture test, then golangci-lint with .golangci.yml.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"
go vet ./...
go test -run '^TestArchitecture' ./e2e
have golangci-lint || die "golangci-lint is missing; install it: go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@latest"
golangci-lint run ./...
