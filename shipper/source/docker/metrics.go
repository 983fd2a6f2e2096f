package docker

import "github.com/sluicelog/sluice/internal/metrics"

var (
	dockerErrors = metrics.NewCounter("shipper_docker_errors", "errors", "Requests to the Docker daemon that failed", "request")
	dockerEvents = metrics.NewCounter("shipper_docker_events", "events", "Events received from the Docker daemon")
	skipped      = metrics.NewCounter("shipper_containers_skipped", "containers", "Containers not followed: log driver other than json-file, opted out, or excluded by name", "reason")
)
