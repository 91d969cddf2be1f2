package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/pflag"
)

// An outputFormat is how a command prints what it read.
type outputFormat string

const (
	outputTable outputFormat = "table"
	outputJSON  outputFormat = "json"
)

func (o *outputFormat) String() string { return string(*o) }
func (o *outputFormat) Type() string   { return "format" }

func (o *outputFormat) Set(s string) error {
	switch f := outputFormat(s); f {
	case outputTable, outputJSON:
		*o = f
		return nil
	}
	return fmt.Errorf("there are table and json")
}

func (o *outputFormat) addFlag(f *pflag.FlagSet) {
	*o = outputTable
	f.VarP(o, "output", "o", "table, for people, or json, for programs")
}

// printJSON prints v, or a JSON value as it is, indented and with a line end.
func printJSON(w io.Writer, v any) error {
	doc, ok := v.(jsontext.Value)
	if ok {
		doc = doc.Clone()
	} else {
		var err error
		if doc, err = json.Marshal(v); err != nil {
			return err
		}
	}
	if err := doc.Indent(jsontext.WithIndent("  ")); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s\n", doc)
	return err
}

// A table prints rows of cells in columns.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, heads ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(heads) > 0 {
		t.row(heads...)
	}
	return t
}

// row prints one row; what a terminal could take for a command is replaced.
func (t *table) row(cells ...string) {
	for i, c := range cells {
		if cells[i] = printable(c); c == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t *table) flush() error { return t.w.Flush() }

// printable returns s with what is not printable, such as the codes that steer a
// terminal, replaced: a directory holds what strangers have written.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// when returns a time for a table, "" for none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// printDocument prints a JSON object as lines of path and value, in its order.
func printDocument(w io.Writer, doc jsontext.Value) error {
	t := newTable(w)
	if err := documentRows(t, "", doc); err != nil {
		return err
	}
	return t.flush()
}

func documentRows(t *table, path string, v jsontext.Value) error {
	switch v.Kind() {
	case '{':
		return eachMember(v, func(name string, v jsontext.Value) error {
			switch {
			case path == "":
			case strings.HasPrefix(path, "urn:"):
				name = path + ":" + name
			default:
				name = path + "." + name
			}
			return documentRows(t, name, v)
		})
	case '[':
		var items []jsontext.Value
		if err := json.Unmarshal(v, &items); err != nil {
			return err
		}
		for i, it := range items {
			if it.Kind() == '{' {
				name, text := item(i, it)
				t.row(path+"["+name+"]", text)
			} else {
				t.row(path, plain(it))
			}
		}
		return nil
	}
	t.row(path, plain(v))
	return nil
}

// item words the i-th value of a multi-valued attribute: its type, or i where it
// has none, and its value, or all of it where it has none or has more to say.
func item(i int, v jsontext.Value) (name, text string) {
	name = strconv.Itoa(i)
	more := false
	err := eachMember(v, func(member string, v jsontext.Value) error {
		switch member {
		case "value":
			text = plain(v) + text
		case "type":
			name = plain(v)
		case "primary":
			if v.Kind() == 't' {
				text += " (primary)"
			}
		default:
			more = true
		}
		return nil
	})
	if err != nil || more || text == "" {
		return name, compact(v)
	}
	return name, text
}

// eachMember calls fn for each member of a JSON object, in order.
func eachMember(v jsontext.Value, fn func(name string, v jsontext.Value) error) error {
	dec := jsontext.NewDecoder(strings.NewReader(string(v)))
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		key := name.String()
		member, err := dec.ReadValue()
		if err != nil {
			return err
		}
		if err := fn(key, member.Clone()); err != nil {
			return err
		}
	}
	return nil
}

// plain returns the text of a JSON string, and other JSON as it is.
func plain(v jsontext.Value) string {
	var s string
	if v.Kind() == '"' && json.Unmarshal(v, &s) == nil {
		return s
	}
	return compact(v)
}

func compact(v jsontext.Value) string {
	v = v.Clone()
	if v.Compact() != nil {
		return ""
	}
	return v.String()
}
