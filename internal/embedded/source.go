package embedded

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Documents are compressed one by one, so that one can be read without others. The
// dictionary holds what events have in common; it is part of the format on disk: to change
// it, add a second one with the next id.
const (
	sourceDictID = 1
	sourceDict   = `{"tags":["split"],"error":{"message":""},"chronos":{"job":""},"service":{"name":"","version":""},"log.level":"trace","level":"fatal","debug","warn","http":{"request":{"method":"POST"},"response":{"status_code":404,"status_code":500,"status_code":200}},"url":{"path":"/"},"source":{"ip":"10.0."},"user_agent":{"original":"Mozilla/5.0"},` +
		`"event":{"dataset":"docker","created":"2026-01-01T00:00:00.000000000Z","ingested":"2026-01-01T00:00:00.000000000Z"},"app":{"user":"","duration_ms":,"request_id":"","trace_id":"","span_id":"","thread":"main","logger":""}}` +
		`{"@timestamp":"2026-12-31T23:59:59.999999999Z","message":" [http-nio-8080-exec-] INFO  com. org.springframework. java.lang. Exception: ERROR  WARN  DEBUG  GET / HTTP/1.1\" 200  - - [","stream":"stderr","stream":"stdout",` +
		`"log":{"offset":0,"size":100,"level":"error","level":"info","logger":"","file":{"path":"/var/lib/docker/containers/","name":"-json.log"}},"container":{"id":"","name":"","image":{"name":":latest"},"labels":{}},` +
		`"mesos":{"task_id":"","framework_id":"","executor_id":"","agent_id":""},"marathon":{"app_id":"/","version":"2026-01-01T00:00:00.000Z"},"host":{"name":""},"labels":{"dc":"","env":"prod"},"event":{"dataset":"`
)

var (
	packer = must(zstd.NewWriter(nil, zstd.WithEncoderDictRaw(sourceDictID, []byte(sourceDict)),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true)))
	unpacker = must(zstd.NewReader(nil, zstd.WithDecoderDictRaw(sourceDictID, []byte(sourceDict)),
		zstd.WithDecoderMaxMemory(maxBody+1)))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func pack(raw []byte) []byte { return packer.EncodeAll(raw, make([]byte, 0, len(raw)/2+64)) }

func unpack(b []byte) ([]byte, error) {
	raw, err := unpacker.DecodeAll(b, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack a document: %w", err)
	}
	return raw, nil
}
