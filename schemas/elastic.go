package schemas

import "embed"

// Elastic holds what is installed in Elasticsearch, as the bodies of its requests:
// elastic/settings.json, mappings.json and custom.json (component templates),
// index.json (index template) and policy.json (index lifecycle). The figures of the
// configuration are filled in by `sluice setup`.
//
//go:embed elastic/*.json
var Elastic embed.FS
