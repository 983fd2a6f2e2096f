package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"syscall"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/metrics"
)

// Server answers /healthz, /readyz, /metrics and /status for the roles of a process.
// A nil Server, of an empty admin.listen, may be asked and closed.
type Server struct {
	cfg     config.Admin
	version string
	started time.Time
	log     *slog.Logger
	states  []*State
	regs    []*metrics.Registry

	listener net.Listener
	http     *http.Server
	done     chan struct{} // closed when serving has ended
}

// Listen binds cfg.Listen, so that a port that is taken is an error now, and serves
// until Close.
func Listen(cfg config.Admin, version string, log *slog.Logger, states []*State, regs ...*metrics.Registry) (*Server, error) {
	if cfg.Listen == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("admin.listen %q: %w; a host without a port gives each role one of its own", cfg.Listen, err)
	}
	if err != nil {
		return nil, fmt.Errorf("admin.listen %q: %w", cfg.Listen, err)
	}
	s := &Server{cfg: cfg, version: version, started: time.Now(), log: log, states: states, regs: regs, listener: l, done: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s.handler(metrics.Handler(log, regs...)),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute, // a CPU profile takes half of it
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // broken requests of others
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the admin server ended", "listen", cfg.Listen, "error", err)
		}
	}()
	return s, nil
}

// Addr is the address that was bound, which matters for port 0; empty for a nil Server.
func (s *Server) Addr() string {
	if s == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Close gives requests under way a second and ends the rest.
func (s *Server) Close() error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	return err
}

func (s *Server) handler(figures http.Handler) http.Handler {
	mux := http.NewServeMux() // answers 404 and 405 by itself
	pages := []struct {
		path, says string
		h          http.Handler
	}{
		{"/healthz", "200 while the process serves", http.HandlerFunc(s.healthz)},
		{"/readyz", "200 when every role is ready, else 503 and why", http.HandlerFunc(s.readyz)},
		{"/metrics", "figures for Prometheus", figures},
		{"/status", "what each role is doing, as JSON", http.HandlerFunc(s.status)},
		{"/debug/pprof/", "profiles of the Go runtime", http.HandlerFunc(pprof.Index)},
	}
	if !s.cfg.Pprof {
		pages = pages[:len(pages)-1]
	} else {
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	index := "<!DOCTYPE html><title>sluice</title><h1>sluice</h1><ul>\n"
	for _, p := range pages {
		mux.Handle("GET "+p.path, p.h)
		index += fmt.Sprintf("<li><a href=\"%s\">%s</a> %s\n", p.path, p.path, p.says)
	}
	index += "</ul>\n"
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, index)
	})
	return mux
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ok\n")
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	type reason struct {
		Role   string `json:"role"`
		Reason string `json:"reason"`
	}
	answer := struct {
		Ready   bool     `json:"ready"`
		Reasons []reason `json:"reasons,omitempty"`
	}{Ready: true}
	for _, st := range s.states {
		for _, why := range st.NotReady(s.cfg.UnreadyAfter.D()) {
			answer.Ready = false
			answer.Reasons = append(answer.Reasons, reason{st.Role, why})
		}
	}
	code := http.StatusOK
	if !answer.Ready {
		code = http.StatusServiceUnavailable
	}
	reply(w, code, answer)
}

// roleStatus is a role in /status.
type roleStatus struct {
	Role         string                     `json:"role"`
	Ready        bool                       `json:"ready"`
	Draining     bool                       `json:"draining"`
	Dependencies []dependencyStatus         `json:"dependencies"`
	Account      metrics.Account            `json:"account"` // how its counters add up
	AccountError string                     `json:"account_error,omitempty"`
	Sections     map[string]json.RawMessage `json:"sections,omitempty"`
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	answer := struct {
		Version string       `json:"version"`
		PID     int          `json:"pid"`
		Started time.Time    `json:"started"`
		Uptime  string       `json:"uptime"`
		Roles   []roleStatus `json:"roles"`
	}{s.version, os.Getpid(), s.started, time.Since(s.started).Round(time.Second).String(), []roleStatus{}}
	for _, st := range s.states {
		role := st.status(s.cfg.UnreadyAfter.D())
		if role.Account, role.AccountError = s.account(st.Role); role.AccountError != "" {
			s.log.Warn("the figures cannot be read", "role", st.Role, "error", role.AccountError)
		}
		answer.Roles = append(answer.Roles, role)
	}
	reply(w, http.StatusOK, answer)
}

// account is that of the registry of a role.
func (s *Server) account(role string) (a metrics.Account, why string) {
	for _, r := range s.regs {
		if r.Role == role {
			a, err := r.Account()
			if err != nil {
				why = err.Error()
			}
			return a, why
		}
	}
	return a, ""
}

// status reads the sections outside the lock, since they may take locks of their own.
func (s *State) status(after time.Duration) roleStatus {
	s.mu.Lock()
	draining, deps, sections := s.draining, s.deps, s.sections
	s.mu.Unlock()
	st := roleStatus{Role: s.Role, Ready: len(s.NotReady(after)) == 0, Draining: draining,
		Dependencies: []dependencyStatus{}, Sections: map[string]json.RawMessage{}}
	for _, d := range deps {
		st.Dependencies = append(st.Dependencies, d.status())
	}
	for _, sec := range sections {
		text, err := json.Marshal(sec.read())
		if err != nil {
			text, _ = json.Marshal(map[string]string{"error": err.Error()})
		}
		st.Sections[sec.name] = text
	}
	return st
}

func reply(w http.ResponseWriter, code int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	e.Encode(answer) // an error is the client's going away
}
