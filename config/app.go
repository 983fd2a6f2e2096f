package config

import "strings"

// CutAppFrom takes an entry of shipper.app_from apart: where a name comes from
// (marathon, chronos, name, image, label or env), and of a label or environment variable
// which one. ok is false for what is no entry.
func CutAppFrom(entry string) (from, key string, ok bool) {
	from, key, named := strings.Cut(entry, ":")
	switch from {
	case "marathon", "chronos", "name", "image":
		return from, "", !named
	case "label", "env":
		return from, key, key != "" && strings.TrimSpace(key) == key
	}
	return "", "", false
}
