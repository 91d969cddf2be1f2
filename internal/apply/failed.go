package apply

import (
	"bufio"
	"encoding/csv"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// WriteFailed writes the rows of a run that failed, in the format of its file
// and with the reason of each in ReasonColumn, ready to be applied again. People
// whom no row names are not among them: to apply the file again finds them again.
func (r *Run) WriteFailed(w io.Writer) error {
	reasons := make(map[int]string)
	if err := r.Failed(func(s *Step, res *Result) error {
		if s.Line > 0 {
			reasons[s.Line] = res.Error
		}
		return nil
	}); err != nil {
		return err
	}
	buf := bufio.NewWriter(w)
	write, end := r.writeJSON(buf)
	if r.Meta.Format == CSV {
		write, end = r.writeCSV(buf)
	}
	for row, err := range each[Row](r.path(rowsFile)) {
		if err != nil {
			return err
		}
		if reason, failed := reasons[row.Line]; failed {
			if err := write(row.Raw, reason); err != nil {
				return err
			}
		}
	}
	if err := end(); err != nil {
		return err
	}
	return buf.Flush()
}

// WriteMissing writes the people whom no row names and who could not be deactivated,
// as NDJSON that does it when it is applied, and returns how many there are. The file
// of the run may be a table without the columns that it takes.
func (r *Run) WriteMissing(w io.Writer) (n int, err error) {
	err = r.Failed(func(s *Step, res *Result) error {
		if s.Op != Deactivate || s.Line > 0 {
			return nil
		}
		n++
		o := object{"id": quote(s.ID), "userName": quote(s.UserName), "active": jsontext.Value("false"), ReasonColumn: quote(res.Error)}
		doc, err := o.json()
		if err == nil {
			_, err = w.Write(append(doc, '\n'))
		}
		return err
	})
	return n, err
}

func (r *Run) writeCSV(w io.Writer) (write func(jsontext.Value, string) error, end func() error) {
	out := csv.NewWriter(w)
	if r.Meta.Comma != "" {
		out.Comma = rune(r.Meta.Comma[0])
	}
	at := len(r.Meta.Header) // where the reason goes: a file that failed before has a column for it
	for i, name := range r.Meta.Header {
		if name == ReasonColumn {
			at = i
		}
	}
	put := func(cells []string, reason string) error {
		if at == len(cells) {
			return out.Write(append(cells[:at:at], reason))
		}
		cells[at] = reason
		return out.Write(cells)
	}
	begun := false
	begin := func() error {
		if begun {
			return nil
		}
		begun = true
		return put(append([]string(nil), r.Meta.Header...), ReasonColumn)
	}
	return func(raw jsontext.Value, reason string) error {
			if err := begin(); err != nil {
				return err
			}
			var cells []string
			if err := json.Unmarshal(raw, &cells); err != nil {
				return err
			}
			return put(cells, reason)
		}, func() error {
			if err := begin(); err != nil {
				return err
			}
			out.Flush()
			return out.Error()
		}
}

func (r *Run) writeJSON(w *bufio.Writer) (write func(jsontext.Value, string) error, end func() error) {
	before, between, after := "", "\n", "\n"
	if r.Meta.Format == JSON {
		before, between, after = "[\n", ",\n", "\n]\n"
	}
	n := 0
	return func(raw jsontext.Value, reason string) error {
			o, err := parseObject(raw)
			if err != nil {
				return err
			}
			o.set(ReasonColumn, quote(reason))
			doc, err := o.json()
			if err != nil {
				return err
			}
			if n++; n > 1 {
				before = between
			}
			_, err = w.WriteString(before + string(doc))
			return err
		}, func() error {
			if n == 0 && r.Meta.Format == JSON {
				after = "[]\n"
			} else if n == 0 {
				after = ""
			}
			_, err := w.WriteString(after)
			return err
		}
}
