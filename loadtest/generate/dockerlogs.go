package generate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluicelog/sluice/loadtest/fakes"
)

// dockerCut is where dockerd cuts a long line (moby, daemon/logger/copier.go).
const dockerCut = 16 << 10

// DockerLogs writes what dockerd's json-file driver writes, at the same paths:
//
//	<Root>/containers/<id>/<id>-json.log, <id>-json.log.1 ...
//
// Lines over 16 KiB are cut into pieces of which only the last ends in \n. A file of
// MaxSize is renamed as dockerd does it before the next line is written.
type DockerLogs struct {
	Root    string
	MaxSize int64         // --log-opt max-size; 0: no rotation
	MaxFile int           // --log-opt max-file: files kept, the current one among them; 0: 1
	Life    time.Duration // of a container, as in Workload; 0: they last until Close
	Keep    bool          // leave containers and their files when they end, as without docker run --rm
	Daemon  *fakes.Daemon // notified of containers; nil: nobody is

	pieces int64 // lines of the files: of a long line there are several
	ledger Ledger
	slots  []*container // by slot of the workload
	old    []*container // whose slot another one has taken
	clock  clock
	buf    []byte // one line
	text   []byte // a huge line
}

// container is the log of one container.
type container struct {
	source int
	id     string
	ends   time.Time
	log    logFile
}

// ContainerID is the id of the container that is source n of a run.
func ContainerID(run uint32, n int) string {
	id := []byte{}
	for i := range uint64(4) {
		id = appendHex(id, mix(uint64(run)<<32+uint64(n)*4+i), 16)
	}
	return string(id)
}

// Pieces is how many lines the files have: of a long line there are several.
func (d *DockerLogs) Pieces() int64 { return d.pieces }

// Ledger is what was written so far.
func (d *DockerLogs) Ledger() *Ledger { return &d.ledger }

// WriteNext writes the next line to its container's log, which it starts if need be.
func (d *DockerLogs) WriteNext(l *Lines) error {
	m := l.Next()
	c, err := d.container(m, l.w.Sources)
	if err != nil {
		return err
	}
	if d.MaxSize > 0 && c.log.size >= d.MaxSize {
		if err := d.rotate(c); err != nil {
			return err
		}
	}
	offset := c.log.size
	d.buf = append(l.AppendEscaped(append(d.buf[:0], `{"log":"`...)), `\n`...)
	if len(d.buf) <= dockerCut {
		d.buf = d.end(d.buf, m)
	} else {
		d.cut(l, m)
	}
	if err := c.log.write(d.buf); err != nil {
		return err
	}
	d.ledger.Add(m, offset, int64(len(d.buf)))
	return nil
}

// cut writes the line as dockerd does, which has 16 KiB of it at a time.
func (d *DockerLogs) cut(l *Lines, m Mark) {
	d.text = append(l.AppendText(d.text[:0]), '\n')
	d.buf = d.buf[:0]
	for rest := d.text; len(rest) > 0; {
		n := min(len(rest), dockerCut)
		if n == len(rest)-1 { // the newline is not counted
			n++
		}
		d.buf = append(d.buf, `{"log":"`...)
		if n == len(rest) {
			d.buf = append(append(d.buf, dockerEscape(string(rest[:n-1]))...), `\n`...)
		} else {
			d.buf = append(d.buf, dockerEscape(string(rest[:n]))...)
		}
		d.buf = d.end(d.buf, m)
		rest = rest[n:]
	}
}

func (d *DockerLogs) end(buf []byte, m Mark) []byte {
	d.pieces++
	stream := `","stream":"stdout","time":"`
	if kindOf(m.Source) == klog {
		stream = `","stream":"stderr","time":"`
	}
	buf = d.clock.append(append(buf, stream...), formDocker, m.Time)
	return append(buf, "\"}\n"...)
}

func (d *DockerLogs) container(m Mark, slots int) (*container, error) {
	for len(d.slots) < slots {
		d.slots = append(d.slots, nil)
	}
	slot := &d.slots[m.Source%slots]
	if c := *slot; c != nil {
		if c.source == m.Source {
			return c, nil
		}
		if err := c.log.flush(); err != nil {
			return nil, err
		}
		d.old = append(d.old, c) // it lives as long as the others
	}
	id := ContainerID(m.Run, m.Source)
	dir := filepath.Join(d.Root, "containers", id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	c := &container{source: m.Source, id: id, log: logFile{path: filepath.Join(dir, id+"-json.log")}}
	if d.Life > 0 {
		c.ends = time.Now().Add(d.Life)
	}
	if err := c.log.open(); err != nil {
		return nil, err
	}
	d.Daemon.Start(fakes.Container{ID: id, Name: fmt.Sprintf("mesos-lt%06d", m.Source), LogPath: c.log.path, Number: m.Source})
	*slot = c
	return c, nil
}

// rotate is what dockerd does: the oldest goes, the others move up, a new file begins.
func (d *DockerLogs) rotate(c *container) error {
	if err := c.log.close(); err != nil {
		return err
	}
	if err := shift(c.log.path, max(1, d.MaxFile)); err != nil {
		return err
	}
	return c.log.open()
}

// shift renames path to path.1, path.1 to path.2 and so on, so that files remain of it.
func shift(path string, files int) error {
	if files < 2 {
		return os.Remove(path)
	}
	for i := files - 1; i > 1; i-- {
		err := os.Rename(fmt.Sprintf("%s.%d", path, i-1), fmt.Sprintf("%s.%d", path, i))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.Rename(path, path+".1")
}

// Flush also ends containers whose life is over.
func (d *DockerLogs) Flush(now time.Time) error {
	var errs []error
	over := func(c *container) bool {
		if c.ends.IsZero() || now.Before(c.ends) {
			return false
		}
		errs = append(errs, d.remove(c))
		return true
	}
	for i, c := range d.slots {
		switch {
		case c == nil:
		case now.Add(-d.Life).After(c.ends) && over(c): // a line of it may be late
			d.slots[i] = nil
		default:
			errs = append(errs, c.log.flush())
		}
	}
	d.old = slices.DeleteFunc(d.old, over)
	return errors.Join(errs...)
}

func (d *DockerLogs) remove(c *container) error {
	err := c.log.close()
	if !d.Keep && err == nil {
		d.Daemon.End(c.id, true)
		return os.RemoveAll(filepath.Dir(c.log.path))
	}
	d.Daemon.End(c.id, false)
	return err
}

// Close closes the logs; containers that live stay, with their files.
func (d *DockerLogs) Close() error {
	var errs []error
	for _, c := range append(d.old, d.slots...) {
		if c != nil {
			errs = append(errs, c.log.close())
		}
	}
	d.old, d.slots = nil, nil
	return errors.Join(errs...)
}

// logFile is a file that lines are added to, by way of a buffer.
type logFile struct {
	path string
	size int64 // with what is still in buf
	f    *os.File
	buf  []byte
}

const logBuffer = 64 << 10

func (f *logFile) open() (err error) {
	f.size = 0
	f.f, err = os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	return err
}

func (f *logFile) write(line []byte) error {
	f.buf = append(f.buf, line...)
	f.size += int64(len(line))
	if len(f.buf) >= logBuffer {
		return f.flush()
	}
	return nil
}

func (f *logFile) flush() error {
	if len(f.buf) == 0 {
		return nil
	}
	_, err := f.f.Write(f.buf)
	f.buf = f.buf[:0]
	return err
}

func (f *logFile) close() error {
	return errors.Join(f.flush(), f.f.Close())
}
