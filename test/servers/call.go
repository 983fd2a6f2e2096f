package servers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Call sends a request, whose body is JSON if there is one, and returns the body of the answer, which must be of status 2xx.
func Call(ctx context.Context, method, url, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %.300s", method, url, resp.Status, text)
	}
	return text, err
}
