// Package line makes events of the bytes of log files: it finds lines, decodes them,
// joins what a container runtime cut into pieces, and cuts what is over the limit. It is
// pure: no file, no clock, no network, no metric. What it makes hangs on the bytes and
// their offsets alone, never on how they were read, so lines read again have the same
// ids.
//
//	Maker.Feed: bytes of a Text -> lines -> Decoder -> join -> Event -> Sink
package line

import (
	"bytes"
	"time"
	"unicode/utf8"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/schemas"
)

// Event is a line that is ready to be sent, or a piece of one.
type Event[W any] struct {
	schemas.Line           // Flags are left to Set
	Set          Flags     // of the line
	Holds        []Hold[W] // one for each file that has bytes of it, in their order; never empty
}

// Hold keeps the position of a file back until an event is stored.
type Hold[W any] struct {
	Window W     // of the file
	Next   int64 // lowest offset that must stay unacknowledged once this event and all before it are stored
}

// Sink takes events. That there is one means that there is room for them.
type Sink[W any] interface {
	// Emit takes an event of a log. What it points to is valid until Emit returns.
	Emit(e *Event[W])
	// Full reports that no line is to be begun any more. The pieces of a line that was
	// begun are taken all the same.
	Full() bool
}

// Decoder reads the lines of a container runtime. Plain text has none.
type Decoder interface {
	// Decode reads a raw line without its newline; false: it is not of the format.
	Decode(p *Piece, raw []byte) bool
	// Next is where in raw a line of the format may begin after its first byte, or the
	// beginning of one at its end; len(raw) if there is none.
	Next(raw []byte) int
	// MaxRaw is how long a raw line may be, in bytes, at least.
	MaxRaw() int
}

// Piece is what a raw line says: one line of a stream, or a piece of one.
type Piece struct {
	Inside  []byte // inside of a JSON string, without its newline; points into the raw line if it is there
	At      int    // where Inside starts in the raw line; 0: it does not stand there
	Stream  string
	Time    time.Time
	Whole   bool // the line ends here
	Cleaned bool // bytes that are not UTF-8 were replaced

	Replaced int // so many of them by the runtime, which wrote U+FFFD
}

// textLen is how many bytes the runtime was given for the piece: Inside without escapes,
// and one byte for each that it replaced.
func (p *Piece) textLen() int {
	n := len(p.Inside)
	for in := p.Inside; ; {
		i := bytes.IndexByte(in, '\\')
		if i < 0 {
			return n
		}
		in = in[i:]
		k := jsontext.EscapeLen(in)
		if k == 0 { // cannot be: it is legal
			return n
		}
		n -= k - 1
		if k > 2 && string(in[:k]) != jsontext.Replaced {
			var text [utf8.UTFMax]byte
			n += len(jsontext.Unescape(text[:0], in[:k])) - 1
		}
		in = in[k:]
	}
}

// Streams of a container.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// MinLimit is the least limit for lines, in bytes: an escape or rune must fit.
const MinLimit = 16

// Flags of an event.
type Flags uint8

// One bit for each value of log.flags.
const (
	Partial   Flags = 1 << iota // no end will come
	Cut                         // a piece of a line over the limit
	Cleaned                     // bytes that are not UTF-8 were replaced
	Torn                        // not a line of its format
	Hole                        // NULs before it were skipped
	Multiline                   // several lines that belong together
)

// NumFlags is how many flags there are; flag i is 1<<i. AllFlags has every one.
const (
	NumFlags       = 6
	AllFlags Flags = 1<<NumFlags - 1
)

var flagTexts = func() (sets [AllFlags + 1][]string) {
	for i := range sets {
		for b, text := range []string{schemas.FlagPartial, schemas.FlagSplit, schemas.FlagCleaned, schemas.FlagTorn, schemas.FlagHole, schemas.FlagSeveral} {
			if i>>b&1 == 1 {
				sets[i] = append(sets[i], text)
			}
		}
	}
	return sets
}()

// Texts are the flags as they are in an event; not to be changed.
func (f Flags) Texts() []string { return flagTexts[f&AllFlags] }
