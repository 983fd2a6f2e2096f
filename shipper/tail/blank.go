package tail

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/shipper/disk"
)

// blankScan is how much is looked at, at a time, for what comes after a run of NULs.
const blankScan = 4 << 20

// filled is what of data, which follows in f and ends in NULs, can be read: not the NULs that
// the file ends with, since they may be filled in yet (a file that was made long before it is
// written, or pages of a network file system that come later), unless nobody will. If more,
// it is not known yet what comes after them.
func (t *reader) filled(f *file, data []byte) (text []byte, more bool) {
	e := &f.extent
	end := f.text.Read + int64(len(data))
	if text = bytes.TrimRight(data, "\x00"); len(text) > 0 && e.text < end {
		return text, false
	}
	if e.text >= end {
		return data, false
	}
	st, err := disk.StatOpen(f.fd)
	if err != nil {
		f.trouble(t.log, err)
		return nil, false
	}
	if st.Written != e.written || e.blank < end { // anything may have been written since
		e.blank, e.written = end, st.Written
	}
	for looked := 0; e.blank < st.Size && looked < blankScan; {
		if at, err := unix.Seek(f.fd, e.blank, unix.SEEK_DATA); err == nil {
			e.blank = max(e.blank, at)
		} else if err == unix.ENXIO { // a hole up to the end
			e.blank = st.Size
			break
		}
		var b [64 << 10]byte
		n, err := disk.Pread(f.fd, b[:], e.blank)
		if err != nil {
			f.trouble(t.log, err)
			return nil, false
		}
		if i := bytes.IndexFunc(b[:n], func(r rune) bool { return r != 0 }); i >= 0 {
			e.text = e.blank + int64(i) + 1
			return data[:min(int64(len(data)), e.text-f.text.Read)], false
		}
		if n == 0 {
			break
		}
		e.blank, looked = e.blank+int64(n), looked+n
	}
	if e.blank < st.Size {
		return nil, true
	}
	e.blank = st.Size
	if s := f.src; (s.gone || s.spec.Hints.Ended || f != s.live) && t.now.Sub(f.times.grew) >= min(quiet, t.cfg.HoldDeleted.D()) {
		e.text = st.Size // no text: nobody writes to it
		return data, false
	}
	return nil, false
}
