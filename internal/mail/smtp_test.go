package mail_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/internal/mail/sink"
)

func TestSend_PartByPart(t *testing.T) {
	t.Parallel()
	s := startSink(t, sink.Options{})
	long := strings.Repeat("Größe ", 400) + "\n"
	m := &mail.Message{
		ID: "run-1.mail", From: "Łukasz from Roster <roster@corp.example>",
		To: []string{"Ada Lovelace <ada@corp.example>", "bob@corp.example"}, Cc: []string{`"Jürgen, Müller" <jm@corp.example>`},
		Bcc: []string{"audit@corp.example", "ada@corp.example"}, ReplyTo: "help@corp.example",
		Subject: "Änderung: Ada Lovelace – 日本語 " + strings.Repeat("sehr lang ", 20), Text: "Hallo\n.\n..\nFrom here\n" + long, HTML: "<p>Größe &amp; mehr</p>\n" + long,
		Attachments: []mail.Attachment{
			{Name: "result.json", Type: "application/json", Content: []byte(`{"a":1}`)},
			{Name: "Größe \"1\" 日本.txt", Content: []byte("x\r\ny\x00")},
		},
	}
	if err := open(t, "smtp://"+s.Addr()+"?tls=none", mail.Options{}).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	raw, got := received(t, s)
	for line := range strings.Lines(string(raw.Data)) {
		if len(line) > 1000 || !strings.HasSuffix(line, "\r\n") || strings.ContainsFunc(line, func(r rune) bool { return r > 126 || r < 32 && r != '\r' && r != '\n' }) {
			t.Errorf("not a line of a mail: %q", line)
		}
	}
	if diff := cmp.Diff([]string{"ada@corp.example", "bob@corp.example", "jm@corp.example", "audit@corp.example"}, raw.To); diff != "" || raw.From != "roster@corp.example" {
		t.Errorf("envelope: from %s, to (-want +got):\n%s", raw.From, diff)
	}
	headers := map[string]string{
		"From": "Łukasz from Roster <roster@corp.example>", "To": `"Ada Lovelace" <ada@corp.example>, <bob@corp.example>`,
		"Reply-To": "<help@corp.example>", "Subject": strings.TrimSpace(m.Subject),
		"Message-Id": "<run-1.mail@corp.example>", "Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "Mime-Version": "1.0",
	}
	for name, want := range headers {
		if value, err := got.Get(name); err != nil || value != want {
			t.Errorf("%s: got %q, %v, want %q", name, value, err, want)
		}
	}
	cc, err := got.Header.AddressList("Cc")
	if err != nil || len(cc) != 1 || cc[0].Name != "Jürgen, Müller" || cc[0].Address != "jm@corp.example" {
		t.Errorf("Cc: got %v, %v", cc, err)
	}
	if date, err := got.Header.Date(); err != nil || time.Since(date) > time.Hour {
		t.Errorf("Date: got %v, %v", date, err)
	}
	for name := range got.Header {
		if _, ok := headers[name]; !ok && !slices.Contains([]string{"Cc", "Date", "Content-Type"}, name) {
			t.Errorf("a header that was not asked for: %s: %s", name, got.Header.Get(name))
		}
	}
	if got.Text != m.Text || got.HTML != m.HTML {
		t.Errorf("bodies: got %q and %q", got.Text, got.HTML)
	}
	want := []sink.Attachment{{Name: "result.json", Type: "application/json", Content: m.Attachments[0].Content},
		{Name: m.Attachments[1].Name, Type: "application/octet-stream", Content: m.Attachments[1].Content}}
	if diff := cmp.Diff(want, got.Attachments); diff != "" {
		t.Errorf("attachments (-want +got):\n%s", diff)
	}
	if kind := got.Header.Get("Content-Type"); !strings.HasPrefix(kind, "multipart/mixed") {
		t.Errorf("got %s, want the attachments beside the alternatives", kind)
	}
}

func TestSend_OneBody(t *testing.T) {
	t.Parallel()
	s := startSink(t, sink.Options{})
	sender := open(t, "smtp://"+s.Addr()+"?tls=none", mail.Options{})
	m := message()
	m.To, m.Bcc = nil, m.To
	if err := sender.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	raw, got := received(t, s)
	if kind := got.Header.Get("Content-Type"); kind != "text/plain; charset=UTF-8" || got.Text != m.Text || strings.Contains(string(raw.Data), "ada@") {
		t.Errorf("got:\n%s", raw.Data)
	}
	m.Text, m.HTML = "", "<p>Hello</p>"
	if err := sender.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if _, got = received(t, s); got.HTML != m.HTML+"\n" || got.Text != "" {
		t.Errorf("got %+v", got)
	}
}

