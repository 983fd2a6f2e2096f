package disk

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is one that has a file open.
type Process struct {
	PID  int
	Name string // as the kernel has it
}

// Writers finds who of this host's processes has files open for writing, as far as /proc
// may be looked into; all reports whether that was so for every process. It looks at each
// descriptor of each process, which takes its time.
func Writers(files map[ID]bool) (found map[ID]Process, all bool) {
	found, all = map[ID]Process{}, true
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return found, false
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		fds := filepath.Join("/proc", d.Name(), "fd")
		links, err := os.ReadDir(fds)
		if err != nil {
			all = all && os.IsNotExist(err) // it has ended
			continue
		}
		for _, l := range links {
			path := filepath.Join(fds, l.Name())
			if st, err := os.Lstat(path); err != nil || st.Mode()&0o200 == 0 { // not open for writing
				continue
			}
			if st, err := StatPath(path); err == nil && files[st.ID] {
				name, _ := os.ReadFile(filepath.Join("/proc", d.Name(), "comm"))
				found[st.ID] = Process{PID: pid, Name: strings.TrimSpace(string(name))}
			}
		}
	}
	return found, all
}
