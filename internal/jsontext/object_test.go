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
	f := func(storable bool, text, want string) {
		t.Helper()
		o := Object{Storable: storable}
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
	f(true, `{"a":1,"\u0061":2}`, `no`)
	f(true, `{"\u00e9":1,"é":2}`, `no`)
	f(true, `{"a\/b":1,"o":{"a/b":2,"a\u002fc":3},"a\u002f":4}`, `a\/b=1 o={"a/b":2,"a\u002fc":3} a\u002f=4 `)
	f(true, `{"o":{"\"":1,"\u0022":2}}`, `no`)
	f(true, `{"a\u0000":1}`, `no`)
	f(true, `{"a\\u0000":"\u0000"}`, `a\\u0000="\u0000" `)
	f(false, `{"a":1,"a":2,"\u0061":3,"\u0000":4}`, `a=1 a=2 \u0061=3 \u0000=4 `)
	half, digits := strings.Repeat("k", MaxPath/2), strings.Repeat("9", MaxNumber)
	f(true, `{"`+half[2:]+`":{"`+half+`":1}}`, half[2:]+`={"`+half+`":1} `)
	f(true, `{"`+half+`":{"`+half+`":1}}`, `no`)
	f(true, `{"`+half+`":1,"`+half[1:]+`":[{"b":1},{"b":1}]}`, half+`=1 `+half[1:]+`=[{"b":1},{"b":1}] `)
	f(true, `{"a":`+digits+`}`, `a=`+digits+` `)
	f(true, `{"a":[`+digits+`9]}`, `no`)
	f(false, `{"a":`+digits+`9}`, `a=`+digits+`9 `)
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
	o := Object{Storable: true}
	var b strings.Builder
	for i := range 2 * MaxMembers {
		b.WriteString([]string{"{", ","}[min(i, 1)] + `"k` + strings.Repeat("x", i) + `":1`)
	}
	o.Storable = false
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
	o.Storable = true
	if !o.Read([]byte(`{"\u0061` + strings.Repeat("x", 5*MaxMembers) + `":1}`)) {
		t.Fatal("not read")
	}
	if o.Shed(); cap(o.plain) > 4*MaxMembers {
		t.Errorf("%d bytes of keys kept", cap(o.plain))
	}
	if !o.Read([]byte(`{"a":"x\n"}`)) || o.Members[0].Text() != "x\n" {
		t.Errorf("members %v", o.Members)
	}
	members := o.Members[:1]
	if o.Shed(); members[0].Key != nil {
		t.Error("the bytes are kept")
	}
}
