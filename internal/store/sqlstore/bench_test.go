//go:build unix

package sqlstore

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

// Each benchmark reports, beside the time, the CPU time of this process (on
// PostgreSQL without that of the server).

const benchDirectory = "0192d3c0-0000-7000-8000-000000000001"

func benchID(i int) string { return fmt.Sprintf("0192d3c0-%04x-7000-8000-%012x", i>>8, i) }

// benchmark runs fn on both databases, each with users of 1 KB.
func benchmark(b *testing.B, sizes []int, fn func(b *testing.B, db *DB, users int)) {
	for _, users := range sizes {
		for _, database := range []struct {
			name string
			open func(testing.TB) *DB
		}{
			{"SQLite", func(tb testing.TB) *DB { return openTest(tb, tempPath(tb)) }},
			{"Postgres", func(tb testing.TB) *DB { return openPostgresTest(tb) }},
		} {
			b.Run(fmt.Sprintf("%s/%d", database.name, users), func(b *testing.B) {
				db := database.open(b)
				createDirectory(b, db, benchDirectory)
				for from := 0; from < users; from += 1000 {
					update(b, db, func(tx store.Tx) error {
						for i := from; i < from+1000; i++ {
							r := record(benchDirectory, benchID(i), 1)
							r.Created = time.Now()
							r.Doc = benchDoc
							if err := create(tx, r, store.Keys{Terms: []store.Term{{Attribute: "userName", Value: r.ID}}}); err != nil {
								return err
							}
						}
						return nil
					})
				}
				var before, after syscall.Rusage
				_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
				b.ReportAllocs()
				b.ResetTimer()
				fn(b, db, users)
				b.StopTimer()
				_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
				cpu := after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano()
				b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

var benchDoc = func() []byte {
	doc := make([]byte, 1024)
	for i := range doc {
		doc[i] = 'a' + byte(i%26)
	}
	return doc
}()

// parallel runs fn in 64 goroutines.
func parallel(b *testing.B, fn func() error) {
	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := fn(); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	after := benchDoc[:280]
	quoted := append(append([]byte{'"'}, after...), '"')
	benchmark(b, []int{10_000, 100_000}, func(b *testing.B, db *DB, users int) {
		before := db.Stats()
		parallel(b, func() error {
			id := benchID(rand.IntN(users))
			return db.Update(b.Context(), func(tx store.Tx) error {
				r, err := tx.Get(benchDirectory, "User", id)
				if err != nil {
					return err
				}
				r.Version++
				r.Modified = r.Modified.Add(time.Microsecond)
				return tx.Replace(r, store.Keys{}, store.Keys{}, &roster.Event{
					ID: id, Directory: benchDirectory, ResourceType: "User", Resource: id, Version: r.Version,
					Operation: roster.OpReplace, Key: id, Request: id, At: r.Modified,
					Changes: []roster.Change{{Attribute: "title", Before: quoted, After: quoted}},
				})
			})
		})
		stats := db.Stats()
		b.ReportMetric(float64(stats.Updates-before.Updates)/float64(stats.Commits-before.Commits), "updates/commit")
	})
}

func BenchmarkGet(b *testing.B) {
	benchmark(b, []int{10_000, 100_000}, func(b *testing.B, db *DB, users int) {
		parallel(b, func() error {
			return db.View(b.Context(), func(r store.Reader) error {
				_, err := r.Get(benchDirectory, "User", benchID(rand.IntN(users)))
				return err
			})
		})
	})
}

func BenchmarkFindByTerm(b *testing.B) {
	benchmark(b, []int{100_000}, func(b *testing.B, db *DB, users int) {
		parallel(b, func() error {
			return db.View(b.Context(), func(r store.Reader) error {
				term := &store.Term{Attribute: "userName", Value: benchID(rand.IntN(users))}
				return r.List(store.Query{Directory: benchDirectory, Type: "User", Term: term, Limit: 2}, func(*store.Record) error { return nil })
			})
		})
	})
}

func BenchmarkListPage100(b *testing.B) {
	benchmark(b, []int{100_000}, func(b *testing.B, db *DB, users int) {
		parallel(b, func() error {
			return db.View(b.Context(), func(r store.Reader) error {
				after := benchID(rand.IntN(users - 100))
				return r.List(store.Query{Directory: benchDirectory, Type: "User", After: after, Limit: 100}, func(*store.Record) error { return nil })
			})
		})
	})
}

// One member more and then one less, of a group of so many, by one writer after
// the other: they wait for the group's lock.
func BenchmarkAddMember(b *testing.B) {
	benchmark(b, []int{1_000, 10_000, 100_000}, func(b *testing.B, db *DB, users int) {
		group := record(benchDirectory, "group", 1)
		group.Type, group.Members = "Group", int64(users-1)
		update(b, db, func(tx store.Tx) error {
			if err := create(tx, group, store.Keys{}); err != nil {
				return err
			}
			members := make([]store.Member, users-1)
			for i := range members {
				members[i] = store.Member{ID: benchID(i), Type: "User"}
			}
			_, err := tx.AddMembers(benchDirectory, "group", members)
			return err
		})
		last := []string{benchID(users - 1)}
		b.ResetTimer()
		for range b.N {
			err := db.Update(b.Context(), func(tx store.Tx) error {
				g, err := tx.Get(benchDirectory, "Group", "group")
				if err != nil {
					return err
				}
				if g.Members == int64(users) {
					_, err = tx.RemoveMembers(benchDirectory, "group", last)
					g.Members--
				} else {
					var found []store.Member
					if found, err = tx.Find(benchDirectory, last); err == nil {
						_, err = tx.AddMembers(benchDirectory, "group", found)
					}
					g.Members++
				}
				if err != nil {
					return err
				}
				g.Version++
				return replace(tx, g, store.Keys{}, store.Keys{})
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
