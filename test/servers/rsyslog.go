//go:build linux

package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// RsyslogServer is a running rsyslogd 8.2302.
type RsyslogServer struct {
	*Process
	Messages string // file with rsyslogd's words about itself, errors in its configuration among them
}

// StartRsyslog starts rsyslogd with config, which is in its own language and says what to take in and where to send it
// (imtcp, imudp, imfile, omfwd, omkafka, omelasticsearch; FreePorts has ports). Its files are in dir.
func StartRsyslog(ctx context.Context, dir, config string) (*RsyslogServer, error) {
	if err := Install(ctx, NameRsyslog); err != nil {
		return nil, err
	}
	rsyslogd, err := lookPath("rsyslogd")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "rsyslog.conf")
	r := &RsyslogServer{Messages: filepath.Join(dir, "messages.log")}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(file, []byte(rsyslogConfig(dir, r.Messages, config)), 0o644)); err != nil {
		return nil, err
	}
	r.Process = &Process{
		Name: "rsyslogd",
		Log:  filepath.Join(dir, "rsyslogd.log"),
		argv: []string{rsyslogd, "-n", "-f", file, "-i", filepath.Join(dir, "rsyslogd.pid")},
	}
	starts := 0 // Messages grows over restarts
	r.ready = func(context.Context) error {
		text, err := os.ReadFile(r.Messages)
		if n := bytes.Count(text, []byte("] start")); n <= starts {
			return fmt.Errorf("%s has no start in it yet (%v)", r.Messages, err)
		}
		starts++
		return nil
	}
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// rsyslogConfig puts before config what makes rsyslogd log about itself: it does so once all is loaded and listening.
func rsyslogConfig(dir, messages, config string) string {
	return fmt.Sprintf(`global(workDirectory=%q processInternalMessages="on")
if $programname == "rsyslogd" then {
  action(type="omfile" file=%q)
  stop
}
%s
`, dir, messages, config)
}
