//go:build ignore

package main

import "github.com/open-telemetry/opentelemetry-collector-contrib/exporter/elasticsearchexporter"

func init() { exporters = append(exporters, elasticsearchexporter.NewFactory()) }
