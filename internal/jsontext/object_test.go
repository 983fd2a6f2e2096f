package jsontext

import (
	"encoding/json"
	"strings"
	"testing"
)

// An Object takes what encoding/json takes, but for the limits that are its own.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":[1,{"b":null}],"c":"\u00e9\n","d":-1.5e+7}`, ` {} `, `{"a":tru}`, `{"aaaaaaaaaaaaaaaaaaa\"":"bbbbbbbbbbbbbbbbbb\\"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Object
		got := s.Read(b)
		i := SkipSpace(b, 0)
		want := i < len(b) && b[i] == '{' && json.Valid(b)
		if got && !want {
			t.Fatalf("%q: taken", b)
		}
		if want && !got && depth(b) <= MaxDepth {
			t.Fatalf("%q: refused", b)
		}
	})
}

func depth(b []byte) (deepest int) {
	d := 0
	for _, c := range b { // counts brackets in strings too: an upper bound
		switch c {
		case '{', '[':
			d++
			deepest = max(deepest, d)
		case '}', ']':
			d--
		}
	}
	return deepest
}

func TestObject(t *testing.T) {
	f := func(unique bool, text, want string) {
		t.Helper()
		o := Object{Unique: unique}
		got := "no"
		if o.Read([]byte(text)) {
			got = ""
			for _, m := range o.Members {
				got += string(m.Key) + "=" + string(m.Value) + " "
			}
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	f(true, ` {"a" : 1.0, "b\u0020":{"c":[1, 2]} } `, `a=1.0 b\u0020={"c":[1, 2]} `)
	f(true, `{}`, ``)
	f(true, `{"a":1,"a":2}`, `no`)
	f(true, `{"o":{"b":1,"c":2,"b":3}}`, `no`)
	f(false, `{"a":1,"a":2}`, `a=1 a=2 `)
	f(true, `{"a":01}`, `no`)
	f(true, `{"a":"\x"}`, `no`)
	f(true, `{"a":1} x`, `no`)
	f(true, `[1]`, `no`)
	deep := strings.Repeat(`[`, MaxDepth) + "1" + strings.Repeat(`]`, MaxDepth)
	f(true, `{"a":`+deep[1:len(deep)-1]+`}`, `a=`+deep[1:len(deep)-1]+` `)
	f(true, `{"a":`+deep+`}`, `no`)
}

// What an object read last is let go of, and memory is bounded.
func TestObjectSheds(t *testing.T) {
	o := Object{Unique: true}
	var b strings.Builder
	for i := range 2 * MaxMembers {
		b.WriteString([]string{"{", ","}[min(i, 1)] + `"k` + strings.Repeat("x", i) + `":1`)
	}
	o.Unique = false
	if !o.Read([]byte(b.String() + "}")) {
		t.Fatal("not read")
	}
	m, ok := o.Member("kx")
	if !ok || string(m.Value) != "1" || m.Text() != "" {
		t.Errorf("member kx: %v, %s", ok, m.Value)
	}
	if o.Shed(); cap(o.Members) > MaxMembers {
		t.Errorf("%d members kept", cap(o.Members))
	}
	if !o.Read([]byte(`{"a":"x\n"}`)) || o.Members[0].Text() != "x\n" {
		t.Errorf("members %v", o.Members)
	}
	members := o.Members[:1]
	if o.Shed(); members[0].Key != nil {
		t.Error("the bytes are kept")
	}
}
