//go:build linux

package loadtest

import "fmt"

// Outcome is what came of a scenario.
type Outcome struct {
	Name     string   `json:"name"`
	What     string   `json:"what"`
	Expect   string   `json:"expect"`
	Lines    int64    `json:"lines"`
	Missing  int64    `json:"missing"`  // in Elasticsearch
	Doubled  int64    `json:"doubled"`  // anywhere, under another id
	Repeated int64    `json:"repeated"` // in the central Kafka, under the same id
	Recovery string   `json:"recovery"` // from the last step to the last line found
	Problems []string `json:"problems"`
}

// OK is true if all is as expected.
func (o *Outcome) OK() bool { return len(o.Problems) == 0 }

func (o *Outcome) String() string {
	return fmt.Sprint(o.Name)
}
