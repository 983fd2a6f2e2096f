package parse

import (
	"encoding/json"
	"testing"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// A stack trace gives error.type, error.message and error.stack_trace.
func TestThrown(t *testing.T) {
	p := newParser("UTC")
	f := func(line, kind, message, trace string) {
		t.Helper()
		got := p.Parse(jsontext.Append(nil, line), judgedRead, Options{})
		var e struct {
			Type, Message string
			Trace         string `json:"stack_trace"`
		}
		for _, m := range got.Fields {
			if m.Name == "error" {
				if err := json.Unmarshal(m.Value, &e); err != nil {
					t.Fatalf("%q: %v: %s", line, err, m.Value)
				}
			}
		}
		if e.Type != kind || e.Message != message || e.Trace != trace {
			t.Errorf("%q:\ngot  %q, %q, %q\nwant %q, %q, %q", line, e.Type, e.Message, e.Trace, kind, message, trace)
		}
	}
	const java = "java.lang.IllegalStateException: boom\n\tat a.B.c(B.java:12)\nCaused by: java.io.IOException: x\n\t... 3 more"
	f(java, "java.lang.IllegalStateException", "boom", java)
	f(java+"\n", "java.lang.IllegalStateException", "boom", java)
	f("Exception in thread \"main\" "+java, "java.lang.IllegalStateException", "boom", java)
	f("2026-11-21 08:57:47.123 [exec-1] ERROR c.q.A - failed\n"+java, "java.lang.IllegalStateException", "boom", java)
	f("2026-11-21 08:57:47.123 [exec-1] ERROR c.q.A - failed: "+java, "java.lang.IllegalStateException", "boom", java)
	f("2026-11-21 08:57:47.123 ERROR c.q.A - failed\n\tat a.B.c(B.java:12)", "", "", "\tat a.B.c(B.java:12)")
	f("java.lang.NullPointerException\n\tat a.B.c(B.java:12)", "java.lang.NullPointerException", "", "java.lang.NullPointerException\n\tat a.B.c(B.java:12)")
	f("c.q.Failure$1: two\nlines \"x\"\n\tat a.B.c(B.java:12)", "c.q.Failure$1", "two\nlines \"x\"", "c.q.Failure$1: two\nlines \"x\"\n\tat a.B.c(B.java:12)")
	f("TypeError: x is undefined\n    at f (/a.js:1:7)\n    at /b.js:2:1", "TypeError", "x is undefined", "TypeError: x is undefined\n    at f (/a.js:1:7)\n    at /b.js:2:1")
	f("Error [ERR_X]: y\n    at f (/a.js:1:7)", "Error", "[ERR_X]: y", "Error [ERR_X]: y\n    at f (/a.js:1:7)")
	f("Unhandled exception. System.InvalidOperationException: x\n   at A.B() in C:\\new\\a.cs:line 1", "System.InvalidOperationException", "x", "System.InvalidOperationException: x\n   at A.B() in C:\\new\\a.cs:line 1")
	const python = "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nValueError: bad: x"
	f(python, "ValueError", "bad: x", python)
	f("ERROR:root:failed\n"+python+"\n", "ValueError", "bad: x", python)
	f("Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyboardInterrupt", "KeyboardInterrupt", "", "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyboardInterrupt")
	f("Traceback (most recent call last):\n  x\nKeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  y\napp.errors.Failed: z",
		"app.errors.Failed", "z", "Traceback (most recent call last):\n  x\nKeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  y\napp.errors.Failed: z")
	f("panic: runtime error: index\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:5", "panic", "runtime error: index", "panic: runtime error: index\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:5")
	f("[21-Nov-2026 08:57:47 UTC] PHP Fatal error:  Uncaught App\\Failed: x in /a.php:3\nStack trace:\n#0 {main}\n  thrown in /a.php on line 3", "App\\Failed", "x in /a.php:3", "App\\Failed: x in /a.php:3\nStack trace:\n#0 {main}\n  thrown in /a.php on line 3")
	f("a.rb:1:in `f': undefined method (NoMethodError)\n\tfrom a.rb:2:in `<main>'", "NoMethodError", "a.rb:1:in `f': undefined method ", "a.rb:1:in `f': undefined method (NoMethodError)\n\tfrom a.rb:2:in `<main>'")
	f("java.lang.IllegalStateException: ERROR: x", "java.lang.IllegalStateException", "ERROR: x", "")
	// none
	f("at the end\nat the start", "", "", "")
	f("a\n b\n c", "", "", "")
	f(`C:\new\tat a.B`, "", "", "")
	f("goroutine 1 [running]:\nmain.main()", "", "", "")
	f("2026-11-21 08:57:47 INFO x\nStack trace: none", "", "", "")
	// members of JSON
	text, _ := json.Marshal(java)
	f(`{"level":"error","msg":"x","stack_trace":`+string(text)+`}`, "java.lang.IllegalStateException", "boom", java)
	f(`{"level":50,"msg":"x","err":{"type":"Error","message":"y","stack":"Error: y\n    at f"}}`, "Error", "y", "Error: y\n    at f")
	f(`{"level":"error","msg":"x","error":"boom"}`, "", "", "")
	f(`{"level":"error","msg":"x","thrown":{"name":"a.B","message":"y","commonElementCount":0}}`, "a.B", "y", "")

	got := p.Parse([]byte(`{\"msg\":\"x\",\"err\":{\"type\":\"E\",\"message\":\"y\",\"code\":7},\"stack\":\"E: y\\n    at f\"}`), judgedRead, Options{})
	if string(got.App) != `"err":{"type":"E","message":"y","code":7},"stack":"E: y\n    at f"` {
		t.Errorf("app %s", got.App)
	}
}
