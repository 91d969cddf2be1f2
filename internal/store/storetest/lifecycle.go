package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/store"
)

func testContextEnded(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ran := false
	if err := s.Update(ctx, func(store.Tx) error { ran = true; return nil }); !errors.Is(err, context.Canceled) || ran {
		t.Errorf("Update: got %v, ran %v", err, ran)
	}
	if err := s.View(ctx, func(store.Reader) error { ran = true; return nil }); !errors.Is(err, context.Canceled) || ran {
		t.Errorf("View: got %v, ran %v", err, ran)
	}
	ctx, cancel = context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if err := s.Update(ctx, func(store.Tx) error { ran = true; return nil }); !errors.Is(err, context.DeadlineExceeded) || ran {
		t.Errorf("Update: got %v, ran %v", err, ran)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func testPanic(t *testing.T, s store.Store) {
	begin(t, s, dir)
	panics := func() (v any) {
		defer func() { v = recover() }()
		_ = s.Update(t.Context(), func(tx store.Tx) error {
			if err := create(tx, user(dir, "a", 1), name("A")); err != nil {
				return err
			}
			panic("boom")
		})
		return nil
	}
	if panics() == nil {
		t.Error("the panic was lost")
	}
	if get(t, s, dir, "a") != nil {
		t.Error("the function has panicked, and was committed")
	}
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), name("A")) })
}

func testClosed(t *testing.T, s store.Store) {
	begin(t, s, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(store.Tx) error { return nil }); err == nil {
		t.Error("Update on a closed store: no error")
	}
	if err := s.View(t.Context(), func(store.Reader) error { return nil }); err == nil {
		t.Error("View on a closed store: no error")
	}
}
