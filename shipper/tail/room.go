package tail

import (
	"log/slog"
	"time"

	"github.com/sluicelog/sluice/config"
)

const (
	readSize = 256 << 10
	maxHeld  = 64 << 20    // memory for lines without end; above it, files not being read begin their line again
	quiet    = time.Minute // a renamed or deleted file is closed after this long at its end: its writer may still have it open
)

// room is what all who work on files share. One goroutine owns it, and them.
type room struct {
	cfg   *config.Shipper
	log   *slog.Logger
	m     *meters
	maker *maker
	now   time.Time // when what is done now began
}
