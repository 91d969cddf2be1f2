# Every target works on a clean clone; scripts install what they need.

GO          ?= go
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 10s
RACE        := $(shell scripts/race.sh)

.PHONY: help check test fmt vet tidy interop fuzz bench docs

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

check: fmt vet tidy test fuzz ## everything that CI runs

test: ## all tests, with the race detector, on SQLite and PostgreSQL
	scripts/need-strace.sh
	scripts/with-postgres.sh $(GO) test $(RACE) -timeout 20m ./...
	cd interop && $(GO) test -count=1 -timeout 5m ./...

fmt: ## fail when a file is not gofmt-ed
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "not gofmt-ed:"; echo "$$out"; exit 1; fi

vet: ## go vet and staticcheck
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	cd interop && $(GO) vet ./...

tidy: ## fail when go.mod is not tidy
	$(GO) mod tidy -diff
	cd interop && $(GO) mod tidy -diff

fuzz: ## each fuzz target for FUZZTIME (10s)
	scripts/fuzz.sh $(FUZZTIME)

bench: ## the table of docs/bench.md: Roster against the bare server
	scripts/with-postgres.sh $(GO) run ./bench $(BENCHFLAGS)

docs: ## write the generated pages again
	$(GO) test ./action -run TestPages -update
	$(GO) test ./internal/workflow -run TestPages -update
