package server

// Patterns are the routes of the management API, for the test that compares them
// with its document.
func (s *Server) Patterns() []string { return s.patterns }
