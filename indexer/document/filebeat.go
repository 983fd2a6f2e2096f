package document

import (
	"encoding/base64"

	"github.com/zeebo/xxh3"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/schemas"
)

// fileID is the id of an event of Filebeat: of its host, where its line is in which file,
// and the line. One that Filebeat sends again, after a crash or a lost acknowledgement,
// has the same. Nil: the event does not say where its line is.
func (e *Encoder) fileID(members []jsontext.Member, message []byte) []byte {
	var host, inode, device, fingerprint, offset []byte
	of := func(object []byte, f func(jsontext.Member)) {
		if object[0] != '{' {
			return
		}
		var o jsontext.Object
		if o.Read(object) {
			for _, m := range o.Members {
				f(m)
			}
		}
	}
	file := func(m jsontext.Member) {
		switch string(m.Key) {
		case "inode", "idxlo":
			inode = m.Value
		case "device_id", "vol":
			device = m.Value
		case "idxhi":
			device = append(append(device[:len(device):len(device)], ','), m.Value...)
		case "fingerprint":
			fingerprint = m.Value
		}
	}
	for _, m := range members {
		switch string(m.Key) {
		case "host":
			of(m.Value, func(m jsontext.Member) {
				if string(m.Key) == "name" || string(m.Key) == "id" && host == nil {
					host = m.Value
				}
			})
		case schemas.FieldHostName:
			host = m.Value
		case "log":
			of(m.Value, func(m jsontext.Member) {
				switch string(m.Key) {
				case "offset":
					offset = m.Value
				case "file":
					of(m.Value, file)
				case "file.inode", "file.device_id", "file.fingerprint":
					file(jsontext.Member{Key: m.Key[len("file."):], Value: m.Value})
				}
			})
		case schemas.FieldLogOffset:
			offset = m.Value
		case "log.file.inode", "log.file.device_id", "log.file.fingerprint":
			file(jsontext.Member{Key: m.Key[len("log.file."):], Value: m.Value})
		}
	}
	if offset == nil || inode == nil && fingerprint == nil {
		return nil
	}
	h := xxh3.New()
	for _, part := range [][]byte{host, device, inode, fingerprint, offset, message} {
		h.Write(part)
		h.Write([]byte{0})
	}
	sum := h.Sum128().Bytes()
	e.id = append(e.id[:0], "fb-"...)
	e.id = base64.RawURLEncoding.AppendEncode(e.id, sum[:])
	return e.id
}
