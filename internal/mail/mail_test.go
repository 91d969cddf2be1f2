package mail_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/internal/mail/sink"
)

// hidden fails when the password of the DSN is in anything that is printed.
func hidden(t *testing.T, things ...any) {
	t.Helper()
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	for _, v := range things {
		fmt.Fprintf(&b, "%v %+v %#v %s", v, v, v, v)
		log.Info("x", "v", v)
		if err, ok := v.(error); ok {
			fmt.Fprint(&b, err.Error(), errors.Unwrap(err))
		}
	}
	if strings.Contains(b.String(), canary) || strings.Contains(b.String(), "canary") {
		t.Errorf("the password is shown: %s", b.String())
	}
}

func TestOpen_DSN(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{ // empty: it opens
		"":                         "",
		"log:":                     "",
		"smtp://mail.corp.example": "",
		"smtp://u:canary@mail.corp.example:2525?tls=opportunistic":      "",
		"smtp://u:canary@127.0.0.1?tls=none":                            "",
		"smtp://u:canary@mail.corp.example?tls=none&insecure-auth=true": "",
		"smtps://u:canary@[2001:db8::1]:465/":                           "",
		"smtp://u:canary@mail.corp.example?tls=none":                    "over the network in the clear",
		"smtp://u:canary%@mail.corp.example":                            "%40",
		"smtp://u:canary#x@mail.corp.example":                           "%40",
		"smtp://u@mail.corp.example":                                    "both a user name and a password",
		"smtp://:canary@mail.corp.example":                              "both a user name and a password",
		"smtp://u:canary%0D@mail.corp.example":                          "control character",
		"smtp://u:canary@mail.corp.example:0":                           "from 1 to 65535",
		"smtp://u:canary@mail.corp.example:99999":                       "from 1 to 65535",
		"smtp://u:canary@mail.corp.example:25x":                         "%40",
		"smtp://u:canary@mail.corp.example/inbox":                       "nothing after the port",
		"smtp://u:canary@":                                              "nothing after the port",
		"smtp:u:canary@mail.corp.example":                               "nothing after the port",
		"smtp://u:canary@mail.corp.example?tls=maybe":                   "required, opportunistic or none",
		"smtps://u:canary@mail.corp.example?tls=none":                   "takes no tls=",
		"smtp://u:canary@mail.corp.example?timeout=3":                   `no parameter "timeout"`,
		"smtp://u:canary@mail.corp.example?insecure-auth=yes":           `no parameter "insecure-auth"`,
		"smtp://u:canary@mail.corp.example?tls=%zz":                     "not readable",
		"file:":                             "needs a folder",
		"log:all":                           "nothing after the colon",
		"imap://u:canary@mail.corp.example": "--mail must be smtp://",
		"canary":                            "--mail must be smtp://",
	} {
		s, err := mail.Open(dsn, mail.Options{From: from})
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", dsn, err)
				continue
			}
			hidden(t, s)
			continue
		}
		if err == nil {
			t.Errorf("%s: got %v, want an error", dsn, s)
			continue
		}
		if e := failure(t, err); e.Temporary || e.Stage != mail.StageSettings || !strings.Contains(e.Error(), want) {
			t.Errorf("%s: got %v, want %q", dsn, e, want)
		}
		hidden(t, err)
	}
	if got, want := fmt.Sprint(open(t, "smtp://u:canary@mail.corp.example", mail.Options{})), "smtp://u@mail.corp.example:587"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOpen_Options(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		o    mail.Options
		want string
	}{
		{mail.Options{}, "--mail-from roster@corp.example"},
		{mail.Options{From: "roster"}, "is not an address"},
		{mail.Options{From: "a@b.example\r\nBcc: x@y.example"}, "control character"},
		{mail.Options{From: "roster@bücher.example"}, "xn--"},
		{mail.Options{From: from, AllowDomains: []string{"*.corp.example"}}, "--mail-allow-domain"},
		{mail.Options{From: from, AllowDomains: []string{""}}, "--mail-allow-domain"},
	} {
		if _, err := mail.Open("log:", tt.o); err == nil || !strings.Contains(failure(t, err).Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.o, err, tt.want)
		}
	}
}

