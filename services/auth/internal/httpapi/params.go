package httpapi

import (
	"bytes"
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/httpmw"
)

// readParams returns the parameters in the body of an OAuth request. It refuses repeated parameters
// (RFC 6749 section 3.2). limitBody bounds the body. ParseForm of net/http is not used because it
// keeps two copies of the parameters.
func readParams(r *http.Request) (url.Values, error) {
	malformed := &oauthError{status: http.StatusBadRequest, code: api.InvalidRequest}
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		return nil, malformed
	}
	body := bytes.NewBuffer(make([]byte, 0, max(0, r.ContentLength)+bytes.MinRead))
	if _, err := body.ReadFrom(r.Body); err != nil {
		return nil, cmp.Or[error](httpmw.Unread(err), malformed)
	}
	params, err := url.ParseQuery(body.String())
	if err != nil {
		return nil, malformed
	}
	for _, values := range params {
		if len(values) > 1 {
			return nil, malformed
		}
	}
	return params, nil
}
