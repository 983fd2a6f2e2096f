package outside

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/sluicelog/sluice/internal/embedded"
	"github.com/sluicelog/sluice/internal/page"
)

// startStore is the store of sluice up with its page.
func startStore(t *testing.T) *embedded.Store {
	t.Helper()
	s, err := embedded.StartStore(embedded.StoreOptions{Dir: t.TempDir(), Page: http.HandlerFunc(page.Serve)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// event is a line as the indexer writes it.
func event(i int, at time.Time) string {
	levels := []string{"info", "info", "info", "debug", "warn", "error"}
	return fmt.Sprintf(`{"@timestamp":%q,"message":"INFO [exec-%d] OrderController - order %d of customer %d accepted","log":{"offset":%d,"level":%q},"container":{"name":"order-%d"},"host":{"name":"node-%02d"},"labels":{"dc":"eu1"}}`,
		at.Format(time.RFC3339Nano), i%50, i, i%977, i*311, levels[i%len(levels)], i%20, i%16)
}

// fill stores documents; ids begin with prefix.
func fill(t *testing.T, s *embedded.Store, prefix string, docs ...string) {
	t.Helper()
	var b strings.Builder
	for i, d := range docs {
		fmt.Fprintf(&b, `{"create":{"_index":"logs-%s","_id":"%[1]s%d"}}`+"\n%s\n", prefix, i, d)
	}
	resp, err := http.Post(s.URL()+"/_bulk", "application/x-ndjson", strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct{ Errors bool }
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || resp.StatusCode != 200 || a.Errors {
		t.Fatalf("bulk: %s, errors %v, %v", resp.Status, a.Errors, err)
	}
}

// tab is a page in a headless Chromium of 1280x800 with a fresh profile.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func browse(t *testing.T, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 800),
		chromedp.WSURLReadTimeout(2*time.Minute), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	p := &tab{t, ctx}
	if err := chromedp.Listen(ctx, func(e any) { // scripts must not fail
		if e, ok := e.(*runtime.EventExceptionThrown); ok {
			t.Errorf("page: %s %s", e.ExceptionDetails.Text, e.ExceptionDetails.Exception.Description)
		}
	}); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.EmulateViewport(1280, 800), chromedp.Navigate(url))
	return p
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func eval[T any](p *tab, js string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](js))
	if err != nil {
		p.t.Fatalf("%s: %v", js, err)
	}
	return v
}

// until waits for js to be true.
func (p *tab) until(js string) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); !eval[bool](p, js); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("still not: %s\nthe page says:\n%s", js, eval[string](p, `document.body.innerText.slice(0, 800)`))
		}
	}
}

// run runs js for what it does.
func (p *tab) run(js string) {
	p.t.Helper()
	eval[bool](p, js+"; true")
}

func (p *tab) found(want string) { p.t.Helper(); p.until(`$("found").textContent === "` + want + `"`) }

