package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func outageScenarios(w *World) []scenario {
	if w.WithoutPostgres == nil {
		return nil
	}
	return []scenario{{"SessionsContinueWithoutPostgres", sessionsContinueWithoutPostgres}}
}

// outage is longer than Kubernetes takes to remove an endpoint after its readiness probe fails:
// three probes, 3 s apart.
const outage = 30 * time.Second

// sessionsContinueWithoutPostgres: if the readiness of the auth service depended on Postgres, its
// Service would have no endpoints, and signed-in users would get 503.
func sessionsContinueWithoutPostgres(t *testing.T, w *World) {
	v := w.visitor(t)
	who := v.register(t)
	w.WithoutPostgres(t, func() {
		over, first := time.After(outage), v.jar.cookie
		w.awaitWithinTokenLife(t, "the end of the outage, and a refresh in it", func() bool {
			wantSignedIn(t, v)
			select {
			case <-over:
				over = nil
			default:
			}
			return t.Failed() || over == nil && v.jar.cookie != first
		})
		stranger := w.visitor(t)
		a := stranger.sendJSON(t, "/auth/login", map[string]string{"email": who.Email, "password": who.Password})
		if a.wantProblem(t, http.StatusServiceUnavailable); a.header.Get("Retry-After") == "" {
			t.Errorf("%s: 503 without Retry-After", a.request)
		}
		wantSignedIn(t, v)
	})
	w.awaitWithinTokenLife(t, "signing in after the outage", func() bool {
		a := w.visitor(t).sendJSON(t, "/auth/login", map[string]string{"email": who.Email, "password": who.Password})
		return a.status == http.StatusOK
	})
	w.awaitWithinTokenLife(t, "the frogs after the outage", func() bool {
		return v.fetch(t, http.MethodGet, "/api/frogs").status == http.StatusOK
	})
	wantUser(t, v, who)
}

// wantSignedIn checks pages that need no database: the login page redirects a signed-in user, and
// an unknown page shows them.
func wantSignedIn(t *testing.T, v *visitor) {
	t.Helper()
	v.navigate(t, "/login").wantRedirect(t)
	if page := v.navigate(t, "/no/such/page").want(t, http.StatusNotFound); !strings.Contains(page.body, `action="/auth/logout"`) {
		t.Errorf("%s: the page does not show the user: %s", page.request, shorten(page.body))
	}
}
