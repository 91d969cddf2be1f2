package sink

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
)

// Run is a sink for a process of its own: it prints its address to out, and then
// each mail as a line of JSON, until in ends.
func Run(o Options, in io.Reader, out io.Writer) error {
	s, err := Start(o)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, s.Addr()); err != nil {
		return errors.Join(err, s.Close())
	}
	go func() {
		for m := range s.Received() {
			line, err := json.Marshal(m)
			if err != nil {
				line = []byte(err.Error())
			}
			_, _ = fmt.Fprintf(out, "%s\n", line) // who reads it ends in, too
		}
	}()
	_, err = io.Copy(io.Discard, in)
	return errors.Join(err, s.Close())
}