// An address beyond ASCII goes to a server that takes it, and to no other.
func TestSend_AddressBeyondASCII(t *testing.T) {
	t.Parallel()
	m := message()
	m.To = []string{"Zoë <zoë@bücher.example>"}
	s := startSink(t, sink.Options{})
	if err := open(t, "smtp://"+s.Addr()+"?tls=none", mail.Options{}).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if raw, _ := received(t, s); raw.To[0] != "zoë@bücher.example" {
		t.Errorf("got %q", raw.To)
	}
	old := startScript(t, whole...)
	e := failure(t, open(t, "smtp://"+old.addr+"?tls=none", mail.Options{}).Send(t.Context(), m))
	if e.Temporary || !strings.Contains(e.Error(), "xn--") {
		t.Errorf("got %+v", e)
	}
}

func TestSend_TLS(t *testing.T) {
	t.Parallel()
	server, client := certificate(t, "127.0.0.1")
	wrongName, trustsWrongName := certificate(t, "mail.other.example")
	for _, tt := range []struct {
		name   string
		sink   sink.Options
		dsn    string // before and after the address
		params string
		client mail.Options
		want   string // in the error; empty: it is sent
		clear  bool   // it is sent without TLS
	}{
		{name: "STARTTLS", sink: sink.Options{TLS: server}, dsn: "smtp", client: mail.Options{TLS: client}},
		{name: "implicit", sink: sink.Options{TLS: server, Implicit: true}, dsn: "smtps", client: mail.Options{TLS: client}},
		{name: "opportunistic with", sink: sink.Options{TLS: server}, dsn: "smtp", params: "?tls=opportunistic", client: mail.Options{TLS: client}},
		{name: "opportunistic without", dsn: "smtp", params: "?tls=opportunistic", clear: true},
		{name: "none", sink: sink.Options{TLS: server}, dsn: "smtp", params: "?tls=none", clear: true},
		{name: "not offered", dsn: "smtp", want: "offers no encryption (STARTTLS)"},
		{name: "CA not trusted", sink: sink.Options{TLS: server}, dsn: "smtp", want: "certificate of the mail server 127.0.0.1:"},
		{name: "CA not trusted, implicit", sink: sink.Options{TLS: server, Implicit: true}, dsn: "smtps", want: "SSL_CERT_FILE"},
		{name: "CA not trusted, opportunistic", sink: sink.Options{TLS: server}, dsn: "smtp", params: "?tls=opportunistic", want: "is not trusted"},
		{name: "wrong name", sink: sink.Options{TLS: wrongName}, dsn: "smtp", client: mail.Options{TLS: trustsWrongName}, want: "127.0.0.1"},
		{name: "no TLS on the port", dsn: "smtps", want: "does not speak TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startSink(t, tt.sink)
			var steps []string
			tt.client.Trace = func(s mail.Step) { steps = append(steps, s.Name) }
			err := open(t, tt.dsn+"://"+s.Addr()+tt.params, tt.client).Send(t.Context(), message())
			if tt.want != "" {
				if e := failure(t, err); e.Temporary || e.Stage != mail.StageTLS || !strings.Contains(e.Error(), tt.want) {
					t.Errorf("got %+v: %v, want %q", e, e, tt.want)
				}
				none(t, s)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			raw, _ := received(t, s)
			want := []string{"resolved", "connected", "encrypted", "accepted"}
			if tt.clear {
				want[2] = "unencrypted"
			}
			if diff := cmp.Diff(want, steps); diff != "" || raw.TLS == tt.clear {
				t.Errorf("TLS %v; steps (-want +got):\n%s", raw.TLS, diff)
			}
		})
	}
}

const canary = "pa:ss@w/rd%-canary"

