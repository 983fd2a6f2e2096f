package tail

import (
	"path/filepath"
	"slices"
	"strings"
)

// stems are the sources by directory and the first part of their name, so that the
// original of a file is found that has that part in its name: of web-20261121.log,
// web.bak and old/web.log that is web.log.
type stems map[string][]*origin

// mostOriginals bounds what a new file is compared with.
const mostOriginals = 16

func stemOf(path string) string {
	dir, name := filepath.Split(path)
	if i := strings.IndexByte(strings.TrimLeft(name, "."), '.'); i > 0 {
		name = name[:len(name)-len(strings.TrimLeft(name, "."))+i]
	}
	return dir + name
}

func (t stems) add(s *origin) {
	if s.spec.Path != "" && !s.spec.Decoder.Timed() {
		at := stemOf(s.spec.Path)
		t[at] = append(t[at], s)
	}
}

func (t stems) remove(s *origin) {
	at := stemOf(s.spec.Path)
	if t[at] = slices.DeleteFunc(t[at], func(o *origin) bool { return o == s }); len(t[at]) == 0 {
		delete(t, at)
	}
}

// originals are the files that f may be a copy of as far as names say: of sources in its
// directory, or the one above, whose name begins with a part of its own.
func (t stems) originals(f *file) (out []*file) {
	if f.src.spec.Decoder.Timed() {
		return nil
	}
	dir, name := filepath.Split(f.path)
	var ends []int // of parts of the name
	for i := 0; i <= len(name) && len(ends) < 16; i++ {
		if i == len(name) || !alnum(name[i]) {
			ends = append(ends, i)
		}
	}
	above, _ := filepath.Split(strings.TrimSuffix(dir, "/"))
	for _, in := range []string{dir, above} {
		for from := -1; from < len(name); from++ {
			if from >= 0 && alnum(name[from]) {
				continue
			}
			for _, to := range ends {
				if to <= from+1 {
					continue
				}
				for _, s := range t[in+name[from+1:to]] {
					if s != f.src && s.live != nil && len(out) < mostOriginals {
						out = append(out, s.live)
					}
				}
			}
		}
	}
	return out
}

func alnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= 0x80
}
