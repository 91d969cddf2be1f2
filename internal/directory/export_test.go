package directory

// SetMaxSorted makes MaxSorted another number, for a test with few resources.
func (s *Service) SetMaxSorted(n int) { s.maxSorted = n }