func TestSend_Login(t *testing.T) {
	t.Parallel()
	const escaped = "pa%3Ass%40w%2Frd%25-canary"
	server, client := certificate(t, "127.0.0.1")
	refuse := func(code int, text string) func(sink.Stage, string) error {
		return func(stage sink.Stage, _ string) error {
			if stage == sink.Login {
				return &sink.Reply{Code: code, Text: text}
			}
			return nil
		}
	}
	for _, tt := range []struct {
		name     string
		sink     sink.Options
		userinfo string
		params   string
		want     string // empty: it is sent
		code     int
	}{
		{name: "PLAIN", sink: sink.Options{User: "roster", Password: canary, Mechanisms: []string{"PLAIN"}}, userinfo: "roster:" + escaped + "@"},
		{name: "LOGIN", sink: sink.Options{User: "roster", Password: canary, Mechanisms: []string{"LOGIN"}}, userinfo: "roster:" + escaped + "@"},
		{name: "on loopback in the clear", sink: sink.Options{User: "roster", Password: canary}, userinfo: "roster:" + escaped + "@", params: "?tls=none"},
		{name: "wrong PLAIN", sink: sink.Options{User: "roster", Password: "other", Mechanisms: []string{"PLAIN"}}, userinfo: "roster:" + escaped + "@", want: "refused the user name or the password", code: 535},
		{name: "wrong LOGIN", sink: sink.Options{User: "roster", Password: "other", Mechanisms: []string{"LOGIN"}}, userinfo: "roster:" + escaped + "@", want: "check both", code: 535},
		{name: "server tells the password", sink: sink.Options{User: "roster", Password: "x", Refuse: refuse(535, "no "+canary+" here")}, userinfo: "roster:" + escaped + "@", want: "no (hidden) here", code: 535},
		{name: "other mechanisms", sink: sink.Options{User: "roster", Password: canary, Mechanisms: []string{"XOAUTH2"}}, userinfo: "roster:" + escaped + "@", want: "XOAUTH2"},
		{name: "no login there", userinfo: "roster:" + escaped + "@", want: "takes no user name and password"},
		{name: "login wanted", sink: sink.Options{User: "roster", Password: canary}, want: "it may want a user name and a password", code: 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.sink.TLS = server
			s := startSink(t, tt.sink)
			sender := open(t, "smtp://"+tt.userinfo+s.Addr()+tt.params, mail.Options{TLS: client})
			err := sender.Send(t.Context(), message())
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if raw, _ := received(t, s); raw.User != "roster" {
					t.Errorf("logged in as %q", raw.User)
				}
				return
			}
			e := failure(t, err)
			if e.Temporary || e.Code != tt.code || !strings.Contains(e.Error(), tt.want) {
				t.Errorf("got %+v: %v, want %d %q", e, e, tt.code, tt.want)
			}
			hidden(t, sender, e)
			none(t, s)
		})
	}
	t.Run("temporary", func(t *testing.T) {
		t.Parallel()
		s := startSink(t, sink.Options{TLS: server, User: "roster", Password: canary, Refuse: refuse(454, "try later")})
		e := failure(t, open(t, "smtp://roster:"+escaped+"@"+s.Addr(), mail.Options{TLS: client}).Send(t.Context(), message()))
		if !e.Temporary || e.Code != 454 || e.Stage != mail.StageLogin {
			t.Errorf("got %+v", e)
		}
	})
}

// What a server refuses is permanent or temporary by its reply, at each stage.
func TestSend_Refused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		stage sink.Stage
		want  mail.Stage
	}{{sink.Sender, mail.StageSender}, {sink.Recipient, mail.StageRecipients}, {sink.Content, mail.StageContent}} {
		for code, temporary := range map[int]bool{450: true, 452: true, 550: false, 554: false} {
			t.Run(string(tt.stage), func(t *testing.T) {
				t.Parallel()
				s := startSink(t, sink.Options{Refuse: func(stage sink.Stage, _ string) error {
					if stage == tt.stage {
						return &sink.Reply{Code: code, Text: "not\x1b[2J this one"}
					}
					return nil
				}})
				e := failure(t, open(t, "smtp://"+s.Addr()+"?tls=none", mail.Options{}).Send(t.Context(), message()))
				if e.Temporary != temporary || e.Code != code || e.Stage != tt.want || !strings.Contains(e.Error(), "this one") {
					t.Errorf("%d: got %+v: %v", code, e, e)
				}
				none(t, s)
			})
		}
	}
	// DATA itself, and the greeting.
	for line, reply := range map[int]string{0: "554 not from there", 4: "451 later"} {
		s := startScript(t, until(line, reply)...)
		e := failure(t, open(t, "smtp://"+s.addr+"?tls=none", mail.Options{}).Send(t.Context(), message()))
		if e.Temporary != (line == 4) || !strings.Contains(e.Error(), reply) {
			t.Errorf("%s: got %+v", reply, e)
		}
	}
}

