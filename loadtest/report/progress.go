//go:build linux

package report

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Progress shows people how far a long run is: the share of it that is done, 0 to 1, below
// 0 if nobody knows; and what is being done. A text that ends with a newline is a result
// and stays. It may be called from any goroutine.
type Progress func(share float64, text string)

// Bar draws progress: a bar that is overwritten where out is a terminal, with the time
// that is left, and elsewhere a line each few seconds. End wipes the bar off.
type Bar struct {
	mu    sync.Mutex
	out   io.Writer
	width int // columns of the terminal; 0: none
	start time.Time
	told  time.Time // when there is no terminal
	drawn bool
}

const (
	barCells  = 24
	tellEvery = 5 * time.Second
)

// NewBar starts the clock.
func NewBar(out io.Writer) *Bar {
	b := &Bar{out: out, start: time.Now()}
	if f, ok := out.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			b.width = max(40, int(size.Col))
			if size.Col == 0 { // it does not say
				b.width = 80
			}
		}
	}
	return b
}

// Show is a Progress.
func (b *Bar) Show(share float64, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	spent := now.Sub(b.start)
	result := strings.HasSuffix(text, "\n")
	switch {
	case b.width > 0 && result:
		b.wipe()
		fmt.Fprintf(b.out, "%s  %s", spent.Round(time.Second), text)
	case b.width > 0:
		b.wipe()
		line := barLine(share, spent, strings.ReplaceAll(text, "\n", " "), b.width-1)
		io.WriteString(b.out, line)
		b.drawn = true
	case result:
		fmt.Fprintf(b.out, "%s  %s", spent.Round(time.Second), text)
	case now.Sub(b.told) >= tellEvery:
		b.told = now
		fmt.Fprintln(b.out, plainLine(share, spent, text))
	}
}

// End leaves the terminal as it was.
func (b *Bar) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wipe()
}

func (b *Bar) wipe() {
	if b.drawn {
		io.WriteString(b.out, "\r\033[K")
		b.drawn = false
	}
}

// barLine is one line of at most width columns.
func barLine(share float64, spent time.Duration, text string, width int) string {
	line := spent.Round(time.Second).String() + "  " + text
	if share >= 0 {
		share = min(share, 1)
		full := int(share * barCells)
		line = fmt.Sprintf("[%s%s] %3.0f%%%s  %s", strings.Repeat("#", full), strings.Repeat(".", barCells-full), share*100, left(share, spent), text)
	}
	if r := []rune(line); len(r) > width {
		line = string(r[:width])
	}
	return line
}

func plainLine(share float64, spent time.Duration, text string) string {
	if share < 0 {
		return fmt.Sprintf("%s  %s", spent.Round(time.Second), text)
	}
	return fmt.Sprintf("%s  %.0f%%%s  %s", spent.Round(time.Second), min(share, 1)*100, left(share, spent), text)
}

// left is the time that is left if all goes on as it went, once a little is done.
func left(share float64, spent time.Duration) string {
	if share < 0.02 || spent < 5*time.Second || share >= 1 {
		return ""
	}
	unit := time.Second
	if spent > 2*time.Minute {
		unit = 10 * time.Second
	}
	return fmt.Sprintf(", %v left", time.Duration(float64(spent)*(1-share)/share).Round(unit))
}
