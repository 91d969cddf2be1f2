package client

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// advice returns what to do about an answer, for services that do not say it
// themselves; "" where there is nothing to say.
func advice(a *Answer, path, detail string) string {
	if a.Header.Get("Roster-Request-Id") != "" {
		return "" // a Roster says it
	}
	admin := strings.Contains(path, "/admin/user-provisioning/")
	switch a.Status {
	case http.StatusUnauthorized:
		if admin {
			return "Check the key: the Admin APIs take the key of the organization, not that of a directory"
		}
		return "Check the key: it must be that of this directory, not that of an organization, and may have expired"
	case http.StatusForbidden:
		if admin {
			return "Check that the key is one of this organization, with the right to manage users"
		}
		return "Check that the key belongs to this directory and may do this; at Atlassian, that the plan has user provisioning"
	case http.StatusNotFound:
		switch {
		case strings.Contains(strings.ToLower(detail), "directory"):
			return "Check the id of the directory: it is the last part of its base URL"
		case a.Body.Kind() != '{':
			return "Check the base URL: nothing of SCIM is there"
		}
	}
	return ""
}

// transportAdvice returns what to do when there was no answer; "" where there is
// nothing to say.
func transportAdvice(err error) string {
	var (
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		dns    *net.DNSError
		late   net.Error
	)
	switch {
	case errors.As(err, &cert):
		return "the certificate is not trusted: check the host in the base URL, or let Client.HTTP trust the CA that signed it"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "the service does not speak TLS there: check the base URL, which may have to begin with http:// or to have another port"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "check the host in the base URL"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check that the service runs, and the port in the base URL"
	case errors.As(err, &late) && late.Timeout():
		return "no answer in time: check that the service can be reached from here, or allow more time"
	}
	return ""
}

// redirectAdvice returns what to do about a redirect, which is not followed.
func redirectAdvice(location string) string {
	to, err := url.Parse(location)
	switch {
	case err != nil || location == "":
		return "check the base URL"
	case to.Host == "":
		return "redirects are not followed, and this one may lead to a page to log in: check the base URL"
	}
	return "the service is at " + to.Scheme + "://" + to.Host + ", use that as the base URL"
}
