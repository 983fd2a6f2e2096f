// Package e2e holds the tests of the whole path on real servers: containers of a real
// Docker daemon, two real Kafka clusters, a real Elasticsearch and a real statsd. They
// need root (for dockerd) and the build tag e2e.
package e2e
