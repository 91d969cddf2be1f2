package storetest

import (
	"testing"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

func workflow(directory, name string, version int64) *store.Workflow {
	return &store.Workflow{
		Workflow: roster.Workflow{
			Directory: directory, Name: name, Source: "name: " + name + "\n", Enabled: true, Key: "k",
			Created: epoch, Modified: epoch.Add(time.Duration(version) * time.Second), Version: version,
		},
		Since: 5, Active: epoch.Add(time.Minute),
	}
}

func testWorkflows(t *testing.T, s store.Store) {
	const other = dir + "-other"
	begin(t, s, dir, other)
	update(t, s, func(tx store.Tx) error {
		for _, w := range []*store.Workflow{workflow(dir, "b", 1), workflow(dir, "a", 1), workflow(other, "a", 1)} {
			if err := tx.CreateWorkflow(w); err != nil {
				return err
			}
		}
		return nil
	})
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.CreateWorkflow(workflow(dir, "a", 1)) })
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.CreateWorkflow(workflow("none", "a", 1)) })

	next := workflow(dir, "a", 2)
	next.Source, next.Enabled, next.Key, next.Since, next.Active = "name: a\ndescription: ä\n", false, "l", 9, epoch.Add(time.Hour)
	update(t, s, func(tx store.Tx) error { return tx.ReplaceWorkflow(next) })
	refuse(t, s, store.ErrStale, func(tx store.Tx) error { return tx.ReplaceWorkflow(next) })
	refuse(t, s, store.ErrStale, func(tx store.Tx) error { return tx.ReplaceWorkflow(workflow(dir, "none", 2)) })

	var got *store.Workflow
	var all []*store.Workflow
	read := func() {
		t.Helper()
		view(t, s, func(r store.Reader) (err error) {
			if got, err = r.GetWorkflow(dir, "a"); err != nil {
				return err
			}
			all, err = r.ListWorkflows(dir)
			return err
		})
	}
	read()
	equal(t, "replaced", got, next)
	equal(t, "list", all, []*store.Workflow{next, workflow(dir, "b", 1)})

	refuse(t, s, store.ErrStale, func(tx store.Tx) error { return tx.DeleteWorkflow(dir, "a", 1) })
	update(t, s, func(tx store.Tx) error { return tx.DeleteWorkflow(dir, "b", 1) })
	read()
	equal(t, "list without b", all, []*store.Workflow{next})
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error {
		_, err := tx.GetWorkflow(dir, "b")
		return err
	})
}

func testDispatches(t *testing.T, s store.Store) {
	const other = dir + "-other"
	begin(t, s, dir, other)
	dispatches := func() (list []store.Dispatch) {
		t.Helper()
		view(t, s, func(r store.Reader) (err error) {
			list, err = r.ListDispatches()
			return err
		})
		return list
	}
	equal(t, "without workflows", dispatches(), nil)
	later := workflow(dir, "b", 1)
	later.Since = 7
	for _, w := range []*store.Workflow{workflow(dir, "a", 1), later, workflow(other, "a", 1)} {
		update(t, s, func(tx store.Tx) error { return tx.CreateWorkflow(w) })
	}
	equal(t, "created", dispatches(), []store.Dispatch{{Directory: dir, Seq: 5, Changed: 2}, {Directory: other, Seq: 5, Changed: 1}})

	update(t, s, func(tx store.Tx) error { return tx.MoveDispatch(dir, 9, map[string]int64{"a": 2, "none": 1}) })
	update(t, s, func(tx store.Tx) error { return tx.MoveDispatch(dir, 8, map[string]int64{"a": 1}) })
	update(t, s, func(tx store.Tx) error { return tx.ReplaceWorkflow(workflow(dir, "a", 2)) })
	update(t, s, func(tx store.Tx) error { return tx.DeleteWorkflow(dir, "b", 1) })
	equal(t, "moved", dispatches(), []store.Dispatch{{Directory: dir, Seq: 9, Changed: 4}, {Directory: other, Seq: 5, Changed: 1}})
	view(t, s, func(r store.Reader) error {
		w, err := r.GetWorkflow(dir, "a")
		if err == nil {
			equal(t, "held", w.Held, int64(3))
		}
		return err
	})

	update(t, s, func(tx store.Tx) error { return tx.DeleteDirectory(other) })
	equal(t, "a directory deleted", dispatches(), []store.Dispatch{{Directory: dir, Seq: 9, Changed: 4}})
	if _, err := s.Prune(t.Context(), time.Time{}, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	view(t, s, func(r store.Reader) error {
		left, err := r.ListWorkflows(other)
		equal(t, "workflows of a deleted directory", left, nil)
		return err
	})
}

func testCountEvents(t *testing.T, s store.Store) {
	const other = dir + "-other"
	begin(t, s, dir, other)
	for _, d := range []string{dir, other} {
		update(t, s, func(tx store.Tx) error {
			for _, id := range []string{"a", "b", "c"} {
				if err := create(tx, user(d, id, 1), name(id)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	list, err := s.Events(t.Context(), dir, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	view(t, s, func(r store.Reader) error {
		for _, tt := range []struct {
			after int64
			limit int
			want  int64
		}{{0, 10, 3}, {0, 2, 2}, {list[0].Seq, 10, 2}, {list[2].Seq, 10, 0}} {
			got, err := r.CountEvents(dir, tt.after, tt.limit)
			if err != nil {
				return err
			}
			equal(t, "events", got, tt.want)
		}
		return nil
	})
}
