package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// key is one key of a section: a struct field with a yaml tag.
type key struct {
	name  string
	field string // of the struct
	index int
	typ   reflect.Type
	tag   reflect.StructTag
}

// keys lists the keys of a section in the order of its struct.
func keys(section reflect.Type) []key {
	var out []key
	for i := range section.NumField() {
		f := section.Field(i)
		if name := f.Tag.Get("yaml"); name != "" {
			out = append(out, key{name, f.Name, i, f.Type, f.Tag})
		}
	}
	return out
}

// join appends a key to the path of its section.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// leaf is one value of the tree that is no section, list or map.
type leaf struct {
	path  string
	value reflect.Value
	tag   reflect.StructTag // of the key that holds it
}

// leaves lists every value under v, the entries of maps by name.
func leaves(v reflect.Value, path string, tag reflect.StructTag) []leaf {
	var out []leaf
	switch v.Kind() {
	case reflect.Struct:
		for _, k := range keys(v.Type()) {
			out = append(out, leaves(v.Field(k.index), join(path, k.name), k.tag)...)
		}
	case reflect.Map:
		for _, name := range names(v) {
			out = append(out, leaves(v.MapIndex(reflect.ValueOf(name)), join(path, name), tag)...)
		}
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, leaves(v.Index(i), entryPath(path, i), tag)...)
		}
	default:
		out = append(out, leaf{path, v, tag})
	}
	return out
}

func entryPath(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// names are the sorted names of a map.
func names(m reflect.Value) []string {
	var out []string
	for _, k := range m.MapKeys() {
		out = append(out, k.String())
	}
	slices.Sort(out)
	return out
}

// entry is what an entry of a list or map starts from.
func entry(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch p := v.Addr().Interface().(type) {
	case *Kafka:
		*p = DefaultKafka()
	case *Files:
		*p = DefaultFiles()
	case *Source:
		*p = DefaultSource()
	case *Output:
		*p = DefaultOutput()
	}
	return v
}

// set reads text as a value of v's type. The error says what was expected and
// never holds the text.
func set(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *Duration:
		d, err := ParseDuration(text)
		if err != nil {
			return fmt.Errorf("expected a duration such as 5s, 200ms or 30d")
		}
		*p = d
		return nil
	case *Bytes:
		b, err := ParseBytes(text)
		if err != nil {
			return fmt.Errorf("expected a size such as 512, 64KiB or 8MiB")
		}
		*p = b
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true":
			v.SetBool(true)
		case "false":
			v.SetBool(false)
		default:
			return fmt.Errorf("expected true or false")
		}
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 0)
		if err != nil {
			return fmt.Errorf("expected a whole number")
		}
		v.SetInt(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || n != n || n > 1e300 || n < -1e300 {
			return fmt.Errorf("expected a number")
		}
		v.SetFloat(n)
	default:
		panic("config: a key cannot be of type " + v.Type().String())
	}
	return nil
}

// bound reads the tag min or max of a key in the units of v; ok reports whether it is there.
func bound(v reflect.Value, tag reflect.StructTag, name string) (limit reflect.Value, ok bool) {
	text := tag.Get(name)
	if text == "" && name == "min" {
		text = "0"
	}
	limit = reflect.New(v.Type()).Elem()
	if text == "" || !(limit.CanInt() || limit.CanFloat()) {
		return limit, false
	}
	if err := set(limit, text); err != nil {
		panic("config: tag " + string(tag) + ": " + err.Error())
	}
	return limit, true
}

// below reports whether number a is less than b of the same type.
func below(a, b reflect.Value) bool {
	if a.CanInt() {
		return a.Int() < b.Int()
	}
	return a.Float() < b.Float()
}

// sortedKeys are the names of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
