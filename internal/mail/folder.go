package mail

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// folder keeps each mail as a file.
type folder struct {
	o    Options
	path string
}

func openFolder(path string, s *sender) (*folder, error) {
	if path == "" {
		return nil, badSetting("--mail file: needs a folder: file:./mails")
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, badSetting("--mail: %w", err)
	}
	return &folder{s.o, path}, nil
}

func (f *folder) String() string { return "file:" + f.path }

// deliver writes ID.eml, over an earlier one with the same ID: of a mail that
// comes twice a mailbox shows one too.
func (f *folder) deliver(_ context.Context, e *envelope) (err error) {
	name := filepath.Join(f.path, e.id+".eml")
	failed := func(err error) error {
		return &Error{Temporary: true, Stage: StageWrite, What: "the mail was not written: " + err.Error(), Next: "look at the folder of --mail", Err: err}
	}
	tmp, err := os.CreateTemp(f.path, ".mail-*") // 0600
	if err != nil {
		return failed(err)
	}
	_, err = tmp.Write(e.data)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return failed(errors.Join(err, os.Remove(tmp.Name())))
	}
	f.o.Trace(Step{"written", name})
	return nil
}

// logTransport says in the log what would be sent.
type logTransport struct{ o Options }

func (*logTransport) String() string { return "log:" }

func (l *logTransport) deliver(ctx context.Context, e *envelope) error {
	list := func(in []address) string {
		out := make([]string, len(in))
		for i, a := range in {
			out[i] = a.addr
		}
		return strings.Join(out, ", ")
	}
	l.o.Log.InfoContext(ctx, "mail", append([]any{"id", e.id, "from", e.from.addr, "to", list(e.to), "cc", list(e.cc),
		"recipients", len(e.recipients), "subject", e.subject}, e.sizes...)...)
	l.o.Trace(Step{"logged", e.id})
	return nil
}
