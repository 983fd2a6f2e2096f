package parse

// Format is one way in which programs write lines.
type Format interface {
	// Name is the label of the format in figures; several formats may have one name.
	Name() string

	// Starts reports whether a message can begin with this byte, blanks and colours
	// aside. It is asked once for each byte, when the process starts.
	Starts(first byte) bool

	// Read reads p.message from p.start on into p.found and reports whether it is in
	// this format. Where it is not, p.found is as it was. It is called for messages only
	// that Starts allows.
	Read(p *Parser) bool
}

// registry is all formats. Of those that a message's first byte allows, the first that
// can read it does.
var registry = []Format{
	none{},
	jsonObject{},
	oddJSON{},
	klog{},
	logfmt{},
	oddPairs{},
	syslogPriority{},
	chromium{},
	redis{},
	erlang{},
	mysqlSlow{},
	runtimeLine{},
	syslogTime{},
	uwsgi{},
	rails{},
	accessLog{},
	text{},
}

// ID is a format's index in the registry. The zero ID is that of no format.
type ID uint8

// String is the format's name.
func (id ID) String() string { return registry[id].Name() }

// Formats of which is known what they are before they are read.
var (
	FormatJSON   = idOf(jsonObject{})
	FormatSyslog = idOf(syslogPriority{})
)

// Names are the names of the formats, by ID.
func Names() []string {
	names := make([]string, len(registry))
	for i, f := range registry {
		names[i] = f.Name()
	}
	return names
}

// Count is how many IDs there are, at most: an array of this length has a place for each.
const Count = 32

// byFirst is the formats that a message with this first byte may be in.
var byFirst = func() (t [256][]ID) {
	if len(registry) > Count {
		panic("parse: more formats than Count")
	}
	for c := range t {
		for id, f := range registry {
			if f.Starts(byte(c)) {
				t[c] = append(t[c], ID(id))
			}
		}
	}
	return t
}()

func idOf(f Format) ID {
	for id := range registry {
		if registry[id] == f {
			return ID(id)
		}
	}
	panic("parse: not in the registry: " + f.Name())
}

// plainName is the name of formats that are text with a time or a level in it. What has
// neither is in no format.
const plainName = "text"

// isPlain is by ID.
var isPlain = func() (t [Count]bool) {
	for id, f := range registry {
		t[id] = f.Name() == plainName
	}
	return t
}()

func (id ID) plain() bool { return isPlain[id] }

// none is the name of what no format reads.
type none struct{}

func (none) Name() string      { return "none" }
func (none) Starts(byte) bool  { return false }
func (none) Read(*Parser) bool { return false }
