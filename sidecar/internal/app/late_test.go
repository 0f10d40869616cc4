package app

import (
	"testing"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

// The browser may have a newer cookie by the time of a late response, so it sets none. It is not
// cacheable either way.
func TestALateAnswerSaysNothingOfTheCookie(t *testing.T) {
	v := &visit{}
	v.SetCookies = []string{"successor"}
	v.Session.Authorization = "Bearer token"
	for took, told := range map[time.Duration]int{0: 1, setCookieWindow: 1, setCookieWindow + 1: 0, time.Hour: 0} {
		edit := responseEdit(http1.Header{}, v, took)
		if len(edit.SetCookie) != told || edit.CacheControl != "no-store" {
			t.Errorf("after %v: %+v, want %d cookies and no-store", took, edit, told)
		}
	}
}