func TestSend_Off(t *testing.T) {
	t.Parallel()
	s, err := mail.Open("", mail.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := failure(t, s.Send(t.Context(), message()))
	if e.Temporary || !strings.Contains(e.Error(), "--mail") {
		t.Errorf("got %+v", e)
	}
}

func TestSend_Folder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mails")
	s := open(t, "file:"+dir, mail.Options{})
	for range 2 { // the second one takes the place of the first
		if err := s.Send(t.Context(), message()); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "run-1.mail.eml" {
		t.Fatalf("got %v, %v", entries, err)
	}
	info, err := entries[0].Info()
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %v, %v", info.Mode(), err)
	}
	data, err := os.ReadFile(filepath.Join(dir, entries[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&sink.Message{Data: data}).Parse()
	if err != nil || got.Text != "Hello\n" || got.Header.Get("Message-Id") != "<run-1.mail@corp.example>" {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if e := failure(t, s.Send(t.Context(), message())); !e.Temporary || e.Stage != mail.StageWrite {
		t.Errorf("got %+v", e)
	}
}

func TestSend_Log(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	m := message()
	m.HTML, m.Attachments = "<p>Hello</p>", []mail.Attachment{{Name: "a.txt", Content: []byte("content-of-it")}}
	if err := open(t, "log:", mail.Options{Log: slog.New(slog.NewTextHandler(&b, nil))}).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{"id=run-1.mail ", "to=ada@corp.example", `subject="Ada was updated"`, "text=6", "html=12", `attachment="a.txt: 13"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, "Hello") || strings.Contains(got, "content-of-it") {
		t.Errorf("a body is in the log: %s", got)
	}
}

func TestSend_ContextOver(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if e := failure(t, open(t, "file:"+dir, mail.Options{}).Send(ctx, message())); !errors.Is(e, context.Canceled) {
		t.Errorf("got %v", e)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("got %v, %v", entries, err)
	}
}

// What could become a header of its own, or go where it should not, is refused
// and not repaired.
func TestSend_RefusedMessages(t *testing.T) {
	t.Parallel()
	s := startSink(t, sink.Options{})
	sender := open(t, "smtp://"+s.Addr()+"?tls=none", mail.Options{AllowDomains: []string{"corp.example", "Other.Example"}, MaxRecipients: 3})
	to := func(list ...string) func(*mail.Message) { return func(m *mail.Message) { m.To = list } }
	attach := func(name, kind string) func(*mail.Message) {
		return func(m *mail.Message) { m.Attachments = []mail.Attachment{{Name: name, Type: kind}} }
	}
	for name, tt := range map[string]struct {
		change func(*mail.Message)
		want   string
	}{
		"subject CRLF":       {func(m *mail.Message) { m.Subject = "a\r\nBcc: x@evil.example" }, "control character (U+000D) at byte 1"},
		"subject LF":         {func(m *mail.Message) { m.Subject = "a\nb" }, "U+000A"},
		"subject NUL":        {func(m *mail.Message) { m.Subject = "a\x00" }, "U+0000"},
		"subject tab":        {func(m *mail.Message) { m.Subject = "a\tb" }, "U+0009"},
		"subject C1":         {func(m *mail.Message) { m.Subject = "a\u0085b" }, "U+0085"},
		"subject separator":  {func(m *mail.Message) { m.Subject = "a\u2028b" }, "U+2028"},
		"subject encoded":    {func(m *mail.Message) { m.Subject = "=?utf-8?q?a=0D=0Ab?=" }, "encoded text"},
		"subject not UTF-8":  {func(m *mail.Message) { m.Subject = "a\xff" }, "not UTF-8"},
		"subject long":       {func(m *mail.Message) { m.Subject = strings.Repeat("a", 501) }, "501 bytes, 500 are allowed"},
		"to CRLF":            {to("ada@corp.example\r\nBcc: x@evil.example"), "control character"},
		"to CRLF in name":    {to("\"Ada\r\n Bcc: x\" <ada@corp.example>"), "control character"},
		"to two":             {to("ada@corp.example, x@evil.example"), "is not an address"},
		"to two in brackets": {to("<ada@corp.example> <x@evil.example>"), "is not an address"},
		"to group":           {to("all: ada@corp.example;"), "is not an address"},
		"to comment":         {to("ada@corp.example (x@evil.example)"), "is not an address"},
		"to route":           {to("<@evil.example:ada@corp.example>"), "is not an address"},
		"to percent route":   {to("ada%evil.example@[127.0.0.1]"), "is not an address"},
		"to quoted":          {to(`"ada x"@corp.example`), "is not an address"},
		"to SMTP parameter":  {to("<ada@corp.example> NOTIFY=NEVER"), "is not an address"},
		"to empty":           {to(""), "is not an address"},
		"to no domain":       {to("ada"), "is not an address"},
		"to empty label":     {to("ada@corp..example"), "is not an address"},
		"to long":            {to(strings.Repeat("a", 250) + "@corp.example"), "is not an address"},
		"to name encoded":    {to("=?utf-8?q?a=0D=0Ab?= <ada@corp.example>"), "encoded text"},
		"cc CRLF":            {func(m *mail.Message) { m.Cc = []string{"a@corp.example\n"} }, "the copy's recipient has a control character"},
		"bcc CRLF":           {func(m *mail.Message) { m.Bcc = []string{"a@corp.example\r"} }, "the blind copy's recipient has a control character"},
		"reply-to CRLF":      {func(m *mail.Message) { m.ReplyTo = "a@corp.example\r\nX: y" }, "the reply-to address has a control character"},
		"from CRLF":          {func(m *mail.Message) { m.From = "R\r\nX: y <roster@corp.example>" }, "the sender has a control character"},
		"from somebody":      {func(m *mail.Message) { m.From = "ceo@corp.example" }, "mails of this server come from roster@corp.example"},
		"id CRLF":            {func(m *mail.Message) { m.ID = "a\r\nX: y" }, "the message id"},
		"id path":            {func(m *mail.Message) { m.ID = "../../a" }, "the message id"},
		"id brackets":        {func(m *mail.Message) { m.ID = "<a>" }, "the message id"},
		"id empty":           {func(m *mail.Message) { m.ID = "" }, "the message id"},
		"attachment CRLF":    {attach("a\r\nX: y", ""), "the name of an attachment has a control character"},
		"attachment path":    {attach("../a", ""), "has no path"},
		"attachment no name": {attach("", ""), "it is needed"},
		"attachment type":    {attach("a", "text/plain\r\nX: y"), "is no media type"},
		"attachment message": {attach("a", "message/rfc822"), "is no media type"},
		"attachment charset": {attach("a", "text/plain; charset=utf-8"), "is no media type"},
		"too many":           {to("a@corp.example", "b@corp.example", "c@corp.example", "d@corp.example"), "4 recipients, 3 are allowed"},
		"nobody":             {to(), "no recipient"},
		"no body":            {func(m *mail.Message) { m.Text = "" }, "no body"},
		"body not UTF-8":     {func(m *mail.Message) { m.HTML = "\xff" }, "not UTF-8"},
		"large": {func(m *mail.Message) {
			m.Attachments = []mail.Attachment{{Name: "a", Content: make([]byte, mail.MaxMessage)}}
		}, "leave attachments out"},
		"attachments":         {func(m *mail.Message) { m.Attachments = make([]mail.Attachment, mail.MaxAttachments+1) }, "21 attachments"},
		"domain":              {to("x@evil.example"), "allowed are corp.example, Other.Example (--mail-allow-domain)"},
		"domain below":        {to("x@sub.corp.example"), "may not go to"},
		"domain by its end":   {to("x@evilcorp.example"), "may not go to"},
		"domain of bcc":       {func(m *mail.Message) { m.Bcc = []string{"x@evil.example"} }, "may not go to"},
		"domain among others": {to("a@corp.example", "x@evil.example"), "x@evil.example"},
	} {
		t.Run(name, func(t *testing.T) {
			m := message()
			tt.change(m)
			e := failure(t, sender.Send(t.Context(), m))
			if e.Temporary || e.Stage != mail.StageMessage || !strings.Contains(e.Error(), tt.want) {
				t.Errorf("got %+v: %v, want %q", e, e, tt.want)
			}
			none(t, s)
		})
	}
	// Case and names do not matter.
	m := message()
	m.To = []string{"Ada <ada@CORP.example>", "bob@other.example"}
	m.From, m.Subject = "Payroll <Roster@corp.example>", "a    b"
	if err := sender.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if _, got := received(t, s); got.Header.Get("From") != `"Payroll" <roster@corp.example>` || got.Header.Get("Subject") != "a b" {
		t.Errorf("got %v", got.Header)
	}
}