// shoot writes a screenshot beside the file that SLUICE_SCREENSHOT names.
func (p *tab) shoot(suffix string) {
	name := os.Getenv("SLUICE_SCREENSHOT")
	if name == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimSuffix(name, ".png")+suffix+".png", png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// TestPage: an analyst opens the page, sees the histogram, searches, opens a line, narrows
// by a value and by time, follows new lines; markup in a line stays text.
func TestPage(t *testing.T) {
	s := startStore(t)
	now := time.Now().UTC()
	var docs []string
	for i := range 600 {
		docs = append(docs, event(i, now.Add(-time.Duration(i*i/900)*time.Second)))
	}
	const markup = `<img src=x onerror="document.title='owned'"><b>markup</b>`
	docs = append(docs, fmt.Sprintf(`{"@timestamp":%q,"message":%q,"log":{"level":"error"},"container":{"name":"<i>evil</i>"},"host":{"name":"node-99"}}`, now.Format(time.RFC3339Nano), markup))
	fill(t, s, "1", docs...)

	p := browse(t, s.URL())
	p.found("601 lines")
	if bars := eval[int](p, `document.querySelectorAll("#bars .bar").length`); bars < 10 {
		t.Errorf("histogram: got %d bars", bars)
	}
	p.shoot("")
	p.until(fmt.Sprintf(`[...document.querySelectorAll("tr.row .msg")].some(e => e.textContent === %q)`, markup))
	if title := eval[string](p, `document.title`); title != "sluice logs" {
		t.Errorf("a log line ran as a script: title %q", title)
	}
	p.do(chromedp.Func(func(ctx context.Context, tt *chromedp.Target) error {
		_, err := cdp.Call(ctx, tt, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
		return err
	}))
	p.shoot("-dark")

	p.do(chromedp.KeyEvent("/"))
	p.until(`document.activeElement === $("q")`)
	p.run(`$("q").value = ""`) // the test types the character of a key whose default was prevented
	p.do(chromedp.KeyEvent("accepted log.level:error\r"))
	p.found("100 lines")
	if hash := eval[string](p, `location.hash`); hash != "#q=accepted+log.level%3Aerror&r=15m" {
		t.Errorf("state in the hash: got %s", hash)
	}
	p.run(`document.querySelectorAll("tr.row .msg")[1].click()`)
	p.until(`document.querySelector(".fields dt") !== null`)
	p.shoot("-open")
	p.run(`[...document.querySelectorAll(".fields dt")].find(e => e.textContent === "host.name").nextElementSibling.querySelector(".val").click()`)
	p.until(`/ host\.name:node-\d\d$/.test($("q").value) && parseInt($("found").textContent) < 100`)
	p.run(`go({q: "(broken"})`)
	p.until(`!$("problem").hidden && $("problem").textContent.includes("closing parenthesis")`)
	p.run(`go({q: "nothing-has-this"})`)
	p.do(chromedp.Reload())
	p.until(`$("q").value === "nothing-has-this" && $("empty").innerText.includes("Nothing matches")`)
	p.shoot("-empty")

	p.run(`go({q: "", r: "1h"})`)
	p.found("601 lines")
	p.run(`{const b = $("bars"), at = x => ({clientX: b.getBoundingClientRect().left + x, clientY: b.getBoundingClientRect().top + 40, button: 0, pointerId: 1, bubbles: true});
		b.setPointerCapture = () => {};
		const right = chart.left + chart.width * chart.slots;
		for (const [type, x] of [["pointerdown", right - 3.5 * chart.width], ["pointermove", right - 1.5 * chart.width], ["pointerup", right - 1.5 * chart.width]]) b.dispatchEvent(new PointerEvent(type, at(x)));}`)
	p.until(`state.from > 0 && parseInt($("found").textContent) < 601`)

	p.run(`go({q: "", r: "15m", from: 0, to: 0})`)
	p.found("601 lines")
	p.do(chromedp.KeyEvent("l"))
	p.until(`state.live && $("live").getAttribute("aria-pressed") === "true"`)
	fill(t, s, "2", fmt.Sprintf(`{"@timestamp":%q,"message":"a line that just arrived","log":{"level":"warn"}}`, now.Add(-10*time.Minute).Format(time.RFC3339Nano)))
	p.until(`document.querySelector("#rows tr.row .msg").textContent === "a line that just arrived"`)
	p.until(`$("docs").textContent === "602"`)
	p.shoot("-live")
}

// TestPageEmptyStore: who opens the page first is told what to do, and sees the first line by itself.
func TestPageEmptyStore(t *testing.T) {
	s := startStore(t)
	p := browse(t, s.URL()+"/_page")
	p.until(`$("empty").innerText.includes("docker run")`)
	p.shoot("-first")
	fill(t, s, "1", event(1, time.Now()))
	p.until(`document.querySelectorAll("tr.row").length === 1`)
}
