package apply

import (
	"maps"
	"slices"
	"strings"

	"github.com/roster-scim/roster/scim"
)

// A rename is a step that gives somebody another userName.
type rename struct {
	line int
	who  string // the userName before
	to   string // the folded one after
}

// renamed notes a step that gives another userName.
func (p *planner) renamed(s *Step) {
	for _, c := range s.Changes {
		if from, to := scim.Fold(textOf(c.Before)), scim.Fold(textOf(c.After)); c.Attribute == "userName" && from != to {
			p.renames[from] = rename{s.Line, s.UserName, to}
		}
	}
}

// circles adds a fault for each circle of people of whom everybody is to get the
// userName of the next: no order of the steps would do that, since a directory never
// has a name twice.
func (p *planner) circles() {
	seen := make(map[string]int, len(p.renames)) // by which walk
	for n, from := range slices.Sorted(maps.Keys(p.renames)) {
		at := from
		for seen[at] == 0 {
			seen[at] = n + 1
			next, ok := p.renames[at]
			if !ok {
				break
			}
			at = next.to
		}
		if _, ok := p.renames[at]; !ok || seen[at] != n+1 {
			continue // no circle, or one that was found before
		}
		var who []string
		first := p.renames[at].line
		for i := at; ; {
			r, ok := p.renames[i]
			if !ok {
				break
			}
			who = append(who, quoted(clip(r.who)))
			delete(p.renames, i)
			i = r.to
		}
		p.faults.add(first, "%s change their userNames in a circle, which no order of requests can do: give one of them a name that is free, in a file that is applied first", strings.Join(who, " and "))
	}
}
