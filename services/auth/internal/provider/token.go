package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"lilypad.example/services/auth/internal/signin"
)

// tokenAnswer is an answer of a token or pushed authorization request endpoint.
type tokenAnswer struct {
	AccessToken  string          `json:"access_token"`
	TokenType    string          `json:"token_type"`
	RefreshToken string          `json:"refresh_token"`
	IDToken      string          `json:"id_token"`
	ExpiresIn    json.RawMessage `json:"expires_in"` // a number, or a number as text
	RequestURI   string          `json:"request_uri"`
	Error        string          `json:"error"`
	Description  string          `json:"error_description"`
}

// tokens returns the tokens of the answer at now.
func (t *tokenAnswer) tokens(now time.Time) signin.Tokens {
	out := signin.Tokens{Refresh: t.RefreshToken, Access: t.AccessToken, ID: t.IDToken}
	const year = 365 * 24 * 3600
	if seconds, err := json.Number(strings.Trim(string(t.ExpiresIn), `"`)).Int64(); err == nil && seconds > 0 && seconds < year {
		out.Expires = now.Add(time.Duration(seconds) * time.Second)
	}
	return out
}

// refusedError is an error of RFC 6749 section 5.2.
type refusedError struct{ code, description string }

func (e *refusedError) Error() string {
	return fmt.Sprintf("the provider answered %.60q: %.200q", e.code, e.description)
}

// post sends params to an endpoint. It fails with ErrProviderUnavailable, a *refusedError, or
// another error if the answer makes no sense.
func post(ctx context.Context, client *http.Client, step, endpoint string, params url.Values, header http.Header) (*tokenAnswer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(params.Encode()))
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the URL
	}
	r.Header = header
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	status, _, body, err := read(client, step, r)
	if err != nil {
		return nil, err
	}
	var answer tokenAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the answer of %s (status %d) is not JSON", endpoint, status)
	}
	switch {
	case answer.Error == "temporarily_unavailable", answer.Error == "server_error":
		return nil, unavailable(step, &refusedError{answer.Error, answer.Description})
	case answer.Error != "":
		return nil, &refusedError{answer.Error, answer.Description}
	case status < 200 || status > 299:
		return nil, &refusedError{fmt.Sprintf("status %d", status), ""}
	}
	return &answer, nil
}

// faultOf turns an error of post into one of a signin.Client. It names the setting that the
// provider does not accept.
func faultOf(err error, c *credential) error {
	refused, ok := errors.AsType[*refusedError](err)
	switch {
	case errors.Is(err, signin.ErrProviderUnavailable):
		return err
	case !ok:
		return &signin.Fault{Setting: "issuer", Err: err}
	}
	switch refused.code {
	case "invalid_client", "status 401", "incorrect_client_credentials":
		return &signin.Fault{Setting: c.setting() + " (or client_id)", Err: err}
	case "unauthorized_client":
		return &signin.Fault{Setting: "client_id", Err: err}
	case "invalid_scope":
		return &signin.Fault{Setting: "scopes", Err: err}
	case "invalid_target":
		return &signin.Fault{Setting: "resource", Err: err}
	case "redirect_uri_mismatch", "invalid_redirect_uri":
		return &signin.Fault{Setting: "redirect URI at the provider", Err: err}
	case "invalid_grant", "bad_verification_code":
		return &signin.Fault{Setting: "redirect URI at the provider (or the code was used before or is too old)", Err: err}
	}
	return &signin.Fault{Setting: "client_id", Err: err}
}

// responseFault turns an error response of the authorization endpoint (RFC 6749 section 4.1.2.1,
// OpenID Connect Core section 3.1.2.6) into an error of a signin.Client.
func responseFault(response url.Values) error {
	err := &refusedError{response.Get("error"), response.Get("error_description")}
	switch err.code {
	case "access_denied", "login_required", "interaction_required", "consent_required", "account_selection_required":
		return fmt.Errorf("%w: %w", signin.ErrDenied, err)
	case "unmet_authentication_requirements":
		return fmt.Errorf("%w: %w", signin.ErrStepUp, err)
	case "temporarily_unavailable", "server_error":
		return fmt.Errorf("%w: %w", signin.ErrProviderUnavailable, err)
	case "invalid_scope":
		return &signin.Fault{Setting: "scopes", Err: err}
	case "invalid_target":
		return &signin.Fault{Setting: "resource", Err: err}
	case "redirect_uri_mismatch":
		return &signin.Fault{Setting: "redirect URI at the provider", Err: err}
	}
	return &signin.Fault{Setting: "client_id", Err: err}
}
