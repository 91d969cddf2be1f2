package sink_test

import (
	"fmt"
	"net/smtp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/roster-scim/roster/internal/mail/sink"
)

// The standard library's client, which package mail does not use, is understood.
func TestSink_Received(t *testing.T) {
	t.Parallel()
	s, err := sink.Start(sink.Options{User: "u", Password: "p", Refuse: func(stage sink.Stage, value string) error {
		if stage == sink.Content && strings.Contains(value, "spam") {
			return &sink.Reply{Code: 554, Text: "no spam"}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	send := func(auth smtp.Auth, body string) error {
		return smtp.SendMail(s.Addr(), auth, "a@corp.example", []string{"b@corp.example", "c@corp.example"}, []byte("Subject: x\r\n\r\n"+body+"\r\n"))
	}
	login := smtp.PlainAuth("", "u", "p", "127.0.0.1")
	for _, tt := range []struct {
		auth smtp.Auth
		body string
		want string
	}{{nil, "x", "502"}, {smtp.PlainAuth("", "u", "wrong", "127.0.0.1"), "x", "535"}, {login, "spam", "554"}} {
		if err := send(tt.auth, tt.body); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.body, err, tt.want)
		}
	}
	if err := send(login, ".hello"); err != nil {
		t.Fatal(err)
	}
	want := &sink.Message{From: "a@corp.example", To: []string{"b@corp.example", "c@corp.example"}, User: "u", Data: []byte("Subject: x\r\n\r\n.hello\r\n")}
	if diff := cmp.Diff(want, <-s.Received()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := len(s.Received()); n != 0 {
		t.Errorf("%d more mails", n)
	}
}

// nested returns a mail whose text is within so many parts.
func nested(depth int) []byte {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	b.WriteString("Content-Type: text/plain\r\n\r\nhello\r\n")
	for i := depth - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "--b%d--\r\n", i)
	}
	return []byte(b.String())
}

func TestParse_Depth(t *testing.T) {
	t.Parallel()
	for depth, ok := range map[int]bool{1: true, 8: true, 9: false, 5000: false} {
		got, err := (&sink.Message{Data: nested(depth)}).Parse()
		if (err == nil) != ok || ok && got.Text != "hello" {
			t.Errorf("%d: got %+v, %v", depth, got, err)
		}
	}
}

// What a mail is taken apart into is no larger than the mail.
func FuzzParse(f *testing.F) {
	f.Add(nested(2))
	f.Add([]byte("Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=41=\r\n"))
	f.Add([]byte("Content-Type: text/csv\r\nContent-Disposition: attachment; filename*=utf-8''%C3%A4\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := (&sink.Message{Data: data}).Parse()
		if err != nil {
			return
		}
		size := len(got.Text) + len(got.HTML)
		for _, a := range got.Attachments {
			size += len(a.Content)
		}
		if size > len(data) {
			t.Errorf("%d bytes of %d", size, len(data))
		}
		again, err := (&sink.Message{Data: data}).Parse()
		if diff := cmp.Diff(got, again, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("not the same twice: %v\n%s", err, diff)
		}
	})
}

// One that is closed before it has begun to serve ends too.
func TestSink_CloseAtOnce(t *testing.T) {
	t.Parallel()
	for range 50 {
		s, err := sink.Start(sink.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
