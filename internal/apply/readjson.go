package apply

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// lines knows in which line an offset of what was read through it is.
type lines struct {
	r    io.Reader
	read int64
	ends []int64 // of lines, that nobody has asked beyond
	line int     // how many lines ended before
}

func (l *lines) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			l.ends = append(l.ends, l.read+int64(i))
		}
	}
	l.read += int64(n)
	return n, err
}

// at returns the line of an offset, from 1. Offsets grow from call to call.
func (l *lines) at(offset int64) int {
	n, _ := slices.BinarySearch(l.ends, offset)
	l.line += n
	l.ends = append(l.ends[:0], l.ends[n:]...)
	return l.line + 1
}

func (r *Reader) nextJSON() (*Row, error) {
	if r.Format == JSON && r.dec.PeekKind() == ']' {
		if _, err := r.dec.ReadToken(); err != nil {
			return nil, err
		}
		if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
			return nil, oneFault(r.lines.at(r.dec.InputOffset()), "something follows the array")
		}
		return nil, io.EOF
	}
	raw, err := r.dec.ReadValue()
	switch {
	case err == nil:
	case errors.Is(err, errLongRow):
		return nil, r.fault(errLongRow)
	case errors.Is(err, io.EOF) && r.Format == NDJSON:
		return nil, io.EOF
	default:
		return nil, oneFault(r.lines.at(r.dec.InputOffset()), "it is no JSON: "+err.Error())
	}
	row := &Row{Line: r.lines.at(r.dec.InputOffset() - int64(len(raw))), Raw: raw.Clone()}
	if len(raw) > MaxRow {
		return nil, r.fault(errLongRow)
	}
	o, err := parseObject(row.Raw)
	if err == nil {
		err = r.members(row, "", o)
	}
	if err != nil {
		return nil, &Fault{row.Line, err.Error()}
	}
	return row, nil
}

// members adds to row what the members of an object set: those at the top, with
// prefix those of an extension or a complex attribute, which are set one by one.
func (r *Reader) members(row *Row, prefix string, o object) error {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		c, ok := r.seen[prefix+name]
		if !ok {
			var err error
			if c, err = columnOf(r.typ, prefix+name, r.o.Map); err != nil {
				return err
			}
			r.seen[prefix+name] = c
			r.skipped(c)
		}
		v := o[name]
		switch {
		case c.skip:
		case v.Kind() == '{' && c.attr.Extension:
			if err := r.below(row, c.attr.Path+":", v); err != nil {
				return err
			}
		case v.Kind() == '{' && c.attr.Type == scim.TypeComplex && !c.attr.MultiValued:
			if err := r.below(row, c.attr.Path+".", v); err != nil {
				return err
			}
		case c.attr.Path == "id" && v.Kind() == 'n':
		default:
			s, err := c.setJSON(v)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(row.Sets, func(t Set) bool {
				return t.Path == s.Path && t.Type == s.Type && t.Primary == s.Primary && t.Sub == s.Sub
			}) {
				return fmt.Errorf("%s is given twice", s.Path)
			}
			if len(row.Sets) == MaxColumns {
				return fmt.Errorf("it names more than %d attributes", MaxColumns)
			}
			row.Sets = append(row.Sets, s)
		}
	}
	return nil
}

func (r *Reader) below(row *Row, prefix string, v jsontext.Value) error {
	o, err := parseObject(v)
	if err != nil {
		return err
	}
	return r.members(row, prefix, o)
}

// setJSON takes a JSON value. A text where a list or an object belongs is read
// as a cell is.
func (c *column) setJSON(v jsontext.Value) (Set, error) {
	s := Set{Path: c.attr.Path, Type: c.typ, Primary: c.primary, Value: v}
	if c.sub != nil {
		s.Sub = c.sub.Name
	}
	whole := c.typ == "" && !c.primary
	if text := textOf(v); text != "" && whole && c.attr.Type == scim.TypeComplex {
		return c.set(text)
	}
	return s, nil
}
