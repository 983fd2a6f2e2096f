package config

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// Marshal is the configuration as a YAML file that Load reads back, with every key
// and with secrets masked.
func Marshal(c *Config) ([]byte, error) {
	var b bytes.Buffer
	writeSection(&b, reflect.ValueOf(c).Elem(), "")
	return b.Bytes(), nil
}

func writeSection(b *bytes.Buffer, v reflect.Value, indent string) {
	for _, k := range keys(v.Type()) {
		b.WriteString(indent + k.name + ":")
		writeValue(b, v.Field(k.index), indent)
	}
}

// writeValue goes on after the colon or dash of a line that is indented so far.
func writeValue(b *bytes.Buffer, v reflect.Value, indent string) {
	switch v.Kind() {
	case reflect.Struct:
		b.WriteByte('\n')
		writeSection(b, v, indent+"  ")
	case reflect.Map:
		if v.Len() == 0 {
			b.WriteString(" {}")
		}
		b.WriteByte('\n')
		for _, name := range names(v) {
			b.WriteString(indent + "  " + scalar(name) + ":")
			writeValue(b, v.MapIndex(reflect.ValueOf(name)), indent+"  ")
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			var items []string
			for i := range v.Len() {
				items = append(items, plain(v.Index(i)))
			}
			b.WriteString(" [" + strings.Join(items, ", ") + "]\n")
			return
		}
		if v.Len() == 0 {
			b.WriteString(" []")
		}
		b.WriteByte('\n')
		for i := range v.Len() {
			var e bytes.Buffer
			writeSection(&e, v.Index(i), indent+"    ")
			b.WriteString(indent + "  - ")
			b.Write(e.Bytes()[len(indent)+4:])
		}
	default:
		b.WriteString(" " + plain(v) + "\n")
	}
}

// plain is a single value as YAML.
func plain(v reflect.Value) string {
	if v.Kind() != reflect.String {
		return fmt.Sprint(v.Interface())
	}
	return scalar(strings.ReplaceAll(maskUser(fmt.Sprint(v.Interface())), "$", "$$"))
}

var bare = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./@-]*(:[A-Za-z0-9_./@-]+)*$`)

// scalar quotes a string where YAML would read something else.
func scalar(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return strconv.Quote(s)
	}
	if bare.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}