func TestSend_SomeRecipientsRefused(t *testing.T) {
	t.Parallel()
	codes := map[string]int{"gone@corp.example": 550, "full@corp.example": 452}
	s := startSink(t, sink.Options{Refuse: func(stage sink.Stage, addr string) error {
		if code := codes[addr]; stage == sink.Recipient && code != 0 {
			return &sink.Reply{Code: code, Text: "no"}
		}
		return nil
	}})
	sender := open(t, "smtp://"+s.Addr()+"?tls=none", mail.Options{})
	m := message()
	m.Cc = []string{"full@corp.example", "gone@corp.example"}
	e := failure(t, sender.Send(t.Context(), m))
	want := []mail.Refusal{{Address: "full@corp.example", Code: 452, Text: "no"}, {Address: "gone@corp.example", Code: 550, Text: "no"}}
	if diff := cmp.Diff(want, e.Refused); diff != "" || e.Temporary || e.Code != 550 || !strings.Contains(e.Error(), "gone@corp.example (550 no); the others did not get the mail either") {
		t.Errorf("got %+v: %v\n%s", e, e, diff)
	}
	m.Cc = m.Cc[:1]
	if e := failure(t, sender.Send(t.Context(), m)); !e.Temporary || e.Code != 452 {
		t.Errorf("got %+v", e)
	}
	none(t, s)
}

// A server that stalls holds Send no longer than its context or its time, at
// whatever point.
func TestSend_Stalled(t *testing.T) {
	t.Parallel()
	for n := range 6 {
		t.Run(whole[n], func(t *testing.T) {
			t.Parallel()
			s := startScript(t, until(n, "stall")...)
			ctx, cancel := context.WithCancel(t.Context())
			result := send(ctx, open(t, "smtp://"+s.addr+"?tls=none", mail.Options{}), message())
			s.await(t)
			cancel()
			e := failure(t, <-result)
			if !errors.Is(e, context.Canceled) || !e.Temporary || strings.Contains(e.Error(), "may have taken") != (n == 5) {
				t.Errorf("canceled: got %+v: %v", e, e)
			}

			s = startScript(t, until(n, "stall")...)
			e = failure(t, <-send(t.Context(), open(t, "smtp://"+s.addr+"?tls=none", mail.Options{Timeout: 50 * time.Millisecond}), message()))
			if !errors.Is(e, os.ErrDeadlineExceeded) || !e.Temporary || !strings.Contains(e.Error(), "too slow") {
				t.Errorf("out of time: got %+v: %v", e, e)
			}
		})
	}
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		s := startScript(t, "stall")
		ctx, cancel := context.WithCancel(t.Context())
		result := send(ctx, open(t, "smtps://"+s.addr, mail.Options{}), message())
		s.await(t)
		cancel()
		if e := failure(t, <-result); !errors.Is(e, context.Canceled) {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("a large mail is not read", func(t *testing.T) {
		t.Parallel()
		s := startScript(t, until(5, "stallUnread")...)
		m := message()
		m.Attachments = []mail.Attachment{{Name: "large", Content: make([]byte, 9<<20)}}
		ctx, cancel := context.WithCancel(t.Context())
		result := send(ctx, open(t, "smtp://"+s.addr+"?tls=none", mail.Options{}), m)
		s.await(t)
		cancel()
		e := failure(t, <-result)
		if !errors.Is(e, context.Canceled) || e.Stage != mail.StageContent {
			t.Errorf("got %+v", e)
		}
	})
}

// Whoever sees first that the time is over, the dialler or the context: it is told
// as that.
func TestSend_NoTime(t *testing.T) {
	t.Parallel()
	for i := range 200 {
		s := startScript(t, "stall")
		o := mail.Options{Timeout: time.Duration(1+i) * time.Microsecond}
		e := failure(t, open(t, "smtp://"+s.addr+"?tls=none", o).Send(t.Context(), message()))
		if !errors.Is(e, os.ErrDeadlineExceeded) || !strings.Contains(e.Error(), "too slow") {
			t.Fatalf("after %v: got %+v: %v", o.Timeout, e, e)
		}
	}
}

// A mail is sent when the server has taken it, whatever it does afterwards.
func TestSend_TakenAndGone(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"stall", "close", "421 overloaded"} {
		s := startScript(t, until(6, reply)...)
		var last mail.Step
		sender := open(t, "smtp://"+s.addr+"?tls=none", mail.Options{Trace: func(s mail.Step) { last = s }})
		if err := sender.Send(t.Context(), message()); err != nil || last.Name != "accepted" || last.Text != "queued as 77" {
			t.Errorf("QUIT %s: got %v after %v", reply, err, last)
		}
	}
}

