package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a configuration.
type Error struct {
	File         string // "" if the configuration was not loaded from a file
	Line, Column int    // from 1; 0 if nothing in the file belongs to the error
	Key          string // path of the key, such as indexer.outputs[0].bulk.bytes; "" for syntax errors
	Msg          string

	order int  // of File among the files that were read
	here  bool // wrong on this host only: a variable or a file of a secret is missing
}

// Error is FILE:LINE:COLUMN: KEY: message, without the parts that are not known.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	return b.String() + e.Msg
}

// all joins errors in the order of the files and their lines; those without a line come
// last of their file.
func all(errs []*Error) error {
	slices.SortStableFunc(errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(uint(a.Line-1), uint(b.Line-1)), cmp.Compare(a.Column, b.Column))
	})
	joined := make([]error, len(errs))
	for i, e := range errs {
		joined[i] = e
	}
	return errors.Join(joined...)
}
