package directory

import (
	"context"
	"time"
)

// SetMaxSorted makes MaxSorted another number, for a test with few resources.
func (s *Service) SetMaxSorted(n int) { s.maxSorted = n }

// LargeBytes is the room for large answers.
const LargeBytes = largeBytes

func (s *Service) Hold(ctx context.Context, bytes int64, patience time.Duration) (func(), error) {
	return s.hold(ctx, bytes, patience)
}
