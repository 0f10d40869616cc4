# What a developer types. The logic lives in hack/; a target is a name for it.
# go.work spans several modules, so "./..." means nothing at the root: `go test work` and `go vet work` do.

SHELL        := /bin/bash
.SHELLFLAGS  := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS    += --no-print-directory

PORT         ?= 8080
ACCESS_TTL   ?=
APP          ?=
ROUTES       ?=
INGRESS_PORT ?=
PKG          ?=

export PATH := $(CURDIR)/bin:$(PATH)
export INGRESS_PORT ACCESS_TTL

# A program of the hack module, outside the workspace, compiled into bin/ so that signals reach it and not a wrapper.
outside = GOWORK=off go build -C hack/$(1) -o $(CURDIR)/bin/ .

##@ Use

run: ## The whole product as local processes: make run [PORT=8080] [ACCESS_TTL=10s] [APP=http://127.0.0.1:3000] [ROUTES=FILE]
	@$(call outside,standalone)
	@exec bin/standalone --root . --port $(PORT) $(if $(ACCESS_TTL),--access-ttl $(ACCESS_TTL)) $(if $(APP),--app $(APP)) $(if $(ROUTES),--routes $(ROUTES))

up: ## The whole product in a kind cluster: make up [INGRESS_PORT=8080] [ACCESS_TTL=30s] [KIND_NODE_IMAGE=…]
	@hack/up

down: ## Remove what `make up` made
	@hack/down

##@ Develop

test: ## Everything that needs no cluster: make test [PKG=./services/auth/...]
	@$(call outside,test)
	@exec bin/test --root . $(PKG)

test-apps: ## Next.js, Express and a single-page app behind the sidecar; their packages come from the npm registry
	@$(call outside,test)
	@exec bin/test --root . --apps

test-forward-auth: ## Forward auth with a real Traefik in between: make test-forward-auth [TRAEFIK=/path/to/traefik]
	@TRAEFIK=$(TRAEFIK) hack/test-forward-auth

e2e: ## The same scenarios against the cluster of `make up`
	@$(call outside,test)
	@exec hack/e2e

lint: bin/golangci-lint ## Static checks and formatting, all modules
	@hack/lint

test-charts: bin/helm ## Render the charts: every container locked down, wrong values refused
	@$(call outside,test)
	@exec bin/test --root . --charts

format: bin/golangci-lint ## Rewrite the sources as `make lint` wants them
	@hack/lint --fix

fuzz: ## Every fuzz target in turn: make fuzz [FUZZTIME=60s]
	@hack/fuzz

bench: ## What it costs beside what it is compared with; writes docs/benchmarks.md
	@$(call outside,bench)
	@exec bin/bench --root . --doc docs/benchmarks.md

build: ## The four programs, static, into bin/
	@hack/build

##@ Generate

generate: bin/sqlc bin/oapi-codegen ## Regenerate what is generated
	@hack/generate

verify: generate ## Fail when generated code is not what is committed
	@git diff --exit-code --stat

tidy: ## go mod tidy in every module, then go work sync
	@hack/tidy

##@ House

clean: ## Remove bin/
	@rm -rf bin

help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n\033[1m%s\033[0m\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  \033[36m%-10s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run up down test test-apps test-charts test-forward-auth e2e lint format fuzz bench build generate verify tidy clean help

# Tools, at the versions of hack/tools/go.mod, built when missing or when that file changes.
# CGO is off: with it, sqlc compiles the whole PostgreSQL parser in C.
define tool
bin/$(1): hack/tools/go.mod
	@echo "building $(1) (once)" >&2
	@CGO_ENABLED=0 GOWORK=off GOBIN=$(CURDIR)/bin nice go -C hack/tools install $(2)
	@touch $$@
endef
$(eval $(call tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint))
$(eval $(call tool,govulncheck,golang.org/x/vuln/cmd/govulncheck))
$(eval $(call tool,helm,helm.sh/helm/v4/cmd/helm))
$(eval $(call tool,kind,sigs.k8s.io/kind))
$(eval $(call tool,oapi-codegen,github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen))
$(eval $(call tool,sqlc,github.com/sqlc-dev/sqlc/cmd/sqlc))
