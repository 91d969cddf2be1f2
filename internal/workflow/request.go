package workflow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The bounds of an http step.
const (
	maxAnswer  = 1 << 20
	maxRequest = 1 << 20
	maxURL     = 8 << 10
)

// httpMethods are those that an http step may use.
var httpMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

// ownHeaders are set by the transport, or are between it and the next hop (RFC
// 9110 section 7.6.1): a step may not.
var ownHeaders = []string{
	"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// request is the effect of an http step.
func (w *work) request(ctx context.Context, rec *record) error {
	req, err := w.newRequest(ctx, rec)
	if err != nil {
		return err
	}
	resp, err := w.web.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // it would repeat the whole URL
		}
		return fmt.Errorf("%s %s: %w", req.Method, req.URL.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", req.Method, req.URL.Host, err)
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("%s %s: the answer (%d) is larger than %d MiB", req.Method, req.URL.Host, resp.StatusCode, maxAnswer>>20)
	}
	if rec.Output, err = answerOf(resp, body); err != nil {
		return err
	}
	if accepts(w.step.HTTP.Accept, resp.StatusCode) {
		return nil
	}
	return &statusError{
		status: resp.StatusCode, after: retryAfter(resp.Header, w.Now()),
		text: fmt.Sprintf("%s %s answered %d %s", req.Method, req.URL.Host, resp.StatusCode, http.StatusText(resp.StatusCode)),
	}
}

func accepts(list []int, status int) bool {
	if len(list) == 0 {
		return status >= 200 && status < 300
	}
	return slices.Contains(list, status)
}

// newRequest returns the request of the step, and notes it.
func (w *work) newRequest(ctx context.Context, rec *record) (*http.Request, error) {
	s := w.step.HTTP
	if !slices.Contains(httpMethods, s.Method) {
		return nil, fmt.Errorf("method must be one of %s", strings.Join(httpMethods, ", "))
	}
	target, err := s.URL.Text(w.frame.env)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	u, err := url.Parse(target)
	switch {
	case err != nil, len(target) > maxURL, u.Host == "", u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("url: expected one such as https://host/path, of at most %d bytes", maxURL)
	case u.User != nil:
		return nil, errors.New("url: no user and no password in it: use the header Authorization")
	}
	body, media, err := w.body()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, s.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if len(body) == 0 {
		req.Body, req.GetBody, req.ContentLength = http.NoBody, nil, 0
	} else {
		req.Header.Set("Content-Type", media)
	}
	req.Header.Set("User-Agent", "roster-workflow")
	if s.Method != http.MethodGet && s.Method != http.MethodHead {
		req.Header[keyHeader] = []string{boundedKey(w.id(), maxKey)}
	}
	noted := make(map[string]string)
	for _, h := range s.Headers {
		v, present, err := h.Value.Eval(w.frame.env)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.Name, err)
		}
		if !present {
			continue
		}
		text, err := h.Value.Text(w.frame.env)
		name := http.CanonicalHeaderKey(h.Name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("header %s: %w", h.Name, err)
		case slices.Contains(ownHeaders, name):
			return nil, fmt.Errorf("header %s: a step cannot set it", h.Name)
		case v == nil || !headerName.MatchString(h.Name) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return nil, fmt.Errorf("header %s: its name or value has characters that a header cannot have", h.Name)
		}
		if name == "Idempotency-Key" {
			delete(req.Header, keyHeader)
		}
		req.Header.Set(name, text)
		if noted[name] = text; isSensitive(name) {
			noted[name] = "***"
		}
	}
	// The query may be what lets in: a redactor knows the secret inputs alone.
	rec.Input, err = encode(map[string]any{"method": s.Method, "url": u.Redacted(), "headers": noted, "bytes": len(body)})
	return req, err
}

// isSensitive reports whether a header is one of those that let in.
func isSensitive(name string) bool {
	name = strings.ToLower(name)
	return name == "authorization" || strings.Contains(name, "cookie") || strings.Contains(name, "key") ||
		strings.Contains(name, "token") || strings.Contains(name, "secret") || strings.Contains(name, "password")
}

// body returns the body of the step and its media type: a text as it is, anything
// else as JSON.
func (w *work) body() ([]byte, string, error) {
	if w.step.HTTP.Body == nil {
		return nil, "", nil
	}
	v, present, err := w.step.HTTP.Body.Eval(w.frame.env)
	if err != nil || !present {
		return nil, "", err
	}
	body, media := []byte(nil), "text/plain; charset=utf-8"
	if s, ok := v.(string); ok {
		body = []byte(s)
	} else {
		if body, err = encode(v); err != nil {
			return nil, "", fmt.Errorf("body: %w", err)
		}
		media = "application/json"
	}
	if len(body) > maxRequest {
		return nil, "", fmt.Errorf("body: it has %d bytes, and %d are the most", len(body), maxRequest)
	}
	return body, media, nil
}

// answerOf returns the output of an http step: {status, headers, body}, the body
// as what it is when it is JSON, else as a text. Cookies are left out.
func answerOf(resp *http.Response, body []byte) (jsontext.Value, error) {
	headers := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		if lower := strings.ToLower(name); !strings.Contains(lower, "cookie") {
			headers[lower] = strings.Join(resp.Header[name], ", ")
		}
	}
	content := quote(string(body))
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if v := jsontext.Value(bytes.TrimSpace(body)); (media == "application/json" || strings.HasSuffix(media, "+json")) && v.IsValid() {
		content = v
	}
	return json.Marshal(struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    jsontext.Value    `json:"body"`
	}{resp.StatusCode, headers, content}, recordOptions)
}

// retryAfter reads Retry-After (RFC 9110 section 10.2.3); 0: there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxAfter)
}
