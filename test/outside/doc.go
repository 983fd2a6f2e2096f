// Package outside checks sluice with programs and libraries that it does not use itself: its
// search page in a browser, its JSON reader beside those of others. It is a module of its own, so that none of them is in the
// product's go.mod.
package outside
