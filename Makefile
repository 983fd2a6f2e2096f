# make help lists the targets. loadtest/ and test/outside/ are modules of their own.

GO          ?= go
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := build
.PHONY: help build bin/sluice bin/loadtest test race bench lint e2e e2e-versions page loadtest loadtest-ci curves peers soak demo servers

help: ## this text
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# -buildvcs=true, since without a revision nobody knows what a binary is.
BUILD = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=true -ldflags='-s -w'

build: bin/sluice bin/loadtest ## static binaries: bin/sluice, and bin/loadtest, which no host needs

bin/sluice:
	$(BUILD) -o $@ .

bin/loadtest:
	cd loadtest && $(BUILD) -o ../$@ .

test: ## all hermetic tests with the race detector: no network, no root, no servers
	$(GO) test -race ./...
	cd loadtest && $(GO) test -race ./...

race: ## the same again without the cache and on one, two and four processors
	$(GO) test -race -count=1 -cpu=1,2,4 ./...
	cd loadtest && $(GO) test -race -count=1 -cpu=1,2,4 ./...

bench: ## benchmarks
	$(GO) test -run='^$$' -bench=. -benchmem ./...
	cd loadtest && $(GO) test -run='^$$' -bench=. -benchmem ./...
	cd test/outside && $(GO) test -run='^$$' -bench=. -benchmem ./...

lint: ## gofmt, go.mod, go vet, staticcheck
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "gofmt -w these:"; echo "$$files"; exit 1; fi
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) vet -tags e2e ./...
	$(GO) run $(STATICCHECK) ./...
	for module in loadtest test/outside; do \
		(cd $$module && $(GO) mod tidy -diff && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./...) || exit 1; done

e2e: ## end to end against real Kafka and Elasticsearch; downloads them, takes a while
	$(GO) test -tags e2e -count=1 -timeout 40m -p 1 ./test/...
	$(GO) test -tags e2e -count=1 -timeout 30m -p 1 -run '^TestReal' ./internal/kafka ./indexer

# The first of the range that is supported, the last with ZooKeeper alone, the last that has it, the usual one and the newest.
KAFKA_VERSIONS ?= 2.4.1 2.8.2 3.9.2 4.0.0 4.4.0

e2e-versions: ## all that is said of Kafka, and the whole path in short, on each of KAFKA_VERSIONS; half an hour
	for version in $(KAFKA_VERSIONS); do \
		echo "Kafka $$version" && export SLUICE_KAFKA_VERSION=$$version && \
		$(GO) test -tags e2e -count=1 -timeout 15m -run '^TestKafka' ./test/servers && \
		$(GO) test -tags e2e -count=1 -timeout 30m -run '^TestReal' ./internal/kafka && \
		$(GO) test -tags e2e -count=1 -timeout 15m -short ./test/e2e || exit 1; done

page: ## the search page in headless Chromium (Debian: chromium)
	cd test/outside && $(GO) test -count=1 -run '^TestPage' ./...

loadtest: build ## measure every stage and break it in all ways, on real servers
	./bin/loadtest run --quick --lines 150000 --elastic-lines 50000 --rate 2000 --for 10s --report bin/reports/run
	./bin/loadtest break --quick --report bin/reports/break

loadtest-ci: build ## what of it every change must pass
	./bin/loadtest run --quick --lines 50000 --elastic-lines 30000 --rate 1500 --for 10s --report bin/reports/run
	./bin/loadtest break --ci --report bin/reports/break

curves: build ## measure how cost grows with partitions, files, size of lines and of bulks
	./bin/loadtest curves --quick --report bin/reports/curves

peers: build ## measure beside rsyslog, the OpenTelemetry collector and MirrorMaker 2
	./bin/loadtest peers --quick --report bin/reports/peers

soak: ## 5 million records through every fault of Kafka, in process and real; half an hour
	$(GO) test -count=1 -timeout 1h -v -run '^TestSoak$$' ./internal/kafka -records 5000000
	$(GO) test -tags e2e -count=1 -timeout 2h -v -run '^TestRealSoak$$' ./internal/kafka -records 5000000

demo: build ## everything in one process, with sample logs
	./bin/sluice up --sample

servers: ## real Kafka, Elasticsearch and statsd on this machine, until Ctrl-C
	$(GO) run ./test/servers/cmd
