// Command writer is what the containers of the end-to-end tests run: it writes a
// deterministic sequence of lines to stdout, at a steady rate.
//
//	writer -seed 7 -lines 10000 -rate 150 [-prefix access.log] [-huge]
package main

import (
	"flag"
	"os"
	"time"

	"github.com/sluicelog/sluice/test/e2e/workload"
)

func main() {
	seed := flag.Uint64("seed", 1, "of the sequence")
	lines := flag.Int("lines", 1000, "how many")
	rate := flag.Float64("rate", 200, "lines a second; 0: as fast as they are taken")
	prefix := flag.String("prefix", "", "file name that comes before each line, with a colon and a space")
	huge := flag.Bool("huge", false, "one line of 1 MiB and some around 16 KiB among them")
	stay := flag.Duration("stay", 0, "time to stay after the last line")
	flag.Parse()

	l := workload.Lines{Seed: *seed, Count: *lines, Huge: *huge}
	start := time.Now()
	var buf []byte
	for i := range l.Count {
		buf = buf[:0]
		if *prefix != "" {
			buf = append(append(buf, *prefix...), ": "...)
		}
		buf = append(append(buf, l.At(i)...), '\n')
		// One write a line: two processes that share the container's stdout then
		// mix whole lines, as long as these fit the pipe's atomic size.
		if _, err := os.Stdout.Write(buf); err != nil {
			os.Exit(1)
		}
		if *rate > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(float64(i+1) / *rate * float64(time.Second)))))
		}
	}
	time.Sleep(*stay)
}
