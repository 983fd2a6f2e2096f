package generate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Workload is a sequence of lines. The same values give the same bytes.
type Workload struct {
	Seed    uint64
	Run     uint32        // in every mark, so that lines of another run are kept apart
	Sources int           // files or containers
	Skew    float64       // lines of source n are proportional to 1/n^Skew: 0 all alike; real sites are near 1
	Start   time.Time     // when line 0 is due
	Rate    float64       // lines a second, for the times in the lines; 0: all are due at Start
	MinSize int           // bytes of a line without its newline, 0: 200
	MaxSize int           // 0: 8192
	Mean    int           // of most lines, 0: 1000
	Exact   bool          // all lines have Mean bytes, 100 at least, and one format, klog, which is short enough
	Life    time.Duration // a source ends after this time and another, of its own number, takes its place; 0: all last. It goes by the lines' times, so it needs Rate
	HugeOf  int           // one line in so many has 20 to 60 KB, so that Docker cuts it; 0: none
}

func (w Workload) withDefaults() Workload {
	if w.Sources == 0 {
		w.Sources = 8
	}
	if w.MinSize == 0 {
		w.MinSize = 200
	}
	if w.MaxSize == 0 {
		w.MaxSize = 8192
	}
	if w.Mean == 0 {
		w.Mean = 1000
	}
	return w
}

// Lines draws the lines of a workload one after another. It is for one goroutine.
type Lines struct {
	w      Workload
	rnd    *rand.PCG
	pick   alias
	clock  clock
	plates [kinds][]plate
	huge   []plate
	n      int64
	mark   Mark    // of the line drawn last
	plate  *plate  // of the line drawn last
	seqs   []int64 // by slot: next sequence number
	at     []int   // by slot: source that writes there
	stack  []int8  // by slot: lines of a stack trace still to be written
}

// kind is the format of a line.
type kind int

const (
	logback kind = iota
	jsonApp
	nginx
	trace
	klog
	kinds
)

// plate is a line around its time and its mark: before, time, between, mark, after, which
// holds the seal.
// Each part is there twice: as text and as Docker writes it inside a JSON string.
type plate struct {
	form         form
	raw, escaped [3]string
}

const platesOfKind = 192

// NewLines starts at the first line.
func NewLines(w Workload) *Lines {
	w = w.withDefaults()
	l := &Lines{w: w, rnd: rand.NewPCG(w.Seed, 0x736c75696365), seqs: make([]int64, w.Sources), at: make([]int, w.Sources), stack: make([]int8, w.Sources)}
	for i := range l.at {
		l.at[i] = i
	}
	weights := make([]float64, w.Sources)
	for i := range weights {
		weights[i] = math.Pow(float64(i+1), -w.Skew)
	}
	l.pick = newAlias(weights)
	rnd := rand.New(rand.NewPCG(w.Seed, 1))
	if w.Exact {
		// As many as fill 1 MiB at least: lines that come again within the 64 KiB that
		// lz4 looks back would pack better the shorter they are.
		for i := range max(platesOfKind, 1<<20/w.Mean) {
			l.plates[klog] = append(l.plates[klog], newPlate(klog, i, w.Mean, rnd))
		}
		return l
	}
	for k := range l.plates {
		for i := range platesOfKind {
			size := w.size(rnd)
			l.plates[k] = append(l.plates[k], newPlate(kind(k), i, size, rnd))
		}
	}
	for i := range 16 {
		l.huge = append(l.huge, newPlate(logback, i, 20_000+rnd.IntN(40_000), rnd))
	}
	return l
}

// size is drawn from a log-normal distribution, cut at both ends: what logs look like.
func (w Workload) size(rnd *rand.Rand) int {
	const sigma = 0.65
	mu := math.Log(float64(w.Mean)) - sigma*sigma/2
	return min(max(int(math.Exp(mu+sigma*rnd.NormFloat64())), w.MinSize), w.MaxSize)
}

// Next goes to the next line; AppendText and AppendEscaped then say what it is.
func (l *Lines) Next() Mark {
	slot := l.pick.draw(l.rnd.Uint64())
	due := l.dueAt(l.n)
	source := l.incarnation(slot, due)
	l.mark = Mark{Run: l.w.Run, Source: source, Seq: l.seqs[slot], Time: due.UnixMicro()}
	l.plate = l.draw(slot, l.rnd.Uint64())
	l.seqs[slot]++
	l.n++
	return l.mark
}

