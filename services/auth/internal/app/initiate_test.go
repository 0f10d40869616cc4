package app_test

import (
	"net/http"
	"net/url"
	"testing"

	"lilypad.example/services/auth/api"
)

// A third party that initiates a login knows the provider's issuer, and not its id here.
func TestASignInThatIsBegunByIssuerComesBackToItsProvider(t *testing.T) {
	f := federated(t)
	byIssuer := func(issuer string) func(*api.NewAuthorization) {
		return func(in *api.NewAuthorization) {
			in.Provider, in.Issuer, in.RedirectUri = nil, &issuer, "https://app.test/auth/callback/"
		}
	}
	to := f.mustBegin(byIssuer(f.URL))
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Query().Get("redirect_uri"); got != "https://app.test/auth/callback/pond" {
		t.Errorf("redirect URI %q, want the one of the provider", got)
	}
	if a := f.complete(f.Approve(to), nil); a.status != http.StatusOK || decode[api.CompletedAuthorization](t, a.body).Session == nil {
		t.Errorf("complete: status %d, want 200 and a session: %s", a.status, a.body)
	}
	if a := f.begin(byIssuer("https://evil.test")); a.status != http.StatusNotFound {
		t.Errorf("another issuer: status %d, want 404", a.status)
	}
}
