package source

// Decoder says how a raw line becomes text. What it is asked for is what matters to who
// follows a file; the decoding itself is done by package line.
type Decoder uint8

const (
	Text     Decoder = iota // the line is the text
	JSONFile                // an object of Docker's json-file driver
)

// Timed reports whether a line carries its own time: then its id hangs on source, place
// and bytes, and is the same in a copy, without the generation of its file.
func (d Decoder) Timed() bool { return d == JSONFile }

// Joiner says how several raw lines become one.
type Joiner uint8

const (
	Whole  Joiner = iota // each raw line is a line
	Pieces               // a piece without newline goes on in the next of its stream, also in the next file
)