// AppendText appends the line without a newline.
func (l *Lines) AppendText(dst []byte) []byte { return l.append(dst, &l.plate.raw) }

// AppendEscaped appends the line as Docker's json-file driver has it inside a JSON
// string, without a newline.
func (l *Lines) AppendEscaped(dst []byte) []byte { return l.append(dst, &l.plate.escaped) }

func (l *Lines) append(dst []byte, parts *[3]string) []byte {
	dst = l.clock.append(append(dst, parts[0]...), l.plate.form, l.mark.Time)
	return append(l.mark.Append(append(dst, parts[1]...)), parts[2]...)
}

// incarnation is the source that is at a slot at a time: with Life each slot is
// taken by one source after another, and not all change at once.
func (l *Lines) incarnation(slot int, due time.Time) int {
	if l.w.Life <= 0 {
		return slot
	}
	n := int64(l.w.Sources)
	age := due.Sub(l.w.Start) + time.Duration(int64(l.w.Life)*int64(slot)/n)
	source := slot + int(int64(age/l.w.Life)*n)
	if source != l.at[slot] {
		l.at[slot], l.seqs[slot], l.stack[slot] = source, 0, 0
	}
	return source
}

// Sent is how many lines there were.
func (l *Lines) Sent() int64 { return l.n }

func (l *Lines) dueAt(n int64) time.Time { return l.w.Start.Add(Pace{Rate: l.w.Rate}.Due(n)) }

// draw takes the form of a source's next line. A source writes one format, but a Java
// service now and then a stack trace of 3 to 18 lines.
func (l *Lines) draw(source int, r uint64) *plate {
	if l.w.Exact {
		return &l.plates[klog][r%uint64(len(l.plates[klog]))]
	}
	pick := r % platesOfKind
	if l.stack[source] > 0 {
		l.stack[source]--
		return &l.plates[trace][pick]
	}
	if h := l.w.HugeOf; h > 0 && r>>8%uint64(h) == 0 {
		return &l.huge[pick%uint64(len(l.huge))]
	}
	k := kindOf(source)
	if k == logback && r>>32%120 == 0 {
		l.stack[source] = int8(3 + r>>40%16)
	}
	return &l.plates[k][pick]
}

// kindOf spreads the formats over the sources, so that those with most lines have all.
func kindOf(source int) kind {
	return [...]kind{logback, jsonApp, logback, nginx, jsonApp, logback, klog, logback}[source%8]
}

var words = strings.Fields(`order created updated payment accepted refused timeout connection pool exhausted retry user session
	expired cache miss hit loaded config from database query took slow request response status upstream gateway hotel flight
	room price inventory supplier channel callback message queue consumer offset committed rebalance partition leader elected
	thread blocked waiting lock released transaction rollback commit index merged flush disk usage high memory collected pause`)

func prose(rnd *rand.Rand, size int) string {
	var b strings.Builder
	for b.Len() < size {
		switch rnd.IntN(7) {
		case 0:
			fmt.Fprintf(&b, "%s=%x ", words[rnd.IntN(len(words))], rnd.Uint64()>>rnd.IntN(48))
		case 1:
			fmt.Fprintf(&b, "%sId=%d ", words[rnd.IntN(len(words))], rnd.IntN(1e9))
		case 2:
			fmt.Fprintf(&b, "%s(\"%s\")=%.3f ", words[rnd.IntN(len(words))], words[rnd.IntN(len(words))], rnd.Float64()*1000)
		default:
			b.WriteString(words[rnd.IntN(len(words))] + " ")
		}
	}
	return b.String()[:max(0, size)]
}

func class(rnd *rand.Rand) string {
	w := words[rnd.IntN(len(words))]
	return "com.example." + words[rnd.IntN(len(words))] + "." + strings.ToUpper(w[:1]) + w[1:]
}

