// Package apply carries out files of changes on any SCIM directory, and takes
// them back.
//
//	file -> Reader -> rows -> Planner (match, merge, guard) -> steps in a Run
//	Run -> Execute: one request a step, each in the journal -> Undo: steps again
//
// A Run is a folder. Its plan has the whole of each person before the change,
// and is on disk, synced, before the first request is sent; its journal has what
// became of each step. So a run that was killed goes on where it was, and one
// that is done can be undone from its folder alone.
//
// Memory is bounded by the number of rows, at some hundred bytes for each; rows,
// people and steps themselves are on disk.
package apply

import "fmt"

// A Fault is one thing that is wrong with a file of changes.
type Fault struct {
	Line int // in the file, from 1; 0: it is about no line
	Text string
}

func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.Text
	}
	return fmt.Sprintf("line %d: %s", f.Line, f.Text)
}

// maxFaults bounds how many faults are told at once.
const maxFaults = 20

// Faults are what stops a plan. Nothing was sent.
type Faults struct {
	List []*Fault
	More int // how many there are beyond List
	// Changed says that people are not as a saved plan found them; otherwise the
	// file is wrong.
	Changed bool
}

func (f *Faults) add(line int, format string, args ...any) {
	f.put(&Fault{line, fmt.Sprintf(format, args...)})
}

func (f *Faults) put(one *Fault) {
	if len(f.List) == maxFaults {
		f.More++
		return
	}
	f.List = append(f.List, one)
}

// err returns f as an error, nil when there is none.
func (f *Faults) err() error {
	if len(f.List) == 0 {
		return nil
	}
	return f
}

func (f *Faults) Error() string {
	s := ""
	for i, one := range f.List {
		if i > 0 {
			s += "\n"
		}
		s += one.Error()
	}
	if f.More > 0 {
		s += fmt.Sprintf("\nand %d more", f.More)
	}
	return s
}
