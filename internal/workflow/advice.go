package workflow

import "net/http"

// advise is the function advice: what to do next about an error, the root error
// or steps.ID.error, in a sentence. Nothing has none.
func advise(args ...any) (any, error) {
	if args[0] == nil {
		return "", nil
	}
	e, err := argument[map[string]any]("advice", "an error", args, 0)
	if err != nil {
		return nil, err
	}
	status, _ := number(e["status"])
	if text, ok := adviceOf[int(status)]; ok {
		return text, nil
	}
	if e["temporary"] == true {
		return "Nothing has to be corrected: run it again in a while.", nil
	}
	return "Correct what the message names, and run it again.", nil
}

// adviceOf is what to do about an answer of a service, by its status.
var adviceOf = map[int]string{
	http.StatusBadRequest:          "The directory does not take one of the values: correct it, and run it again.",
	http.StatusUnauthorized:        "The key of the connection is wrong or has expired: give the connection a new key, and run it again.",
	http.StatusForbidden:           "The key of the connection may not do this: give the connection one that may, and run it again.",
	http.StatusNotFound:            "There is nobody with this id in the directory: look the id up (roster user list), and run it with the right one.",
	http.StatusConflict:            "Somebody else in the directory has a value that must be unique, such as the user name or an e-mail address: choose another one, or change it there first.",
	http.StatusPreconditionFailed:  "Somebody else changed it in between, and nothing was overwritten: look at what it is now, and run it again.",
	http.StatusTooManyRequests:     "The service gets too many requests: run it again in a while.",
	http.StatusInternalServerError: "The service has failed: run it again in a while, and ask those who run the service when it fails again.",
	http.StatusBadGateway:          "The service cannot be reached at the moment: run it again in a while.",
	http.StatusServiceUnavailable:  "The service is overloaded or being maintained: run it again in a while.",
	http.StatusGatewayTimeout:      "The service does not answer in time: run it again in a while.",
}