func TestSend_HungUp(t *testing.T) {
	t.Parallel()
	for n := range 6 {
		s := startScript(t, until(n, "close")...)
		e := failure(t, open(t, "smtp://"+s.addr+"?tls=none", mail.Options{}).Send(t.Context(), message()))
		if !e.Temporary || e.Code != 0 || strings.Contains(e.Error(), "may have taken") != (n == 5) {
			t.Errorf("%s: got %+v: %v", whole[n], e, e)
		}
	}
	m := message()
	m.Attachments = []mail.Attachment{{Name: "large", Content: make([]byte, 9<<20)}}
	s := startScript(t, until(5, "closeUnread")...)
	if e := failure(t, open(t, "smtp://"+s.addr+"?tls=none", mail.Options{}).Send(t.Context(), m)); !e.Temporary || e.Stage != mail.StageContent {
		t.Errorf("in the middle of the mail: got %+v", e)
	}
	// One that says why, and hangs up, at a recipient.
	s = startScript(t, append(until(3, "421 too busy"), "RCPT close")...)
	if e := failure(t, open(t, "smtp://"+s.addr+"?tls=none", mail.Options{}).Send(t.Context(), message())); !e.Temporary || e.Code != 421 {
		t.Errorf("421: got %+v", e)
	}
}

func TestSend_NoMailServer(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"HTTP":            {"HTTP/1.1 400 Bad Request"},
		"endless line":    {"220-" + strings.Repeat("x", 2<<20)},
		"endless replies": {"220 ready", "EHLO 250-" + strings.Repeat("x|250-", 400_000)},
	} {
		s := startScript(t, lines...)
		e := failure(t, open(t, "smtp://"+s.addr+"?tls=none", mail.Options{}).Send(t.Context(), message()))
		if e.Temporary || !strings.Contains(e.Error(), "is no mail server") {
			t.Errorf("%s: got %+v: %v", name, e, e)
		}
	}
	e := failure(t, open(t, "smtp://no-such-host.invalid", mail.Options{}).Send(t.Context(), message()))
	if !e.Temporary || e.Stage != mail.StageConnect || !strings.Contains(e.Error(), "no-such-host.invalid") {
		t.Errorf("got %+v: %v", e, e)
	}
}

// A server says in its greeting how much it takes.
func TestSend_TooLargeForTheServer(t *testing.T) {
	t.Parallel()
	s := startScript(t, "220 ready", "EHLO 250-hi|250 SIZE 100")
	e := failure(t, open(t, "smtp://"+s.addr+"?tls=none", mail.Options{}).Send(t.Context(), message()))
	if e.Temporary || !strings.Contains(e.Error(), "takes 100") {
		t.Errorf("got %+v: %v", e, e)
	}
}

// The server is a process of its own, and is killed.
func TestSend_OtherProcess(t *testing.T) {
	t.Parallel()
	cmd, lines := startProcess(t)
	if !lines.Scan() {
		t.Fatal("the process did not start")
	}
	sender := open(t, "smtp://"+lines.Text()+"?tls=none", mail.Options{})
	for range 2 {
		if err := sender.Send(t.Context(), message()); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() {
			t.Fatal("no mail came")
		}
		m := new(sink.Message)
		if err := json.Unmarshal(lines.Bytes(), m); err != nil {
			t.Fatal(err)
		}
		got, err := m.Parse()
		if err != nil {
			t.Fatal(err)
		}
		if got.Text != "Hello\n" || got.Header.Get("Message-Id") != "<run-1.mail@corp.example>" {
			t.Errorf("got:\n%s", m.Data)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if e := failure(t, sender.Send(t.Context(), message())); !e.Temporary || e.Stage != mail.StageConnect {
		t.Errorf("got %+v", e)
	}
}

// Many mails at once share a few connections, and one that waits can be given up.
func TestSend_AtOnce(t *testing.T) {
	t.Parallel()
	block, at := make(chan struct{}), make(chan struct{}, 100)
	s := startSink(t, sink.Options{Refuse: func(stage sink.Stage, _ string) error {
		if stage == sink.Sender {
			at <- struct{}{}
			<-block
		}
		return nil
	}})
	sender := open(t, "smtp://"+s.Addr()+"?tls=none", mail.Options{})
	var results []<-chan error
	for range 3 {
		results = append(results, send(t.Context(), sender, message()))
		select {
		case <-at:
		case <-time.After(time.Minute):
			t.Fatal("a mail does not begin")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := send(ctx, sender, message())
	cancel()
	if e := failure(t, <-waiting); !errors.Is(e, context.Canceled) {
		t.Errorf("got %v", e)
	}
	close(block)
	for _, r := range results {
		if err := <-r; err != nil {
			t.Error(err)
		}
	}
	if len(s.Received()) != 3 || len(at) != 0 {
		t.Errorf("%d mails, %d more begun", len(s.Received()), len(at))
	}
}
