package config

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// lookupEnv is os.LookupEnv; HOSTNAME is the host's name where the shell did not export it.
func lookupEnv(name string) (string, bool) {
	if v, ok := os.LookupEnv(name); ok || name != "HOSTNAME" {
		return v, ok
	}
	host, err := os.Hostname()
	return host, err == nil
}

// expand replaces ${VAR}, ${VAR:-default}, ${VAR:?message} and $$. Other dollar signs
// stay as they are, so regular expressions need no escape. Errors hold no values.
func expand(text string, env func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), nil
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			text = rest[1:]
		case strings.HasPrefix(rest, "{"):
			end := closing(rest)
			if end < 0 {
				return "", fmt.Errorf("${ without }; write $${ for the characters themselves")
			}
			value, err := variable(rest[1:end], env)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
			text = rest[end+1:]
		default:
			b.WriteByte('$')
			text = rest
		}
	}
}

// closing is the index of the brace that closes the one text starts with, -1 if none does.
func closing(text string) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// unset is a variable that is missing on this host.
type unset string

func (u unset) Error() string { return string(u) }

// variable is the value of what is between the braces.
func variable(expr string, env func(string) (string, bool)) (string, error) {
	n := 0
	for n < len(expr) && (expr[n] == '_' || 'A' <= expr[n]&^0x20 && expr[n]&^0x20 <= 'Z' || n > 0 && '0' <= expr[n] && expr[n] <= '9') {
		n++
	}
	name, op := expr[:n], expr[n:]
	value, ok := env(name)
	switch {
	case name != "" && op == "":
		if !ok {
			return "", unset(fmt.Sprintf("the environment variable %s is not set; ${%s:-text} gives a default", name, name))
		}
	case name != "" && strings.HasPrefix(op, ":-"):
		if value == "" {
			return expand(op[2:], env)
		}
	case name != "" && strings.HasPrefix(op, ":?"):
		if value == "" {
			return "", unset(fmt.Sprintf("the environment variable %s is not set: %s", name, op[2:]))
		}
	default:
		return "", fmt.Errorf("expected ${VAR}, ${VAR:-default} or ${VAR:?message}; write $${ for the characters themselves")
	}
	return value, nil
}

const maxSecret = 64 << 10

// secret reads file:/path, without one newline at its end; other text is the secret itself.
func secret(text string) (string, error) {
	path, ok := strings.CutPrefix(text, "file:")
	if !ok {
		return text, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	defer f.Close()
	if err := guarded(f); err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read the secret: %w", err)
	case len(b) > maxSecret:
		return "", fmt.Errorf("read the secret: %s is larger than %s", path, Bytes(maxSecret))
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// guarded reports a file that any user of the host may write, and so exchange the secret
// in it.
func guarded(f *os.File) error {
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("every user of this host may write %s; chmod o-w %s", f.Name(), f.Name())
	}
	return nil
}
