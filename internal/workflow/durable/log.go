package durable

import (
	"context"
	"errors"
	"log/slog"
)

// quiet returns the logger that DBOS is given. What it tells of its own doings is
// of use to who looks for a fault alone, and what it warns of is what this package
// is made for: an execution that has lost its run, say.
func quiet(log *slog.Logger) *slog.Logger {
	return slog.New(quietHandler{log.With("engine", "dbos").Handler()})
}

type quietHandler struct{ slog.Handler }

// lower is the level at which a record of DBOS is told.
func lower(l slog.Level) slog.Level {
	switch {
	case l < slog.LevelInfo:
		return l
	case l < slog.LevelWarn:
		return slog.LevelDebug
	case l < slog.LevelError:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

func (h quietHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo && h.Handler.Enabled(ctx, lower(l))
}

func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lower(r.Level)
	r.Attrs(func(a slog.Attr) bool {
		// The end of a context is no fault: a session ends.
		if err, ok := a.Value.Any().(error); ok && errors.Is(err, context.Canceled) {
			r.Level = slog.LevelDebug
		}
		return true
	})
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h quietHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(a)}
}

func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name)}
}