func newPlate(k kind, i, size int, rnd *rand.Rand) plate {
	level := [...]string{"INFO ", "INFO ", "INFO ", "DEBUG", "WARN ", "ERROR"}[rnd.IntN(6)]
	var p plate
	switch k {
	case logback:
		p.form = formLogback
		p.raw = [3]string{"", fmt.Sprintf(" %s [http-nio-8080-exec-%d] %sService - ", level, rnd.IntN(200), class(rnd)), " "}
	case jsonApp:
		p.form = formRFC3339
		p.raw = [3]string{`{"@timestamp":"`, fmt.Sprintf(`","level":"%s","logger_name":"%sController","thread_name":"worker-%d","message":"`, strings.TrimSpace(level), class(rnd), rnd.IntN(64)),
			fmt.Sprintf(`","traceId":"%016x%016x","cost_ms":%d,"mdc":{"user":%d,"app":"%s"}}`, rnd.Uint64(), rnd.Uint64(), rnd.IntN(3000), rnd.IntN(1e6), words[rnd.IntN(len(words))])}
	case nginx:
		p.form = formNginx
		p.raw = [3]string{fmt.Sprintf("10.%d.%d.%d - - [", rnd.IntN(250), rnd.IntN(250), rnd.IntN(250)),
			fmt.Sprintf(`] "GET /api/v1/%s/%d HTTP/1.1" %d %d "https://www.example.com/%s" "Mozilla/5.0 (X11; Linux x86_64)" rt=%.3f id=`,
				words[rnd.IntN(len(words))], rnd.IntN(1e6), [...]int{200, 200, 200, 304, 404, 502}[rnd.IntN(6)], rnd.IntN(1e5), words[rnd.IntN(len(words))], rnd.Float64()), ` args="`}
	case trace:
		p.form = formNone
		p.raw = [3]string{"", fmt.Sprintf("\tat %sHandler.invoke(%s.java:%d) ~[app-1.%d.jar:1.%d] ", class(rnd), words[rnd.IntN(len(words))], rnd.IntN(900), i%9, i%9), " "}
		size = min(size, 400)
	case klog:
		p.form = formKlog
		p.raw = [3]string{level[:1], fmt.Sprintf(" %7d reconciler.go:%d] ", rnd.IntN(1e6), rnd.IntN(900)), " "}
	}
	fill := prose(rnd, size-len(p.raw[0])-len(p.raw[1])-len(p.raw[2])-markLen-sealLen-p.form.len())
	seal := func(text string) string { return string(AppendSeal([]byte(text), []byte(text))) }
	switch k {
	case jsonApp: // inside its message
		p.raw[2] = seal(" "+strings.ReplaceAll(fill, `"`, `\"`)) + p.raw[2]
	case nginx:
		p.raw[2] = seal(p.raw[2]+strings.ReplaceAll(fill, `"`, "%22")) + `"`
	default:
		p.raw[2] = seal(p.raw[2] + fill)
	}
	for i, s := range p.raw {
		p.escaped[i] = dockerEscape(s)
	}
	return p
}

// dockerEscape is the inside of a JSON string as dockerd writes it: <, > and & are
// escaped as well.
func dockerEscape(s string) string {
	return strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\t", `\t`, "<", `\u003c`, ">", `\u003e`, "&", `\u0026`).Replace(s)
}

// alias draws from a discrete distribution in constant time (Walker 1977, as built by
// Vose 1991).
type alias struct {
	keep  []float64
	other []int
}

func newAlias(weights []float64) alias {
	n, sum := len(weights), 0.0
	for _, w := range weights {
		sum += w
	}
	a := alias{make([]float64, n), make([]int, n)}
	scaled := make([]float64, n)
	var small, large []int
	for i, w := range weights {
		scaled[i] = w * float64(n) / sum
		if scaled[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small, large = small[:len(small)-1], large[:len(large)-1]
		a.keep[s], a.other[s] = scaled[s], l
		scaled[l] -= 1 - scaled[s]
		if scaled[l] < 1 {
			small = append(small, l)
		} else {
			large = append(large, l)
		}
	}
	for _, i := range append(small, large...) {
		a.keep[i] = 1
	}
	return a
}

func (a alias) draw(r uint64) int {
	i := int(r >> 32 % uint64(len(a.keep)))
	if float64(uint32(r))/(1<<32) < a.keep[i] {
		return i
	}
	return a.other[i]
}
