//go:build linux

package report

import "fmt"

// Parts of a run, in their order.
const (
	PartShipper    = "shipper"       // docker logs to Kafka
	PartAggregator = "aggregator"    // Kafka to Kafka
	PartIndexer    = "indexer"       // Kafka to a sink that costs nothing
	PartElastic    = "elasticsearch" // Kafka to Elasticsearch
	PartPlain      = "shipper, plain files"
	PartPipeline   = "pipeline" // all stages, at a pace, into Elasticsearch: latency
)

// Parts has all of them.
var Parts = []string{PartShipper, PartAggregator, PartIndexer, PartElastic, PartPipeline}

// Floors are the loops there are for a kind.
var Floors = []string{"franz-go", "sarama"}

// What a curve can be over.
const (
	CurvePartitions = "partitions"
	CurveFiles      = "files"
	CurveSize       = "size" // of lines, bytes
	CurveBulk       = "bulk" // bytes of a bulk body
)

// CurveNames has all, in the order of a report.
var CurveNames = []string{CurvePartitions, CurveFiles, CurveSize, CurveBulk}

// curveTexts say what is varied.
var curveTexts = map[string]struct{ title, what string }{
	CurvePartitions: {"Partitions of a topic", "128 sources with as many lines each, in topics of 1 to 64 partitions; the shipper spreads them by source"},
	CurveFiles:      {"Log files", "the same number of lines in 1 to 10,000 files, as Docker's logs of that many containers and as plain files; it includes finding and opening them"},
	CurveSize:       {"Size of lines", "the same number of bytes in lines of 100 B to 64 kB, all of one format and one size"},
	CurveBulk:       {"Size of bulk bodies", "the same topic into bulks of 256 KiB to 8 MiB, before compression"},
}

// FormatX is a point for people.
func FormatX(over string, x int64) string {
	switch {
	case over == CurveBulk && x%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", x>>20)
	case over == CurveBulk && x%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", x>>10)
	case over == CurveSize && x%1000 == 0:
		return fmt.Sprintf("%d kB", x/1000)
	case over == CurveSize || over == CurveBulk:
		return fmt.Sprintf("%d B", x)
	}
	return digits(float64(x))
}
