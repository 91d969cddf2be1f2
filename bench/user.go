package main

import (
	"strings"
)

// userTemplate is the user that every request sends, about 1 KB: all that the
// schema of the atlassian rule set has. Its length does not depend on what is
// put into it, so that a request is a copy with digits written over it. The
// marks are a number of the user, eight decimal digits, and one of the change and
// one of the name, eight hexadecimal digits each: a PUT changes title and
// nickName, which nobody searches by, or the displayName too, and never what is
// unique.
const userTemplate = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],` +
	`"externalId":"ext-NNNNNNNN","userName":"user.NNNNNNNN@bench.example",` +
	`"name":{"formatted":"Dr. Ada Maria Lovelace-NNNNNNNN, PhD","familyName":"Lovelace-NNNNNNNN","givenName":"Ada",` +
	`"middleName":"Maria","honorificPrefix":"Dr.","honorificSuffix":"PhD"},` +
	`"displayName":"Ada Lovelace DDDDDDDD","nickName":"Ada CCCCCCCC","title":"Principal Engineer CCCCCCCC",` +
	`"preferredLanguage":"en-GB","department":"Difference Engines","organization":"Analytical Machines","timezone":"Europe/London",` +
	`"phoneNumbers":[{"value":"+44 20 NNNNNNNN","type":"work","primary":true},{"value":"+44 7700 NNNNNNNN","type":"mobile","primary":false}],` +
	`"emails":[{"value":"user.NNNNNNNN@bench.example","type":"work","primary":true},{"value":"ada.NNNNNNNN@home.example","type":"personal","primary":false}],` +
	`"active":true,` +
	`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Difference Engines","organization":"Analytical Machines"}}`

const (
	numberMark = "NNNNNNNN"
	changeMark = "CCCCCCCC"
	nameMark   = "DDDDDDDD"
	maxUsers   = 99_999_999 // what the digits hold
)

var (
	numberPlaces = places(userTemplate, numberMark)
	changePlaces = places(userTemplate, changeMark)
	namePlaces   = places(userTemplate, nameMark)
)

func places(text, mark string) (at []int) {
	for i := 0; ; {
		j := strings.Index(text[i:], mark)
		if j < 0 {
			return at
		}
		at = append(at, i+j)
		i += j + len(mark)
	}
}

// appendUser appends the JSON of a user.
func appendUser(b []byte, number int, change, name uint32) []byte {
	start := len(b)
	b = append(b, userTemplate...)
	var digits [8]byte
	putNumber(&digits, number)
	for _, at := range numberPlaces {
		copy(b[start+at:], digits[:])
	}
	putChange(&digits, change)
	for _, at := range changePlaces {
		copy(b[start+at:], digits[:])
	}
	putChange(&digits, name)
	for _, at := range namePlaces {
		copy(b[start+at:], digits[:])
	}
	return b
}

func putNumber(d *[8]byte, n int) {
	for i := len(d) - 1; i >= 0; i-- {
		d[i] = byte('0' + n%10)
		n /= 10
	}
}

func putChange(d *[8]byte, c uint32) {
	for i := len(d) - 1; i >= 0; i-- {
		d[i] = "0123456789abcdef"[c&15]
		c >>= 4
	}
}

func appendNumber(b []byte, n int) []byte {
	var d [8]byte
	putNumber(&d, n)
	return append(b, d[:]...)
}
