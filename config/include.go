package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Texts is a list of texts that may be written as a single text as well.
type Texts []string

// What a configuration may be.
const (
	maxFile  = 4 << 20 // bytes of a file; a larger one is no configuration
	maxFiles = 256
)

var maxAll = 16 << 20 // bytes of all included files; a test sets less

// include reads the files that c.Include names, and those that they name, in that order.
// Lists of the same key are joined, sections and maps merged; a single value may be set
// in one file only.
func (d *decoder) include(c *Config) {
	root := d.files[0]
	type request struct {
		glob string
		at   position
	}
	requests := func() (out []request) {
		name := d.files[len(d.files)-1]
		for i, glob := range c.Include {
			at := d.at[entryPath("include", i)]
			if glob == "" {
				d.fail(at, "include", "expected the name of a file or a glob")
				continue
			}
			if !filepath.IsAbs(glob) {
				glob = filepath.Join(filepath.Dir(name), glob)
			}
			out = append(out, request{glob, at})
		}
		for i := range c.Include { // a file's includes are its own
			delete(d.at, entryPath("include", i))
		}
		delete(d.at, "include")
		c.Include = nil
		return out
	}
	at, named := d.at["include"]
	queue := requests()
	defer func() {
		if named {
			d.at["include"] = at
		}
	}()
	read := map[string]string{real(root): "is the file that all begins with"}
	total := 0
	for len(queue) > 0 {
		q := queue[0]
		queue = queue[1:]
		names, err := matching(q.glob)
		if err != nil {
			d.fail(q.at, "include", "%v", err)
			continue
		}
		for _, name := range names {
			if why, ok := read[real(name)]; ok {
				d.fail(q.at, "include", "%s %s; a file is read once", name, why)
				continue
			}
			read[real(name)] = "is included in " + d.where(q.at) + " already"
			if len(d.files) == maxFiles {
				d.fail(q.at, "include", "more than %d files", maxFiles)
				return
			}
			data, err := regular(name)
			if err != nil {
				d.fail(q.at, "include", "%v", err)
				continue
			}
			if total += len(data); total > maxAll {
				d.fail(q.at, "include", "more than %s in all files", Bytes(maxAll))
				return
			}
			if err := d.file(c, name, data); err != nil {
				var syntax *Error
				if errors.As(err, &syntax) {
					d.errs = append(d.errs, syntax)
				}
				continue
			}
			queue = append(queue, requests()...)
		}
	}
}

// matching lists the files of a glob in the order of their names. One without wildcards
// has to be there.
func matching(glob string) ([]string, error) {
	names, err := filepath.Glob(glob)
	if err != nil {
		return nil, fmt.Errorf("%s is no glob such as teams/*.yaml: %w", glob, err)
	}
	if len(names) == 0 && !strings.ContainsAny(glob, `*?[\`) {
		_, err := os.Stat(glob)
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// real is the same for two names of one file.
func real(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	if to, err := filepath.EvalSymlinks(name); err == nil {
		name = to
	}
	return name
}

func regular(name string) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() { // a pipe would hold us up
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	return readFile(name)
}

// readFile reads a file, of one that is too large the first bytes.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}
