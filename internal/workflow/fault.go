package workflow

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/roster-scim/roster/action"
)

// A Fault is one thing that is wrong with a file.
type Fault struct {
	Line   int    `json:"line"`   // from 1
	Column int    `json:"column"` // from 1, in characters
	Text   string `json:"text"`   // what is wrong, and the cure
}

func (f Fault) String() string { return fmt.Sprintf("%d:%d: %s", f.Line, f.Column, f.Text) }

// maxFaults bounds how many faults of one file are told.
const maxFaults = 100

// Faults are all that is wrong with a file, in the order of the file; the first
// 100 of them.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// sorted returns the faults in the order of the file, each once.
func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	f = slices.Compact(f)
	return f[:min(len(f), maxFaults)]
}

// suggest ends a text about a name that is not among names: with the one that
// may be meant, or with them all.
func suggest(name string, names []string) string {
	if like := action.Near(name, names); like != "" {
		return ": did you mean " + like + "?"
	}
	switch {
	case len(names) == 0:
		return ": there are none"
	case len(names) > 20:
		return "; there are " + strings.Join(names[:20], ", ") + " and more"
	}
	return "; there are " + strings.Join(names, ", ")
}
