package generate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Rotation is what becomes of a plain file that is full.
type Rotation string

// Kinds of rotation.
const (
	RotateNone     Rotation = ""
	RotateRename   Rotation = "rename"       // app.log becomes app.log.1, as log4j and logrotate do
	RotateTruncate Rotation = "copytruncate" // app.log is copied to app.log.1 and cut to nothing
	RotateDelete   Rotation = "delete"       // app.log is deleted and begun anew
)

// PlainLogs writes text files, <Dir>/app-000007.log for source 7.
type PlainLogs struct {
	Dir     string
	Rotate  Rotation
	MaxSize int64 // rotate at this size
	MaxFile int   // files kept of one log, 0: 2
	// Settle is how long nothing is written to a file before it is cut. A reader that
	// has not caught up by then finds the rest in no file that it follows: that is
	// copytruncate's own nature.
	Settle time.Duration

	ledger Ledger
	files  []*plainFile // by source
	buf    []byte
}

type plainFile struct {
	log logFile
	cut time.Time // when to cut; zero: not full
}

// Ledger is what was written so far.
func (p *PlainLogs) Ledger() *Ledger { return &p.ledger }

// WriteNext writes the next line to its source's file.
func (p *PlainLogs) WriteNext(l *Lines) error {
	m := l.Next()
	f, err := p.file(m.Source)
	if err != nil {
		return err
	}
	if p.Rotate != RotateNone && p.MaxSize > 0 && f.cut.IsZero() && f.log.size >= p.MaxSize {
		if err := p.full(f); err != nil {
			return err
		}
	}
	p.buf = append(l.AppendText(p.buf[:0]), '\n')
	if !f.cut.IsZero() { // held in memory, for the file that begins after the cut
		p.ledger.Add(m, int64(len(f.log.buf)), int64(len(p.buf)))
		f.log.buf = append(f.log.buf, p.buf...)
		if len(f.log.buf) > 16<<20 {
			return fmt.Errorf("%s: 16 MiB came while it waited %v to be cut: rotate less often", f.log.path, p.Settle)
		}
		return nil
	}
	p.ledger.Add(m, f.log.size, int64(len(p.buf)))
	return f.log.write(p.buf)
}

func (p *PlainLogs) file(source int) (*plainFile, error) {
	for source >= len(p.files) {
		p.files = append(p.files, nil)
	}
	if f := p.files[source]; f != nil {
		return f, nil
	}
	f := &plainFile{log: logFile{path: filepath.Join(p.Dir, fmt.Sprintf("app-%06d.log", source))}}
	p.files[source] = f
	return f, f.log.open()
}

func (p *PlainLogs) full(f *plainFile) error {
	if p.Rotate == RotateTruncate {
		f.cut = time.Now().Add(p.Settle)
		return f.log.flush()
	}
	if err := f.log.close(); err != nil {
		return err
	}
	if p.Rotate == RotateDelete {
		if err := os.Remove(f.log.path); err != nil {
			return err
		}
	} else if err := shift(f.log.path, max(2, p.MaxFile)); err != nil {
		return err
	}
	return f.log.open()
}

// Flush also cuts files whose time has come.
func (p *PlainLogs) Flush(now time.Time) error {
	for _, f := range p.files {
		switch {
		case f == nil:
		case f.cut.IsZero():
			if err := f.log.flush(); err != nil {
				return err
			}
		case now.After(f.cut):
			if err := f.copyTruncate(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *plainFile) copyTruncate() error {
	from, err := os.Open(f.log.path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(f.log.path + ".1")
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return err
	}
	if err := errors.Join(to.Close(), f.log.f.Truncate(0)); err != nil {
		return err
	}
	f.cut, f.log.size = time.Time{}, int64(len(f.log.buf))
	return f.log.flush()
}

// Close waits for files that are about to be cut.
func (p *PlainLogs) Close() error {
	var errs []error
	for _, f := range p.files {
		if f == nil {
			continue
		}
		if !f.cut.IsZero() {
			time.Sleep(time.Until(f.cut))
			errs = append(errs, f.copyTruncate())
		}
		errs = append(errs, f.log.close())
	}
	return errors.Join(errs...)
}
