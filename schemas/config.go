package schemas

import _ "embed" // Config

// Config is the JSON schema of the configuration file, for editors. It is generated from
// the structs of package config and read-only.
//
//go:embed config.schema.json
var Config []byte
