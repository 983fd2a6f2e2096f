package page

import (
	"bytes"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// The policy names the hashes of the script and of the style sheet that are in the page, and
// the page asks for nothing besides.
func TestServe(t *testing.T) {
	w := httptest.NewRecorder()
	Serve(w, httptest.NewRequest("GET", "/", nil))
	body := w.Body.Bytes()
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || !bytes.Contains(body, []byte("</html>")) {
		t.Errorf("%d, %v, %d bytes", w.Code, w.Header(), len(body))
	}
	for _, tag := range []string{"<script", "<style"} {
		if n := bytes.Count(body, []byte(tag)); n != 1 {
			t.Errorf("%d elements %s>, want one, whose hash the policy has", n, tag)
		}
	}
	policy := w.Header().Get("Content-Security-Policy")
	const none = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='" // of nothing
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, none) || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	if m := regexp.MustCompile(`(?:src|href)="(?:https?:)?//[^"]*"`).Find(body); m != nil {
		t.Errorf("the page loads %s", m)
	}
}
