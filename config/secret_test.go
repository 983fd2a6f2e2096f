package config

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestSecretMasksItself in everything that might print it, alone and within the
// structs that hold it.
func TestSecretMasksItself(t *testing.T) {
	const s = Secret("hunter2")
	holder := struct {
		P  Secret
		PP *Secret
		L  []Secret
		M  map[string]Secret
		ES Elasticsearch
	}{s, new(s), []Secret{s}, map[string]Secret{"k": s}, Elasticsearch{Password: s, APIKey: s}}
	f := func(how, text string) {
		t.Helper()
		if strings.Contains(text, "hunter2") || strings.Contains(strings.ToLower(text), "68756e74657232") {
			t.Errorf("%s shows the secret: %s", how, text)
		}
	}
	masks := func(how, text string) {
		t.Helper()
		f(how, text)
		if !strings.Contains(text, masked) {
			t.Errorf("%s = %s; want %s in it", how, text, masked)
		}
	}
	for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %t %10s") {
		masks(verb, fmt.Sprintf(verb, s))
		f(verb, fmt.Sprintf(verb, &holder.P))
		f(verb, fmt.Sprintf(verb, holder))
		f(verb, fmt.Sprintf(verb, &holder))
	}
	masks("Sprint", fmt.Sprint(s))
	masks("Errorf", fmt.Errorf("login with %v", s).Error())
	b, err := json.Marshal(holder)
	masks("JSON", string(b))
	if err != nil {
		t.Error(err)
	}
	if b, err = yaml.Marshal(holder); err != nil {
		t.Error(err)
	}
	masks("YAML", string(b))
	b, _ = xml.Marshal(s)
	masks("XML", string(b))
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var out bytes.Buffer
		slog.New(handler(&out)).Info("login "+fmt.Sprint(s), "secret", s, "holder", holder, slog.Group("g", "s", s))
		masks(name, out.String())
	}
	if s.Reveal() != "hunter2" {
		t.Error("Reveal masks too")
	}
	if got := fmt.Sprintf("%v %#v", Secret(""), Secret("")); got != ` ""` {
		t.Errorf("an empty secret prints %q; want it seen to be empty", got)
	}
}
