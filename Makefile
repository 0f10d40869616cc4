# Commands for developers. The logic is in hack/.
# The root is not a module: use `go test work` and `go vet work` instead of "./...".

SHELL        := /bin/bash
.SHELLFLAGS  := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS    += --no-print-directory

PORT         ?= 8080
ACCESS_TTL   ?=
APP          ?=
ROUTES       ?=
LOGIN        ?=
REGISTER     ?=
PROVIDERS    ?=
INGRESS_PORT ?=
PKG          ?=

export PATH := $(CURDIR)/bin:$(PATH)
export INGRESS_PORT ACCESS_TTL

# Compiles a program of the module hack into bin/. Unlike `go run`, it then receives signals itself.
outside = GOWORK=off go build -C hack/$(1) -o $(CURDIR)/bin/ .

##@ Use

run: ## Run everything as local processes: make run [PORT=8080] [ACCESS_TTL=10s] [APP=http://127.0.0.1:3000] [ROUTES=FILE] [PROVIDERS=FILE] [LOGIN=/login]
	@$(call outside,standalone)
	@exec bin/standalone --root . --port $(PORT) $(if $(ACCESS_TTL),--access-ttl $(ACCESS_TTL)) $(if $(APP),--app $(APP)) $(if $(ROUTES),--routes $(ROUTES)) $(if $(LOGIN),--login $(LOGIN)) $(if $(REGISTER),--register $(REGISTER)) $(if $(PROVIDERS),--providers $(PROVIDERS))

up: ## Run everything in a kind cluster: make up [INGRESS_PORT=8080] [ACCESS_TTL=30s] [KIND_NODE_IMAGE=…]
	@hack/up

down: ## Remove the cluster and the images of `make up`
	@hack/down

##@ Develop

test: ## Vet and test everything that needs no cluster: make test [PKG=./services/auth/...]
	@$(call outside,test)
	@exec bin/test --root . $(PKG)

test-apps: ## Test Next.js, Express, a single-page app, Node-RED and json-server behind the sidecar; needs the npm registry
	@$(call outside,test)
	@exec bin/test --root . --apps

test-forward-auth: ## Test forward auth with Traefik: make test-forward-auth [TRAEFIK=/path/to/traefik]
	@TRAEFIK=$(TRAEFIK) hack/test-forward-auth

e2e: ## Run the end-to-end scenarios against the cluster of `make up`
	@$(call outside,test)
	@exec hack/e2e

lint: bin/golangci-lint ## Lint all modules and check their formatting
	@hack/lint

test-charts: bin/helm ## Render the charts and check the result
	@$(call outside,test)
	@exec bin/test --root . --charts

format: bin/golangci-lint ## Apply the fixes and the formatting of `make lint`
	@hack/lint --fix

fuzz: ## Run every fuzz target in turn: make fuzz [FUZZTIME=60s]
	@hack/fuzz

bench: ## Measure performance; writes docs/benchmarks.md
	@$(call outside,bench)
	@exec bin/bench --root . --doc docs/benchmarks.md

build: ## Compile the four programs, statically linked, into bin/
	@hack/build

##@ Generate

generate: bin/sqlc bin/oapi-codegen ## Regenerate code
	@hack/generate

verify: generate ## Fail if the committed generated code is out of date
	@git diff --exit-code --stat

tidy: ## Run go work sync, then go mod tidy in every module
	@hack/tidy

##@ Other

clean: ## Remove bin/
	@rm -rf bin

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n\033[1m%s\033[0m\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  \033[36m%-17s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run up down test test-apps test-charts test-forward-auth e2e lint format fuzz bench build generate verify tidy clean help

# Tools at the versions of hack/tools/go.mod, built when they are missing or when that file changes.
# With CGO, sqlc would compile the PostgreSQL parser in C, which is slow.
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
