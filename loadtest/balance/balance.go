// Package balance reads what a stage says of itself, its counters above all, and checks that
// they add up as the stage declares.
package balance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/sluicelog/sluice/loadtest/verify"
)

// Status is a role in /status.
type Status struct {
	Role         string       `json:"role"`
	Ready        bool         `json:"ready"`
	Dependencies []Dependency `json:"dependencies"`
	Account      Account      `json:"account"`
	AccountError string       `json:"account_error"`
}

// Dependency is a server that a role needs.
type Dependency struct {
	Name      string `json:"name"`
	Reachable bool   `json:"reachable"`
	Answered  bool   `json:"answered"` // at least once
	LastError string `json:"last_error"`
}

// Asked reports whether the role has wanted anything of the server so far.
func (d Dependency) Asked() bool { return d.Answered || d.LastError != "" }

// Account is how a role's counters add up, as it says itself.
type Account struct {
	Sums   []Sum    `json:"sums"`
	Losses []Figure `json:"losses"` // counters above 0 of what was given up
}

// Sum is what a role promises of its counters, at rest and in full flow: In equals all of Out
// and what is in flight.
type Sum struct {
	In       Figure   `json:"in"`
	Out      []Figure `json:"out"`
	InFlight Figure   `json:"in_flight"`
}

// Figure is a metric's value, summed over its labels.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

func (f Figure) String() string { return fmt.Sprintf("%s %.0f", f.Name, f.Value) }

// Ask reads /status of a process that runs one role; url has no path.
func Ask(ctx context.Context, url string) (Status, error) {
	var s Status
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/status", nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	var all struct {
		Roles []Status `json:"roles"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		return s, fmt.Errorf("read %s/status: %s: %w", url, resp.Status, err)
	}
	if len(all.Roles) != 1 {
		return s, fmt.Errorf("read %s/status: %d roles, want one", url, len(all.Roles))
	}
	return all.Roles[0], nil
}

// Finished is how many events the role is done with, those that come again included.
func (a Account) Finished() (n float64) {
	for _, s := range a.Sums {
		for _, f := range s.Out {
			n += f.Value
		}
	}
	return n
}

// InFlight names a sum with events that are neither finished nor given back; empty: there is none.
func (a Account) InFlight() string {
	for _, s := range a.Sums {
		if s.InFlight.Value != 0 {
			return s.InFlight.String()
		}
	}
	return ""
}

// Check reports each sum that does not come out, naming the counters. A role that declares
// none, or has taken nothing, is a problem as well: nothing would be checked.
func (s Status) Check() []verify.Problem {
	var out []verify.Problem
	bad := func(format string, args ...any) {
		out = append(out, verify.Problem{Kind: "counters", Source: -1, Text: s.Role + ": " + fmt.Sprintf(format, args...)})
	}
	if s.AccountError != "" {
		bad("%s", s.AccountError)
	}
	if len(s.Account.Sums) == 0 {
		bad("it says of no counters how they add up")
	}
	for _, sum := range s.Account.Sums {
		total, parts := 0.0, []string{}
		for _, f := range append(sum.Out[:len(sum.Out):len(sum.Out)], sum.InFlight) {
			total += f.Value
			parts = append(parts, f.String())
		}
		if sum.In.Value != total {
			bad("%s is %.0f, and %s make %.0f", sum.In.Name, sum.In.Value, strings.Join(parts, " + "), total)
		}
	}
	return out
}
