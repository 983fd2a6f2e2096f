package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// SampleFiles are the names of the files that Sample writes, by dataset.
var SampleFiles = map[string]string{"shop": "shop.json", "order": "order.log", "nginx": "access.log"}

const sampleRotateAt = 4 << 20 // bytes; one older file is kept

// Sample is a small application to look at: a shop that writes ECS JSON, an order
// service that writes logback lines with now and then a stack trace, and nginx in
// front of them. It writes about ten lines a second to files in dir, which are rotated
// by renaming, until ctx ends.
func Sample(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	files := map[string]*rotated{}
	for dataset, name := range SampleFiles {
		f, err := openRotated(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		defer f.Close()
		files[dataset] = f
	}
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		v := newVisit(n)
		for dataset, write := range map[string]func(io.Writer) error{"nginx": v.nginx, "shop": v.shop, "order": v.order} {
			if err := write(files[dataset]); err != nil {
				return fmt.Errorf("write the sample: %w", err)
			}
		}
	}
}

// visit is one customer's request, seen by the three services.
type visit struct {
	n, item, ms, status int
	user, ip, trace     string
}

func newVisit(n int) *visit {
	v := &visit{
		n: n, item: rand.IntN(9000) + 1000, ms: 3 + int(rand.ExpFloat64()*60), status: 200,
		user:  []string{"ada", "grace", "linus", "margaret", "ken", "zoë"}[rand.IntN(6)],
		ip:    fmt.Sprintf("10.2.%d.%d", rand.IntN(4), rand.IntN(250)+1),
		trace: fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()),
	}
	switch rand.IntN(25) {
	case 0:
		v.status = 500
	case 1, 2:
		v.status = 404
	}
	return v
}

func (v *visit) nginx(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s - %s [%s] \"GET /items/%d?ref=%s HTTP/1.1\" %d %d \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"\n",
		v.ip, v.user, time.Now().Format("02/Jan/2006:15:04:05 -0700"), v.item, v.trace[:8], v.status, 200+v.item%4000)
	return err
}

func (v *visit) shop(w io.Writer) error {
	level, message := "info", fmt.Sprintf("item %d shown to %s", v.item, v.user)
	switch v.status {
	case 404:
		level, message = "warn", fmt.Sprintf("item %d is not in the catalogue", v.item)
	case 500:
		level, message = "error", fmt.Sprintf("item %d: order service answered 500", v.item)
	}
	line, err := json.Marshal(map[string]any{
		"@timestamp": time.Now().UTC().Format(time.RFC3339Nano), "log.level": level, "message": message,
		"log.logger": "shop.catalogue", "trace.id": v.trace, "user": v.user, "item": v.item, "took_ms": v.ms,
	})
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

func (v *visit) order(w io.Writer) error {
	at := time.Now().UTC().Format("2006-01-02 15:04:05.000")
	if v.status != 500 {
		_, err := fmt.Fprintf(w, "%s INFO  [http-%d] c.example.order.OrderService - order=%d user=%s cost=%dms stock=%d\n", at, v.n%16, v.n, v.user, v.ms, v.item%17)
		return err
	}
	_, err := fmt.Fprintf(w, "%s ERROR [http-%d] c.example.order.OrderService - order=%d failed: java.sql.SQLTimeoutException: no connection within %d ms at c.example.order.Store.reserve(Store.java:%d)\n",
		at, v.n%16, v.n, 1000+v.ms, 40+v.item%100)
	return err
}

// rotated is a file that is renamed to .1 when it is full.
type rotated struct {
	path string
	file *os.File
	size int64
}

func openRotated(path string) (*rotated, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &rotated{path: path, file: f, size: info.Size()}, nil
}

// Write appends whole lines; it rotates before one that would not fit.
func (r *rotated) Write(line []byte) (int, error) {
	if r.size+int64(len(line)) > sampleRotateAt {
		if err := os.Rename(r.path, r.path+".1"); err != nil {
			return 0, err
		}
		fresh, err := openRotated(r.path)
		if err != nil {
			return 0, err
		}
		r.file.Close()
		r.file, r.size = fresh.file, fresh.size
	}
	n, err := r.file.Write(line)
	r.size += int64(n)
	return n, err
}

// Close closes the current file.
func (r *rotated) Close() error { return r.file.Close() }
