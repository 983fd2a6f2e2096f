// Package lab proves what sluice promises and measures what it costs. It writes
// lines whose text says which source wrote them and as how manieth (Workload), lets a
// pipeline of real processes and real servers carry them (Site), breaks things
// meanwhile (Scenario), and counts at the other end (Verifier): nothing missing,
// nothing doubled, in order. The same lines go through loops that do no work (Floor)
// and through other programs (Peer), so that figures can be compared within one run.
//
// What is verified is not used to verify: lines are read back with franz-go, while the
// stages use sarama. Nothing here knows of flags; the commands are in package main.
package lab
